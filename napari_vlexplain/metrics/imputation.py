"""Filling removed pixels so that their shape does not give them away: noisy linear imputation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu

# Weight of the direct and of the diagonal neighbours (they sum to 1 where all eight exist).
_NEIGHBOURS = [(0, 1, 1 / 6), (1, 0, 1 / 6), (0, -1, 1 / 6), (-1, 0, 1 / 6),
               (1, 1, 1 / 12), (1, -1, 1 / 12), (-1, 1, 1 / 12), (-1, -1, 1 / 12)]  # fmt: skip


def impute(
    image: NDArray[np.floating], kept: NDArray[np.bool_], rng: np.random.Generator, noise: float = 0.01
) -> NDArray[np.floating]:
    """An image (C, H, W) with its removed pixels drawn from their neighbours; ``kept`` (H, W) stay as they are.

    Each removed pixel becomes the weighted mean of its neighbours (1/6 direct, 1/12 diagonal, as far as they exist),
    removed ones included, which is one sparse linear system; then Gaussian noise of standard deviation ``noise`` is
    added. With nothing kept the image becomes its own mean, with noise.
    Source: Rong et al. 2022, "ROAD", section 4.2.
    """
    filled = np.array(image, dtype=np.float64)
    lost = np.flatnonzero(~kept)
    if not lost.size:
        return filled.astype(image.dtype)
    flat = filled.reshape(len(image), -1)
    if lost.size == kept.size:
        flat[:] = flat.mean(axis=1, keepdims=True)
    else:
        flat[:, lost] = _solved(flat, kept, lost)
    flat[:, lost] += noise * rng.standard_normal((len(image), lost.size))
    return filled.astype(image.dtype)


def _solved(flat: NDArray[np.float64], kept: NDArray[np.bool_], lost: NDArray[np.intp]) -> NDArray[np.float64]:
    """Values (C, removed): ``(sum of w) x - sum over removed w x' = sum over kept w x'``."""
    height, width = kept.shape
    number = np.full(kept.size, -1)
    number[lost] = np.arange(lost.size)
    rows, columns = np.divmod(lost, width)
    total = np.zeros(lost.size)
    known = np.zeros((len(flat), lost.size))
    entries: list[tuple[NDArray, NDArray, NDArray]] = []
    for down, right, weight in _NEIGHBOURS:
        r, c = rows + down, columns + right
        exists = (r >= 0) & (r < height) & (c >= 0) & (c < width)
        neighbour = np.where(exists, r * width + c, 0)
        total += weight * exists
        unknown = exists & (number[neighbour] >= 0)
        given = exists & ~unknown
        known[:, given] += weight * flat[:, neighbour[given]]
        at = np.flatnonzero(unknown)
        entries.append((at, number[neighbour[at]], np.full(at.size, -weight)))
    diagonal = np.arange(lost.size)
    entries.append((diagonal, diagonal, total))
    i, j, values = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    system = coo_array((values, (i, j)), shape=(lost.size, lost.size)).tocsc()
    return np.asarray(splu(system).solve(known.T).T)
