"""A folder of DICOM files as what belongs together: stacks of planes, and images on their own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import VLExplainError
from .content import DIRECTORY, is_dicom
from .header import frames_of, identity_of, is_colour, numbers, read_header
from .planes import Plane, frames_as_planes, plane_of
from .stack import Stack, stacks_of

if TYPE_CHECKING:
    from pydicom import Dataset

MOST = 20_000
"""Files of a folder that are looked at."""
MOST_FRAMES = 100_000
PROJECTIONS = frozenset(("CR", "DX", "DR", "MG", "RG", "PX", "IO", "RF", "XC", "GM", "ES"))  # each shows one thing


def holds_dicom(folder: Path) -> bool:
    """Is there a DICOM file in the folder, or below? Looks at two hundred files at most."""
    return any(is_dicom(file) for file in islice(_files(folder), 200))


def series_of(folder: Path) -> tuple[list[Stack], int]:
    """The pictures in a folder and below it, and how many DICOM files were left out because they hold no image.

    Planes of one series and one shape are a stack, see :func:`~napari_vlexplain.io.dicom.stack.stacks_of`; a plane that
    comes twice counts once. Radiographs, colours and files of several frames stay on their own.
    """
    files = (file for file in islice(_files(folder), MOST) if file.name.upper() != DIRECTORY)
    return _series(file for file in files if is_dicom(file))


def stack_of_files(files: Sequence[Path]) -> Stack:
    """Files that the user wants as one stack: in the order of their places where they are one series, else as given."""
    found, left = _series(files)
    if not left and len(found) == 1 and len(found[0].planes) == len(files):
        return found[0]
    return Stack((tuple(Plane(file, 0, (float(k),), None, None, ()) for k, file in enumerate(files)),))


def stacks_of_frames(file: Path, header: Dataset) -> list[Stack]:
    """A file of several frames as stacks, in the order of its functional groups.

    Raises VLExplainError for a file that says it has more than ``MOST_FRAMES``.
    """
    count = frames_of(header)
    if count > MOST_FRAMES:
        raise VLExplainError(f"{file.name} says that it has {count} frames; up to {MOST_FRAMES} are shown as a stack.")
    return stacks_of(frames_as_planes(file, header, count))


def _series(files: Iterable[Path]) -> tuple[list[Stack], int]:
    kinds: dict[Any, list[Plane]] = {}
    seen: set[str] = set()
    left = 0
    for file in files:
        try:
            header = read_header(file)
        except VLExplainError:
            left += 1
            continue
        identity = identity_of(header)
        single = identity.modality in PROJECTIONS or is_colour(header) or not identity.series
        if frames_of(header) > 1 or single:
            kinds[file] = [plane_of(file, header)]
        elif identity.sop not in seen:
            kinds.setdefault(_kind(header), []).append(plane_of(file, header))
            seen.update([identity.sop] if identity.sop else [])
    return [stack for planes in kinds.values() for stack in stacks_of(planes)], left


def _kind(header: Dataset) -> tuple[Any, ...]:
    """Planes of one kind can be stacked."""
    size, spacing = numbers(header, "Rows") + numbers(header, "Columns"), numbers(header, "PixelSpacing")
    turn = np.round(numbers(header, "ImageOrientationPatient"), 2) + 0.0
    return identity_of(header).series, tuple(size), tuple(spacing), tuple(turn)


def _files(folder: Path) -> Iterator[Path]:
    """In the order of their names; links to folders are not followed."""
    for place, below, names in os.walk(folder):
        below.sort()
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))
