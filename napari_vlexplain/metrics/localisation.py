"""How well raw scores single out a ground truth, without or across thresholds, and the three "mean IoU"s by name.

The rules of :mod:`napari_vlexplain.metrics.overlap` hold: a heatmap is (H, W), NaN pixels are left out on both sides,
and 0/0 is NaN. "mIoU" stands for three figures in the literature that cannot be compared; here each has a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .overlap import Confusion, as_heatmap, as_mask, confusion, ratio, same_shape

BIOVIL_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)


def relevance_rank(heatmap: ArrayLike, truth: ArrayLike) -> float:
    """Share of the |G| highest pixels that lie in the ground truth G, [0, 1], higher is better.

    Ties at the last place: the expected share of a fair draw among them, so a constant map scores the area share.
    NaN for an empty ground truth; a full one gives 1.
    Source: relevance rank accuracy of Arras, Osman, Samek 2022, "CLEVR-XAI", eq. 2.
    """
    inside, outside = _split(heatmap, truth)
    if not inside.size:
        return float("nan")
    everything = np.concatenate([inside, outside])
    last = np.partition(everything, everything.size - inside.size)[everything.size - inside.size]
    above = int((everything > last).sum())
    hits = int((inside > last).sum())
    tied, tied_inside = int((everything == last).sum()), int((inside == last).sum())
    return (hits + (inside.size - above) * tied_inside / tied) / inside.size


def cnr(heatmap: ArrayLike, truth: ArrayLike) -> float:
    """Contrast to noise, ``|mean_in - mean_out| / sqrt(var_in + var_out)``, [0, inf), higher is better.

    On raw scores (the figure does not change with scale or offset). Variances are biased (divided by n). NaN when a
    side is empty or nothing varies. An inverted map scores as well as the right one: see :func:`cnr_signed`.
    Source: Boecking et al. 2022, "Making the most of text semantics" (BioViL), section 4.2.
    """
    return abs(cnr_signed(heatmap, truth))


def cnr_signed(heatmap: ArrayLike, truth: ArrayLike) -> float:
    """:func:`cnr` without the absolute value, (-inf, inf), higher is better: negative for an inverted map."""
    inside, outside = _split(heatmap, truth)
    if not inside.size or not outside.size:
        return float("nan")
    spread = float(np.sqrt(inside.var(dtype=np.float64) + outside.var(dtype=np.float64)))
    difference = float(inside.mean(dtype=np.float64) - outside.mean(dtype=np.float64))
    # A constant map's variance is rounding, not noise.
    scale = max(float(np.abs(inside).max()), float(np.abs(outside).max()))
    return float("nan") if spread <= 1e-7 * scale else difference / spread


def average_precision(heatmap: ArrayLike, truth: ArrayLike) -> float:
    """Area under the precision-recall steps over all pixels, ``sum (R_k - R_k-1) P_k``, [0, 1], higher is better.

    Pixels of one value enter together, so a constant map scores the ground truth's area share. NaN for an empty
    ground truth; a full one gives 1. Source: the pixel AP of Chefer et al. 2021 (ImageNet-segmentation).
    """
    inside, outside = _split(heatmap, truth)
    if not inside.size:
        return float("nan")
    levels = np.unique(inside)[::-1]
    hits = inside.size - np.searchsorted(np.sort(inside), levels, side="left")
    false = outside.size - np.searchsorted(np.sort(outside), levels, side="left")
    gained = np.diff(hits, prepend=0) / inside.size
    return float((gained * hits / (hits + false)).sum())


def iou_dataset_fg_bg(counts: Iterable[Confusion]) -> float:
    """Mean over foreground and background of the IoU of pixels pooled over a data set, [0, 1], higher is better.

    The "mIoU" of segmentation: Chefer et al. 2021 on ImageNet-segmentation, each map cut at its own mean
    (:func:`above_mean`). NaN when a class occurs nowhere.
    """
    tp = fp = fn = tn = 0
    for one in counts:
        tp, fp, fn, tn = tp + one.tp, fp + one.fp, fn + one.fn, tn + one.tn
    return (ratio(tp, tp + fp + fn) + ratio(tn, tn + fp + fn)) / 2


def above_mean(heatmap: ArrayLike, truth: ArrayLike) -> Confusion:
    """Pixel counts of ``heatmap > mean(heatmap)`` against the ground truth, for :func:`iou_dataset_fg_bg`."""
    h, t = as_heatmap(heatmap), as_mask(truth, "ground truth")
    seen = ~np.isnan(h)
    return confusion(h > np.mean(h, where=seen, dtype=np.float64), t, seen)


def iou_threshold_mean(heatmap: ArrayLike, truth: ArrayLike, thresholds: Sequence[float] = BIOVIL_THRESHOLDS) -> float:
    """Mean over fixed thresholds t of the IoU of ``heatmap > t``, [0, 1], higher is better. NaN: empty truth.

    The "mIoU" of BioViL, meant for raw cosines: the absolute scale counts, so a map of small values scores 0, and a
    map scaled to [0, 1] gives another figure. Source: Boecking et al. 2022, section 4.2.
    """
    h, t = as_heatmap(heatmap), as_mask(truth, "ground truth")
    same_shape(h, t)
    seen = ~np.isnan(h)
    if not (t & seen).any():
        return float("nan")
    return float(np.mean([confusion(h > cut, t, seen).iou for cut in thresholds]))


def _split(heatmap: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Values inside and outside the ground truth, NaN left out."""
    h, t = as_heatmap(heatmap), as_mask(truth, "ground truth")
    same_shape(h, t)
    seen = ~np.isnan(h)
    return h[t & seen], h[~t & seen]
