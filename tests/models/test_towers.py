"""Our towers are the library's own forward, and each way to run a block is the same block."""

from dataclasses import replace

import pytest
import torch

from napari_vlexplain.models.libraries import open_clip_clip, timm_vit, transformers_clip
from napari_vlexplain.models.libraries.torchvision_guard import guard_torchvision
from napari_vlexplain.models.pools import FirstRowsPool, MeanPool, RowPool

guard_torchvision()

TOLERANCE = 1e-5


def transformers_model(patch=8, image=32, depth=3, heads=2, act="quick_gelu", end=63):
    from transformers import CLIPConfig, CLIPModel

    common = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": depth, "num_attention_heads": heads}
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config={**common, "vocab_size": 64, "max_position_embeddings": 16, "hidden_act": act, "eos_token_id": end},
        vision_config={**common, "image_size": image, "patch_size": patch, "hidden_act": act},
        projection_dim=24,
    )
    model = CLIPModel(config).eval().requires_grad_(False)
    for parameter in model.parameters():  # the library starts norms and biases at 1 and 0, which would hide mistakes
        parameter += 0.1 * torch.randn_like(parameter)
    return model


def open_clip_model(vision=None, text=None, quick_gelu=False):
    import open_clip

    torch.manual_seed(0)
    model = open_clip.CLIP(
        embed_dim=24,
        vision_cfg={"image_size": 32, "patch_size": 8, "width": 64, "head_width": 32, "layers": 3, **(vision or {})},
        text_cfg={"context_length": 16, "vocab_size": 64, "width": 32, "heads": 2, "layers": 3, **(text or {})},
        quick_gelu=quick_gelu,
    )
    model = model.eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    return model


def timm_model(name="vit_tiny_patch16_224", **options):
    import timm

    torch.manual_seed(0)
    trunk = timm.create_model(name, img_size=64, depth=3, num_classes=0, **options).eval().requires_grad_(False)
    for parameter in trunk.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    return trunk


def rows_of(batch):
    return torch.zeros(batch, dtype=torch.long)


def close(found, expected):
    scale = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(found, expected, atol=TOLERANCE * scale, rtol=0)


@pytest.mark.parametrize(
    "options",
    [{}, {"act": "gelu"}, {"patch": 16, "image": 48, "heads": 4}, {"depth": 1}, {"patch": 8, "image": 60}],
    ids=str,
)
def test_transformers_clip(options):
    model = transformers_model(**options)
    side = options.get("image", 32)
    pixels = torch.randn(3, 3, side, side)
    tower = transformers_clip.image_tower(model)
    expected = model.get_image_features(pixels).pooler_output
    close(tower.tail(tower.embed(pixels), 0, rows_of(3)), expected)
    close(tower.pool(tower.run(tower.embed(pixels)), rows_of(3)), expected)


@pytest.mark.parametrize("end", [63, 2], ids=["first end token", "highest id"])
def test_transformers_text(end):
    model = transformers_model(end=end)
    ids = torch.randint(3, 62, (4, 16))
    for row, length in zip(ids, (3, 9, 16, 12), strict=True):
        row[length - 1 :] = 63
    tower = transformers_clip.text_tower(model)
    rows = (ids == 63).int().argmax(dim=1)
    expected = model.get_text_features(input_ids=ids).pooler_output
    close(tower.tail(tower.embed(ids), 0, rows), expected)
    # What stands behind the readout cannot matter to a causal tower.
    short = ids[:2, :9]
    close(tower.tail(tower.embed(short), 0, rows[:2]), expected[:2])


@pytest.mark.parametrize(
    "vision",
    [
        {},
        {"ls_init_value": 0.3},
        {"pool_type": "avg"},
        {"pool_type": "avg", "final_ln_after_pool": True},
        {"no_ln_pre": True},
        {"image_size": [32, 48]},
        {"image_size": 36},
    ],
    ids=str,
)
@pytest.mark.parametrize("quick_gelu", [False, True])
def test_open_clip(vision, quick_gelu):
    model = open_clip_model(vision, quick_gelu=quick_gelu)
    size = vision.get("image_size", 32)
    height, width = (size, size) if isinstance(size, int) else size
    tower = open_clip_clip.image_tower(model)
    assert tower.grid == (height // 8, width // 8)
    # A patch size that does not divide the image leaves the last pixels out; the library's own forward does so too.
    pixels = torch.randn(2, 3, height, width)
    close(tower.tail(tower.embed(pixels), 0, rows_of(2)), model.encode_image(pixels))

    ids = torch.randint(1, 62, (3, 16))
    ids[:, 11] = 63
    text = open_clip_clip.text_tower(model)
    close(text.tail(text.embed(ids[:, :12]), 0, torch.full((3,), 11)), model.encode_text(ids))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_tiny_patch16_224", {}),
        ("vit_tiny_patch16_224", {"init_values": 0.3, "qk_norm": True, "qkv_bias": False}),
        ("vit_tiny_patch16_224", {"global_pool": "avg"}),
        ("vit_tiny_patch16_224", {"reg_tokens": 4}),
        ("vit_tiny_patch16_224", {"reg_tokens": 2, "no_embed_class": True, "pre_norm": True}),
        ("vit_tiny_patch16_224", {"class_token": False, "global_pool": "avg"}),
    ],
    ids=str,
)
def test_timm(name, options):
    trunk = timm_model(name, **options)
    head = torch.nn.Linear(trunk.num_features, 24).requires_grad_(False)
    pixels = torch.randn(2, 3, 64, 64)
    tower = timm_vit.image_tower(trunk, head)
    assert tower.prefix_tokens == trunk.num_prefix_tokens
    close(tower.tail(tower.embed(pixels), 0, rows_of(2)), head(trunk(pixels)))


