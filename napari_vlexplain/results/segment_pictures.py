"""Segments as pictures: regions in colours on their image, the object outlined, eigenvectors side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..drawing.colour import colour_of, diverging
from ..drawing.overlay import as_uint8, draw_outline, outline
from ..io.images import Limits

if TYPE_CHECKING:
    from ..spectral.eigenvectors import Eigenvectors

# Told apart without colour vision as far as colours can (Okabe, Ito); the background has none.
PALETTE = np.array(
    [(230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167)],
    dtype=np.uint8,
)
_CELL = 12


def region_colours(count: int) -> NDArray[np.uint8]:
    """Colours (count, 3) of regions 1 .. count; after the palette's end darker ones of the same hues."""
    rounds = np.arange(count) // len(PALETTE)
    colours = PALETTE[np.arange(count) % len(PALETTE)] * (0.6**rounds)[:, None]
    return np.rint(colours).astype(np.uint8)


def regions_on(
    image: Any,
    regions: NDArray[np.int32],
    object_mask: NDArray[np.bool_] | None = None,
    box: NDArray[np.float64] | None = None,
    contrast_limits: Limits | None = None,
) -> NDArray[np.uint8]:
    """Regions (H, W) in colours on their image, the object's outline and box in the model's: (H, W, 3) uint8."""
    from PIL import Image, ImageDraw

    base = as_uint8(image, contrast_limits)
    colours = np.concatenate([np.zeros((1, 3), np.uint8), region_colours(int(regions.max(initial=0)))])
    mixed = np.where((regions > 0)[..., None], 0.5 * base + 0.5 * colours[regions], 0.6 * base)
    mixed = np.rint(mixed).astype(np.uint8)
    unit = max(1, round(max(base.shape[:2]) / 224))
    for label in range(1, len(colours)):
        mixed[outline(regions == label, unit)] = colours[label]
    if object_mask is not None:
        draw_outline(mixed, object_mask, "model", unit)
    canvas = Image.fromarray(mixed)
    if box is not None:
        x0, y0, x1, y1 = (float(edge) for edge in box)
        corners = x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)
        ImageDraw.Draw(canvas).rectangle(corners, outline=colour_of("model"), width=unit)
    return np.asarray(canvas)


def eigenvectors_side_by_side(found: Eigenvectors) -> NDArray[np.uint8]:
    """v_1 .. v_K in a row, blue below 0 and red above, each to its own magnitude: (h, w, 3) uint8."""
    gap = np.full((found.vectors.shape[1] * _CELL, _CELL // 2, 3), 255, np.uint8)
    tiles = [diverging(v).repeat(_CELL, axis=0).repeat(_CELL, axis=1) for v in found.vectors]
    return np.concatenate([part for tile in tiles for part in (tile, gap)][:-1], axis=1)
