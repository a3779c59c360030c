"""Where the answer lies: a mask from an image file, or from boxes and outlines in a file of annotations.

Boxes are ``[x, y, width, height]`` in source pixels from the top left corner, see
:mod:`napari_vlexplain.truth.annotated.own_boxes`; LabelMe's and COCO's JSON, Pascal VOC's XML and YOLO's text are read
as well. Everything is laid on its picture by :func:`napari_vlexplain.truth.laying.lay`, which says what it found.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from ..errors import VLExplainError
from .annotated import is_annotation, regions_of_text
from .annotated.objects import words_of
from .boxes import Mask, boxes_of, mask_of_boxes
from .described import AnnotationFile, MaskFile, Truth
from .laying import GroundTruth, lay, lay_regions
from .picture import Picture

__all__ = ["Mask", "boxes_of", "find_ground_truth", "mask_of_boxes", "read_ground_truth", "words_of"]


def find_ground_truth(
    path: str | Path, picture: Picture, prompt: str | None = None, label: int | None = None
) -> GroundTruth:
    """The ground truth of a picture, with all that was found while it was read.

    Parameters
    ----------
    path : a mask image, or a file of annotations (``.json``, ``.xml``, ``.txt``), or what a JSON file of boxes holds.
        In a mask, what is not zero is inside, see :mod:`napari_vlexplain.truth.label_pictures`; transparent pixels are
        outside, and a drawing in plain black on transparent ground counts. Of a JPEG, whose zeros are never quite
        zero, the brighter half of the range is inside.
    prompt : take only what belongs to it; None takes all.
    label : of a label picture the number that is inside; None takes all.

    Raises
    ------
    VLExplainError : no such file, none that can be read, a mask of other proportions than the picture's, a box without
        area, nothing for the prompt or the picture.
    """
    text = isinstance(path, str) and path.lstrip().startswith("{")
    if label is not None and (text or is_annotation(path)):
        raise VLExplainError("A label is a number in a picture of labels; of a file of annotations leave it out.")
    if text:
        return lay_regions(regions_of_text(str(path), prompt), picture, "The ground truth")
    file = Path(path).expanduser()
    given: Truth = MaskFile(file) if label is None else MaskFile(file, "label", label)
    if is_annotation(file):
        given = AnnotationFile(file, prompt)
    found = lay(given, picture, file.name)
    if label is not None and found.mask is not None and not found.mask.any():
        raise VLExplainError(f"{file.name} holds no pixel of label {label}.")
    return found


def read_ground_truth(path: str | Path, shape: tuple[int, int], prompt: str | None = None) -> Mask | None:
    """The mask (H, W) bool of :func:`find_ground_truth`; None where it is said that there is none.

    What was found on the way is told by ``warnings``. Raises VLExplainError as that function does, and where no figure
    may count the ground truth.
    """
    found = find_ground_truth(path, Picture(shape), prompt)
    if found.doubt:
        raise VLExplainError(found.doubt)
    for note in found.notes:
        warnings.warn(note, stacklevel=2)
    return found.mask
