"""Gradients at the input: saliency, input x gradient, SmoothGrad. With K prompts one forward serves them all."""

from __future__ import annotations

import torch
from torch import Tensor

from ...running.run import Run
from ..baselines import filled, image_baseline
from ..forwards import Combine, has_words, image_gradients, word_gradients
from ..inputs import Inputs, Scores, no_words
from ..patches import over_channels, per_patch
from .parameters import InputXGradient, Saliency, SmoothGrad


def saliency(inputs: Inputs, parameters: Saliency, run: Run) -> Scores:
    """``max_c |dF/dx_c|`` of each pixel, joined per patch; ``|dF/de|_2`` of each word's embedding e. Range >= 0."""
    image = image_gradient(inputs, run.part(0.0, 0.8))
    return Scores(
        per_patch(over_channels(image, parameters.channels), inputs.model.image, parameters.patch),
        over_channels(word_gradient(inputs, run.part(0.8, 1.0)), "l2", axis=-1),
    )


def input_x_gradient(inputs: Inputs, parameters: InputXGradient, run: Run) -> Scores:
    """``(x - x') dF/dx``, summed over colours and embedding channels; signed."""
    away = inputs.pixels - image_baseline(inputs, parameters.baseline)
    image = (away * image_gradient(inputs, run.part(0.0, 0.8))).sum(dim=1)
    found = per_patch(image, inputs.model.image, parameters.patch)
    if not has_words(inputs):
        return Scores(found, no_words(inputs))
    texts = inputs.explained
    off = inputs.model.text.embed(texts.ids) - filled(inputs, texts, parameters.fill)
    return Scores(found, (off * word_gradient(inputs, run.part(0.8, 1.0))).sum(dim=-1))


def smoothgrad(inputs: Inputs, parameters: SmoothGrad, run: Run) -> Scores:
    """``mean_s dF/dx(x + σ (max x - min x) ε_s)``, then as saliency; with ``squared`` the mean of squares."""
    count = parameters.samples
    combine = _mean_square(count) if parameters.squared else _mean(count)
    sigma = parameters.noise * (inputs.pixels.max() - inputs.pixels.min())

    def images(piece: slice) -> Tensor:
        return inputs.pixels + sigma * image_noise(inputs, piece, "smoothgrad")

    image = image_gradients(inputs, images, count, combine, run.part(0.0, 0.8))
    found = per_patch(over_channels(image, parameters.channels), inputs.model.image, parameters.patch)
    if not has_words(inputs):
        return Scores(found, no_words(inputs))
    z = inputs.model.text.embed(inputs.explained.ids)
    own = [z[k, : len(prompt.ids)] for k, prompt in enumerate(inputs.explained.prompts)]
    spread = torch.stack([parameters.noise * (x.max() - x.min()) for x in own]).view(-1, 1, 1)
    noise = spread * word_noise(inputs, z, count, "smoothgrad")
    words = word_gradients(inputs, lambda piece: z + noise[piece], count, combine, run.part(0.8, 1.0))
    return Scores(found, over_channels(words, "l2", axis=-1))


def image_gradient(inputs: Inputs, run: Run) -> Tensor:
    """Of every prompt's scalar with respect to the pixels: (K, 3, h, w)."""
    return image_gradients(inputs, None, 1, _mean(1), run)


def word_gradient(inputs: Inputs, run: Run) -> Tensor:
    """Of every prompt's scalar with respect to its words' embeddings: (K, T, D); zeros where there are none."""
    if not has_words(inputs):
        return no_words(inputs)[..., None]
    z = inputs.model.text.embed(inputs.explained.ids)
    return word_gradients(inputs, lambda _: z[None], 1, _mean(1), run)


def image_noise(inputs: Inputs, piece: slice, method: str) -> Tensor:
    """Standard normal noise (s, 3, h, w); that of sample i depends on i alone, not on the chunk."""
    shape, device = inputs.pixels.shape[1:], inputs.pixels.device
    sources = (inputs.generator(method, "image", str(i)) for i in range(piece.start, piece.stop))
    return torch.stack([torch.randn(shape, generator=source, device=device) for source in sources])


def word_noise(inputs: Inputs, z: Tensor, count: int, method: str) -> Tensor:
    """Standard normal noise (count, K, T, D) on each prompt's own tokens; that of a prompt depends on it alone."""
    found = torch.zeros(count, *z.shape, device=z.device)
    for k, prompt in enumerate(inputs.explained.prompts):
        source = inputs.generator(method, "text", prompt.text)
        drawn = torch.randn(count, len(prompt.content), z.shape[-1], generator=source, device=z.device)
        found[:, k, list(prompt.content)] = drawn
    return found


def _mean(count: int) -> Combine:
    return lambda g, _: g.sum(dim=1) / count


def _mean_square(count: int) -> Combine:
    return lambda g, _: (g * g).sum(dim=1) / count
