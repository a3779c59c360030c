"""Ours give the numbers of the published way, which benchmarks/published.py spells out on the whole library model."""

import published
import pytest
import torch
from tiny_clip import PROMPTS, inputs_of, save, scores_of

from napari_vlexplain import load_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(tmp_path_factory.mktemp("published") / "clip")


@pytest.fixture(scope="module")
def model(folder):
    return load_model(str(folder), device="cpu")


def question(inputs):
    return published.Question(inputs.pixels, [torch.tensor(p.ids) for p in inputs.explained.prompts], 2047)


def close(scores, rows, inputs, tolerance=1e-5):
    patches, tokens = rows
    torch.testing.assert_close(scores.image.flatten(1), patches, rtol=tolerance, atol=tolerance * float(patches.max()))
    for k, prompt in enumerate(inputs.explained.prompts):
        at = list(prompt.content)
        scale = float(tokens[k, at].abs().max())
        torch.testing.assert_close(scores.text[k, at], tokens[k, at], rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("start", [-1, 0, 1])
@pytest.mark.parametrize("prompts", [PROMPTS, PROMPTS[:1]])
def test_relevance(folder, model, start, prompts):
    inputs = inputs_of(model, prompts, "logit")
    rows = published.relevance(published.load(folder, "cpu"), question(inputs), start, start)
    close(scores_of("relevance", inputs, start_block=start, text_start_block=start), rows, inputs)


@pytest.mark.parametrize("method", ["raw_attention", "rollout", "attention_grad_cam"])
def test_baselines(folder, model, method):
    inputs = inputs_of(model, target="logit")
    rows = getattr(published, method)(published.load(folder, "cpu"), question(inputs))
    close(scores_of(method, inputs), rows, inputs)


@pytest.mark.parametrize("steps", [1, 3])
def test_m2ib(folder, model, steps):
    """Both towers run whole at every step there; here only the tail, on the same noise."""
    inputs = inputs_of(model)

    def drawn(k, tower, *name):
        length = 17 if tower == "image" else len(inputs.explained.prompts[k].ids)
        source = inputs.generator("m2ib", tower, "0", *name)
        return lambda: torch.randn(5, length, 32, generator=source)

    noises = [(drawn(k, "image"), drawn(k, "text", text)) for k, text in enumerate(PROMPTS)]
    whole = published.load(folder, "cpu")
    rows = published.m2ib(whole, question(inputs), (1, 0), noises, steps, beta=0.2, copies=5)
    scores = scores_of("m2ib", inputs, layer=1, text_layer=0, steps=steps, samples=5, beta=0.2, kl_form="reference")
    close(scores, rows, inputs, 1e-4)
