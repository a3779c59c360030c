"""Which pixels of a picture the numbers of a ground truth mean: its scale, and whether it is turned with the picture.

The rule, in this order:

1. A size that is stated decides. If it has the proportions of the picture as shown, the numbers are of that; if only
   those of the picture as its file has it, before the EXIF or TIFF tag turned it, they are turned with the picture.
   Tools differ here: LabelMe and browsers annotate the turned picture, COCO files are often made without a look at
   the tag, and some write the stored size beside numbers of the turned picture (Label Studio's COCO). The last are
   known by numbers that lie outside the size stated and inside the other.
2. Without a size, numbers that fit into the stored picture alone are of that; others are of the picture as shown.
3. Where both would do (square pictures, half turns, mirrored ones) they are of the picture as shown, and this is said.
4. A size of other proportions than either is that of another picture: cropped or stretched, nobody can tell.
"""

from __future__ import annotations

from dataclasses import dataclass

from .note import Note
from .picture import TURNS, Picture, Size

SLACK = 1.0
"""Pixels by which a ground truth may reach outside without a word: real files are off by half of one, or one."""


@dataclass(frozen=True)
class Placing:
    """Where the numbers belong.

    size : (width, height) of the picture that they are drawn on. stored : is that the picture as its file has it?
    scale : factors from there to this picture's pixels, across and down. doubt : why no figure may count it, or "".
    """

    size: tuple[float, float]
    stored: bool
    scale: tuple[float, float]
    notes: tuple[Note, ...] = ()
    doubt: str = ""


def place(size: Size | None, reach: tuple[float, float], picture: Picture, shares: bool = False) -> Placing:
    """Of numbers that reach to (x, y) ``reach`` on a picture of ``size``, None where that is not known.

    ``shares``: numbers are shares of width and height.
    """
    if shares:
        return Placing((1.0, 1.0), False, (float(picture.size[0]), float(picture.size[1])), _either(picture))
    if size is None:
        stored = picture.on_its_side and not _within(reach, picture.size) and _within(reach, picture.stored)
        own = picture.stored if stored else picture.size
        return Placing(own, stored, (1.0, 1.0), _turn(picture) if stored else _either(picture))
    shown, kept = alike(size, picture.size), picture.on_its_side and alike(size, picture.stored)
    if shown and kept and picture.size != picture.stored and size in (picture.size, picture.stored):
        shown, kept = size == picture.size, size == picture.stored
    if kept and not shown and not _within(reach, size) and _within(reach, size[::-1]):
        return _scaled(size[::-1], False, picture, (_swapped(size, picture),))
    if shown or not kept:
        placed = _scaled(size, False, picture, _either(picture) if kept or not picture.on_its_side else ())
        return placed if shown else _doubted(placed, size, picture)
    return _scaled(size, True, picture, _turn(picture))


def alike(size: Size, other: Size) -> bool:
    """Are these the proportions of one picture, but for sides that were rounded?"""
    lowest, highest = 0.0, float("inf")
    for own, its in zip(size, other, strict=True):
        lowest = max(lowest, min((its - 1) / own, its / (own + 1)))
        highest = min(highest, max((its + 1) / own, its / (own - 1) if own > 1 else float("inf")))
    return size == other or lowest < highest


def _within(reach: tuple[float, float], size: Size) -> bool:
    return reach[0] <= size[0] + SLACK and reach[1] <= size[1] + SLACK


def _scaled(size: Size, stored: bool, picture: Picture, notes: tuple[Note, ...]) -> Placing:
    own = picture.stored if stored else picture.size
    if size != own:
        told = f"The ground truth is drawn on {_by(size)} pixels and scaled to the {_by(own)} of this picture."
        notes += (Note(told, "size"),)
    return Placing(size, stored, (own[0] / size[0], own[1] / size[1]), notes)


def _doubted(placed: Placing, size: Size, picture: Picture) -> Placing:
    doubt = (
        f"The ground truth is drawn on {_by(size)} pixels, but this picture has {_by(picture.size)}, other "
        "proportions: it was cropped or stretched, which nobody can tell, so no figure counts the ground truth. "
        "Use the picture that it was drawn on."
    )
    return Placing(placed.size, False, placed.scale, (), doubt)


def _turn(picture: Picture) -> tuple[Note, ...]:
    return (
        Note(
            f"The ground truth is drawn on the picture as its file has it, {_by(picture.stored)}, and turned with it: "
            f"the picture is {TURNS[picture.orientation]} by its tag.",
            "orientation",
        ),
    )


def _swapped(size: Size, picture: Picture) -> Note:
    return Note(
        f"The ground truth says {_by(size)}, which is the picture before it was turned by its tag, but reaches outside "
        f"that and fits {_by(picture.size)}: it is taken as drawn on the turned picture.",
        "orientation",
    )


def _either(picture: Picture) -> tuple[Note, ...]:
    if picture.orientation not in TURNS:
        return ()
    return (
        Note(
            f"The picture is {TURNS[picture.orientation]} by its tag, and no size tells whether the ground truth was "
            "drawn before or after that; it is taken as drawn on the picture as you see it.",
            "orientation",
        ),
    )


def _by(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
