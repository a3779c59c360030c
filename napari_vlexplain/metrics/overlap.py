"""How well a heatmap, or a mask made from it, agrees with a ground truth.

Rules that hold for every function here:

- a heatmap is (H, W), real; NaN marks pixels the model never saw (outside its crop). Those pixels are left
  out on both sides, heatmap and ground truth; ``lost_share`` says how much ground truth went that way;
- a mask is (H, W); zero or False is outside, everything else inside;
- thresholding keeps ``heatmap >= threshold``;
- 0/0 is NaN, never 0 and never 1: there was nothing to measure, and an average must count it as such.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt

from ..errors import VLExplainError

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Confusion:
    """Pixel counts of prediction against ground truth, and the four ratios of them, each in [0, 1] or NaN."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN), higher is better; NaN when both masks are empty (Jaccard 1912)."""
        return ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN), higher is better; NaN when both masks are empty (Dice 1945)."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def precision(self) -> float:
        """TP / (TP + FP), higher is better; NaN when the prediction is empty."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """TP / (TP + FN), higher is better; NaN when the ground truth is empty."""
        return ratio(self.tp, self.tp + self.fn)


def ratio(part: float, whole: float) -> float:
    """part / whole, and NaN for 0 / 0."""
    return float(part / whole) if whole else float("nan")


def confusion(prediction: ArrayLike, truth: ArrayLike, valid: ArrayLike | None = None) -> Confusion:
    """Count the pixels of two masks against each other, over ``valid`` pixels only when that is given.

    Raises VLExplainError for masks of different shape or with NaN in them.
    """
    p, t = as_mask(prediction, "prediction"), as_mask(truth, "ground truth")
    same_shape(p, t)
    pixels = p.size
    if valid is not None:
        v = as_mask(valid, "valid area")
        same_shape(p, v)
        p, t, pixels = p & v, t & v, int(np.count_nonzero(v))
    tp = int(np.count_nonzero(p & t))
    fp = int(np.count_nonzero(p)) - tp
    fn = int(np.count_nonzero(t)) - tp
    return Confusion(tp, fp, fn, pixels - tp - fp - fn)


def iou(prediction: ArrayLike, truth: ArrayLike, valid: ArrayLike | None = None) -> float:
    """Intersection over union, [0, 1], higher is better; NaN when both masks are empty."""
    return confusion(prediction, truth, valid).iou


def dice(prediction: ArrayLike, truth: ArrayLike, valid: ArrayLike | None = None) -> float:
    """Dice coefficient (F1), [0, 1], higher is better; NaN when both masks are empty."""
    return confusion(prediction, truth, valid).dice


def precision(prediction: ArrayLike, truth: ArrayLike, valid: ArrayLike | None = None) -> float:
    """Share of the prediction that is right, [0, 1], higher is better; NaN for an empty prediction."""
    return confusion(prediction, truth, valid).precision


def recall(prediction: ArrayLike, truth: ArrayLike, valid: ArrayLike | None = None) -> float:
    """Share of the ground truth that was found, [0, 1], higher is better; NaN for an empty ground truth."""
    return confusion(prediction, truth, valid).recall


def pointing_game(heatmap: ArrayLike, truth: ArrayLike, tolerance: float = 0.0) -> float:
    """Does the heatmap's maximum lie in the ground truth? [0, 1], higher is better.

    Ties: the expected hit of a fair draw among the tied maxima, that is their share inside, so a constant map
    scores the ground truth's area share, not 1. ``tolerance`` (pixels, Euclidean) lets a maximum that near
    count as a hit; 15 is usual on VOC and COCO. An empty ground truth gives NaN, a full one 1.
    Source: Zhang et al. 2018, "Top-down neural attention by excitation backprop", section 4.
    """
    if not tolerance >= 0:
        raise VLExplainError(f"tolerance is {tolerance}, but a radius in pixels is 0 or more.")
    h, seen, t = _pair(heatmap, truth)
    if not t.any():
        return float("nan")
    maxima = h == np.max(h, where=seen, initial=-np.inf)
    near = t if tolerance == 0 else distance_transform_edt(~t) <= tolerance
    return ratio(int(np.count_nonzero(maxima & near)), int(np.count_nonzero(maxima)))


def energy_in_mask(heatmap: ArrayLike, truth: ArrayLike) -> float:
    """Share of the heatmap's positive mass inside the ground truth, [0, 1], higher is better.

    Negative values count as 0. A heatmap without positive mass gives NaN, as does an empty ground truth; a
    full ground truth gives 1. The chance level is the ground truth's area share.
    Source: the energy-based pointing game of Wang et al. 2020, "Score-CAM", section 4.2.
    """
    h, seen, t = _pair(heatmap, truth)
    positive = np.where(seen, np.clip(h, 0, None), 0)
    if not t.any():
        return float("nan")
    return ratio(float(positive[t].sum(dtype=np.float64)), float(positive.sum(dtype=np.float64)))


def lost_share(heatmap: ArrayLike, truth: ArrayLike) -> float:
    """Share of the ground truth on NaN pixels, [0, 1], lower is better; NaN for an empty ground truth."""
    h, t = as_heatmap(heatmap), as_mask(truth, "ground truth")
    same_shape(h, t)
    return ratio(int(np.count_nonzero(t & np.isnan(h))), int(np.count_nonzero(t)))


def threshold_iou(
    heatmap: ArrayLike, truth: ArrayLike, thresholds: ArrayLike | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """IoU of ``heatmap >= t`` for many thresholds at once; returns (thresholds, ious), each (N,) float64.

    Without ``thresholds``: 101 of them, evenly from the heatmap's minimum to its maximum.
    """
    h, seen, t = _pair(heatmap, truth)
    everywhere, inside = np.sort(h[seen]), np.sort(h[t])
    if thresholds is None:
        thresholds = np.linspace(float(everywhere[0]), float(everywhere[-1]), 101)
    cuts = np.asarray(thresholds, dtype=np.float64)
    as_stored = cuts.astype(h.dtype)  # what numpy compares a float32 heatmap and a Python float in
    kept = everywhere.size - np.searchsorted(everywhere, as_stored, side="left")
    hits = inside.size - np.searchsorted(inside, as_stored, side="left")
    return cuts, ratios(hits, kept + inside.size - hits)


def ratios(part: NDArray[np.integer], whole: NDArray[np.integer]) -> NDArray[np.float64]:
    """``ratio`` for arrays."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) != 0)


