"""The metrics of one map, by name: (value, reason, detail) each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..metrics import localisation
from ..metrics.complexity import complexity, sparseness
from ..metrics.overlap import Confusion, confusion, energy_in_mask, pointing_game
from ..metrics.thresholds import Mode, threshold_of
from .maps import Map
from .probes import Probes

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Figure:
    """A metric's value (NaN where it has none, ``reason`` then tells why), what it cost and what a plot needs."""

    value: float
    reason: str = ""
    seconds: float = 0.0
    detail: dict[str, Any] | None = None


def evaluate(
    names: Iterable[str], found: Map, truth: Mask | None, ignored: Mask | None, probes: Probes, doubt: str = ""
) -> dict[str, Figure]:
    """Every metric named. ``truth`` (H, W) is None where none is known; pixels ``ignored`` (H, W) count nowhere.

    ``doubt``: why no figure may count the truth, "" where figures may.
    """
    scores, heatmap = found.pixel_scores, found.heatmap
    if ignored is not None and ignored.any():
        hidden = np.float32(np.nan)
        scores, heatmap = np.where(ignored, hidden, scores), np.where(ignored, hidden, heatmap)
    blind = doubt or _blind(scores, truth)
    figures = {}
    for name in names:
        began = time.perf_counter()
        detail = None
        reason = ""
        if name in _LOCAL:
            if truth is None or blind:
                value, reason = math.nan, blind or "no ground truth is known"
            else:
                value, detail = _LOCAL[name](scores, heatmap, truth)
                reason = "" if math.isfinite(value) else _why_local(found, truth, scores)
        elif name in _ALONE:
            value = _ALONE[name](found.patch_scores)
            reason = "" if math.isfinite(value) else "the map is zero everywhere"
        else:
            value, reason, detail = probes.figure(name, found)
        figures[name] = Figure(value, reason, time.perf_counter() - began, detail)
    return figures


Local = Callable[[NDArray, NDArray, Mask], tuple[float, dict[str, Any] | None]]


def _cut(mode: Mode, value: float, figure: str) -> Local:
    """IoU or Dice of the map at a threshold: the scaled map at a value, the raw one otherwise (the cut is the same)."""

    def local(scores: NDArray, heatmap: NDArray, truth: Mask) -> tuple[float, dict[str, Any]]:
        counts = confusion(heatmap >= threshold_of(heatmap, mode, value), truth, ~np.isnan(heatmap))
        return getattr(counts, figure), _counts(counts)

    return local


def _at_mean(scores: NDArray, heatmap: NDArray, truth: Mask) -> tuple[float, dict[str, Any]]:
    counts = localisation.above_mean(scores, truth)
    return counts.iou, _counts(counts)


def _plain(figure: Callable[..., float], scaled: bool = False, **options: Any) -> Local:
    def local(scores: NDArray, heatmap: NDArray, truth: Mask) -> tuple[float, None]:
        return figure(heatmap if scaled else scores, truth, **options), None

    return local


def _counts(counts: Confusion) -> dict[str, int]:
    return {"tp": counts.tp, "fp": counts.fp, "fn": counts.fn, "tn": counts.tn}


_LOCAL: dict[str, Local] = {
    "pointing_game": _plain(pointing_game),
    "pointing_game_15": _plain(pointing_game, tolerance=15.0),
    "energy": _plain(energy_in_mask),
    "relevance_rank": _plain(localisation.relevance_rank),
    "average_precision": _plain(localisation.average_precision),
    "cnr": _plain(localisation.cnr),
    "cnr_signed": _plain(localisation.cnr_signed),
    "iou_value_50": _cut("value", 0.5, "iou"),
    "iou_quantile_75": _cut("quantile", 0.75, "iou"),
    "iou_otsu": _cut("otsu", 0.5, "iou"),
    "dice_value_50": _cut("value", 0.5, "dice"),
    "dice_quantile_75": _cut("quantile", 0.75, "dice"),
    "dice_otsu": _cut("otsu", 0.5, "dice"),
    "iou_mean": _at_mean,
    "iou_threshold_mean": _plain(localisation.iou_threshold_mean),
    "iou_threshold_mean_scaled": _plain(localisation.iou_threshold_mean, scaled=True),
}
_ALONE: dict[str, Callable[[NDArray], float]] = {"complexity": complexity, "sparseness": sparseness}


def _blind(scores: NDArray, truth: Mask | None) -> str:
    """Why there is nothing to measure against; empty where there is."""
    if truth is None:
        return ""
    if not truth.any():
        return "the ground truth is empty"
    if not (truth & ~np.isnan(scores)).any():
        return "the ground truth lies outside what the model sees"
    return ""


def _why_local(found: Map, truth: Mask, scores: NDArray) -> str:
    if truth[~np.isnan(scores)].all():
        return "the ground truth fills the image"
    return "the map is constant" if found.degenerate else "the map has no positive mass or does not vary"
