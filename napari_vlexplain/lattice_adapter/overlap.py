"""Maps against masks: mean IoU under a named rule of binarisation, and the floor that no map has to beat alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..metrics.thresholds import threshold_of

RULES = ("minmax", "raw", "otsu", "best")
"""``minmax``: min-max scaled map > .5; ``raw``: map > .5; ``otsu``; ``best``: min-max > what is best on validation."""
LADDER = np.arange(0, 100) / 100

Maps = NDArray[np.floating]
Mask = NDArray[np.bool_]


def scaled(maps: Maps) -> Maps:
    """Each map (..., h, w) from 0 to 1; a constant one becomes 0."""
    low, high = (f(maps, axis=(-2, -1), keepdims=True) for f in (np.min, np.max))
    return np.divide(maps - low, high - low, out=np.zeros_like(maps), where=high > low)


def binarised(maps: Maps, rule: str, threshold: float = 0.5) -> Mask:
    """Maps (n, h, w) as masks; ``threshold`` is that of ``best``.

    Raises
    ------
    VLExplainError : no such rule.
    """
    if rule == "raw":
        return maps > 0.5
    if rule == "otsu":
        return np.stack([one >= threshold_of(one, "otsu") if np.ptp(one) > 0 else one > one for one in maps])
    if rule not in RULES:
        raise VLExplainError(f"There is no rule {rule!r} of binarisation; choose one of {', '.join(RULES)}.")
    return scaled(maps) > (threshold if rule == "best" else 0.5)


def ious(found: Mask, truth: Mask, ignored: Mask | None = None) -> NDArray[np.float64]:
    """Intersection over union of each pair of masks (n, h, w); NaN where both are empty."""
    counted = np.ones_like(truth) if ignored is None else ~ignored
    both, either = (np.count_nonzero(x & counted, axis=(1, 2)) for x in (found & truth, found | truth))
    return np.divide(both, either, out=np.full(len(truth), np.nan), where=either > 0)


def ladder(maps: Maps, truth: Mask, ignored: Mask | None = None) -> NDArray[np.float64]:
    """IoU of each scaled map (n, h, w) above each threshold of LADDER: (n, 100)."""
    values = scaled(maps)
    return np.stack([ious(values > cut, truth, ignored) for cut in LADDER], axis=1)


def best_threshold(overlaps: NDArray[np.float64]) -> float:
    """Of the thresholds of LADDER the one of highest mean IoU; ``overlaps`` (n, 100) of all images."""
    return float(LADDER[np.argmax(np.nanmean(overlaps, axis=0))])
