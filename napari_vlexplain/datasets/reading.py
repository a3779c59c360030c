"""From an entry to a case: the image's pixels and the ground truth on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..io.ground_truth import mask_of_boxes
from ..io.images import read_image
from ..metrics.outlines import fill
from .cases import Case
from .dataset import Boxes, Drawn, Entry, MaskFile, Segments, Truth

Mask = NDArray[np.bool_]


def read_case(entry: Entry) -> Case:
    """Read an entry's image and draw its ground truth, empty masks where none is known.

    Raises
    ------
    VLExplainError : a file is missing or broken, a ground truth does not fit its image.
    """
    if isinstance(entry.image, Drawn):
        return _drawn(entry, entry.image)
    image = read_pixels(entry.image)
    shape = (image.shape[0], image.shape[1])
    masks = np.zeros((len(entry.prompts), *shape), dtype=bool)
    ignored: Mask | None = None
    for k, truth in enumerate(entry.truths):
        masks[k], apart = mask_of(truth, shape, entry.id)
        if apart is not None:
            ignored = apart if ignored is None else ignored | apart
    return Case(entry.id, image, entry.prompts, masks, entry.group, ignored)


def read_pixels(path: Path) -> NDArray[Any]:
    """An image file, DICOM included, see :func:`napari_vlexplain.io.images.read_image`."""
    return read_image(path)


def mask_of(truth: Truth, shape: tuple[int, int], name: str) -> tuple[Mask, Mask | None]:
    """(mask, ignored) of a ground truth on an image of ``shape``; both (H, W), ignored may be None."""
    if isinstance(truth, MaskFile):
        return _mask_file(truth, shape)
    scale = (1.0, 1.0) if truth.size is None else (shape[1] / truth.size[0], shape[0] / truth.size[1])
    if isinstance(truth, Boxes):
        sx, sy = scale
        return mask_of_boxes([[x * sx, y * sy, w * sx, h * sy] for x, y, w, h in truth.boxes], shape, name), None
    return _segments(truth, shape, scale), None


def _drawn(entry: Entry, drawn: Drawn) -> Case:
    from .worlds import cases

    (case,) = cases(drawn.world, 1, drawn.seed, size=drawn.size, start=drawn.index)
    return Case(entry.id, case.image, entry.prompts, case.masks, entry.group)


def _mask_file(truth: MaskFile, shape: tuple[int, int]) -> tuple[Mask, Mask | None]:
    pixels = read_image(truth.path)
    if pixels.shape[:2] != shape:
        raise VLExplainError(
            f"{truth.path.name} is {pixels.shape[1]} x {pixels.shape[0]} pixels, but its image is "
            f"{shape[1]} x {shape[0]}."
        )
    if truth.rule == "label":
        label = pixels if pixels.ndim == 2 else pixels[..., 0] + pixels[..., 1].astype(np.int64) * 256
        ignored = None if truth.ignore is None else label == truth.ignore
        return label == truth.value, ignored
    grey = pixels if pixels.ndim == 2 else pixels[..., :3].max(axis=2)
    if truth.rule == "half":
        top = np.iinfo(grey.dtype).max if grey.dtype.kind in "ui" else 1.0
        return np.asarray(grey > top / 2), None
    lossy = truth.path.suffix.lower() in (".jpg", ".jpeg")  # whose zeros are never quite zero
    return np.asarray(grey > 127 if lossy else grey != 0), None


def _segments(truth: Segments, shape: tuple[int, int], scale: tuple[float, float]) -> Mask:
    outlines = []
    for polygon in truth.polygons:
        x, y = np.asarray(polygon[::2]) * scale[0], np.asarray(polygon[1::2]) * scale[1]
        outlines.append(np.stack([y, x], axis=1) - 0.5)  # COCO counts pixel edges, ``fill`` pixel centres
    mask = fill(outlines, shape)
    for height, width, counts in truth.runs:
        if (height, width) != shape:
            raise VLExplainError(f"A run-length mask is {width} x {height}, but its image is {shape[1]} x {shape[0]}.")
        mask |= decode_runs(counts, (height, width))
    return mask


def decode_runs(counts: tuple[int, ...] | str, shape: tuple[int, int]) -> Mask:
    """COCO's run-length code as a mask (H, W): runs of outside and inside in turn, column by column.

    In its string form each number is written in groups of five bits, lowest first, from the character "0" on, and
    from the fourth on as the difference to the last but one. Raises VLExplainError when the runs do not add up.
    """
    runs = list(counts) if not isinstance(counts, str) else _decode_string(counts)
    total = shape[0] * shape[1]
    if any(run < 0 for run in runs) or sum(runs) != total:
        raise VLExplainError(f"A run-length mask covers {sum(runs)} pixels, but its image has {total}.")
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return inside.reshape(shape[1], shape[0]).T


def _decode_string(text: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs
