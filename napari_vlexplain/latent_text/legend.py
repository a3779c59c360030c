"""A colour for every text, the same at all layers. No Qt and no torch here."""

from __future__ import annotations

import colorsys
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from .interpretation import Interpretation

Colour = tuple[int, int, int]
# Far apart in hue and lightness; the first ones also without colour vision.
_PALETTE: tuple[Colour, ...] = (
    (0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0), (240, 228, 66),
    (117, 76, 163), (154, 205, 50), (140, 86, 75), (255, 152, 150), (23, 190, 207), (166, 206, 227), (178, 24, 43),
    (51, 102, 51), (253, 219, 199), (106, 61, 154), (199, 199, 199), (255, 0, 144), (70, 70, 110),
)  # fmt: skip


def colours(found: Interpretation) -> dict[int, Colour]:
    """Index of a text -> its colour, for every text that wins a patch at some layer, most frequent first."""
    winners = Counter(found.indices[:, found.prefix :, 0].ravel().tolist())
    order = sorted(winners, key=lambda index: (-winners[index], index))
    return {index: _colour(place) for place, index in enumerate(order)}


def painted(found: Interpretation, layer: int, shades: dict[int, Colour]) -> NDArray[np.uint8]:
    """(gh, gw, 3), each patch in the colour of its nearest text."""
    winners = found.winners(layer)
    values, inverse = np.unique(winners, return_inverse=True)
    table = np.array([shades.get(int(value), (128, 128, 128)) for value in values], np.uint8)
    return table[inverse.reshape(winners.shape)]


def entries(found: Interpretation, layer: int, shades: dict[int, Colour]) -> list[tuple[str, int, Colour]]:
    """(text, patches, colour) of a layer's legend, most patches first."""
    values, counts = np.unique(found.winners(layer), return_counts=True)
    rows = sorted(zip(values.tolist(), counts.tolist(), strict=True), key=lambda row: (-row[1], row[0]))
    return [(found.table[index], count, shades.get(index, (128, 128, 128))) for index, count in rows]


def _colour(place: int) -> Colour:
    if place < len(_PALETTE):
        return _PALETTE[place]
    # Steps of the golden ratio never come back to a hue.
    red, green, blue = colorsys.hls_to_rgb(place * 0.618034 % 1, 0.45 + 0.25 * (place % 3) / 2, 0.55)
    return round(255 * red), round(255 * green), round(255 * blue)
