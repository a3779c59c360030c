"""A case, read: its pixels in the sizes that a window needs, its ground truth, and what the file says of both."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..datasets.dataset import Drawn, Entry
from ..datasets.reading import notes_of, read_case, read_pixels, read_truths
from ..errors import VLExplainError
from ..io.dicom.header import frames_of, read_header
from ..io.dicom.image import DicomImage, is_dicom, read_dicom_image
from ..io.dicom.spacing import shape_of_pixels
from ..io.images import default_limits
from ..results.request import ImageIdentity
from ..truth.described import file_of
from ..truth.note import Note

Mask = NDArray[np.bool_]
COARSEST = 1024  # pixels of the longer side, below which a window has nothing to gain
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Opened:
    """One case in memory.

    pixels : (H, W) or (H, W, 3 or 4), as read. levels : ``pixels``, then halved again and again, means of four.
    limits : (low, high) shown as black and white, what the model sees too; None for colours and for all of uint8.
    spacing : (row, column) in mm, None where unknown.
    truths : for each prompt (H, W) uint8, 1 inside; None where no ground truth is known.
    doubts : for each prompt why no figure may count its ground truth, "" where figures may.
    ignored : (H, W) bool, pixels that no figure may count; None for none.
    boxes : for each prompt (n, 4) x, y, width, height in pixels.
    dicom : all that a DICOM file says of its picture; None for others.
    notes : sentences that a reader should know of, such as why a ground truth is not there or is in doubt.
    state : see :func:`state_of`.
    """

    entry: Entry
    source: Path | None
    pixels: NDArray[Any]
    levels: tuple[NDArray[Any], ...]
    limits: tuple[float, float] | None
    spacing: tuple[float, float] | None
    truths: tuple[NDArray[np.uint8] | None, ...]
    boxes: tuple[NDArray[np.float64], ...]
    dicom: DicomImage | None = None
    notes: tuple[str, ...] = ()
    state: str = ""
    doubts: tuple[str, ...] = ()
    ignored: Mask | None = None

    def doubt(self, number: int) -> str:
        """Why no figure may count the ground truth of that prompt; "" where figures may."""
        return self.doubts[number] if self.doubts else ""

    def measured(self, number: int) -> NDArray[np.uint8] | None:
        """The ground truth of that prompt as far as figures may count it."""
        return None if self.doubt(number) else self.truths[number]

    @property
    def truth_notes(self) -> tuple[str, ...]:
        """Of the notes those on the ground truths."""
        return tuple(note for note in self.notes if isinstance(note, Note))

    @property
    def frames(self) -> int:
        """In the file; one of them is read, ``entry.frame``."""
        return 1 if self.dicom is None else self.dicom.frames

    @property
    def rgb(self) -> bool:
        return self.pixels.ndim == 3

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def shown_limits(self) -> tuple[float, float]:
        """The limits in full: ``limits``, or 0 and 255."""
        return self.limits or (0.0, 255.0)

    @property
    def scale(self) -> tuple[float, float]:
        """Of rows and columns: in mm where they are known, else the shape of a pixel."""
        if self.spacing is not None:
            return self.spacing
        aspect = None if self.dicom is None else self.dicom.aspect
        return (1.0, 1.0) if aspect is None else shape_of_pixels(aspect)

    @cached_property
    def identity(self) -> ImageIdentity:
        """For requests; hashes the pixels once."""
        plane = (self.entry.frame,) if self.frames > 1 else ()
        return ImageIdentity.of(self.pixels, str(self.source or self.entry.id), self.limits, plane)


def read(entry: Entry) -> Opened:
    """Read a case from its files, or draw it.

    Raises
    ------
    VLExplainError : the image is missing or broken.
    """
    state = state_of(entry)  # first: what changes while it is read is another state
    if entry.frame and isinstance(entry.image, Path):  # there may be fewer by now
        entry = replace(entry, frame=min(entry.frame, frames_of(read_header(entry.image)) - 1))
    return replace(_read(entry), state=state)


def state_of(entry: Entry) -> str:
    """The case, with its files as the disk tells them from earlier ones of their names; "" where one is missing."""
    files = [part for part in (entry.image, *map(file_of, entry.truths)) if isinstance(part, Path)]
    try:
        seen = [os.stat(file) for file in files]
    except OSError:
        return ""
    # The time of the last change of any kind (ctime) cannot be set back, as that of the contents can.
    return repr((entry, [(one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in seen]))


def _read(entry: Entry) -> Opened:
    count = max(1, len(entry.prompts))
    if isinstance(entry.image, Drawn):
        case = read_case(entry)
        return _opened(entry, case.image, [mask.view(np.uint8) for mask in case.masks], [_NO_BOXES] * count)
    dicom = read_dicom_image(entry.image, entry.frame) if is_dicom(entry.image) else None
    pixels = read_pixels(entry.image) if dicom is None else dicom.pixels
    truths: list[NDArray[np.uint8] | None] = [None] * count
    boxes = [_NO_BOXES] * count
    notes: list[str] = [] if dicom is None else [*dicom.warnings]
    if entry.truths and entry.frame:
        notes.append("The ground truth is that of the first frame.")
    found = [] if entry.frame else read_truths(entry, pixels)
    ignored: Mask | None = None
    for number, truth in enumerate(found):
        truths[number] = None if truth.mask is None else truth.mask.view(np.uint8)
        boxes[number] = truth.boxes
        if truth.ignored is not None:
            ignored = truth.ignored if ignored is None else ignored | truth.ignored
    notes += [] if entry.frame else notes_of(entry, found)
    doubts = tuple(truth.doubt for truth in found)
    opened = _opened(entry, pixels, truths, boxes, dicom)
    return replace(opened, notes=tuple(notes), doubts=doubts, ignored=ignored)


def halved(pixels: NDArray[Any]) -> NDArray[Any]:
    """Means of two by two pixels, in the same dtype; an odd last row or column is left out."""
    height, width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
    even = pixels[:height, :width]
    if pixels.dtype.kind == "f":
        rows = even[0::2] + even[1::2]
        return np.ascontiguousarray((rows[:, 0::2] + rows[:, 1::2]) * pixels.dtype.type(0.25))
    wide = np.int64 if pixels.dtype.itemsize > 2 else np.int32
    rows = even[0::2].astype(wide) + even[1::2]
    return np.ascontiguousarray(((rows[:, 0::2] + rows[:, 1::2]) >> 2).astype(pixels.dtype))


def levels_of(pixels: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """The pixels, then halved until the longer side is at most ``COARSEST``."""
    levels = [pixels]
    while max(levels[-1].shape[:2]) > COARSEST and min(levels[-1].shape[:2]) > 1:
        levels.append(halved(levels[-1]))
    return tuple(levels)


class Recent(Generic[T]):
    """The few things used last, by key; threads may share it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = RLock()

    def get(self, key: Hashable) -> T | None:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: Hashable, value: T) -> T:
        with self._lock:
            self._held[key] = value
            self._held.move_to_end(key)
            while len(self._held) > self._most:
                self._held.popitem(last=False)
        return value

    def get_or(self, key: Hashable, make: Callable[[], T]) -> T:
        found = self.get(key)
        return found if found is not None else self.put(key, make())

    def clear(self) -> None:
        with self._lock:
            self._held.clear()


_NO_BOXES = np.zeros((0, 4))


def _opened(
    entry: Entry, pixels: NDArray[Any], truths: list[Any], boxes: list[Any], dicom: DicomImage | None = None
) -> Opened:
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim not in (2, 3) or 0 in pixels.shape or pixels.dtype.kind not in "buif":
        raise VLExplainError(f"The image of {entry.id} has shape {pixels.shape}; a picture has rows and columns.")
    pixels = pixels.astype(np.uint8) * np.uint8(255) if pixels.dtype.kind == "b" else np.ascontiguousarray(pixels)
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise VLExplainError(f"The image of {entry.id} holds pixels that are NaN or infinite; replace them.")
    limits = None if dicom is None else dicom.limits
    if limits is None:
        limits = default_limits(pixels)
    if pixels.ndim == 3 or (limits == (0, 255) and pixels.dtype == np.uint8):
        limits = None
    pixels.flags.writeable = False  # layers and threads share them
    source = entry.image if isinstance(entry.image, Path) else None
    spacing = None if dicom is None else dicom.spacing
    return Opened(entry, source, pixels, levels_of(pixels), limits, spacing, tuple(truths), tuple(boxes), dicom)
