"""From what a data set says of a ground truth to pixels of its picture, with what was found on the way."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from .annotated import Regions, regions_of
from .box_checks import misread, outside_notes
from .boxes import mask_of_boxes
from .described import AnnotationFile, Box, Boxes, MaskFile, Segments, Truth
from .label_pictures import Mask, read_mask
from .note import Note
from .outlines import fill
from .picture import Picture, turned, turned_boxes
from .placing import Placing, place
from .run_lengths import decode_runs

NO_BOXES: NDArray[np.float64] = np.zeros((0, 4))


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Where the answer lies on a picture.

    mask : (H, W) bool; None where nothing is known, or there is nothing.
    ignored : (H, W) bool, pixels that no figure may count; None for none.
    boxes : (n, 4) x, y, width, height in pixels of the picture, where it is made of boxes alone.
    notes : what was found, a sentence each; ``doubt`` is the first of them where there is one.
    doubt : why no figure may count the mask, which can be looked at all the same; "" where figures may.
    """

    mask: Mask | None
    ignored: Mask | None = None
    boxes: NDArray[np.float64] = field(default_factory=lambda: NO_BOXES)
    notes: tuple[Note, ...] = ()
    doubt: str = ""

    @property
    def measured(self) -> Mask | None:
        """The mask that figures may count."""
        return None if self.doubt else self.mask


def lay(truth: Truth, picture: Picture, name: str) -> GroundTruth:
    """Lay a ground truth on its picture; ``name`` is for sentences.

    Raises
    ------
    VLExplainError : a file that cannot be read, a mask of other proportions than the picture's, a box without area or
        wholly outside, an annotation file without anything for its prompt or image.
    """
    if isinstance(truth, MaskFile):
        return _mask_file(truth, picture)
    if isinstance(truth, Boxes):
        found = _regions(Segments(size=truth.size, boxes=truth.boxes), picture, name)
        if truth.doubt and not found.doubt:
            doubt = truth.doubt if isinstance(truth.doubt, Note) else Note(truth.doubt, "corners")
            return replace(found, notes=(doubt, *found.notes), doubt=str(doubt))
        return found
    if isinstance(truth, AnnotationFile):
        return lay_regions(regions_of(truth, picture), picture, truth.path.name)
    return _regions(truth, picture, name)


def lay_regions(read: Regions, picture: Picture, name: str) -> GroundTruth:
    """The same of what a file of annotations holds."""
    if read.segments is None:
        return GroundTruth(None, notes=read.notes)
    found = _regions(read.segments, picture, name)
    return replace(found, notes=(*found.notes, *read.notes))


def foreseen(truth: Boxes | Segments, picture: Picture) -> tuple[Note, ...]:
    """What will be found when it is laid on a picture, without drawing it."""
    found = Segments(size=truth.size, boxes=truth.boxes) if isinstance(truth, Boxes) else truth
    return _checked(found, picture).notes


def mask_doubt(name: str, size: tuple[int, int], picture: Picture) -> tuple[Note, ...]:
    """Why a mask of (width, height) cannot be laid on a picture; nothing where it can."""
    if not place(size, size, picture).doubt:
        return ()
    told = f"{name} is {size[0]} x {size[1]} pixels, but the image is {picture.size[0]} x {picture.size[1]}."
    return (Note(told, "proportions"),)


def _mask_file(truth: MaskFile, picture: Picture) -> GroundTruth:
    inside = read_mask(truth)
    size = (inside.mask.shape[1], inside.mask.shape[0])
    for doubt in mask_doubt(truth.path.name, size, picture):
        raise VLExplainError(doubt)
    placing = place(size, size, picture)
    mask = _shown(inside.mask, placing, picture)
    void = None if inside.void is None else _shown(inside.void, placing, picture)
    return GroundTruth(mask, void, notes=(*placing.notes, *inside.notes, *_nothing(mask), *_everything(mask)))


@dataclass(frozen=True)
class _Checked:
    """Where regions belong, what was found, and why no figure may count them."""

    placing: Placing
    notes: tuple[Note, ...]
    doubt: str


