"""SigLIP: a readout that attends, a text of fixed length, a sigmoid score; transformers and open_clip."""

import family_checks as check
import numpy as np
import pytest
import tiny_models as tiny
import torch

from napari_vlexplain import explain, load_model
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.methods.attention.relevance import propagate

ALL = {"relevance", "raw_attention", "rollout", "attention_grad_cam", "m2ib", "patch_similarity"}


@pytest.fixture(scope="module", params=["siglip", "siglip2", "open_clip"])
def pair(request, tmp_path_factory):
    """(the library's model, ours)"""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "open_clip":
        return tiny.open_clip_siglip(folder), load_model(f"open_clip:local-dir:{folder}", device="cpu")
    library = tiny.siglip(folder, version=2 if request.param == "siglip2" else 1)
    return library, load_model(str(folder), device="cpu")


def library_embeddings(library, pixels, ids):
    if hasattr(library, "get_image_features"):
        return library.get_image_features(pixels).pooler_output, library.get_text_features(input_ids=ids).pooler_output
    return library.encode_image(pixels), library.encode_text(ids)


def test_forward_parity(pair):
    library, model = pair
    pixels, _ = model.pixels(check.picture())
    texts = model.tokenize(check.PROMPTS)
    assert texts.ids.shape == (8, 16)  # every prompt is padded to the context
    assert texts.rows.tolist() == [15] * 8
    image, text = library_embeddings(library, pixels, texts.ids)
    check.close(model.encode_image(pixels), image)
    check.close(model.encode_text(texts), text)
    logits = library.logit_scale.exp() * torch.nn.functional.normalize(image) @ torch.nn.functional.normalize(text).T
    check.close(model.logit(model.similarity(image, text)), logits + library.logit_bias)


def test_ids_are_the_librarys(pair):
    """Padding included: without it the embedding of a prompt is another one."""
    _, model = pair
    fast, prompt = model.tokenizer.tokenizer, "A small   dog"
    own = fast(model.tokenizer.prepare(prompt), padding="max_length", max_length=16)["input_ids"]
    found = model.tokenize([prompt]).prompts[0]
    assert list(found.ids) == own
    assert [token for token in found.tokens if token][1:] == ["small", "dog"]
    assert found.ids[-1] == fast.pad_token_id


def test_every_method(pair):
    check.every_method(pair[1], check.PROMPTS, ALL)


def test_batches_change_nothing(pair):
    check.batches_change_nothing(pair[1], check.PROMPTS, **check.all_blocks(pair[1]))


def test_the_record_is_the_forward(pair):
    """Explicit attention gives the same embedding, and the pool's is the last of the list."""
    _, model = pair
    tower, (pixels, _) = model.image, model.pixels(check.picture())
    z = tower.embed(pixels)
    embedding, attentions = tower.record(z, 0, model.image_rows(1), track=True)
    assert len(attentions) == tower.sites == tower.depth + 1
    check.close(embedding.detach(), tower.tail(z, 0, model.image_rows(1)))
    assert attentions[-1].shape[-2:] == (1, z.shape[1])
    for a in attentions:
        torch.testing.assert_close(a.sum(dim=-1), torch.ones(a.shape[:-1]))
    gradients = torch.autograd.grad(embedding.sum(), attentions)
    assert all(g.abs().sum() > 0 for g in gradients)


def test_relevance_is_the_pools_row_times_the_product_of_the_blocks(pair):
    """``r = C_pool R`` with ``R = (I + C_L) ... (I + C_1)`` (spec 1.4), derived again with the full matrices."""
    _, model = pair
    tower, (pixels, _) = model.image, model.pixels(check.picture())
    embedding, attentions = tower.record(tower.embed(pixels), 0, model.image_rows(1), track=True)
    text = model.encode_text(model.tokenize(["a cat"]))
    gradients = torch.autograd.grad(model.similarity(embedding, text).sum(), attentions)
    full = torch.eye(attentions[0].shape[-1])
    for a, g in zip(attentions[:-1], gradients[:-1], strict=True):
        full = full + (a * g).clamp(min=0).mean(dim=1)[0].detach() @ full
    expected = (attentions[-1] * gradients[-1]).clamp(min=0).mean(dim=1)[0].detach() @ full
    start = tower.pool.start(full.shape[0], model.image_rows(1))
    assert not start.any()
    torch.testing.assert_close(propagate([a[0] for a in attentions], gradients, start), expected)
    found = explain(check.picture(), "a cat", model, "relevance", start_block=0, text_start_block=0)
    grid = expected[0, -found.patch_scores.size :].reshape(model.image.grid).numpy()
    np.testing.assert_allclose(found.patch_scores, grid, rtol=1e-3, atol=1e-7)


def test_rollout_of_the_image_sums_to_one(pair):
    from napari_vlexplain.methods.attention.maps import attention_row, rollout_row

    _, model = pair
    z = model.image.embed(model.pixels(check.picture())[0])
    rows = model.image_rows(1)
    for row in (
        rollout_row(model.image, z, 0, rows),
        *(attention_row(model.image, model.image.run(z, 0, b), b, rows) for b in (0, 1, model.image.depth)),
    ):
        torch.testing.assert_close(row.sum(), torch.tensor(1.0))


def test_probability_is_the_sigmoid_of_the_logit(pair):
    found = explain(check.picture(), "a cat", pair[1], target="probability")
    assert found.score == pytest.approx(1 / (1 + np.exp(-found.provenance["logit"])), rel=1e-5)
    assert found.request.target.name == "probability"


def test_probability_is_refused_where_no_model_means_it():
    with pytest.raises(VLExplainError, match="sigmoid"):
        explain(check.picture(), "a cat", "mini", target="probability", device="cpu")


def test_the_prompt_is_made_canonical(pair):
    """SigLIP takes punctuation off; SigLIP 2 (as transformers ships it) only makes lower case."""
    _, model = pair
    assert model.tokenize(["A Cat"]).prompts[0].ids == model.tokenize(["a cat"]).prompts[0].ids


def test_a_prompt_that_is_too_long(pair):
    _, model = pair
    with pytest.raises(VLExplainError, match="this model reads 16"):
        model.tokenize(["cat " * 20])
    cut = model.tokenize(["cat " * 20], truncate=True).prompts[0]
    assert len(cut.ids) == 16
    assert cut.ids[-1] == model.tokenizer.tokenizer.eos_token_id


def test_pixels_behind_the_last_patch_have_no_score(tmp_path):
    """36 px in patches of 8: 32 are seen, as 378 of 384 by SO400M/14."""
    tiny.siglip(tmp_path)
    model = load_model(str(tmp_path), device="cpu")
    found = explain(check.picture(36, 36), "a cat", model)
    assert found.patch_scores.shape == (4, 4)
    assert np.isnan(found.pixel_scores[32:]).all() and np.isfinite(found.pixel_scores[:32, :32]).all()


def test_naflex_is_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "siglip2"}')
    with pytest.raises(VLExplainError, match="fixed resolution"):
        load_model(str(tmp_path), device="cpu")


def test_unsupported_pool_positions():
    with pytest.raises(VLExplainError, match="3 blocks and an attention pool: choose 0 to 3"):
        _refuse_block()


def _refuse_block():
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as place:
        tiny.siglip(Path(place))
        explain(check.picture(), "a cat", load_model(place, device="cpu"), "raw_attention", block=4)
