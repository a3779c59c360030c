"""The rival repair: hide what a saliency map for "text" marks, and classify what is left."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...methods.attention.relevance import propagate
from ...models.dual_encoder import DualEncoder

MAPS = ("raw attention", "attention x gradient", "rollout", "rollout x gradient")
OF_TEXT = MAPS[1::2]
"""Those that depend on the text asked for."""
THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8)


def saliency_maps(model: DualEncoder, pixels: Tensor, unit_text: Tensor) -> dict[str, Tensor]:
    """Maps (B, gh, gw) in [0, 1] of what a text (P,) means in each image; gradients are of the cosine with it.

    Raw attention is the last block's readout row, mean over heads; rollout multiplies ``(mean_h A + I) / 2`` over
    the blocks; times gradient takes ``mean_h relu(A dF/dA)`` in place of the attention, with the residual.
    """
    tower, rows = model.image, model.image_rows(len(pixels))
    with torch.no_grad():
        z = tower.embed(pixels)
    with torch.enable_grad():
        embedding, attentions = tower.record(z, 0, rows, track=True)
        gradients = torch.autograd.grad((F.normalize(embedding, dim=-1) @ unit_text).sum(), attentions)
    kept = [a.detach() for a in attentions]
    start = tower.pool.start(z.shape[1], rows)
    means = [a.mean(1) for a in kept]
    weighted = [(a * g).clamp(min=0).mean(1) for a, g in zip(kept, gradients, strict=True)]
    rollout = start
    for mean in reversed(means):
        rollout = (rollout + _row(rollout, mean)) / 2
    found = {
        "raw attention": _row(start, means[-1]),
        "attention x gradient": _row(start, weighted[-1]),
        "rollout": rollout,
        "rollout x gradient": propagate(kept, gradients, start),
    }
    assert tower.grid is not None
    return {name: _unit(row[:, tower.prefix_tokens :].unflatten(1, tower.grid)) for name, row in found.items()}


def hidden(pixels: Tensor, maps: Tensor, threshold: float) -> Tensor:
    """The images with zeros (the mean colour) where the enlarged map exceeds the threshold."""
    large = F.interpolate(maps[:, None], pixels.shape[-2:], mode="bilinear", align_corners=False)
    return pixels.masked_fill(large > threshold, 0.0)


def _row(row: Tensor, matrix: Tensor) -> Tensor:
    """``row A``; a matrix of one row is the readout's own."""
    return matrix[:, 0] if matrix.shape[1] == 1 else (row[:, None] @ matrix)[:, 0]


def _unit(maps: Tensor) -> Tensor:
    flat = maps.flatten(1)
    low, high = flat.amin(1)[:, None, None], flat.amax(1)[:, None, None]
    return (maps - low) / torch.where(high > low, high - low, 1.0)
