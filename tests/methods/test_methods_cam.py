"""Class activation maps: their formulas in numpy, captum as oracle, towers with and without blocks."""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest
import torch
import toys
from by_hand import by_hand
from torch import Tensor, nn

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.methods.cam import maps as cam
from napari_vlexplain.methods.cam import parameters as cam_parameters
from napari_vlexplain.methods.cam.score_cam import most_varied, unit_range
from napari_vlexplain.methods.features import image_features
from napari_vlexplain.methods.inputs import Inputs
from napari_vlexplain.methods.masking import masked_values
from napari_vlexplain.models.dual_encoder import DualEncoder

NAMES = [info.name for info in cam_parameters.METHODS]
WITH_PROMPT = [name for name in NAMES if name != "eigen_cam"]
MODELS = {
    "cls": toys.transformer,
    "mean": lambda: toys.transformer(mean=True),
    "no blocks": lambda: toys.dot_product(2),
}


@pytest.fixture(scope="module", params=list(MODELS))
def inputs(request: pytest.FixtureRequest) -> Inputs:
    return toys.make_inputs(MODELS[request.param]())


@pytest.mark.parametrize("name", NAMES)
def test_many_prompts_get_the_maps_they_get_alone(inputs: Inputs, name: str) -> None:
    together = toys.run(name, inputs)
    assert together.image.shape == (3, *toys.GRID)
    for k in range(inputs.count):
        single = toys.alone(inputs, k)
        lonely = toys.run(name, single)
        torch.testing.assert_close(together.image[k], lonely.image[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            toys.words_of(inputs, together.text, k), toys.words_of(single, lonely.text, 0), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("name", WITH_PROMPT)
def test_maps_depend_on_the_prompt(inputs: Inputs, name: str) -> None:
    found = toys.run(name, inputs).image
    assert float(found.max()) > 0 and float(found.min()) >= 0
    assert not torch.allclose(found[0], found[1], rtol=1e-2)


@pytest.mark.parametrize("name", ["grad_cam", "grad_cam_plus_plus", "layer_cam"])
@pytest.mark.parametrize("layer", [0, -1])
def test_image_maps_are_their_formulas(name: str, layer: int) -> None:
    model = toys.transformer()
    inputs = toys.make_inputs(model)
    found = toys.run(name, inputs, layer=layer).image
    layer_of = image_features(inputs, layer % 3)
    for k in range(inputs.count):
        x = layer_of.x.clone().requires_grad_()
        score = model.similarity(layer_of.embed(x), model.encode_text(inputs.texts))[0, k]
        (g,) = torch.autograd.grad(score, [x])
        expected = by_hand(x.detach()[0, 1:].numpy().astype(float), g[0, 1:].numpy().astype(float), name)
        np.testing.assert_allclose(found[k].flatten(), expected, rtol=1e-3, atol=1e-6)


def test_the_layer_is_only_looked_at(inputs: Inputs) -> None:
    found = image_features(inputs, max(0, inputs.model.image.depth - 1))
    torch.testing.assert_close(found.embed(found.x), inputs.model.encode_image(inputs.pixels))


class Convolutional(nn.Module):
    """What captum can hook: a feature map, then the mean, then a linear score for each prompt."""

    def __init__(self, model: DualEncoder, text: Tensor) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 6, toys.PATCH, toys.PATCH, bias=True)
        probe = torch.eye(3 * 16).view(-1, 3, 4, 4)
        patched = torch.zeros(48, 3, *toys.SIZE)
        patched[:, :, :4, :4] = probe
        zero = model.image.embed(torch.zeros(1, 3, *toys.SIZE))[0, 0]
        self.layer.weight.data = (model.image.embed(patched)[:, 0] - zero).T.reshape(6, 3, 4, 4)
        self.layer.bias.data = zero
        self.text = text

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).mean(dim=(2, 3)) @ self.text.T


