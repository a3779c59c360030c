"""Pillow's resize, of a part of the result: what a crop will keep is made, and nothing else.

The shorter side of a strip of 1 x 4000 pixels at 224 makes 224 x 896,000, of which a centre crop keeps 224 x 224.
``Image.resize(box=...)`` cannot give that part: it holds the box in 32-bit floats, so far from the origin its weights,
and with them the levels, are others. Here the weights of the whole resize are computed for the rows and columns that
are kept, as in Pillow's ``Resample.c``: the same filters, its two passes, its rounding. 8-bit results equal those of
the whole resize to the bit, floats to the rounding of float32.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...geometry import Pair

Window = tuple[int, int]
Floats = NDArray[np.float64]

MUCH = 16
"""An enlargement that is so many times what is kept of it is not done as a whole. (A reduction is: it holds less than
its source does, and in which order Pillow makes its passes then depends on its version.)"""

_BITS = 22
"""Pillow's weights for 8-bit pixels are integers with so many bits after the point."""


def resized_part(
    image: NDArray, size: Pair, resample: Image.Resampling, rows: Window, columns: Window
) -> NDArray[np.float32]:
    """Rows and columns of an image (H, W, 3) that was resized to ``size`` (h, w): (r, c, 3) float32.

    8-bit images are resized in 8 bits and give levels of 0 to 255; others in floats, over- and undershoot of the
    filter kept. ``rows`` and ``columns`` are the first and the one behind the last, within ``size``.
    """
    kept = (rows[1] - rows[0]) * (columns[1] - columns[0])
    if size[0] * size[1] <= max(MUCH * kept, image.shape[0] * image.shape[1]) or resample not in _FILTERS:
        return whole(image, size, resample)[slice(*rows), slice(*columns)]
    taps = [_taps(image.shape[axis], size[axis], window, resample) for axis, window in enumerate((rows, columns))]
    part = image[taps[0][0], taps[1][0]].astype(np.float64)
    for axis in (1, 0):  # as Pillow: along the rows first
        weights = taps[axis][1]
        if weights is not None:
            part = _weighted(part, weights, axis, image.dtype == np.uint8)
    return part.astype(np.float32)


def whole(image: NDArray, size: Pair, resample: Image.Resampling) -> NDArray[np.float32]:
    """See :func:`resized_part`."""
    if image.shape[:2] == size:
        return np.asarray(image, dtype=np.float32)
    if image.dtype == np.uint8:
        return np.asarray(Image.fromarray(image).resize(size[::-1], resample), dtype=np.float32)
    planes = [
        Image.fromarray(np.ascontiguousarray(image[..., channel], dtype=np.float32)).resize(size[::-1], resample)
        for channel in range(3)
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def _weighted(part: Floats, weights: Floats, axis: int, levels: bool) -> Floats:
    """One pass along an axis of (H, W, 3)."""
    if levels:
        # Sums of 8-bit pixels times 22-bit weights are whole numbers, which float64 holds exactly.
        weights = np.trunc(weights * 2.0**_BITS + np.copysign(0.5, weights))
    found = np.moveaxis(np.tensordot(weights, part, (1, axis)), 0, axis)
    if levels:
        return np.clip(np.floor((found + 2.0 ** (_BITS - 1)) / 2.0**_BITS), 0, 255)
    return found.astype(np.float32).astype(np.float64)


def _taps(length: int, size: int, window: Window, resample: Image.Resampling) -> tuple[slice, Floats | None]:
    """The pixels of one axis that a window of the result is made of, and their weights (window, pixels)."""
    if length == size:
        return slice(*window), None
    if resample == Image.Resampling.NEAREST:
        # Pillow adds up the steps, and so do we.
        at = np.cumsum(np.r_[0.5, np.ones(window[1] - 1)] * (length / size))[window[0] :].astype(np.intp)
        at = np.clip(at, 0, length - 1)
        first = int(at[0])
        return slice(first, int(at[-1]) + 1), np.eye(int(at[-1]) + 1 - first)[at - first]
    support, shape = _FILTERS[resample]
    scale = length / size
    stretch = max(scale, 1.0)
    centres = (np.arange(*window) + 0.5) * scale
    low = np.maximum((centres - support * stretch + 0.5).astype(np.intp), 0)
    high = np.minimum((centres + support * stretch + 0.5).astype(np.intp), length)
    pixels = np.arange(low.min(), high.max())
    inside = (pixels >= low[:, None]) & (pixels < high[:, None])
    weights = np.where(inside, shape((pixels - centres[:, None] + 0.5) * (1 / stretch)), 0.0)
    return slice(int(pixels[0]), int(pixels[-1]) + 1), weights / weights.cumsum(axis=1)[:, -1:]


def _box(x: Floats) -> Floats:
    return ((x > -0.5) & (x <= 0.5)).astype(np.float64)


def _bilinear(x: Floats) -> Floats:
    return np.maximum(1 - np.abs(x), 0)


def _hamming(x: Floats) -> Floats:
    return np.where(np.abs(x) < 1, np.sinc(x) * (0.54 + 0.46 * np.cos(np.pi * x)), 0)


def _bicubic(x: Floats) -> Floats:
    x = np.abs(x)
    near, far = (1.5 * x - 2.5) * x * x + 1, -0.5 * (((x - 5) * x + 8) * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _lanczos(x: Floats) -> Floats:
    return np.where((x >= -3) & (x < 3), np.sinc(x) * np.sinc(x / 3), 0)


_FILTERS: dict[Image.Resampling, tuple[float, Callable[[Floats], Floats]]] = {
    Image.Resampling.NEAREST: (0.0, _box),
    Image.Resampling.BOX: (0.5, _box),
    Image.Resampling.BILINEAR: (1.0, _bilinear),
    Image.Resampling.HAMMING: (1.0, _hamming),
    Image.Resampling.BICUBIC: (2.0, _bicubic),
    Image.Resampling.LANCZOS: (3.0, _lanczos),
}
"""Of Pillow's filters: how far they reach, and their shape."""
