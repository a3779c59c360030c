"""Boxes that cannot be what they say: corners for width and height, shares for pixels, and what reaches outside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .described import Box
from .note import Note
from .placing import SLACK

Size = tuple[float, float]
MOST = 0.95
"""Share of boxes that must be possible corners before any is called so."""
FAR = 0.02
"""Share of a side by which a box must reach outside before it is asked whether its numbers are corners."""


def overhang(box: Box, size: Size) -> float:
    """Pixels by which a box reaches outside a picture of (width, height); 0 where it does not."""
    x, y, width, height = box
    return max(-x, -y, x + width - size[0], y + height - size[1], 0.0)


def as_corners(box: Box, size: Size) -> bool:
    """Could its numbers be x0, y0, x1, y1 on a picture of (width, height)?"""
    left, top, right, bottom = box
    return 0 <= left < right <= size[0] + SLACK and 0 <= top < bottom <= size[1] + SLACK


def far_outside(box: Box, size: Size) -> bool:
    """Does a box reach so far outside that its numbers may be corners?"""
    return overhang(box, size) > max(SLACK, FAR * min(size))


def corners_among(found: Sequence[tuple[Box, Size]]) -> tuple[Box, Size] | None:
    """The first box that lies in its picture only as corners, where nearly all could be corners; else None.

    Given are all boxes of a picture or a table, each with (width, height) of its picture: one that reaches outside
    says how the others are to be read. Boxes as they should be hardly ever have all x below the width and all y below
    the height, so that a table of corners is known by a share of ``MOST``.
    """
    if sum(as_corners(box, size) for box, size in found) < MOST * len(found):
        return None
    return next(((box, size) for box, size in found if far_outside(box, size) and as_corners(box, size)), None)


def shares_among(found: Sequence[tuple[Box, Size]]) -> tuple[Box, Size] | None:
    """The first box of a fraction of a pixel, where all numbers of all boxes lie between 0 and 1; else None."""
    if not all(0 <= number <= 1 for box, _ in found for number in box):
        return None
    return next(((box, size) for box, size in found if min(box[2:]) < 1 < min(size)), None)


def misread(found: Sequence[tuple[Box, Size]]) -> Note | None:
    """Why no figure may count boxes, each with (width, height) of its picture; None where nothing speaks against it.

    Given are all of a picture or a table, see :func:`corners_among`.
    """
    if (corners := corners_among(found)) is not None:
        return _corners_doubt(*corners)
    return None if (shares := shares_among(found)) is None else _shares_doubt(*shares)


def _shares_doubt(box: Box, size: Size) -> Note:
    x, y, width, height = box
    pixels = (x * size[0], y * size[1], width * size[0], height * size[1])
    return Note(
        f"The box {_text(box)} is less than a pixel, as are all others. Boxes are x y width height in pixels; these "
        f"look like shares of the picture, so no figure counts them. This one would be {_text(pixels)} on "
        f"{size[0]:g} x {size[1]:g} pixels.",
        "shares",
    )


def _corners_doubt(box: Box, size: Size) -> Note:
    """What is said of boxes that look like corners."""
    x, y, width, height = box
    return Note(
        f"The box {_text(box)} would reach to {x + width:g}, {y + height:g} on {size[0]:g} x {size[1]:g} pixels. Boxes "
        "are x y width height; these look like corners, x0 y0 x1 y1, so no figure counts them. This one would be "
        f"{_text((x, y, width - x, height - y))}.",
        "corners",
    )


def outside_notes(boxes: Sequence[Box], outlines: Sequence[NDArray[np.floating]], size: Size) -> tuple[Note, ...]:
    """One sentence on the boxes, and outlines (N, 2) of y and x, that reach further outside than real files do."""
    reach = [overhang(box, size) for box in boxes] + [_overhang_of(outline, size) for outline in outlines]
    far = [(by, number) for number, by in enumerate(reach) if by > SLACK]
    if not far:
        return ()
    by, number = max(far)
    which = f"box {_text(boxes[number])}" if number < len(boxes) else "outline"
    more = "" if len(far) == 1 else f" ({len(far)} of {len(reach)} do)"
    return (
        Note(
            f"The {which} of the ground truth reaches {by:.4g} pixels outside the picture of {size[0]:g} x {size[1]:g}"
            f"{more}; what lies outside is cut off.",
            "outside",
        ),
    )


def _overhang_of(outline: NDArray[np.floating], size: Size) -> float:
    low, high = outline.min(axis=0), outline.max(axis=0)
    return float(max(-low[0], -low[1], high[1] - size[0], high[0] - size[1], 0.0))


def _text(box: Box) -> str:
    return " ".join(f"{number:g}" for number in box)
