"""Planes, be they files or frames of one: where each lies, and what tells it from another in the same place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .header import groups, numbers

if TYPE_CHECKING:
    from pydicom import Dataset

_UP = np.array([0.0, 0.0, 1.0])
PHASES = (
    ("TemporalPositionIndex", "FrameContentSequence"), ("TemporalPositionIdentifier", ""),
    ("EchoNumbers", ""), ("EffectiveEchoTime", "MREchoSequence"), ("EchoTime", ""),
    ("DiffusionBValue", "MRDiffusionSequence"),
    ("NominalCardiacTriggerDelayTime", "CardiacSynchronizationSequence"), ("TriggerTime", ""),
    ("AcquisitionNumber", ""), ("FrameAcquisitionNumber", "FrameContentSequence"),
    ("AcquisitionTime", ""), ("ContentTime", ""), ("FrameReferenceDateTime", "FrameContentSequence"),
    ("FrameAcquisitionDateTime", "FrameContentSequence"), ("ImageType", ""),
)  # fmt: skip
"""What may tell planes of one place apart, with the functional group that it stands in, in the order of asking."""


@dataclass(frozen=True)
class Plane:
    """One picture of a stack.

    file, frame : where its pixels are; frame from 0.
    number : its order where no place is known.
    position : (3,) of its first pixel in mm, None where unknown.
    normal : (3,) of unit length, None where unknown.
    phases : the values of ``PHASES``, None for those that are missing.
    """

    file: Path
    frame: int
    number: tuple[float, ...]
    position: NDArray[np.float64] | None
    normal: NDArray[np.float64] | None
    phases: tuple[Any, ...]

    @property
    def place(self) -> float | None:
        """Along the normal, in mm."""
        if self.position is None or self.normal is None:
            return None
        return float(np.dot(self.normal, self.position))


def plane_of(file: Path, header: Dataset) -> Plane:
    """Of a file of one picture."""
    number = next(iter(numbers(header, "InstanceNumber")), 0.0)
    return _plane(file, header, 0, (number,))


def frames_as_planes(file: Path, header: Dataset, count: int) -> list[Plane]:
    """Of a file of several frames, in the file's order; their number is that of its dimensions, where it has them."""
    offsets = numbers(header, "GridFrameOffsetVector")
    placed = len(offsets) == count or any(
        "ImagePositionPatient" in group and group is not header
        for frame in {0, count - 1}
        for group in groups(header, "PlanePositionSequence", frame)
    )
    planes = []
    for frame in range(count):
        content = next(groups(header, "FrameContentSequence", frame))
        in_stack = numbers(content, "InStackPositionNumber")
        dimensions = (
            tuple(numbers(content, "DimensionIndexValues"))
            or (*numbers(content, "TemporalPositionIndex"), *in_stack)
            or (float(frame),)
        )
        plane = _plane(file, header, frame, dimensions)
        if not placed:  # a position at the top is that of the first frame, at most
            plane = replace(plane, position=None, normal=None)
            between = next(
                (abs(n) for n in _first(header, "PixelMeasuresSequence", "SpacingBetweenSlices", frame)), 0.0
            )
            if between and in_stack:  # by number and distance, then
                plane = replace(plane, position=_UP * between * in_stack[0], normal=_UP)
        if len(offsets) == count and plane.position is not None and plane.normal is not None:  # of a dose
            moved = plane.position + plane.normal * offsets[frame]
            plane = replace(plane, position=moved)
        planes.append(plane)
    if len({len(plane.number) for plane in planes}) > 1:
        planes = [replace(plane, number=(float(plane.frame),)) for plane in planes]
    return planes


def _plane(file: Path, header: Dataset, frame: int, number: tuple[float, ...]) -> Plane:
    turn = _vector(header, "PlaneOrientationSequence", "ImageOrientationPatient", frame, 6)
    position = _vector(header, "PlanePositionSequence", "ImagePositionPatient", frame, 3)
    normal = None
    if turn is not None:
        normal = np.cross(turn[:3], turn[3:])
        length = float(np.linalg.norm(normal))
        normal = normal / length if length > 0.5 else None
    return Plane(file, frame, number, position, normal, tuple(_phases(header, frame)))


def _phases(header: Dataset, frame: int) -> Iterator[Any]:
    for keyword, sequence in PHASES:
        found = None
        for group in groups(header, sequence, frame) if sequence else (header,):
            if keyword in group:
                found = tuple(numbers(group, keyword)) or _text(group, keyword)
                break
        yield found


def _text(group: Dataset, keyword: str) -> str | None:
    try:
        return str(group.get(keyword) or "") or None
    except Exception:  # pydicom looks at a value when it is asked for, and may not make sense of it
        return None


def _vector(header: Dataset, sequence: str, keyword: str, frame: int, size: int) -> NDArray[np.float64] | None:
    found = _first(header, sequence, keyword, frame, size)
    return np.array(found, float) if found else None


def _first(header: Dataset, sequence: str, keyword: str, frame: int, size: int = 1) -> list[float]:
    """The numbers of the first place where an attribute has that many."""
    for group in groups(header, sequence, frame):
        found = numbers(group, keyword)
        if len(found) == size:
            return found
    return []
