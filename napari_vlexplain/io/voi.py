"""Windows and curves: how an image's values become black, grey and white (DICOM PS3.3, C.11.2). No pydicom here."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Limits = tuple[float, float]
Function = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
FUNCTIONS: tuple[Function, ...] = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
_STEPS = 65535  # of brightness, where a formula draws it
_STEP = 0.01  # a window of width 1 is a step between two values; viewers want some width
_SAMPLE = 60_000  # values that percentiles are taken of


def apart(low: float, high: float) -> Limits:
    """Limits that differ: (low, high), or of a constant a step up that no rounding loses, in float32 either."""
    if low < high:
        return low, high
    step = max(1.0, abs(low) * 2.0**-20)
    return (low - step, low) if math.isinf(low + step) and math.isfinite(low) else (low, low + step)


@dataclass(frozen=True)
class Window:
    """A window: its centre (level) and width in the image's values, its function, and what the file calls it.

    LINEAR is made for whole numbers (C.11.2.1.2.1): a width of 2000 at 1000 runs from 0 to 1999.
    LINEAR_EXACT is not (C.11.2.1.3.2): from 0 to 2000. SIGMOID (C.11.2.1.3.1) bends at both ends.
    """

    centre: float
    width: float
    function: Function = "LINEAR"
    name: str = ""

    @classmethod
    def of_limits(cls, limits: Limits, function: Function = "LINEAR", name: str = "") -> Window:
        """The window whose :attr:`limits` these are."""
        low, high = float(limits[0]), float(limits[1])
        more = 1 if function == "LINEAR" else 0
        return cls((low + high + more) / 2, high - low + more, function, name)

    @property
    def limits(self) -> Limits:
        """The values that are black and white; of a SIGMOID those of its tangent at the centre."""
        low = self.centre - self.width / 2
        return apart(low, low + (max(self.width - 1, _STEP) if self.function == "LINEAR" else self.width))

    def shown(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Brightness in [0, 1] of every value, exactly as the standard writes it."""
        if self.function == "SIGMOID":
            with np.errstate(over="ignore"):
                bent = 1 / (1 + np.exp(-4 * (np.asarray(pixels, np.float64) - self.centre) / self.width))
            return bent.astype(np.float32)
        low, high = self.limits
        return np.clip((np.asarray(pixels, np.float64) - low) / (high - low), 0, 1).astype(np.float32)

    def drawn(self, pixels: NDArray[Any]) -> tuple[NDArray[Any], float]:
        """As of :class:`Curve`, in 65,536 steps."""
        return np.rint(self.shown(pixels) * np.float32(_STEPS)).astype(np.uint16), float(_STEPS)

    def turned_over(self, total: float) -> Window:
        """The window that shows ``total - value`` as this one shows ``value`` in negative (MONOCHROME1)."""
        return replace(self, centre=total - self.centre + (1 if self.function == "LINEAR" else 0))

    @property
    def text(self) -> str:
        """``W 2000 L 1000``, with no more digits than tell windows apart."""
        return f"W {_number(self.width, self.width)} L {_number(self.centre, self.width)}"


@dataclass(frozen=True, eq=False)
class Curve:
    """A VOI LUT (C.11.2.1.1): ``values[k]`` out of ``top`` is the brightness of the value ``first + k``."""

    first: float
    values: NDArray[np.uint16] = field(repr=False)
    top: int
    name: str = ""

    def shown(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Brightness in [0, 1] of every value; beyond the ends that of the ends."""
        drawn, top = self.drawn(pixels)
        return drawn.astype(np.float32) / np.float32(top)

    def drawn(self, pixels: NDArray[Any]) -> tuple[NDArray[Any], float]:
        """The table's own number for every value, 0 black, uint8 or uint16; and the number that is white."""
        place = np.rint(np.asarray(pixels, np.float64) - self.first)
        index = np.clip(place, 0, len(self.values) - 1).astype(np.int64)
        dtype = np.uint8 if self.top <= 255 else np.uint16
        return np.minimum(self.values, self.top).astype(dtype)[index], float(self.top)

    def turned_over(self, total: float) -> Curve:
        """As of :class:`Window`."""
        negative = (self.top - np.minimum(self.values, self.top)[::-1]).astype(np.uint16)
        return replace(self, first=total - (self.first + len(self.values) - 1), values=negative)


Voi = Window | Curve
"""What DICOM calls a value of interest transformation."""


def is_bent(voi: Voi) -> bool:
    """Is it no straight line from black to white, so that contrast limits cannot draw it?"""
    return isinstance(voi, Curve) or voi.function == "SIGMOID"


def _number(value: float, width: float) -> str:
    """Whole numbers where the window spans hundreds of values, else three digits of the width."""
    if abs(value - round(value)) < 1e-9 or width >= 1000:
        return f"{value:.0f}"
    digits = max(0, 2 - int(np.floor(np.log10(width)))) if width > 0 else 3
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:.0f}"


def sample_of(pixels: NDArray[Any], padding: Limits | None = None) -> NDArray[Any]:
    """About 60,000 finite values of an image on an even grid, those within ``padding`` (inclusive) left out.

    ``pixels`` : (..., H, W); of a stack the middle plane. Fast enough for every key press: 1 ms for 12 million pixels.
    """
    plane = pixels
    while plane.ndim > 2:
        plane = plane[plane.shape[0] // 2]
    step = max(1, int(np.sqrt(plane.size / _SAMPLE)))
    values = np.asarray(plane[::step, ::step]).ravel()
    kept = np.isfinite(values)
    if padding is not None:
        kept &= (values < padding[0]) | (values > padding[1])
    return values[kept]


def percentiles(sample: NDArray[Any], low: float, high: float) -> Limits:
    """Two percentiles of a sample as limits that differ, of whole numbers whole; (0, 1) for an empty one."""
    if not sample.size:
        return 0.0, 1.0
    found = np.percentile(sample, (low, high))
    first, last = (float(value) for value in (np.rint(found) if sample.dtype.kind in "ui" else found))
    return apart(first, last)


def ends_of(pixels: NDArray[Any], padding: Limits | None = None) -> Limits | None:
    """(lowest, highest) finite value, padding left out; None where there is none."""
    values = np.asarray(pixels)
    if padding is not None:
        values = values[(values < padding[0]) | (values > padding[1])]
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else None


def full_range(pixels: NDArray[Any], padding: Limits | None = None) -> Limits:
    """:func:`ends_of` as limits, which differ."""
    low, high = ends_of(pixels, padding) or (0.0, 1.0)
    return apart(low, high)


def record_of(window: Window) -> dict[str, Any]:
    """A window as plain values, for a layer's metadata."""
    return {"name": window.name, "centre": window.centre, "width": window.width, "function": window.function}


def window_of(record: dict[str, Any]) -> Window:
    """What :func:`record_of` was made from. Raises KeyError, TypeError or ValueError for another."""
    return Window(float(record["centre"]), float(record["width"]), record["function"], str(record["name"]))
