"""Image towers without a head, learned positions or rotary ones: features are the library's own, in every size."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import family_checks as check
import numpy as np
import pytest
import tiny_models as tiny
import torch

from napari_vlexplain import explain, list_methods, load_model, segment
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.metrics.randomisation import cascading
from napari_vlexplain.models.precision import in_precision
from napari_vlexplain.models.resolution import at_whole, in_own_size

SMALL = {"embed_dim": 32, "depth": 3, "num_heads": 2}
EVA = {**SMALL, "img_size": 64, "init_values": 0.5}
TIMM = {
    "dinov2": ("vit_small_patch14_dinov2", {**SMALL, "img_size": 56, "init_values": 0.5}),
    "dinov2 registers": ("vit_small_patch14_reg4_dinov2", {**SMALL, "img_size": 56, "init_values": 0.5}),
    "dinov2 gated": ("vit_giant_patch14_dinov2", {**SMALL, "img_size": 56, "init_values": 0.5}),
    "mean": ("vit_small_patch16_224", {**SMALL, "img_size": 64, "global_pool": "avg"}),
    "dinov3": ("vit_small_patch16_dinov3", EVA),
    "dinov3 token": ("vit_small_patch16_dinov3", {**EVA, "global_pool": "token"}),
    "dinov3 bias": ("vit_small_patch16_dinov3_qkvb", EVA),
    "dinov3 gated": ("vit_small_plus_patch16_dinov3", EVA),
    "neighbours": ("vit_small_patch16_dinov3", {**EVA, "rope_rotate_half": False}),
    "axial": ("vit_small_patch16_dinov3", {**EVA, "rope_type": "cat", "rope_rotate_half": False}),
}
TRANSFORMERS = {
    "ViT": lambda folder: tiny.headless(folder, "ViT"),
    "DeiT": lambda folder: tiny.headless(folder, "DeiT"),
    "DINOv3": tiny.dinov3,
    "DINOv3 gated": lambda folder: tiny.dinov3(folder, gated=True),
    "DINOv3 without registers": lambda folder: tiny.dinov3(folder, registers=0),
}


def made(kind, folder):
    if kind in TIMM:
        return tiny.timm_headless(folder, TIMM[kind][0], **TIMM[kind][1])
    return TRANSFORMERS[kind](folder)


@pytest.fixture(scope="module", params=[*TIMM, *TRANSFORMERS])
def pair(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("headless")
    return made(request.param, folder), load_model(str(folder), device="cpu")


@pytest.fixture(scope="module", params=["dinov3 token", "DINOv3"])
def turned(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("turned")
    return made(request.param, folder), load_model(str(folder), device="cpu")


def features(library, pixels):
    """Embedding and all tokens before it."""
    with torch.no_grad():
        if hasattr(library, "forward_features"):
            sized = copy.deepcopy(library)
            sized.set_input_size(img_size=tuple(pixels.shape[2:]))
            return sized(pixels), sized.forward_features(pixels)
        asks = {"interpolate_pos_encoding": True} if type(library).__name__ in ("ViTModel", "DeiTModel") else {}
        found = library(pixels, **asks)
    return found.last_hidden_state[:, 0], found.last_hidden_state


@pytest.mark.parametrize("patches", [(4, 4), (6, 3), (2, 5)])
def test_features_are_the_librarys(pair, patches):
    library, model = pair
    size = tuple(count * side for count, side in zip(patches, model.image.patch, strict=True))
    pixels = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    seen = model if size == model.preprocess.size else at_whole(model, size, min(size))
    assert seen.image.grid == patches
    embedding, tokens = features(library, pixels)
    check.close(seen.encode_image(pixels), embedding)
    found = seen.image.run(seen.image.embed(pixels))
    final = next(getattr(library, name) for name in ("norm", "layernorm") if hasattr(library, name))
    check.close(final(found), tokens)
    attended, _ = seen.image.record(seen.image.embed(pixels), 0, seen.image_rows(2))
    check.close(attended, embedding)


def test_it_segments_and_explains_without_prompts(pair):
    model = pair[1]
    found = segment(check.picture(), model, clusters=2)
    assert found.regions.shape == (70, 90) and len(np.unique(found.regions)) > 1
    fitting = {info.name for info in list_methods() if info.requires <= model.capabilities}
    assert {"raw_attention", "rollout"} <= fitting
    with pytest.raises(VLExplainError, match=r"only an image tower.*embeddings from a file"):
        explain(check.picture(), "a cat", model, "raw_attention")


def test_every_method_with_embeddings_from_a_file(turned, tmp_path):
    """Those that put queries and keys together themselves say that they cannot."""
    model, refused = turned[1], set()
    width = model.encode_image(model.pixels(check.picture())[0]).shape[1]
    np.save(tmp_path / "e.npy", np.random.default_rng(0).normal(size=(2, width)))
    for info in list_methods():
        asked = {"model": model, "method": info.name, "embeddings": tmp_path / "e.npy", **check.cheap(info)}
        try:
            found = explain(check.picture(), ["one", "two"], **asked)
        except VLExplainError as error:
            assert "RoPE" in str(error) or not info.requires <= (model.capabilities | PROMPTED), (info.name, error)
            refused |= {info.name} if "RoPE" in str(error) else set()
            continue
        assert np.isfinite(found[0].patch_scores).all() and found[0].patch_scores.shape == model.image.grid
    assert {"attn_lrp", "transformer_attribution"} <= refused


PROMPTED = {"prompts", "gradients", "black_box", "text_embeddings"}


def test_attention_is_turned(turned):
    """The attention that is kept is the one that the tower runs with, for all tokens and for one alone."""
    model = turned[1]
    z = model.image.embed(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    block = model.image.blocks[0]
    check.close(block.explicit(z)[0], block.fused(z))
    rows = torch.tensor([0, 9])
    check.close(block.fused(z, None, rows)[:, 0], block.fused(z)[torch.arange(2), rows])
    a, _ = block.attention(z, None, rows)
    check.close(a[:, :, 0], block.attention(z)[0][torch.arange(2), :, rows])
    assert not torch.equal(block.attention(z)[0], replace(block, rotary=None).attention(z)[0])


def test_tokens_that_are_missing_are_told(turned):
    model = turned[1]
    z = model.image.embed(torch.zeros(1, 3, 64, 64))
    with pytest.raises(VLExplainError, match="needs all 21 of them, not 20"):
        model.image.run(z[:, :-1])


def test_other_weights_turn_by_the_same_angles(turned):
    model = turned[1]
    for _, other in cascading(model, 0):
        assert other.image.blocks[0].rotary is model.image.blocks[0].rotary


def test_sizes_come_back(turned):
    model = turned[1]
    wide = at_whole(model, (32, 96), 32)
    assert wide.image.grid == (2, 6)
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(in_own_size(wide).encode_image(pixels), model.encode_image(pixels))


def test_half_precision_turns_too(turned):
    model = turned[1]
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    half = in_precision(model, "bfloat16")
    torch.testing.assert_close(half.encode_image(pixels), model.encode_image(pixels), atol=0.2, rtol=0)


def test_a_checkpoint_of_timm_without_a_head(tmp_path):
    import timm
    from safetensors.torch import save_file

    library = tiny.shake(timm.create_model("test_vit", num_classes=0))
    file = tmp_path / "trained.safetensors"
    save_file({f"module.{key}": value.contiguous() for key, value in library.state_dict().items()}, file)
    pixels = torch.randn(1, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    check.close(load_model(f"timm:test_vit:{file}", device="cpu").encode_image(pixels), library(pixels))


def test_weights_that_lack_the_head_they_count(tmp_path):
    tiny.timm_headless(tmp_path, "test_vit")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_classes": 7}))
    with pytest.raises(VLExplainError, match=r"no head\.weight, but its config\.json counts 7 classes"):
        load_model(str(tmp_path), device="cpu")


def test_rotary_positions_that_are_not_known(tmp_path):
    tiny.timm_headless(tmp_path, "vit_small_patch16_dinov3", **{**EVA, "rope_type": "mixed", "rope_rotate_half": False})
    with pytest.raises(VLExplainError, match="rotary positions RotaryEmbeddingMixed"):
        load_model(str(tmp_path), device="cpu")
