"""Gradient methods: closed forms on linear towers, captum as oracle, one run for all prompts."""

from __future__ import annotations

from dataclasses import replace

import captum.attr
import numpy as np
import pytest
import torch
import toys
from torch import Tensor, nn

from napari_vlexplain.methods import baselines, patches
from napari_vlexplain.methods.forwards import image_values, word_values
from napari_vlexplain.methods.gradient import parameters as gradient_parameters
from napari_vlexplain.methods.gradient.at_input import image_gradient, word_noise
from napari_vlexplain.methods.gradient.guided import guided, guided_relu
from napari_vlexplain.methods.gradient.path_gradients import _image_references, _word_references, shuffled
from napari_vlexplain.models.dual_encoder import DualEncoder
from napari_vlexplain.running.run import Run

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:captum")

NAMES = [info.name for info in gradient_parameters.METHODS]
FEW = {"smoothgrad": {"samples": 5}, "integrated_gradients": {"steps": 8}, "expected_gradients": {"samples": 5}}


@pytest.fixture(scope="module")
def model() -> DualEncoder:
    return toys.transformer()


@pytest.mark.parametrize("name", NAMES)
def test_many_prompts_get_the_maps_they_get_alone(model: DualEncoder, name: str) -> None:
    inputs = toys.make_inputs(model)
    together = toys.run(name, inputs, **FEW.get(name, {}))
    assert together.image.shape == (3, *toys.GRID)
    for k in range(inputs.count):
        single = toys.alone(inputs, k)
        lonely = toys.run(name, single, **FEW.get(name, {}))
        torch.testing.assert_close(together.image[k], lonely.image[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(
            toys.words_of(inputs, together.text, k), toys.words_of(single, lonely.text, 0), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("name", NAMES)
def test_maps_depend_on_the_prompt_and_not_on_the_chunk(
    model: DualEncoder, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = toys.make_inputs(model)
    whole = toys.run(name, inputs, **FEW.get(name, {}))
    assert not torch.allclose(whole.image[0], whole.image[1], rtol=1e-2)
    monkeypatch.setattr("napari_vlexplain.methods.forwards.memory_budget", lambda device: 1)
    monkeypatch.setattr("napari_vlexplain.methods.inputs.memory_budget", lambda device: 1)
    piecemeal = toys.run(name, inputs, **FEW.get(name, {}))
    torch.testing.assert_close(piecemeal.image, whole.image, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(piecemeal.text, whole.text, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("target", ["logit", "margin", "softmax"])
def test_gradients_of_the_other_targets_are_those_of_finite_differences(model: DualEncoder, target: str) -> None:
    inputs = toys.make_inputs(model, target=target)
    found = image_gradient(inputs, Run())
    step = 1e-2 * torch.randn(inputs.pixels.shape, generator=torch.Generator().manual_seed(3))
    change = (image_values(inputs, inputs.pixels + step) - image_values(inputs, inputs.pixels - step)) / 2
    torch.testing.assert_close((found * step).sum(dim=(1, 2, 3)), change[0], rtol=1e-2, atol=1e-5)


class Patchwise:
    """The dot product model in numpy: F = mean_p (W x_p + c) . t."""

    def __init__(self) -> None:
        self.model = toys.dot_product()
        self.inputs = toys.make_inputs(self.model)
        zero = torch.zeros_like(self.inputs.pixels)
        probe = torch.eye(zero.numel()).view(-1, *zero.shape[1:])
        off = image_values(self.inputs, zero)
        self.weights = (image_values(self.inputs, probe) - off).T.view(3, *zero.shape[1:])  # dF/dx

    def per_patch(self, pixels: Tensor) -> Tensor:
        return toys.patchify(pixels).sum(dim=-1).unflatten(1, toys.GRID)


@pytest.fixture(scope="module")
def flat() -> Patchwise:
    return Patchwise()


@pytest.mark.parametrize("name", ["input_x_gradient", "integrated_gradients"])
def test_on_a_linear_model_paths_give_weight_times_difference(flat: Patchwise, name: str) -> None:
    expected = flat.per_patch(flat.weights * flat.inputs.pixels)
    torch.testing.assert_close(toys.run(name, flat.inputs).image, expected, rtol=1e-4, atol=1e-6)
    black = baselines.image_baseline(flat.inputs, "black")
    expected = flat.per_patch(flat.weights * (flat.inputs.pixels - black))
    torch.testing.assert_close(toys.run(name, flat.inputs, baseline="black").image, expected, rtol=1e-4, atol=1e-6)


def test_on_a_linear_model_saliency_is_the_weight(flat: Patchwise) -> None:
    expected = flat.per_patch(flat.weights.abs().amax(dim=1, keepdim=True).expand(-1, 3, -1, -1)) / 3
    for name in ("saliency", "smoothgrad"):
        torch.testing.assert_close(toys.run(name, flat.inputs).image, expected, rtol=1e-4, atol=1e-6)


def test_on_a_linear_model_a_word_scores_its_share(flat: Patchwise) -> None:
    image = flat.model.encode_image(flat.inputs.pixels)[0]
    fill = flat.model.text.embed(torch.tensor([[0]]))[0, 0]
    for name in ("input_x_gradient", "integrated_gradients"):
        found = toys.run(name, flat.inputs)
        for k, prompt in enumerate(flat.inputs.texts.prompts):
            own = flat.model.text.embed(torch.tensor([prompt.ids]))[0][list(prompt.content)]
            np.testing.assert_allclose(
                toys.words_of(flat.inputs, found.text, k), (own - fill) @ image, rtol=1e-4, atol=1e-5
            )


def test_expected_gradients_of_a_linear_model_measure_from_the_mean_reference(flat: Patchwise) -> None:
    found = toys.run("expected_gradients", flat.inputs, samples=400, reference="noise").image
    expected = flat.per_patch(flat.weights * flat.inputs.pixels)
    # The mean of 400 references of 48 values each, in units of the weights.
    assert (found - expected).abs().max() < 4 * float(flat.weights.abs().max()) * 48**0.5 / 20


def test_integrated_gradients_add_up_and_say_by_how_much_they_miss(model: DualEncoder) -> None:
    inputs = toys.make_inputs(model)
    fine = toys.run("integrated_gradients", inputs, steps=64)
    report = fine.notes["completeness"]
    np.testing.assert_allclose(fine.image.sum(dim=(1, 2)), report["image_change"], atol=2e-3)
    assert np.abs(report["image"]).max() < 2e-3 and np.abs(report["text"]).max() < 2e-3
    coarse = toys.run("integrated_gradients", inputs, steps=1).notes["completeness"]
    assert np.abs(coarse["image"]).max() > 10 * np.abs(report["image"]).max()


def test_captum_integrates_the_same(model: DualEncoder) -> None:
    inputs = toys.make_inputs(model)
    oracle = captum.attr.IntegratedGradients(lambda x: image_values(inputs, x))
    found = toys.run("integrated_gradients", inputs, steps=12)
    for k in range(inputs.count):
        pixels = oracle.attribute(inputs.pixels, target=k, n_steps=12, method="gausslegendre")
        torch.testing.assert_close(
            found.image[k][None], patches.per_patch(pixels.sum(1), model.image), atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("reference", ["colour", "shuffled"])
def test_expected_gradients_add_up_to_the_distance_from_the_mean_reference(model: DualEncoder, reference: str) -> None:
    """``Σ φ`` tends to ``F(x) - E F(x')`` only if the slopes are taken along the way from each reference."""
    inputs = toys.make_inputs(model)
    count = 1200
    found = toys.run("expected_gradients", inputs, samples=count, reference=reference)
    pixels = _image_references(inputs, slice(0, count), reference)
    with torch.no_grad():
        change = image_values(inputs, inputs.pixels) - image_values(inputs, pixels)
        words = word_values(
            inputs, torch.cat([model.text.embed(inputs.explained.ids)[None], _word_references(inputs, count)])
        )
    for given, expected in (
        (found.image.sum(dim=(1, 2)), change.mean(dim=0)),
        (found.text.sum(dim=1), (words[0] - words[1:]).mean(dim=0)),
    ):
        np.testing.assert_allclose(given, expected, atol=0.04)


@pytest.mark.parametrize("squared", [False, True])
def test_smoothgrad_by_hand(model: DualEncoder, squared: bool) -> None:
    inputs = toys.make_inputs(model)
    found = toys.run("smoothgrad", inputs, samples=3, noise=0.4, squared=squared, channels="l2", patch="max").image
    sigma = 0.4 * (inputs.pixels.max() - inputs.pixels.min())
    total = torch.zeros(3, *inputs.pixels.shape[1:])
    for n in range(3):
        source = inputs.generator("smoothgrad", "image", str(n))
        x = (inputs.pixels + sigma * torch.randn(inputs.pixels.shape[1:], generator=source)).requires_grad_()
        values = image_values(inputs, x)[0]
        g = torch.stack([torch.autograd.grad(v, x, retain_graph=True)[0][0] for v in values])
        total += (g**2 if squared else g) / 3
    expected = patches.per_patch(total.square().sum(dim=1).sqrt(), model.image, "max")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def test_captum_has_the_same_saliency(model: DualEncoder) -> None:
    inputs = toys.make_inputs(model)
    oracle = captum.attr.Saliency(lambda x: image_values(inputs, x))
    found = toys.run("saliency", inputs, channels="sum", patch="max").image
    for k in range(inputs.count):
        expected = patches.per_patch(oracle.attribute(inputs.pixels, target=k).sum(1), model.image, "max")
        torch.testing.assert_close(found[k][None], expected, atol=1e-6, rtol=1e-4)


def test_guided_activations_are_captums_where_they_are_relus() -> None:
    torch.manual_seed(0)
    first, second = nn.Linear(5, 7), nn.Linear(7, 3)
    x = torch.randn(4, 5)
    oracle = captum.attr.GuidedBackprop(nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Linear(3, 2)))
    last = oracle.model[4]
    expected = oracle.attribute(x.clone().requires_grad_(), target=1)
    x.requires_grad_()
    y = last(guided(torch.relu)(second(guided(torch.relu)(first(x)))))[:, 1].sum()
    torch.testing.assert_close(torch.autograd.grad(y, [x])[0], expected)
    with guided_relu():
        y = last(torch.relu(second(nn.ReLU(inplace=True)(first(x)))))[:, 1].sum()
    torch.testing.assert_close(torch.autograd.grad(y, [x])[0], expected)


def test_a_gated_gelu_passes_what_is_positive_on_both_sides() -> None:
    x = torch.tensor([-1.0, -1.0, 1.0, 1.0], requires_grad=True)
    out = torch.tensor([-2.0, 2.0, -2.0, 2.0])
    (found,) = torch.autograd.grad(guided(torch.nn.functional.gelu)(x), [x], out)
    (slope,) = torch.autograd.grad(torch.nn.functional.gelu(x).sum(), [x])
    torch.testing.assert_close(found, torch.tensor([0.0, 0.0, 0.0, 2 * float(slope[3])]))


def test_guided_backpropagation_leaves_the_model_as_it_was(model: DualEncoder) -> None:
    inputs = toys.make_inputs(model)
    before = image_gradient(inputs, Run())
    guided_map = toys.run("guided_backpropagation", inputs).image
    torch.testing.assert_close(image_gradient(inputs, Run()), before, rtol=0, atol=0)
    assert not torch.allclose(guided_map, toys.run("saliency", inputs).image, rtol=1e-2)


def test_baselines_are_the_colours_they_are_called_by(model: DualEncoder) -> None:
    """The toy's pixels are (colour - 0.5) / 0.25."""
    inputs = toys.make_inputs(model)
    for name, colour in (("black", 0.0), ("white", 1.0), ("mean", 0.5)):
        found = baselines.image_baseline(inputs, name)
        assert found.shape == inputs.pixels.shape and torch.equal(found, torch.full_like(found, (colour - 0.5) / 0.25))
    colours = torch.rand(1, 3, *toys.SIZE, generator=torch.Generator().manual_seed(0))
    drawn = replace(inputs, pixels=(colours - 0.5) / 0.25)
    torch.testing.assert_close(baselines.picture(drawn), colours[0].permute(1, 2, 0))


def test_blur_keeps_a_plain_image_and_takes_contrast_away() -> None:
    plain = torch.ones(1, 3, 40, 30)
    noise = torch.randn(1, 3, 40, 30, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(baselines.blurred(plain), plain)
    assert baselines.blurred(noise).var() < 0.1 * noise.var()


def test_shuffling_moves_patches_whole() -> None:
    pixels = torch.arange(3 * 12 * 16).view(3, 12, 16).float()
    moved = shuffled(pixels, toys.GRID, toys.PATCH, torch.Generator().manual_seed(1))
    before, after = ({tuple(row.tolist()) for row in toys.patchify(p[None])[0]} for p in (pixels, moved))
    assert before == after and not torch.equal(pixels, moved)


def test_noise_of_a_prompt_is_its_own(model: DualEncoder) -> None:
    inputs = toys.make_inputs(model)
    z = model.text.embed(inputs.explained.ids)
    single = toys.alone(inputs, 1)
    alone = word_noise(single, model.text.embed(single.explained.ids), 3, "smoothgrad")
    torch.testing.assert_close(word_noise(inputs, z, 3, "smoothgrad")[:, 1, : alone.shape[2]], alone[:, 0])