def as_heatmap(heatmap: ArrayLike) -> NDArray[np.floating]:
    """(H, W) float32, or float64 where float32 would round; refuses infinite values and maps without any."""
    h = np.asarray(heatmap)
    if h.ndim != 2 or not np.issubdtype(np.result_type(h, np.float32), np.floating):
        raise VLExplainError(f"A heatmap is a real (H, W) array; this one is {h.dtype} {h.shape}.")
    h = h.astype(np.result_type(h, np.float32), copy=False)
    lowest = np.fmin.reduce(h, axis=None, initial=np.inf)
    highest = np.fmax.reduce(h, axis=None, initial=-np.inf)
    if lowest > highest:
        raise VLExplainError("The heatmap has no pixel with a value: it is empty or NaN everywhere.")
    if np.isinf(lowest) or np.isinf(highest):
        raise VLExplainError("The heatmap holds infinite values; they must be finite, or NaN outside the crop.")
    return h


def as_mask(mask: ArrayLike, name: str) -> Mask:
    """(H, W) bool, True where the mask is not zero. ``name`` is for the error."""
    m = np.asarray(mask)
    if m.ndim != 2:
        raise VLExplainError(f"The {name} has shape {m.shape}, but must be a mask (H, W).")
    if np.issubdtype(m.dtype, np.floating) and np.isnan(m).any():
        raise VLExplainError(f"The {name} holds NaN, but a mask is zero outside and not zero inside.")
    return m if m.dtype == np.bool_ else m != 0


def same_shape(first: NDArray, second: NDArray) -> None:
    """Raise VLExplainError unless two arrays have one shape."""
    if first.shape != second.shape:
        raise VLExplainError(f"The two arrays must have one shape, but are {first.shape} and {second.shape}.")


def _pair(heatmap: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.floating], Mask, Mask]:
    h, t = as_heatmap(heatmap), as_mask(truth, "ground truth")
    same_shape(h, t)
    seen = ~np.isnan(h)
    return h, seen, t & seen
