"""Image towers without a text side: their embeddings are the library's, and their prompts are embeddings."""

from __future__ import annotations

import json

import family_checks as check
import numpy as np
import pytest
import tiny_clip
import tiny_models as tiny
import torch
from safetensors.torch import load_file, save_file

from napari_vlexplain import explain, load_model, segment
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.models.resolution import at_whole

KINDS = {
    "projected": tiny.clip_image,
    "bare": lambda folder: tiny.clip_image(folder, projected=False),
    "siglip": tiny.siglip_image,
}


@pytest.fixture(scope="module", params=list(KINDS))
def pair(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return KINDS[request.param](folder), load_model(str(folder), device="cpu")


def embedded(library, pixels, **more):
    with torch.no_grad():
        found = library(pixels, **more)
    return found.image_embeds if hasattr(found, "image_embeds") else found.pooler_output


@pytest.mark.parametrize("size", [(32, 32), (48, 24)])
def test_embeddings_are_the_librarys(pair, size):
    library, model = pair
    pixels = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    expected = embedded(library, pixels, interpolate_pos_encoding=size != (32, 32))
    check.close(at_whole(model, size, min(size)).encode_image(pixels), expected)


def test_it_segments(pair):
    found = segment(check.picture(), pair[1], clusters=2)
    assert len(np.unique(found.regions)) > 1


def test_words_are_refused_with_what_would_be_right(pair):
    with pytest.raises(VLExplainError, match=r"only an image tower.*embeddings from a file"):
        explain(check.picture(), "a cat", pair[1])
    with pytest.raises(VLExplainError, match=r"only an image tower.*embeddings from a file"):
        explain(check.picture(), "a cat", pair[1], "raw_attention")


def test_embeddings_from_a_file_explain(pair, tmp_path):
    _, model = pair
    image = model.encode_image(model.pixels(check.picture())[0])
    np.save(tmp_path / "two.npy", torch.cat([image, torch.ones_like(image)]).numpy())
    same, other = explain(check.picture(), ["same", "other"], model, embeddings=tmp_path / "two.npy")
    assert same.score == pytest.approx(1, abs=1e-5)
    assert other.score == pytest.approx(float(torch.cosine_similarity(image, torch.ones_like(image))), abs=1e-5)
    assert np.ptp(other.patch_scores) > 0 and other.tokens == ()


@pytest.mark.parametrize("target", ["logit", "margin", "softmax", "probability"])
def test_it_has_cosines_and_no_logit(pair, tmp_path, target):
    model = pair[1]
    np.save(tmp_path / "two.npy", np.eye(2, model.encode_image(model.pixels(check.picture())[0]).shape[1]))
    given = {"model": model, "embeddings": tmp_path / "two.npy"}
    with pytest.raises(VLExplainError, match=f"target {target} needs .* choose similarity"):
        explain(check.picture(), ["one", "two"], target=target, **given)
    assert "logit" not in explain(check.picture(), ["one", "two"], **given)[0].provenance


def test_the_image_side_is_that_of_the_whole_model(tmp_path):
    """A whole CLIP, and its image side saved by the library, give one map for one embedding."""
    from transformers import CLIPConfig, CLIPVisionModelWithProjection

    whole, side = tiny_clip.save(tmp_path / "whole"), tmp_path / "side"
    config = CLIPConfig.from_pretrained(whole).vision_config
    config.projection_dim = 24
    CLIPVisionModelWithProjection.from_pretrained(whole, config=config).save_pretrained(side)
    (side / "preprocessor_config.json").write_text((whole / "preprocessor_config.json").read_text())
    model = load_model(str(whole), device="cpu")
    np.save(tmp_path / "cat.npy", model.encode_text(model.tokenize(["a cat"]))[0].numpy())
    expected = explain(tiny_clip.picture(), "a cat", model)
    found = explain(tiny_clip.picture(), "a cat", str(side), embeddings=tmp_path / "cat.npy", device="cpu")
    np.testing.assert_allclose(found.patch_scores, expected.patch_scores, rtol=1e-4, atol=1e-6)
    assert found.score == pytest.approx(expected.score, abs=1e-6)


def test_names_of_older_versions(tmp_path):
    """transformers before version 5 wrote ``vision_model.`` before every name of a CLIPVisionModel."""
    library = tiny.clip_image(tmp_path, projected=False)
    tensors = load_file(tmp_path / "model.safetensors")
    older = {f"vision_model.{name.removeprefix('vision_model.')}": value for name, value in tensors.items()}
    save_file(older, tmp_path / "model.safetensors", metadata={"format": "pt"})
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    check.close(load_model(str(tmp_path), device="cpu").encode_image(pixels), embedded(library, pixels))


def test_a_projection_that_only_the_weights_tell_of(tmp_path):
    library = tiny.clip_image(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "architectures": None}))
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    check.close(load_model(str(tmp_path), device="cpu").encode_image(pixels), embedded(library, pixels))


def test_a_processor_without_a_class(tmp_path):
    """Its class is then that of the model's family."""
    library = tiny.clip_image(tmp_path)
    file = tmp_path / "preprocessor_config.json"
    found = json.loads(file.read_text())
    del found["image_processor_type"]
    file.write_text(json.dumps(found))
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    check.close(load_model(str(tmp_path), device="cpu").encode_image(pixels), embedded(library, pixels))
