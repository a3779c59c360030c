"""Class activation maps on tokens: the channels of one layer, weighted.

On a transformer the layer is a block's normalised input: behind the last block the gradient of every patch is zero,
as only the readout is read. Words get the same map over their tokens. Special tokens are left out throughout.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...running.run import Run
from ..attention.maps import content
from ..features import image_features, layer_index, word_features
from ..forwards import batchable, cosines, has_words, own_values
from ..inputs import Inputs, Scores, grid, no_words, patches, per_prompt_gradients
from .parameters import EigenCAM, GradCAM, GradCAMPlusPlus, LayerCAM

Weigh = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Activations A (1 or K, N, D), gradients G (K, N, D), valid places (1 or K, N, 1) in {0, 1} -> maps (K, N)."""


def grad_cam(inputs: Inputs, parameters: GradCAM, run: Run) -> Scores:
    """``relu(Σ_d w_d A_d)`` with ``w_d`` the mean of ``dF/dA_d`` over places. Range >= 0."""
    return _gradient_cam(inputs, parameters, channel_means, run)


def grad_cam_plus_plus(inputs: Inputs, parameters: GradCAMPlusPlus, run: Run) -> Scores:
    """``relu(Σ_d w_d A_d)``, ``w_d = Σ_i α_i relu(G_i)``, ``α = G^2 / (2 G^2 + Σ_j A_j G^3)``. Range >= 0."""
    return _gradient_cam(inputs, parameters, plus_plus, run)


def layer_cam(inputs: Inputs, parameters: LayerCAM, run: Run) -> Scores:
    """``relu(Σ_d relu(G_d) A_d)``, place by place. Range >= 0."""
    return _gradient_cam(inputs, parameters, place_by_place, run)


@torch.no_grad()
def eigen_cam(inputs: Inputs, parameters: EigenCAM, run: Run) -> Scores:
    """``A v``, v the first right singular vector of A (places, channels).

    Its sign is free; the smaller side is taken as positive, as objects are smaller than what surrounds them. It
    does not depend on the prompt; the words' scores do.
    """
    model = inputs.model
    run.step(0.0, "Eigen-CAM")
    layer, text_layer = _layers(inputs, parameters)
    x = image_features(inputs, layer).x
    image = first_component(x[0, patches(model.image, x.shape[1])], parameters.centre)
    words = no_words(inputs)
    if has_words(inputs):
        texts = inputs.explained
        tokens = word_features(inputs, texts, text_layer).x
        for k, prompt in enumerate(texts.prompts):
            own = list(prompt.content)
            words[k, own] = first_component(tokens[k, own], parameters.centre)
    return Scores(image.unflatten(0, grid(model.image)).expand(inputs.count, -1, -1), words, _notes(layer, text_layer))


def first_component(x: Tensor, centre: bool) -> Tensor:
    """Places (N, D) along their first principal component: (N,), skewed to the positive side."""
    away = x - x.mean(dim=0) if centre else x
    projected = away @ torch.linalg.svd(away, full_matrices=False).Vh[0]
    around = projected - projected.mean()
    return projected if (around**3).sum() >= 0 else -projected


def channel_means(a: Tensor, g: Tensor, valid: Tensor) -> Tensor:
    """Grad-CAM."""
    weights = (g * valid).sum(dim=1, keepdim=True) / valid.sum(dim=1, keepdim=True)
    return weighted(a, weights, valid)


def plus_plus(a: Tensor, g: Tensor, valid: Tensor) -> Tensor:
    """Grad-CAM++: ``α = g² / (2 g² + g³ Σ A)``, shortened by g², which faint scores have none of in float32.

    Where α is 0 / 0, or has no value, it is 0.
    """
    below = 2 + (a * valid).sum(dim=1, keepdim=True) * g
    alpha = torch.where((g == 0) | (below == 0), torch.zeros_like(below), 1 / below)
    return weighted(a, (alpha * g.clamp(min=0) * valid).sum(dim=1, keepdim=True), valid)


def place_by_place(a: Tensor, g: Tensor, valid: Tensor) -> Tensor:
    """LayerCAM."""
    return weighted(a, g.clamp(min=0), valid)


def weighted(a: Tensor, weights: Tensor, valid: Tensor) -> Tensor:
    """``relu(Σ_d w_d A_d)``: weights (K, 1 or N, D) -> (K, N)."""
    return (weights * a * valid).sum(dim=-1).clamp(min=0)


def _gradient_cam(inputs: Inputs, parameters: GradCAM, weigh: Weigh, run: Run) -> Scores:
    layer, text_layer = _layers(inputs, parameters)
    run.step(0.0, "Activations of the image")
    image = _image(inputs, layer, weigh)
    run.step(0.7, "Activations of the words")
    words = _words(inputs, text_layer, weigh) if has_words(inputs) else no_words(inputs)
    return Scores(image.unflatten(1, grid(inputs.model.image)), words, _notes(layer, text_layer))


def _image(inputs: Inputs, layer: int, weigh: Weigh) -> Tensor:
    """(K, patches): one forward for all prompts, one batched backward."""
    model, tower = inputs.model, inputs.model.image
    embedded = model.encode_text(inputs.texts)
    found = image_features(inputs, layer)
    x = found.x.detach().requires_grad_()
    with torch.enable_grad(), batchable(inputs.count):
        values = inputs.objective(model.similarity(found.embed(x), embedded))[0]
    places = patches(tower, x.shape[1])
    a = x.detach()[:, places]
    maps = torch.empty(inputs.count, a.shape[1], device=a.device)

    def use(piece: slice, gradients: tuple[Tensor, ...]) -> None:
        maps[piece] = weigh(a, gradients[0][:, 0, places], torch.ones_like(a[..., :1]))

    per_prompt_gradients(values, [x], use)
    return maps


def _words(inputs: Inputs, layer: int, weigh: Weigh) -> Tensor:
    """(K, T): prompts do not see each other, so one backward through the sum serves them all."""
    texts = inputs.explained
    found = word_features(inputs, texts, layer)
    x = found.x.detach().requires_grad_()
    with torch.enable_grad():
        values = own_values(inputs, found.embed(x)[None], cosines(inputs))
        (g,) = torch.autograd.grad(values.sum(), [x])
    return weigh(x.detach(), g, content(texts)[..., None])


def _layers(inputs: Inputs, parameters: GradCAM) -> tuple[int, int]:
    image, text = inputs.model.image, inputs.model.text
    return layer_index(image, parameters.layer, "layer"), layer_index(text, parameters.text_layer, "text_layer")


def _notes(layer: int, text_layer: int) -> dict[str, int]:
    return {"layer": layer, "text_layer": text_layer}
