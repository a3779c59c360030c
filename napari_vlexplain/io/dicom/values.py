"""From the numbers that a DICOM file stores to values: rescale, MONOCHROME1, windows, padding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..voi import FUNCTIONS, Function, Limits, Voi, Window
from .decoding import bits_stored, is_signed
from .header import groups, numbers
from .tables import curves_of, printable, table_of, with_sign, within_bits

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
        """All values, in the smallest dtype that holds them exactly; fractions as float32 (float64 from 32 bits).

        Numbers outside ``first`` to ``last`` count as the nearer of the two: none may wrap round.
        """
        if stored.dtype.kind in "ui":
            held = np.iinfo(stored.dtype)
            if self.first > held.min or self.last < held.max:
                stored = np.clip(stored, int(self.first), int(self.last))
        whole = stored.dtype.kind in "ui" and float(self.slope).is_integer() and float(self.intercept).is_integer()
        dtype = _smallest(*self.span) if whole else None
        if dtype is None:
            exact: Any = np.float32 if stored.dtype.itemsize <= 2 or stored.dtype == np.float32 else np.float64
            values = stored.astype(exact) * exact(self.slope) + exact(self.intercept)
            return values if self.total is None else exact(self.total) - values
        wide = stored.astype(np.int64 if self.slope != 1 else dtype, copy=False)
        if self.slope != 1:  # may be below 0, which no unsigned number can be multiplied by
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
    first, table, top = table_of(header.ModalityLUTSequence[0], is_signed(header))
    index = np.clip(stored.astype(np.int64) - first, 0, len(table) - 1)
    scale = Scale(1.0, 0.0, 0.0, float(top), _is_negative(header))
    return scale.values(table[index]), scale


def padding_of(header: Dataset, scale: Scale, dtype: np.dtype[Any]) -> Limits | None:
    """(lowest, highest) value that stands for "outside the image", or None. ``dtype`` : of the stored numbers."""
    found = [*numbers(header, "PixelPaddingValue")[:1], *numbers(header, "PixelPaddingRangeLimit")[:1]]
    if "PixelPaddingValue" not in header or not found or has_table(header) or dtype.kind not in "ui":
        return None
    bits, signed = bits_stored(header, dtype), dtype.kind == "i"
    ends = [scale.of(within_bits(with_sign(one, signed), bits, signed)) for one in found]
    return min(ends), max(ends)


def vois_of(header: Dataset, scale: Scale, frame: int = 0) -> tuple[Voi, ...]:
    """The curves of a frame, then its windows, as they fit the values of ``scale``.

    A file may have both, as different views of one picture; its table comes first, as in pydicom and cornerstone.
    """
    before = replace(scale, over=False)
    for group in groups(header, "FrameVOILUTSequence", frame):
        found: list[Voi] = [*curves_of(group, signed=before.span[0] < 0), *_windows(group)]
        if found:
            total = scale.total
            return tuple(found if total is None else (voi.turned_over(total) for voi in found))
    return ()


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
    bits = bits_stored(header, dtype)
    return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if dtype.kind == "i" else (0.0, 2.0**bits - 1)


def _windows(group: Dataset) -> Iterator[Window]:
    function = str(group.get("VOILUTFunction") or "LINEAR").strip().upper()
    kind: Function = next((known for known in FUNCTIONS if known == function), "LINEAR")
    names = group.get("WindowCenterWidthExplanation") or ()
    names = [names] if isinstance(names, str) else [str(name) for name in names]
    pairs = zip(numbers(group, "WindowCenter"), numbers(group, "WindowWidth"), strict=False)
    for number, (centre, width) in enumerate(pairs):
        if width >= 1 or (width > 0 and kind != "LINEAR"):
            yield Window(centre, width, kind, printable(names[number]) if number < len(names) else "")


def _is_negative(header: Dataset) -> bool:
    return str(header.get("PhotometricInterpretation", "")).strip() == "MONOCHROME1"
