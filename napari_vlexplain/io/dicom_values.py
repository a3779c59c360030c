"""From the numbers that a DICOM file stores to values: rescale, MONOCHROME1, windows, padding, spacing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .dicom_header import groups, numbers
from .dicom_voi import FUNCTIONS, Curve, Function, Limits, Voi, Window

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True)
class Scale:
    """``value = slope * stored + intercept``, over stored numbers from ``first`` to ``last``; ``over``: then negated.

    MONOCHROME1 stores black as its highest number. Turned over within the range that the bits can hold,
    ``low + high - value``, it is its MONOCHROME2 twin, and bright is dense.
    """

    slope: float
    intercept: float
    first: float
    last: float
    over: bool

    @property
    def span(self) -> Limits:
        """The lowest and the highest value that can be."""
        ends = self.slope * self.first + self.intercept, self.slope * self.last + self.intercept
        return min(ends), max(ends)

    @property
    def total(self) -> float | None:
        """What a value and its turned-over one add up to; None where nothing is turned over."""
        return sum(self.span) if self.over else None

    def of(self, stored: float) -> float:
        """The value of one stored number."""
        value = self.slope * stored + self.intercept
        return value if self.total is None else self.total - value

    def values(self, stored: NDArray[Any]) -> NDArray[Any]:
        """All values, in the smallest dtype that holds them exactly; fractions as float32 (float64 from 32 bits)."""
        whole = stored.dtype.kind in "ui" and float(self.slope).is_integer() and float(self.intercept).is_integer()
        dtype = _smallest(*self.span) if whole else None
        if dtype is None:
            exact: Any = np.float32 if stored.dtype.itemsize <= 2 or stored.dtype == np.float32 else np.float64
            values = stored.astype(exact) * exact(self.slope) + exact(self.intercept)
            return values if self.total is None else exact(self.total) - values
        wide = stored if dtype == stored.dtype else stored.astype(np.int64 if self.slope != 1 else dtype)
        if self.slope != 1:
            wide = wide * int(self.slope)
        if self.intercept:
            wide = wide + np.asarray(int(self.intercept)).astype(wide.dtype)  # may wrap round, and back
        if self.total is not None:
            wide = np.asarray(int(self.total)).astype(wide.dtype) - wide
        return wide.astype(dtype, copy=False)


def scale_of(header: Dataset, dtype: np.dtype[Any], frame: int = 0) -> Scale:
    """How a frame's stored numbers of ``dtype`` become values."""
    over = _is_negative(header)
    first, last = _stored_range(header, dtype)
    for group in groups(header, "PixelValueTransformationSequence", frame):
        slope, intercept = numbers(group, "RescaleSlope"), numbers(group, "RescaleIntercept")
        if slope and intercept and slope[0] != 0:
            return Scale(slope[0], intercept[0], first, last, over)
    return Scale(1.0, 0.0, first, last, over)


def has_table(header: Dataset) -> bool:
    """Are values looked up in a modality LUT (C.11.1.1) instead of scaled?"""
    return bool(header.get("ModalityLUTSequence"))


def looked_up(stored: NDArray[Any], header: Dataset) -> tuple[NDArray[Any], Scale]:
    """Values by the modality LUT, MONOCHROME1 turned over; and the scale of its output."""
    first, table, bits = _table(header.ModalityLUTSequence[0])
    index = np.clip(stored.astype(np.int64) - first, 0, len(table) - 1)
    scale = Scale(1.0, 0.0, 0.0, float(2**bits - 1), _is_negative(header))
    return scale.values(table[index]), scale


def padding_of(header: Dataset, scale: Scale) -> Limits | None:
    """(lowest, highest) value that stands for "outside the image", or None."""
    found = numbers(header, "PixelPaddingValue")
    if not found or has_table(header):
        return None
    ends = [scale.of(one) for one in (found[0], *numbers(header, "PixelPaddingRangeLimit")[:1])]
    return min(ends), max(ends)


