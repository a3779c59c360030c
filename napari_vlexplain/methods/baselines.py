"""What stands for absence: colours for pixels, a meaningless token for words."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.text.prompts import TextBatch
from .inputs import Inputs

BLUR = 0.08  # standard deviation of the blur, as a share of the picture's side


def image_baseline(inputs: Inputs, name: str) -> Tensor:
    """An image without content, in the model's normalised pixels (1, 3, h, w).

    ``mean`` is zero after normalisation: the mean colour of the training data. ``black`` and ``white`` are those of
    the picture before normalisation. ``blur`` keeps the colours and loses the shapes.
    """
    if name == "mean":
        return torch.zeros_like(inputs.pixels)
    if name == "blur":
        return blurred(inputs.pixels)
    return plain(inputs, torch.full((1, 3), 0.0 if name == "black" else 1.0)).expand_as(inputs.pixels)


def plain(inputs: Inputs, colour: Tensor) -> Tensor:
    """Colours (n, 3) in [0, 1] as normalised pixels (n, 3, 1, 1)."""
    mean, std = (torch.tensor(x, device=inputs.pixels.device) for x in
                 (inputs.model.preprocess.mean, inputs.model.preprocess.std))  # fmt: skip
    return ((colour.to(mean.device) - mean) / std)[..., None, None]


def picture(inputs: Inputs) -> Tensor:
    """The model's pixels as colours in [0, 1], (h, w, 3)."""
    mean, std = (torch.tensor(x, device=inputs.pixels.device) for x in
                 (inputs.model.preprocess.mean, inputs.model.preprocess.std))  # fmt: skip
    return (inputs.pixels[0].permute(1, 2, 0) * std + mean).clamp(0, 1)


def blurred(pixels: Tensor) -> Tensor:
    """A Gaussian blur of (B, 3, h, w), with the border reflected."""
    for axis in (-2, -1):
        size = pixels.shape[axis]
        sigma = BLUR * size
        radius = min(int(3 * sigma + 0.5), size - 1)
        at = torch.arange(-radius, radius + 1, device=pixels.device, dtype=pixels.dtype)
        kernel = torch.exp(-0.5 * (at / max(sigma, 1e-6)) ** 2)
        shape = [1, 1, 1, 1]
        shape[axis] = len(at)
        weight = (kernel / kernel.sum()).view(shape).expand(3, *shape[1:])
        margin = (0, 0, radius, radius) if axis == -2 else (radius, radius, 0, 0)
        pixels = F.conv2d(F.pad(pixels, margin, mode="reflect"), weight, groups=3)
    return pixels


def fill_id(inputs: Inputs, fill: str) -> int:
    """The token that stands for a removed word: id 0, as in the published code, or the tokenizer's padding."""
    return 0 if fill == "first" else inputs.model.tokenizer.pad


def filled(inputs: Inputs, texts: TextBatch, fill: str) -> Tensor:
    """The prompts with every token of their own replaced, special ones kept: embedded, (K, T, D)."""
    ids = texts.ids.clone()
    for row, prompt in zip(ids, texts.prompts, strict=True):
        row[list(prompt.content)] = fill_id(inputs, fill)
    return inputs.model.text.embed(ids)
