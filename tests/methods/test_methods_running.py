"""All methods alike: what may go on around a computation must not show in its numbers, nor the other way round."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_clip import METHODS, PROMPTS, inputs_of, parameters_of, picture, save, scores_of

from napari_vlexplain import explain, load_model
from napari_vlexplain.errors import Cancelled, VLExplainError
from napari_vlexplain.methods import inputs as inputs_module
from napari_vlexplain.methods.bottleneck import m2ib as m2ib_module
from napari_vlexplain.running.run import Run

every_method = pytest.mark.parametrize("method", METHODS)
CHUNKED = ("relevance", "attention_grad_cam")
WITH_GRADIENTS = (*CHUNKED, "m2ib")  # which goes one by one


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(save(tmp_path_factory.mktemp("running") / "clip")), device="cpu")


def run(method, inputs, **options):
    return scores_of(method, inputs, **options, **METHODS[method])


CHAIN = 84 * float(torch.finfo(torch.float32).eps)
"""Rounding, as a share of the largest score: products of 32 to 64 terms, about twenty of them in a row."""


def close(found, expected, method):
    """Equal up to rounding; M2IB, whose Adam would enlarge it without bound, goes prompt by prompt and to the bit."""
    assert found.shape == expected.shape
    bound = 0.0 if method == "m2ib" else CHAIN * float(expected.abs().max())
    assert float((found - expected).abs().max()) <= bound


def alike(found, expected, method):
    close(found.image, expected.image, method)
    close(found.text, expected.text, method)


@every_method
@pytest.mark.parametrize("target", ["similarity", "softmax"])
def test_several_prompts_in_one_go_are_as_good_as_each_alone(model, method, target):
    inputs = inputs_of(model, PROMPTS * 2, target)
    together = run(method, inputs)
    assert together.image.shape == (8, 4, 4)
    # A softmax over prompts in another order is rounded otherwise; behind the first prompt the order stays.
    for k in (0,) if method == "m2ib" and target == "softmax" else range(0, 8, 3):
        others = tuple(p.text for i, p in enumerate(inputs.explained.prompts) if i != k)
        text = inputs.explained.prompts[k].text
        alone = inputs_of(model, (text,), replace(inputs.target, against=others if target == "softmax" else ()))
        found, content = run(method, alone), list(inputs.explained.prompts[k].content)
        close(together.image[k], found.image[0], method)
        close(together.text[k, content], found.text[0, content], method)


@every_method
def test_chunks_do_not_show(model, method, monkeypatch):
    inputs = inputs_of(model, PROMPTS * 3)
    whole = run(method, inputs)
    sizes, original = [], inputs_module.chunks
    for budget in (1, 1 << 62):

        def watched(total, size, work):
            sizes.append(min(size, total))
            original(total, size, work)

        monkeypatch.setattr(inputs_module, "memory_budget", lambda device, budget=budget: budget)
        monkeypatch.setattr(inputs_module, "chunks", watched)
        alike(run(method, inputs), whole, method)
    if method in CHUNKED:
        assert set(sizes) == {1, 12}


@every_method
def test_longer_prompts_beside_it_do_not_show_in_a_prompts_words(model, method):
    alone = run(method, inputs_of(model, PROMPTS[:1])).text[0]
    beside = run(method, inputs_of(model, PROMPTS)).text[0, : len(alone)]
    content = list(inputs_of(model, PROMPTS[:1]).texts.prompts[0].content)
    close(beside[content], alone[content], method)


@every_method
def test_the_same_request_gives_the_same_bits(model, method):
    inputs = inputs_of(model, PROMPTS[:1])
    first = run(method, inputs)
    torch.manual_seed(123)
    torch.randn(5)
    again = run(method, inputs)
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.text, again.text)


@every_method
@pytest.mark.parametrize("count", [1, 8])
def test_one_image_forward_for_all_prompts(model, method, count):
    seen = []

    def embed(pixels):
        seen.append(len(pixels))
        return model.image.embed(pixels)

    watched = replace(model, image=replace(model.image, embed=embed))
    explain(picture(), list(PROMPTS * 2)[:count], watched, method, **METHODS[method])
    assert seen == [1]


@every_method
def test_global_random_numbers_are_left_alone(model, method):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    run(method, inputs_of(model))
    assert torch.equal(torch.get_rng_state(), before)


def test_only_m2ib_depends_on_the_seed(model):
    for method in METHODS:
        one, two = (run(method, inputs_of(model, PROMPTS[:1], seed=seed)).image for seed in (0, 1))
        assert torch.equal(one, two) == (method != "m2ib")


@every_method
def test_the_model_is_left_as_it_was(model, method):
    parameters = parameters_of(model)
    before = [p.clone() for p in parameters]
    run(method, inputs_of(model))
    for parameter, old in zip(parameters, before, strict=True):
        assert torch.equal(parameter, old)
        assert not parameter.requires_grad
        assert parameter.grad is None
    assert torch.is_grad_enabled()


@every_method
def test_it_computes_gradients_where_the_caller_switched_them_off(model, method):
    expected = run(method, inputs_of(model, PROMPTS[:1]))
    with torch.no_grad():
        found = run(method, inputs_of(model, PROMPTS[:1]))
    assert torch.equal(found.image, expected.image)


@every_method
def test_results_hold_no_graph(model, method):
    scores = run(method, inputs_of(model))
    assert not scores.image.requires_grad
    assert not scores.text.requires_grad


@every_method
def test_cancelling_at_any_moment(model, method):
    """Whenever the user asks, nothing is computed after the poll that heard it, and the model is as good as new."""
    expected = explain(picture(), list(PROMPTS), model, method, **METHODS[method])
    polls = 0

    def count():
        nonlocal polls
        polls += 1
        return False

    explain(picture(), list(PROMPTS), model, method, cancel=count, **METHODS[method])
    assert polls >= 3
    for last in range(1, polls + 1):
        heard = 0

        def cancel(last=last):
            nonlocal heard
            heard += 1
            assert heard <= last, "polled again after it was told to stop"
            return heard == last

        with pytest.raises(Cancelled):
            explain(picture(), list(PROMPTS), model, method, cancel=cancel, **METHODS[method])
        assert torch.is_grad_enabled()
        assert all(p.grad is None and not p.requires_grad for p in parameters_of(model))
    again = explain(picture(), list(PROMPTS), model, method, **METHODS[method])
    for one, other in zip(again, expected, strict=True):
        np.testing.assert_array_equal(one.patch_scores, other.patch_scores)


@every_method
def test_progress_only_rises(model, method):
    seen = []
    run(method, inputs_of(model, PROMPTS * 4), run=Run(lambda share, text: seen.append(share)))
    assert seen == sorted(seen)
    assert min(seen) >= 0 and max(seen) <= 1


class Scarce:
    """A machine whose memory holds so many prompts at a time; counts how often it ran out."""

    def __init__(self, monkeypatch, holds, error):
        self.refused = 0
        grad, bottleneck = torch.autograd.grad, m2ib_module.bottleneck

        def scarce_grad(outputs, inputs, grad_outputs=None, **options):
            batched = options.get("is_grads_batched", False)
            self.take(len(grad_outputs) if batched else len(inputs[0]), holds, error)
            return grad(outputs, inputs, grad_outputs, **options)

        def scarce_bottleneck(parameters, x, *others):
            self.take(len(x), holds, error)
            return bottleneck(parameters, x, *others)

        monkeypatch.setattr(torch.autograd, "grad", scarce_grad)
        monkeypatch.setattr(m2ib_module, "bottleneck", scarce_bottleneck)

    def take(self, wanted, holds, error):
        if wanted > holds:
            self.refused += 1
            raise error


ERRORS = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
)


@pytest.mark.parametrize("method", CHUNKED)
@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_memory_that_runs_out_halves_the_chunk(model, method, error, monkeypatch):
    inputs = inputs_of(model, PROMPTS * 2)
    expected = run(method, inputs)
    scarce = Scarce(monkeypatch, 3, error)
    found = run(method, inputs)
    assert scarce.refused > 0
    alike(found, expected, method)


@pytest.mark.parametrize("method", WITH_GRADIENTS)
def test_memory_that_is_not_there_at_all_is_said_with_a_remedy(model, method, monkeypatch):
    Scarce(monkeypatch, 0, ERRORS[0])
    with pytest.raises(VLExplainError, match="Memory ran out"):
        run(method, inputs_of(model))


@pytest.mark.parametrize("method", WITH_GRADIENTS)
def test_other_errors_are_not_mistaken_for_memory(model, method, monkeypatch):
    Scarce(monkeypatch, 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        run(method, inputs_of(model))
