"""OpenAI's ResNet: a convolutional tower whose pool attends, asked by the mean of its patches."""

import family_checks as check
import pytest
import tiny_models as tiny
import torch

from napari_vlexplain import load_model

ALL = {"relevance", "raw_attention", "rollout", "attention_grad_cam", "m2ib", "patch_similarity", "grad_cam"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resnet")
    return tiny.open_clip_resnet(folder), load_model(f"open_clip:local-dir:{folder}", device="cpu")


def test_forward_parity(pair):
    library, model = pair
    pixels, _ = model.pixels(check.picture())
    check.close(model.encode_image(pixels), library.encode_image(pixels))
    texts = model.tokenize(check.PROMPTS)
    ids = torch.nn.functional.pad(texts.ids, (0, 20 - texts.ids.shape[1]))
    check.close(model.encode_text(texts), library.encode_text(ids))


def test_what_it_is(pair):
    _, model = pair
    assert model.image.grid == (3, 3)
    assert model.image.depth == 0
    assert model.image.sites == 1
    assert "conv_features" in model.capabilities
    assert "residual_stream" not in model.capabilities


def test_every_method(pair):
    check.every_method(pair[1], check.PROMPTS, ALL)


def test_batches_change_nothing(pair):
    check.batches_change_nothing(pair[1], check.PROMPTS)


def test_relevance_is_the_pools_attention_times_its_gradient(pair):
    """Derived again from the library's own attention: the weights of the query, the mean token's column left out."""
    from napari_vlexplain import explain

    library, model = pair
    pixels, _ = model.pixels(check.picture())
    pool = library.visual.attnpool
    x = model.image.embed(pixels)
    x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1) + pool.positional_embedding
    heads = [layer(x).unflatten(-1, (8, -1)).transpose(1, 2) for layer in (pool.q_proj, pool.k_proj, pool.v_proj)]
    q, k, v = heads
    a = (q[:, :, :1] @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1).requires_grad_()
    embedding = pool.c_proj((a @ v).transpose(1, 2).flatten(2))[:, 0]
    check.close(embedding.detach(), library.encode_image(pixels))
    text = model.encode_text(model.tokenize(["a cat"]))
    (g,) = torch.autograd.grad(model.similarity(embedding, text).sum(), [a])
    expected = (a * g).clamp(min=0).mean(dim=1)[0, 0, 1:].detach().reshape(3, 3)
    found = explain(check.picture(), "a cat", model, "relevance")
    check.close(torch.from_numpy(found.patch_scores) / expected.max(), expected / expected.max())


def test_a_patch_alone_is_what_the_pool_would_read_of_it(pair):
    """MaskCLIP: value and output of each patch with its place; the mean token in front of them is none."""
    from napari_vlexplain import explain

    library, model = pair
    pool = library.visual.attnpool
    x = model.image.embed(model.pixels(check.picture())[0])[0] + pool.positional_embedding[1:]
    tokens = pool.c_proj(pool.v_proj(x))
    text = model.encode_text(model.tokenize(["a cat"]))
    expected = torch.cosine_similarity(tokens, text).detach().reshape(3, 3)
    found = explain(check.picture(), "a cat", model, "patch_similarity")
    check.close(torch.from_numpy(found.patch_scores), expected)


def test_m2ib_stands_in_front_of_the_pool(pair):
    from napari_vlexplain import explain
    from napari_vlexplain.errors import VLExplainError

    # With one step the map is known in closed form (spec m2ib 1.6): D times a constant plus a constant times |x|^2.
    found = explain(check.picture(), "a cat", pair[1], "m2ib", steps=1)
    x = pair[1].image.embed(pair[1].pixels(check.picture())[0])[0]
    expected = x.shape[1] * 4.506737745615884 + 0.4933295462024626 * x.square().sum(dim=1)
    check.close(torch.from_numpy(found.patch_scores).flatten() / 1e3, expected / 1e3)
    assert found.provenance["notes"]["layer"] == -1
    with pytest.raises(VLExplainError, match="leave layer out"):
        explain(check.picture(), "a cat", pair[1], "m2ib", layer=0)
