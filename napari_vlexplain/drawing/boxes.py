"""Boxes drawn on their image, coloured by score."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..io.images import Limits
from .colour import ink_on, sequential
from .lettering import write
from .overlay import as_uint8

LABELLED = 3


def boxes_on(
    image: Any,
    boxes: NDArray[np.float64],
    shares: NDArray[np.float32],
    contrast_limits: Limits | None = None,
    labelled: int = LABELLED,
) -> NDArray[np.uint8]:
    """The image, faded, with its boxes: (H, W, 3) uint8.

    Parameters
    ----------
    image : (H, W) or (H, W, 3 or 4), see :func:`napari_vlexplain.io.images.as_rgb`.
    boxes : (N, 4) as (x0, y0, x1, y1) in its pixels.
    shares : (N,) in [0, 1]: the higher, the warmer and thicker; drawn from the lowest to the highest.
    labelled : so many of the highest boxes carry their rank.
    """
    from PIL import Image, ImageDraw

    base = as_uint8(image, contrast_limits)
    faded = base + ((base.mean(axis=2, keepdims=True) - base) * 0.7)
    canvas = Image.fromarray(np.rint(faded * 0.8).astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    unit = max(1.0, max(base.shape[:2]) / 224)
    order = np.argsort(shares, kind="stable")
    colours = sequential(0.15 + 0.85 * np.asarray(shares))
    for k in order:
        x0, y0, x1, y1 = (float(edge) for edge in boxes[k])
        box = (x0, y0, max(x0, x1 - 1), max(y0, y1 - 1))
        draw.rectangle(box, outline=tuple(colours[k].tolist()), width=max(1, round(unit * (0.5 + 2.5 * shares[k]))))
    size = max(9, round(9 * unit))
    for rank, k in enumerate(order[::-1][:labelled], start=1):
        x0, y0 = max(0.0, float(boxes[k, 0])), max(0.0, float(boxes[k, 1]))
        draw.rectangle((x0, y0, x0 + size, y0 + 1.25 * size), fill=tuple(colours[k].tolist()))
        write(draw, (round(x0 + 0.2 * size), round(y0)), str(rank), size, ink_on(colours[k]))
    return np.asarray(canvas)
