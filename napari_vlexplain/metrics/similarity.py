"""How alike two maps are. Pixels that are NaN in either are left out; a constant map gives NaN."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from ..errors import VLExplainError


def pearson(first: ArrayLike, second: ArrayLike) -> float:
    """Linear correlation, [-1, 1]; NaN where a side is constant. Scale and offset do not matter."""
    a, b = _paired(first, second)
    if a.size < 2:
        return float("nan")
    if _constant(a) or _constant(b):
        return float("nan")
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), -1, 1))


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Correlation of ranks, [-1, 1], ties at their mean rank; NaN where a side is constant."""
    a, b = _paired(first, second)
    return pearson(rankdata(a), rankdata(b)) if a.size else float("nan")


def ssim(first: ArrayLike, second: ArrayLike) -> float:
    """Structural similarity of two maps (H, W), each scaled to [0, 1] first, [-1, 1]; NaN where a side is constant.

    The window is 7 x 7, or the largest odd one that fits. NaN pixels count as 0 on both sides.
    Source: Wang et al. 2004 (scikit-image's); its use on maps: Adebayo et al. 2018, "Sanity checks".
    """
    from skimage.metrics import structural_similarity

    a, b = (np.asarray(x, dtype=np.float64) for x in (first, second))
    if a.shape != b.shape or a.ndim != 2:
        raise VLExplainError(f"Two maps of one shape (H, W) are needed, not {a.shape} and {b.shape}.")
    window = min(7, *(side - 1 + side % 2 for side in a.shape))
    known = ~(np.isnan(a) | np.isnan(b))
    if window < 3 or not known.any():
        return float("nan")
    scaled = [_unit(x, known) for x in (a, b)]
    if scaled[0] is None or scaled[1] is None:
        return float("nan")
    return float(structural_similarity(scaled[0], scaled[1], data_range=1.0, win_size=window))


def _unit(x: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    if _constant(x[known]):
        return None
    low, high = float(x[known].min()), float(x[known].max())
    return np.where(known, (x - low) / (high - low), 0.0)


def _constant(x: NDArray[np.float64]) -> bool:
    """Does nothing vary but rounding?"""
    return bool(np.ptp(x) <= 1e-12 * np.abs(x).max())


def _paired(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = (np.asarray(x, dtype=np.float64) for x in (first, second))
    if a.shape != b.shape:
        raise VLExplainError(f"The two must have one shape, but are {a.shape} and {b.shape}.")
    known = ~(np.isnan(a) | np.isnan(b))
    return a[known], b[known]
