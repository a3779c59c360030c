"""What a data set says of a ground truth before it is laid on its picture: plain data, to be sent to workers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Box = tuple[float, float, float, float]
"""x, y, width, height in source pixels from the top left."""
Runs = tuple[int, int, tuple[int, ...] | str]
"""COCO's run-length code: height, width, and the counts as numbers or as COCO's string."""


@dataclass(frozen=True)
class Boxes:
    """The union of boxes. ``size``: (width, height) of the image they were drawn on; an image of another is scaled.

    ``doubt``: why no figure may count them, "" where figures may.
    """

    boxes: tuple[Box, ...]
    size: tuple[int, int] | None = None
    doubt: str = ""


@dataclass(frozen=True)
class Segments:
    """The union of polygons (x0, y0, x1, y1, ...) in pixel edges, run-length codes, and boxes; ``size`` as of Boxes.

    ``shares``: numbers are shares of the picture's width and height, in [0, 1], and no pixels.
    """

    polygons: tuple[tuple[float, ...], ...] = ()
    runs: tuple[Runs, ...] = ()
    size: tuple[int, int] | None = None
    boxes: tuple[Box, ...] = ()
    shares: bool = False


@dataclass(frozen=True)
class MaskFile:
    """An image file of labels. Which pixels are inside:

    ``any``: not zero; ``half``: above half of the range; ``label``: those of ``value``, where a pixel's label is
    R + 256 G in a colour file and its number in one with a palette. Pixels of the label ``ignore`` count nowhere;
    without one the border that label pictures leave out is found, see :mod:`.label_pictures`.
    """

    path: Path
    rule: Literal["any", "half", "label"] = "any"
    value: int = 1
    ignore: int | None = None


@dataclass(frozen=True)
class AnnotationFile:
    """A file of an annotation tool; of it the objects that belong to a prompt (None: all) on the image of that name."""

    path: Path
    prompt: str | None = None
    image: str = ""


Truth = Boxes | MaskFile | Segments | AnnotationFile


def file_of(truth: Truth) -> Path | None:
    """The file that a ground truth is read from, if it is not in the table."""
    return truth.path if isinstance(truth, MaskFile | AnnotationFile) else None
