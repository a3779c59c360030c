"""Masks in image files: what is inside, and which pixels are to be left out of every figure.

A picture with a palette holds label numbers, and colours only for people (Pascal VOC, ADE20K), unless the palette is
grey. Label pictures leave a border around objects out of all counts: VOC's 255, -1 of signed files, the largest
number of 16 bits. 255 of an 8-bit picture is that border only beside other labels; in a plain mask, hard or soft, it
is the inside.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import VLExplainError
from ..io.dicom.content import is_dicom
from ..io.images import read_image
from .described import MaskFile
from .note import Note

Mask = NDArray[np.bool_]
VOC_RIM = (224, 224, 192)
"""The colour of 255 in VOC's palette, for label pictures that were saved as colours."""
_SOFT = 100
_LISTED = 12


@dataclass(frozen=True, eq=False)
class Inside:
    """``mask`` (H, W) bool; ``void`` (H, W) bool, the pixels that no figure may count, or None."""

    mask: Mask
    void: Mask | None = None
    notes: tuple[Note, ...] = ()


def read_mask(given: MaskFile) -> Inside:
    """What is inside, by the file's rule.

    Raises VLExplainError for a file that is no image, holds NaN, or lacks the label asked for.
    """
    file = given.path
    if given.rule == "half":
        return Inside(_half(_grey(read_image(file))))
    pixels, numbered = read_labels(file)
    if given.rule == "any" and file.suffix.lower() in (".jpg", ".jpeg"):  # whose zeros are never quite zero
        return Inside(np.asarray(_grey(pixels) > 127))
    if pixels.dtype.kind == "f" and np.isnan(pixels).any():
        raise VLExplainError(f"{file.name} holds NaN, but a mask is zero outside and not zero inside.")
    if pixels.ndim == 3 and given.rule == "label":
        pixels = pixels[..., 0] + pixels[..., 1].astype(np.int64) * 256
    if pixels.ndim == 3:
        return _colours(pixels, file.name)
    void = pixels == given.ignore if given.ignore is not None else void_of(pixels, numbered)
    notes = () if given.ignore is not None or void is None else (void_note(pixels, void),)
    if given.rule == "label":
        return Inside(np.asarray(pixels == given.value), void, notes)
    mask = pixels != 0 if void is None else (pixels != 0) & ~void
    return Inside(mask, void, notes + _labels_note(pixels, mask, numbered, file.name))


def read_labels(file: Path) -> tuple[NDArray[Any], bool]:
    """The pixels of a label picture (H, W), or (H, W, 3 or 4) where it holds colours; and are they a palette's numbers?

    Raises VLExplainError as :func:`~napari_vlexplain.io.images.read_image`.
    """
    pixels = read_image(file)
    numbers = None if pixels.ndim == 2 or is_dicom(file) else _numbers(file)
    return (pixels, False) if numbers is None else (numbers, True)


def _numbers(file: Path) -> NDArray[np.uint8] | None:
    """Of a file with a palette of colours its numbers, turned as its picture is; None for all others."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file) as image:
                palette = image.getpalette("RGB") if image.mode == "P" else None
                if palette is None:
                    return None
                numbers = np.asarray(ImageOps.exif_transpose(image))
                return numbers if _means_numbers(np.array(palette).reshape(-1, 3), np.unique(numbers)) else None
    except (OSError, ValueError, SyntaxError):
        return None  # what tifffile alone can read has no palette that Pillow knows


def _means_numbers(palette: NDArray[Any], used: NDArray[Any]) -> bool:
    """Do the numbers of a palette's picture stand for labels?

    Not where its colours are greys, which say the same themselves, nor where black is another number than 0: then a
    picture of few colours was saved with a palette made for it. (Cityscapes paints 255, its border, black.)
    """
    if (palette == palette[:, :1]).all():
        return False
    black = used[(used < len(palette)) & ~palette[np.minimum(used, len(palette) - 1)].any(axis=1)]
    return not np.setdiff1d(black, (0, 255)).size


def void_of(labels: NDArray[Any], numbered: bool = True) -> Mask | None:
    """The pixels (H, W) of integer labels that are to be left out; None where there are none.

    ``numbered``: pixels are known to be the numbers of labels, and not the grey of a mask.
    """
    if labels.dtype.kind == "i" and (labels < 0).any():
        return np.asarray(labels < 0)
    if labels.dtype not in (np.uint8, np.uint16):
        return None
    top = np.asarray(labels == np.iinfo(labels.dtype).max)
    others = (labels != 0) & ~top
    if not top.any() or not others.any():
        return None
    return top if numbered or _are_labels(labels, np.unique(labels[others])) else None


def _are_labels(labels: NDArray[Any], others: NDArray[Any]) -> bool:
    """Are these numbers of labels, and not the grey of a soft edge? Edges are thin, and reach up to white."""
    if int(others.max()) <= _SOFT:
        return True
    even = ndimage.maximum_filter(labels, 3) == ndimage.minimum_filter(labels, 3)
    return bool(np.isin(labels[even], others).any())


def void_note(labels: NDArray[Any], void: Mask) -> Note:
    """What is said of labels (H, W) some of which are left out."""
    return Note(
        f"Label {int(labels[void].flat[0])} of the ground truth is taken for the border that is to be left out: "
        f"no figure counts its {int(np.count_nonzero(void))} pixels.",
        "void",
    )


def _labels_note(pixels: NDArray[Any], mask: Mask, numbered: bool, name: str) -> tuple[Note, ...]:
    if pixels.dtype.kind not in "ui" or not mask.any():
        return ()
    labels = np.unique(pixels[mask])
    if labels.size < 2 or not (numbered or _are_labels(pixels, labels[labels < np.iinfo(pixels.dtype).max])):
        return ()
    listed = ", ".join(str(int(n)) for n in labels[:_LISTED]) + (", ..." if labels.size > _LISTED else "")
    told = (
        f"{name} holds {labels.size} labels ({listed}), and all count as inside; name one by --label, or in the "
        "column label."
    )
    return (Note(told, "labels"),)


def _colours(pixels: NDArray[Any], name: str) -> Inside:
    """Not black is inside; transparent pixels are outside, a drawing in plain black on transparent ground counts."""
    coloured = np.asarray(pixels[..., :3].any(axis=2))
    if pixels.shape[2] == 4:
        visible = pixels[..., 3] > 0
        both = visible & coloured
        return Inside(both if both.any() or visible.all() else visible)
    rim = np.asarray((pixels == VOC_RIM).all(axis=2)) if pixels.dtype == np.uint8 else np.zeros(coloured.shape, bool)
    if not rim.any() or not (coloured & ~rim).any():
        return Inside(coloured)
    told = (
        f"The colour {VOC_RIM} of {name} is VOC's border, which is to be left out: no figure counts its "
        f"{int(np.count_nonzero(rim))} pixels."
    )
    return Inside(coloured & ~rim, rim, (Note(told, "void"),))


def _half(grey: NDArray[Any]) -> Mask:
    top = np.iinfo(grey.dtype).max if grey.dtype.kind in "ui" else 1.0
    return np.asarray(grey > top / 2)


def _grey(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels if pixels.ndim == 2 else pixels[..., :3].max(axis=2)
