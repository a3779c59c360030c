"""The plane on which both worlds draw: x to the right and y down, from -1 to 1, at every size in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, cos, floor, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from ...errors import VLExplainError

Array = NDArray[np.floating[Any]]  # float32 throughout
SMALLEST, LARGEST = 16, 4096


def check_size(size: int) -> int:
    """The picture's side in pixels; raises VLExplainError outside 16 to 4096."""
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or not SMALLEST <= size <= LARGEST:
        raise VLExplainError(f"size must be {SMALLEST} to {LARGEST} pixels, not {size!r}.")
    return int(size)


def axes(size: int) -> tuple[Array, Array]:
    """x (1, size) and y (size, 1) of the pixel centres; they broadcast to the picture."""
    centres = ((2 * np.arange(size, dtype=np.float32) + 1) / size - 1).astype(np.float32)
    return centres[None, :], centres[:, None]


def to_uint8(picture: Array) -> NDArray[np.uint8]:
    """[0, 1] to 0..255, rounded; what lies outside is clipped."""
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


@dataclass(frozen=True)
class Pose:
    """Where a cut-out lies: centre (x, y), half its width and height, and its turn in radians, clockwise."""

    centre: tuple[float, float]
    half_width: float
    half_height: float
    rotation: float = 0.0
    flipped: bool = False


Window = tuple[slice, slice]


def _span(centre: float, reach: float, size: int) -> slice:
    """Pixels whose centres lie within ``reach`` of ``centre``, and one more on either side."""
    first = floor((centre - reach + 1) * size / 2) - 1
    last = ceil((centre + reach + 1) * size / 2) + 1
    return slice(min(max(first, 0), size), min(max(last, 0), size))


def lay(cutout: Array, pose: Pose, size: int) -> tuple[Window, Array]:
    """Draw a cut-out (h, w, 4), colours premultiplied by alpha, in its pose.

    Returns the window of the picture that it touches and its pixels there (rows, columns, 4), bilinear,
    with nothing outside its own edges.
    """
    height, width = cutout.shape[:2]
    c, s = cos(pose.rotation), sin(pose.rotation)
    # The outermost texels fade over half a texel beyond the edge.
    half_w, half_h = pose.half_width * (1 + 1 / width), pose.half_height * (1 + 1 / height)
    x0, y0 = pose.centre
    columns = _span(x0, abs(c) * half_w + abs(s) * half_h, size)
    rows = _span(y0, abs(s) * half_w + abs(c) * half_h, size)

    # u = (c dx + s dy) / half_width and v = (-s dx + c dy) / half_height lie in [-1, 1] on the cut-out,
    # whose texel coordinates are ((v + 1) h - 1) / 2 and ((u + 1) w - 1) / 2.
    u_per_unit = np.array([s, c]) / (-pose.half_width if pose.flipped else pose.half_width)
    v_per_unit = np.array([c, -s]) / pose.half_height
    per_unit = np.stack([v_per_unit * height, u_per_unit * width]) / 2  # rows (row, column), by (dy, dx)
    corner = (2 * np.array([rows.start, columns.start]) + 1) / size - 1 - np.array([y0, x0])
    offset = per_unit @ corner + (np.array([height, width]) - 1) / 2

    drawn = np.empty((rows.stop - rows.start, columns.stop - columns.start, 4), np.float32)
    for channel in range(4):
        drawn[..., channel] = affine_transform(
            cutout[..., channel],
            per_unit * 2 / size,
            offset,
            output_shape=drawn.shape[:2],
            output=np.float32,
            order=1,
            mode="grid-constant",
        )
    return (rows, columns), drawn
