"""Closed outlines (boxes, polygons, ellipses) filled into a mask."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Outline = NDArray[np.floating]


def fill(outlines: Iterable[Outline], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The union of the outlines as a (H, W) mask; parts outside the mask are cut off.

    An outline is (N, 2) of row and column in pixels, where whole numbers are pixel centres. A pixel is
    inside when its centre is, by the even-odd rule; of a box from r0 to r1 that is r0 <= row < r1, so two
    boxes that touch share no pixel. Fewer than three corners enclose nothing.
    """
    mask = np.zeros(shape, dtype=bool)
    for outline in outlines:
        corners = np.asarray(outline, dtype=np.float64)
        if len(corners) < 3:
            continue
        (top, left), (bottom, right) = _window(corners, shape)
        if top < bottom and left < right:
            inside = _parity(corners - (top, left), (bottom - top, right - left))
            mask[top:bottom, left:right] |= inside
    return mask


def ellipse(corners: Outline, points: int = 256) -> Outline:
    """The outline of the ellipse in a box given by its four corners in order; (points, 2)."""
    a, b, _, d = np.asarray(corners, dtype=np.float64)
    centre, u, v = (b + d) / 2, (b - a) / 2, (d - a) / 2
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False)[:, None]
    return centre + np.cos(turn) * u + np.sin(turn) * v


def _window(corners: Outline, shape: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    low = np.clip(np.ceil(corners.min(axis=0)), 0, shape).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)), 0, shape).astype(int)
    return (low[0], low[1]), (high[0], high[1])


def _parity(corners: Outline, shape: tuple[int, int]) -> NDArray[np.bool_]:
    # Each edge flips, in every row it crosses, all pixels to its right; a pixel flipped an odd number of
    # times is inside.
    flips = np.zeros((shape[0], shape[1] + 1), dtype=bool)
    for (r0, c0), (r1, c1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        low, high = np.clip(np.ceil([min(r0, r1), max(r0, r1)]), 0, shape[0]).astype(int)
        if low < high:
            rows = np.arange(low, high)
            crossing = c0 + (rows - r0) * ((c1 - c0) / (r1 - r0))
            flips[rows, np.clip(np.ceil(crossing), 0, shape[1]).astype(int)] ^= True
    return np.logical_xor.accumulate(flips[:, :-1], axis=1)