def test_captum_has_the_same_grad_cam_on_a_convolutional_tower() -> None:
    model = toys.dot_product()
    inputs = toys.make_inputs(model)
    net = Convolutional(model, model.encode_text(inputs.texts))
    torch.testing.assert_close(net(inputs.pixels), masked_values(inputs, inputs.pixels), rtol=1e-4, atol=1e-4)
    oracle = captum.attr.LayerGradCam(net, net.layer)
    found = toys.run("grad_cam", inputs).image
    for k in range(inputs.count):
        expected = oracle.attribute(inputs.pixels, target=k, relu_attributions=True)[0, 0]
        torch.testing.assert_close(found[k], expected, rtol=1e-4, atol=1e-5)


def test_score_cam_is_its_formula() -> None:
    model = toys.transformer()
    inputs = toys.make_inputs(model, target="logit")
    x = image_features(inputs, 2).x[0, 1:]
    nothing = masked_values(inputs, torch.zeros_like(inputs.pixels))[0]
    for weights in ("softmax", "increase"):
        increase = []
        for d in range(x.shape[1]):
            channel = x[:, d].view(1, 1, *toys.GRID)
            up = torch.nn.functional.interpolate(channel, toys.SIZE, mode="bilinear")
            low, high = channel.min(), channel.max()
            increase.append(masked_values(inputs, inputs.pixels * (up - low) / (high - low))[0] - nothing)
        w = torch.stack(increase)
        w = w.softmax(dim=0) if weights == "softmax" else w.clamp(min=0)
        expected = (x[:, :, None] * w).sum(dim=1).clamp(min=0).T.unflatten(1, toys.GRID)
        found = toys.run("score_cam", inputs, weights=weights).image
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_score_cam_is_the_same_in_any_chunk() -> None:
    inputs = toys.make_inputs(toys.transformer())
    small, large = (toys.run("score_cam", inputs, chunk=chunk) for chunk in (1, 64))
    torch.testing.assert_close(small.image, large.image, rtol=0, atol=1e-5)
    torch.testing.assert_close(small.text, large.text, rtol=0, atol=1e-5)


def test_when_memory_runs_out_score_cam_halves_its_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = toys.make_inputs(toys.transformer())
    expected = toys.run("score_cam", inputs)
    real, refused = DualEncoder.encode_image, []

    def starved(self: DualEncoder, pixels: Tensor) -> Tensor:
        if len(pixels) > 3:
            refused.append(len(pixels))
            raise torch.OutOfMemoryError
        return real(self, pixels)

    monkeypatch.setattr(DualEncoder, "encode_image", starved)
    found = toys.run("score_cam", inputs)
    assert refused == [16, 8, 4]
    torch.testing.assert_close(found.image, expected.image, rtol=0, atol=1e-5)


def test_the_most_varied_channels_keep_their_order() -> None:
    a = torch.tensor([[0.0, 1.0, 5.0, 2.0], [0.0, 3.0, -5.0, 2.5]])
    assert torch.equal(most_varied(a, 2), a[:, [1, 2]]) and most_varied(a, None) is a
    assert torch.equal(unit_range(torch.tensor([[2.0, 2.0], [1.0, 3.0]])), torch.tensor([[1.0, 1.0], [0.0, 1.0]]))


def test_the_first_component_has_the_small_side_positive() -> None:
    direction = torch.randn(5, generator=torch.Generator().manual_seed(0))
    for at in (0, 3, 9):  # the sign of a singular vector depends on where the object is
        places = torch.zeros(10, 1)
        places[at] = 2.0
        for sign in (1, -1):
            found = cam.first_component(sign * places * direction + 7, centre=True)
            assert int(found.argmax()) == at and abs(float(found.sum())) < 1e-4


def test_no_such_layer_is_said_in_a_sentence() -> None:
    with pytest.raises(VLExplainError, match="3 blocks: choose 0 to 2"):
        toys.run("grad_cam", toys.make_inputs(toys.transformer()), layer=3)


def test_plus_plus_of_a_faint_score() -> None:
    """α of a vanishing gradient is 1/2; squares of it are below what float32 holds."""
    torch.manual_seed(0)
    a, g, valid = torch.rand(1, 6, 4), torch.randn(1, 6, 4), torch.ones(1, 6, 1)
    expected = (a * g.clamp(min=0).sum(dim=1, keepdim=True) / 2).sum(dim=-1)
    torch.testing.assert_close(cam.plus_plus(a, 1e-30 * g, valid) * 1e30, expected)
