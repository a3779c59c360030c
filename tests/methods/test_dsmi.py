"""Spectral attribution of dual encoders and classifiers, derived again in NumPy from the towers' own attention."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from by_hand import abs_fiedler
from toys import PROMPTS, alone, make_inputs, run, transformer, words_of

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.models.classes import ClassNames, class_tower, with_one
from napari_vlexplain.models.towers import RowPool

METHODS = ("dsmi_grad", "dsmi_grad_attn")


def unrolled(tower, z, rows):
    """Embedding, attention of every block with all queries, and the stream behind every block."""
    attentions, streams = [], []
    for block in tower.blocks:
        a, v = block.attention(z, tower.mask(z))
        a = a if a.requires_grad else a.detach().requires_grad_()
        attentions.append(a)
        y = z + block.out((a @ v).transpose(1, 2).flatten(2))
        z = y + block.mlp(block.norm2(y))
        streams.append(z.detach()[0].numpy())
    return tower.pool(z, rows), attentions, streams


def fused(method, a, g):
    product = g * a if method == "dsmi_grad_attn" else g
    return product.clamp(min=0).mean(dim=1)[0].detach().numpy()


def of_image(inputs, k, target=lambda cosine, model: cosine):
    model = inputs.model
    embedding, attentions, streams = unrolled(
        model.image, model.image.embed(inputs.pixels).detach(), model.image_rows(1)
    )
    text = model.encode_text(inputs.texts)[k]
    similarity = model.similarity(embedding, text[None])[0, 0]
    gradients = torch.autograd.grad(target(similarity, model), attentions)
    return attentions, gradients, streams


def of_text(inputs, k):
    model, ids = inputs.model, torch.tensor([inputs.texts.prompts[k].ids])
    row = torch.tensor([inputs.texts.prompts[k].row])
    embedding, attentions, streams = unrolled(model.text, model.text.embed(ids).detach(), row)
    similarity = model.similarity(embedding, model.encode_image(inputs.pixels))[0, 0]
    return attentions, torch.autograd.grad(similarity, attentions), streams


def close(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("block", [0, -2, -1])
def test_dsmi_is_the_fiedler_vector_of_one_blocks_tokens(block):
    inputs = make_inputs(transformer())
    found = run("dsmi", inputs, block=block, text_block=block)
    _, _, streams = of_image(inputs, 0)
    for k in range(len(PROMPTS)):
        close(found.image[k].flatten().numpy(), abs_fiedler(streams[block][1:]))
        _, _, words = of_text(inputs, k)
        own = list(inputs.texts.prompts[k].content)
        close(words_of(inputs, found.text, k), abs_fiedler(words[block][own]))
        assert found.text[k].sum() == pytest.approx(found.text[k, own].sum()), "start and end score nothing"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("start", [0, 1])
def test_with_gradients_rows_of_queries_times_the_vector(method, start):
    inputs = make_inputs(transformer())
    found = run(method, inputs, start_block=start, text_start_block=start)
    for k in range(len(PROMPTS)):
        a, g, streams = of_image(inputs, k)
        assert not g[-1][0, :, 1:].any(), "in the last block only the readout's row counts"
        layers = range(start, 3)
        expected = sum(fused(method, a[i], g[i])[1:, 1:] @ abs_fiedler(streams[i][1:]) for i in layers)
        close(found.image[k].flatten().numpy(), expected)
        a, g, streams = of_text(inputs, k)
        own = np.array(inputs.texts.prompts[k].content)
        expected = sum(fused(method, a[i], g[i])[np.ix_(own, own)] @ abs_fiedler(streams[i][own]) for i in layers)
        close(words_of(inputs, found.text, k), expected)


@pytest.mark.parametrize("method", METHODS)
def test_as_in_the_notebook(method):
    """Features not normalised, |v| times the column of the first patch; padding to the context takes part."""
    inputs = make_inputs(transformer(), target="logit")
    found = run(method, inputs, combine="notebook")
    tokenizer = inputs.model.tokenizer
    for k in range(len(PROMPTS)):
        a, g, streams = of_image(inputs, k, lambda cosine, model: model.logit(cosine))
        expected = sum(
            fused(method, a[i], g[i])[1:, 1] * abs_fiedler(streams[i][1:], normalise=False) for i in range(3)
        )
        close(found.image[k].flatten().numpy(), expected)
        prompt = inputs.texts.prompts[k]
        ids = (*prompt.ids, *[tokenizer.pad] * (tokenizer.context - len(prompt.ids)))
        padded = replace(inputs, texts=replace(inputs.texts, prompts=(replace(prompt, ids=ids),) * len(PROMPTS)))
        a, g, streams = of_text(padded, k)
        row = sum(
            abs_fiedler(streams[i], normalise=False)[prompt.row] * fused(method, a[i], g[i])[prompt.row]
            for i in range(3)
        )[list(prompt.content)]
        close(words_of(inputs, found.text, k), row / row.sum())
        assert words_of(inputs, found.text, k).sum() == pytest.approx(1)


@pytest.mark.parametrize("method", ["dsmi", *METHODS])
def test_each_prompt_alone_gives_the_same(method):
    inputs = make_inputs(transformer())
    together = run(method, inputs)
    for k in range(len(PROMPTS)):
        one = run(method, alone(inputs, k))
        close(together.image[k].numpy(), one.image[0].numpy())
        close(words_of(inputs, together.text, k), words_of(alone(inputs, k), one.text, 0))


@pytest.mark.parametrize("method", ["dsmi", *METHODS])
@pytest.mark.parametrize("words", [1, 2, 3, 4, 5, 6])
def test_prompts_of_one_to_six_words(method, words):
    prompt = " ".join(["the", "far", "away", "bridge", "over", "water"][:words])
    inputs = make_inputs(transformer(), [prompt])
    found = words_of(inputs, run(method, inputs).text, 0)
    assert found.shape == (words,) and np.isfinite(found).all()
    if method == "dsmi":
        assert (found > 0).any() and (words > 1 or found.tolist() == [1])


@pytest.mark.parametrize("method", ["dsmi", *METHODS])
def test_the_same_word_again_and_again_is_no_graph(method):
    """Places still differ; without them, all tokens would be alike and score nothing."""
    model = transformer()
    table = torch.randn(300, 16, generator=torch.Generator().manual_seed(5))
    model = replace(model, text=replace(model.text, embed=lambda ids: table[ids], causal=False))
    inputs = make_inputs(model, ["dog dog dog dog"])
    assert np.isfinite(words_of(inputs, run(method, inputs).text, 0)).all()
    assert not words_of(inputs, run("dsmi", inputs).text, 0).any()


@pytest.mark.parametrize("method", METHODS)
def test_a_mean_over_patches_gives_the_last_block_a_say(method):
    inputs = make_inputs(transformer(mean=True))
    whole, last = run(method, inputs), run(method, inputs, start_block=-1)
    assert last.image.abs().max() > 0 and not torch.allclose(whole.image, last.image)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("parameter", ["start_block", "text_start_block"])
def test_the_last_block_alone_says_nothing_of_what_is_read_at_one_token(method, parameter):
    with pytest.raises(VLExplainError, match=f"{parameter} is -1, but .* choose 0 to 1"):
        run(method, make_inputs(transformer()), **{parameter: -1})
    with pytest.raises(VLExplainError, match=f"{parameter} is 9, but this tower has 3 blocks"):
        run(method, make_inputs(transformer()), **{parameter: 9})


@pytest.mark.parametrize("method", ["dsmi", *METHODS])
def test_a_classifier_has_an_image_and_no_words(method):
    source = torch.Generator().manual_seed(0)
    model = transformer()
    norm = model.image.pool.norm
    weight, bias = torch.randn(4, 16, generator=source), torch.randn(4, generator=source)
    model = replace(
        model,
        image=replace(model.image, pool=RowPool(norm, with_one)),
        text=class_tower(weight, bias),
        tokenizer=ClassNames(("cat", "dog", "bird", "fish")),
        normalise=False,
        prompts="classes",
    )
    inputs = make_inputs(model, ["dog", "fish"])
    found = run(method, inputs)
    assert not found.text.any()
    if method == "dsmi":
        return
    for k, number in enumerate((1, 3)):
        z = model.image.embed(inputs.pixels).detach()
        embedding, a, streams = unrolled(model.image, z, model.image_rows(1))
        logit = (embedding[0, :-1] * weight[number]).sum() + bias[number]
        g = torch.autograd.grad(logit, a)
        expected = sum(fused(method, a[i], g[i])[1:, 1:] @ abs_fiedler(streams[i][1:]) for i in range(3))
        close(found.image[k].flatten().numpy(), expected)


@pytest.mark.parametrize("method", ["dsmi", *METHODS])
def test_the_same_on_the_second_run(method):
    one, two = (run(method, make_inputs(transformer())) for _ in "12")
    assert torch.equal(one.image, two.image) and torch.equal(one.text, two.text)
