"""Maps have no unit: whether one is constant, and how it is shown, depends on its own magnitude alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROUNDING = 4 * float(np.finfo(np.float32).eps)
"""Share of a map's magnitude below which its differences are what float32 rounds away."""


def is_constant(values: NDArray[np.floating]) -> bool:
    """Does nothing vary but rounding? NaN counts nowhere; of nothing at all nothing varies.

    ``max - min <= 4 eps max|x|`` with the eps of float32, which all scores are computed in: a probability of 1e-14
    has a map as much as its logit has.
    """
    low, high = _ends(values)
    return not high - low > ROUNDING * max(abs(low), abs(high))


def min_max(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scaled to [0, 1], NaN kept; a constant map becomes zeros."""
    if is_constant(values):
        return np.where(np.isnan(values), np.float32(np.nan), np.float32(0))
    low, high = _ends(values)
    if not 1e-30 < high - low < 1e30:  # float32 ends near
        values = values.astype(np.float64)
    kind = values.dtype.type
    return np.clip((values - kind(low)) / kind(high - low), 0, 1).astype(np.float32, copy=False)


def _ends(values: NDArray[np.floating]) -> tuple[float, float]:
    """Minimum and maximum, NaN left out; (NaN, NaN) of nothing."""
    if not values.size:
        return float("nan"), float("nan")
    return float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))


def written(value: float, decimals: int = 3) -> str:
    """A score for people: so many decimals, or three digits where those would not tell it (1.2e-14, -1.5e+09)."""
    return f"{value:.{decimals}f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.3g}"


def percent(chance: float, decimals: int = 0) -> str:
    """A probability for people, in percent; three digits of one that would be 0 %."""
    return f"{chance:.{decimals}%}" if not 0 < chance < 0.5 / 10 ** (2 + decimals) else f"{100 * chance:.3g}%"