@pytest.fixture(params=["transformers", "open_clip", "timm"])
def tower_and_pixels(request):
    if request.param == "transformers":
        return transformers_clip.image_tower(transformers_model()), torch.randn(2, 3, 32, 32)
    if request.param == "open_clip":
        return open_clip_clip.image_tower(open_clip_model({"ls_init_value": 0.3})), torch.randn(2, 3, 32, 32)
    trunk = timm_model(init_values=0.3, qk_norm=True)
    return timm_vit.image_tower(trunk, torch.nn.Identity()), torch.randn(2, 3, 64, 64)


def test_explicit_equals_fused(tower_and_pixels):
    tower, pixels = tower_and_pixels
    z = tower.embed(pixels)
    for block in tower.blocks:
        after, a = block.explicit(z)
        close(after, block.fused(z))
        torch.testing.assert_close(a.sum(dim=-1), torch.ones(a.shape[:-1]))
        z = after


def test_one_row_equals_that_row_of_the_whole_block(tower_and_pixels):
    tower, pixels = tower_and_pixels
    z = tower.embed(pixels)
    rows = torch.tensor([0, 3])
    block = tower.blocks[0]
    expected = block.fused(z)[torch.arange(2), rows][:, None]
    close(block.fused(z, rows=rows), expected)
    after, a = block.explicit(z, rows=rows)
    close(after, expected)
    torch.testing.assert_close(a, block.explicit(z)[1][torch.arange(2), :, rows][:, :, None])


def test_local_is_attention_masked_to_the_diagonal(tower_and_pixels):
    tower, pixels = tower_and_pixels
    z = tower.embed(pixels)
    diagonal = torch.full((z.shape[1],) * 2, float("-inf")).fill_diagonal_(0)
    for block in tower.blocks:
        close(block.local(z), block.fused(z, diagonal))


def test_a_relevance_starts_as_shares_that_sum_to_one():
    rows = torch.tensor([2, 0])
    for pool, expected in (
        (RowPool(None, None), [[0, 0, 1, 0], [1, 0, 0, 0]]),
        (FirstRowsPool(None, None, 2), [[0.5, 0.5, 0, 0]] * 2),
        (MeanPool(None, None, None, 1), [[0, 1 / 3, 1 / 3, 1 / 3]] * 2),
    ):
        torch.testing.assert_close(pool.start(4, rows), torch.tensor(expected, dtype=torch.float32))


def test_the_merged_projection_is_attention_to_oneself_with_layer_scale_too(tower_and_pixels):
    from napari_vlexplain.latent_text.tails import local_step, own_projection

    tower, pixels = tower_and_pixels
    source = torch.Generator().manual_seed(4)
    z = tower.embed(pixels)
    scales = [torch.rand(z.shape[-1], generator=source) + 0.5 for _ in range(2)]
    scaled = replace(tower, blocks=tuple(replace(b, scale1=scales[0], scale2=scales[1]) for b in tower.blocks))
    for block, own in zip(scaled.blocks, own_projection(scaled), strict=True):
        close(local_step(block, own, z), block.local(z))
        assert not torch.allclose(local_step(block, None, z), block.local(z), rtol=1e-2)


def test_recorded_embedding_and_gradients(tower_and_pixels):
    """The recorded run gives the same embedding, and every A of the list is reached by the gradient."""
    tower, pixels = tower_and_pixels
    z = tower.embed(pixels)
    embedding, attentions = tower.record(z, 0, rows_of(2), track=True)
    close(embedding.detach(), tower.tail(z, 0, rows_of(2)))
    gradients = torch.autograd.grad(embedding.sum(), attentions)
    assert [g.shape for g in gradients] == [a.shape for a in attentions]
    assert all(bool(g.abs().sum() > 0) for g in gradients)


def test_causal_attention_has_no_upper_triangle():
    tower = transformers_clip.text_tower(transformers_model())
    z = tower.embed(torch.randint(1, 60, (2, 9)))
    for block in tower.blocks:
        _, a = block.explicit(z, tower.mask(z))
        assert a.triu(1).abs().max() == 0
        z = block.fused(z, tower.mask(z))


def test_streams_are_those_of_the_run():
    model = transformers_model()
    tower = transformers_clip.image_tower(model)
    z = tower.embed(torch.randn(1, 3, 32, 32))
    found = tower.streams(z, [0, 2, 3])
    assert set(found) == {0, 2, 3}
    for stop in found:
        close(found[stop], tower.run(z, 0, stop))


def test_parameters_are_views_not_copies():
    model = open_clip_model()
    block = open_clip_clip.image_tower(model).blocks[0]
    packed = model.visual.transformer.resblocks[0].attn.in_proj_weight
    assert block.key.weight.untyped_storage().data_ptr() == packed.untyped_storage().data_ptr()
