"""Boxes as masks, and masks as boxes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from .described import Box

Mask = NDArray[np.bool_]


def mask_of_boxes(boxes: list[Any], shape: tuple[int, int], where: str = "The list") -> Mask:
    """The union of boxes ``[x, y, width, height]`` as (H, W) bool: pixels whose centre a box covers, at least one each.

    Boxes are clipped at the border. Raises VLExplainError for a box that is not four numbers, has no area, or lies
    wholly outside.
    """
    mask = np.zeros(shape, dtype=bool)
    for number, box in enumerate(boxes, start=1):
        x, y, width, height = box_numbers(box, f"{where}: box {number}")
        if width <= 0 or height <= 0:
            raise VLExplainError(f"{where}: box {number} is {width:g} wide and {height:g} high; both must be above 0.")
        if x >= shape[1] or y >= shape[0] or x + width <= 0 or y + height <= 0:
            raise VLExplainError(
                f"{where}: box {number} [{x:g}, {y:g}, {width:g}, {height:g}] lies outside the image of "
                f"{shape[1]} x {shape[0]} pixels; boxes are [x, y, width, height] in pixels from the top left."
            )
        mask[_span(y, height, shape[0]), _span(x, width, shape[1])] = True
    return mask


def boxes_of(mask: Mask) -> list[list[int]]:
    """Boxes whose union is exactly the mask (H, W), see :func:`mask_of_boxes`.

    Each is a run of pixels in a row, grown down as long as the next rows have the same run.
    """
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    found: list[list[int]] = []
    last: dict[tuple[int, int], list[int]] = {}
    for y, start, end in zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True):
        box = last.get((start, end))
        if box is not None and box[1] + box[3] == y:
            box[3] += 1
        else:
            last[start, end] = box = [start, y, end - start, 1]
            found.append(box)
    return found


def box_numbers(box: Any, which: str) -> Box:
    """A box as four finite numbers; raises VLExplainError, ``which`` naming it."""
    fits = isinstance(box, list | tuple) and len(box) == 4
    if not fits or not all(isinstance(x, int | float) and not isinstance(x, bool) for x in box):
        raise VLExplainError(f"{which} is {box!r}, but it must be four numbers: [x, y, width, height].")
    try:
        x, y, width, height = (float(value) for value in box)
    except OverflowError:
        x = y = width = height = math.inf
    if not all(math.isfinite(value) for value in (x, y, width, height, x + width, y + height)):
        raise VLExplainError(f"{which} is {box!r}, but its numbers must be finite.")
    return x, y, width, height


def _span(start: float, length: float, size: int) -> slice:
    """Pixels ``i`` with ``start <= i + 0.5 < start + length``, at least the one in its middle."""
    first, end = math.ceil(start - 0.5), math.ceil(start + length - 0.5)
    if end <= first:
        first = math.floor(start + length / 2)
        end = first + 1
    first = min(max(first, 0), size - 1)
    return slice(first, max(min(end, size), first + 1))
