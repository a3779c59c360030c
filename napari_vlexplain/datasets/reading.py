"""From an entry to a case: the image's pixels and the ground truth on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..io.images import read_image
from ..truth.laying import GroundTruth, lay
from ..truth.note import Note
from ..truth.picture import Picture
from .cases import Case
from .dataset import Drawn, Entry

Mask = NDArray[np.bool_]


def read_case(entry: Entry) -> Case:
    """Read an entry's image and draw its ground truth, empty masks where none is known.

    A ground truth that cannot be read or does not fit its image is told in ``notes`` and ``doubts``.

    Raises
    ------
    VLExplainError : the image is missing or broken.
    """
    if isinstance(entry.image, Drawn):
        return _drawn(entry, entry.image)
    image = read_pixels(entry.image)
    found = read_truths(entry, image)
    masks = np.zeros((len(entry.prompts), *image.shape[:2]), dtype=bool)
    ignored: Mask | None = None
    for k, truth in enumerate(found):
        if truth.mask is not None:
            masks[k] = truth.mask
        if truth.ignored is not None:
            ignored = truth.ignored if ignored is None else ignored | truth.ignored
    doubts = tuple(truth.doubt for truth in found)
    return Case(entry.id, image, entry.prompts, masks, entry.group, ignored, notes_of(entry, found), doubts)


def read_pixels(path: Path) -> NDArray[Any]:
    """An image file, DICOM included, see :func:`napari_vlexplain.io.images.read_image`."""
    return read_image(path)


def read_truths(entry: Entry, image: NDArray[Any]) -> list[GroundTruth]:
    """The ground truth of each prompt that has one, on the entry's image (H, W, ...) as it was read.

    One that cannot be laid there has no mask, and says why in its ``doubt``.
    """
    picture = Picture.of(image, entry.image if isinstance(entry.image, Path) else None)
    found = []
    for truth in entry.truths:
        try:
            found.append(lay(truth, picture, entry.id))
        except VLExplainError as error:  # the picture can be looked at and explained all the same
            doubt = Note(f"No ground truth: {error}", "unread")
            found.append(GroundTruth(None, notes=(doubt,), doubt=str(doubt)))
    return found


def notes_of(entry: Entry, found: list[GroundTruth]) -> tuple[Note, ...]:
    """Everything that is to be said of an entry's ground truths, once."""
    return tuple(dict.fromkeys([*entry.notes, *(note for truth in found for note in truth.notes)]))


def _drawn(entry: Entry, drawn: Drawn) -> Case:
    from .worlds import cases

    (case,) = cases(drawn.world, 1, drawn.seed, size=drawn.size, start=drawn.index)
    return Case(entry.id, case.image, entry.prompts, case.masks, entry.group)