def _checked(found: Segments, picture: Picture) -> _Checked:
    size = found.size or next(((width, height) for height, width, _ in found.runs), None)
    placing = place(size, _reach(found), picture, found.shares)
    if placing.doubt:
        return _Checked(placing, (Note(placing.doubt, "proportions"), *placing.notes), placing.doubt)
    across, down = placing.scale if found.shares else (1.0, 1.0)
    boxes = [_scaled(box, across, down) for box in found.boxes]
    unit = picture.size if found.shares else placing.size
    doubt = None if found.shares else misread([(box, unit) for box in boxes])
    if doubt is not None:
        return _Checked(placing, (doubt, *placing.notes), str(doubt))
    outlines = [_outline(polygon, (across, down)) + 0.5 for polygon in found.polygons]
    return _Checked(placing, (*outside_notes(boxes, outlines, unit), *placing.notes), "")


def _regions(found: Segments, picture: Picture, name: str) -> GroundTruth:
    """Polygons, run-length masks and boxes, drawn at the picture's own resolution."""
    checked = _checked(found, picture)
    placing = checked.placing
    own = picture.stored if placing.stored else picture.size
    shape = (own[1], own[0])
    boxes = [_scaled(box, *placing.scale) for box in found.boxes]
    mask = mask_of_boxes(boxes, shape, name)
    mask |= fill([_outline(polygon, placing.scale) for polygon in found.polygons], shape)
    for height, width, counts in found.runs:
        if (width, height) != placing.size:
            raise VLExplainError(f"A run-length mask is {width} x {height}, but its image is {own[0]} x {own[1]}.")
        mask |= resized(decode_runs(counts, (height, width)), shape)
    orientation = picture.orientation if placing.stored else 1
    mask = turned(mask, orientation)
    alone = not (found.polygons or found.runs)
    laid = turned_boxes(np.array(boxes, float).reshape(-1, 4), own, orientation) if alone else NO_BOXES
    return GroundTruth(mask, None, laid, (*checked.notes, *_nothing(mask)), checked.doubt)


def resized(mask: Mask, shape: tuple[int, int]) -> Mask:
    """A mask brought to (H, W) by the nearest pixel."""
    if mask.shape == shape:
        return mask
    rows, columns = (
        ((np.arange(new) + 0.5) * (old / new)).astype(np.intp) for new, old in zip(shape, mask.shape, strict=True)
    )
    return np.ascontiguousarray(mask[rows][:, columns])


def _shown(mask: Mask, placing: Placing, picture: Picture) -> Mask:
    own = picture.stored if placing.stored else picture.size
    return turned(resized(mask, (own[1], own[0])), picture.orientation if placing.stored else 1)


def _outline(polygon: tuple[float, ...], scale: tuple[float, float]) -> NDArray[np.float64]:
    x, y = np.asarray(polygon[::2]) * scale[0], np.asarray(polygon[1::2]) * scale[1]
    return np.stack([y, x], axis=1) - 0.5  # these numbers count pixel edges, ``fill`` pixel centres


def _reach(found: Segments) -> tuple[float, float]:
    """The largest x and y that occur."""
    x = [box[0] + box[2] for box in found.boxes] + [max(polygon[::2]) for polygon in found.polygons]
    y = [box[1] + box[3] for box in found.boxes] + [max(polygon[1::2]) for polygon in found.polygons]
    return max(x, default=0.0), max(y, default=0.0)


def _scaled(box: Box, across: float, down: float) -> Box:
    x, y, width, height = box
    return x * across, y * down, width * across, height * down


def _nothing(mask: Mask) -> tuple[Note, ...]:
    return () if mask.any() else (Note("The ground truth is empty: no pixel is marked.", "empty"),)


def _everything(mask: Mask) -> tuple[Note, ...]:
    """Colours on white ground, or a photograph in place of its mask."""
    told = "The mask covers the whole picture, as no pixel of it is zero; what is not zero is inside."
    return (Note(told, "whole"),) if mask.all() else ()