def vois_of(header: Dataset, total: float | None, frame: int = 0) -> tuple[Voi, ...]:
    """The windows of a frame, then its curves, as they fit its values (``total`` as of :class:`Scale`)."""
    for group in groups(header, "FrameVOILUTSequence", frame):
        found: list[Voi] = [*_windows(group), *_curves(group)]
        if found:
            return tuple(found if total is None else (voi.turned_over(total) for voi in found))
    return ()


def spacing_of(header: Dataset, frame: int = 0) -> tuple[tuple[float, float] | None, str]:
    """(row, column) distance in mm, None where unknown; and a sentence where it is not the patient's (10.7.1)."""
    for group in groups(header, "PixelMeasuresSequence", frame):
        if found := _pair(group, "PixelSpacing"):
            return found, ""
    if found := _pair(header, "ImagerPixelSpacing"):
        factor = numbers(header, "EstimatedRadiographicMagnificationFactor")
        told = f", where things are about {factor[0]:.3g} times their size" if factor and factor[0] > 0 else ""
        return found, f"Distances are those at the detector{told}."
    if found := _pair(header, "NominalScannedPixelSpacing"):
        return found, "Distances are those on the film that was scanned."
    return None, ""


def is_hounsfield(header: Dataset) -> bool:
    """Are the values Hounsfield units?"""
    kind = str(header.get("RescaleType", "") or "").strip().upper()
    modality = str(header.get("Modality", "") or "").strip().upper()
    return kind == "HU" or (modality == "CT" and kind in ("", "US"))


def _smallest(low: float, high: float) -> np.dtype[Any] | None:
    for dtype in (np.uint8, np.uint16, np.int16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    return None


def _stored_range(header: Dataset, dtype: np.dtype[Any]) -> Limits:
    if dtype.kind == "f":
        return 0.0, 0.0  # no range is known: turned over, they change their sign
    bits = int(header.get("BitsStored") or dtype.itemsize * 8)
    return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if dtype.kind == "i" else (0.0, 2.0**bits - 1)


def _pair(header: Dataset, keyword: str) -> tuple[float, float] | None:
    found = numbers(header, keyword)
    return (found[0], found[1]) if len(found) >= 2 and found[0] > 0 and found[1] > 0 else None


def _windows(group: Dataset) -> Iterator[Window]:
    function = str(group.get("VOILUTFunction") or "LINEAR").strip().upper()
    kind: Function = next((known for known in FUNCTIONS if known == function), "LINEAR")
    names = group.get("WindowCenterWidthExplanation") or ()
    names = [names] if isinstance(names, str) else [str(name) for name in names]
    pairs = zip(numbers(group, "WindowCenter"), numbers(group, "WindowWidth"), strict=False)
    for number, (centre, width) in enumerate(pairs):
        if width >= 1 or (width > 0 and kind != "LINEAR"):
            yield Window(centre, width, kind, _name(names[number]) if number < len(names) else "")


def _curves(group: Dataset) -> Iterator[Curve]:
    for item in group.get("VOILUTSequence") or ():
        try:
            first, values, bits = _table(item)
        except (AttributeError, ValueError, TypeError):
            continue
        yield Curve(float(first), values, 2**bits - 1, _name(str(item.get("LUTExplanation") or "")))


def _table(item: Dataset) -> tuple[int, NDArray[np.uint16], int]:
    """(first number mapped, output of each from there, bits of the output) of a lookup table.

    Raises ValueError, TypeError or AttributeError for one that is none.
    """
    count, first, bits = (int(one) for one in item.LUTDescriptor)
    count, data = count or 1 << 16, item.LUTData
    if isinstance(data, bytes):
        values = np.frombuffer(data, "<u2" if len(data) >= 2 * count else np.uint8)
    else:
        values = np.asarray(data, np.int64) & 0xFFFF
    if not len(values) or not 8 <= bits <= 16:
        raise ValueError("a lookup table without entries")
    return first, values[:count].astype(np.uint16), bits


def _is_negative(header: Dataset) -> bool:
    return str(header.get("PhotometricInterpretation", "")).strip() == "MONOCHROME1"


def _name(text: str) -> str:
    """What a file calls a window, fit for a button."""
    return "".join(c for c in text if c.isprintable()).strip()[:24]
