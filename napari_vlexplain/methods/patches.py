"""From pixels and regions to patches."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.towers import Tower
from .inputs import grid


def per_patch(scores: Tensor, tower: Tower, how: str = "sum") -> Tensor:
    """Pixel scores (K, h, w) of the model's input -> (K, gh, gw): sum, mean or max over each patch.

    Pixels behind the last whole patch are left out.
    """
    (gh, gw), (ph, pw) = grid(tower), patch_size(tower)
    whole = scores[:, None, : gh * ph, : gw * pw]
    if how == "max":
        return F.max_pool2d(whole, (ph, pw))[:, 0]
    mean = F.avg_pool2d(whole, (ph, pw))[:, 0]
    return mean * (ph * pw) if how == "sum" else mean


def per_pixel(scores: Tensor, tower: Tower, size: tuple[int, int], corners: bool = False) -> Tensor:
    """Patch scores (K, gh, gw) -> (K, h, w) at the model's input, bilinear between patch centres.

    ``corners`` : the corner patches' centres are laid on the corners instead.

    Pixels behind the last whole patch go with their neighbours, and stretch nothing.
    """
    covered = [g * p for g, p in zip(grid(tower), patch_size(tower), strict=True)]
    maps = F.interpolate(scores[:, None], size=covered, mode="bilinear", align_corners=corners)
    return F.pad(maps, (0, size[1] - covered[1], 0, size[0] - covered[0]), mode="replicate")[:, 0]


def patch_size(tower: Tower) -> tuple[int, int]:
    """Of an image tower, (ph, pw) in pixels of the model's input."""
    assert tower.patch is not None
    return tower.patch


def over_channels(gradients: Tensor, how: str, axis: int = 1) -> Tensor:
    """Magnitude of gradients over colours or embedding channels: max, sum or l2."""
    size = gradients.abs()
    if how == "l2":
        return torch.linalg.vector_norm(gradients, dim=axis)
    return size.amax(dim=axis) if how == "max" else size.sum(dim=axis)
