"""The colour term of deep spectral segmentation: nearest neighbours in colour and place."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from scipy.spatial import cKDTree
from torch import Tensor

PASSES = ((20, 2.0), (10, 0.1))
"""(neighbours, weight of the place against the colour) of each pass."""


def colour_affinity(picture: Tensor, grid: tuple[int, int]) -> Tensor:
    """``W_knn`` (n, n) of a picture (3, h, w) in [0, 1] on the patch grid.

    The picture is made small as published, by Pillow's antialiased bilinear of 8-bit values. Points are
    (r, g, b, w x, w y) with x and y in [0, 1]; every pair (i, j), j among the nearest of i, itself included, adds 1 to
    (i, j) and 1 to (j, i), in each of two passes.
    """
    shown = (255 * picture).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
    small = Image.fromarray(shown).resize(grid[::-1], Image.Resampling.BILINEAR)
    colours = np.asarray(small, dtype=np.float64).reshape(-1, 3) / 255
    y, x = np.meshgrid(np.linspace(0, 1, grid[0]), np.linspace(0, 1, grid[1]), indexing="ij")
    place = np.stack([x.ravel(), y.ravel()], axis=1)
    n = len(colours)
    w = np.zeros((n, n))
    for neighbours, weight in PASSES:
        points = np.concatenate([colours, weight * place], axis=1)
        _, nearest = cKDTree(points).query(points, k=min(neighbours, n))
        rows = np.repeat(np.arange(n), nearest.shape[1])
        np.add.at(w, (rows, nearest.ravel()), 1)
        np.add.at(w, (nearest.ravel(), rows), 1)
    return torch.from_numpy(w)
