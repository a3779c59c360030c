"""A folder of DICOM files as what belongs together: stacks of planes, and images on their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import VLExplainError
from .dicom_header import frames_of, identity_of, is_colour, is_dicom, numbers, read_header

if TYPE_CHECKING:
    from pydicom import Dataset

MOST = 20_000
"""Files of a folder that are looked at."""
PROJECTIONS = frozenset(("CR", "DX", "DR", "MG", "RG", "PX", "IO", "RF", "XC", "GM", "ES"))  # each shows one thing


@dataclass(frozen=True)
class Series:
    """Files that are one picture: ``files`` in the order of their planes, ``step`` mm apart (None where unknown)."""

    files: tuple[Path, ...]
    step: float | None = None


@dataclass(frozen=True)
class _Plane:
    file: Path
    number: float
    place: float | None  # along the normal, in mm
    kind: tuple[Any, ...]  # planes of one kind can be stacked
    single: bool


def holds_dicom(folder: Path) -> bool:
    """Is there a DICOM file in the folder, or below? Looks at two hundred files at most."""
    return any(is_dicom(file) for file in islice(_files(folder), 200))


def series_of(folder: Path) -> tuple[list[Series], int]:
    """The series in a folder and below it, and how many DICOM files were left out because they hold no image.

    Planes of one series and one shape are a stack, sorted by their place along its normal, else by their number.
    Radiographs, colours and files of several frames stay on their own.
    """
    groups: dict[Any, list[_Plane]] = {}
    left = 0
    for file in islice(_files(folder), MOST):
        if not is_dicom(file) or file.name.upper() == "DICOMDIR":
            continue
        try:
            plane = _plane(file, read_header(file))
        except VLExplainError:
            left += 1
            continue
        groups.setdefault(plane.file if plane.single else plane.kind, []).append(plane)
    return [_sorted(planes) for planes in groups.values()], left


def _files(folder: Path) -> Iterator[Path]:
    """In the order of their names; links to folders are not followed."""
    for place, below, names in os.walk(folder):
        below.sort()
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def _plane(file: Path, header: Dataset) -> _Plane:
    identity = identity_of(header)
    turn, position = numbers(header, "ImageOrientationPatient"), numbers(header, "ImagePositionPatient")
    place = None
    if len(turn) == 6 and len(position) == 3:
        place = float(np.dot(np.cross(turn[:3], turn[3:]), position))
    number = next(iter(numbers(header, "InstanceNumber")), 0.0)
    spacing = tuple(numbers(header, "PixelSpacing"))
    size = tuple(numbers(header, "Rows") + numbers(header, "Columns"))
    kind = (identity.series, size, spacing, tuple(np.round(turn, 3)))
    single = identity.modality in PROJECTIONS or frames_of(header) > 1 or is_colour(header) or not identity.series
    return _Plane(file, number, place, kind, single)


def _sorted(planes: list[_Plane]) -> Series:
    places = [plane.place for plane in planes if plane.place is not None]
    if len(places) < len(planes) or len(set(places)) < len(planes):
        planes.sort(key=lambda plane: (plane.number, plane.file.name))
        return Series(tuple(plane.file for plane in planes))
    planes.sort(key=lambda plane: (plane.place, plane.number))
    steps = np.diff(sorted(places))
    return Series(tuple(plane.file for plane in planes), float(np.median(steps)) if len(steps) else None)
