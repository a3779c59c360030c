"""Means with intervals, by resampling groups; differences between methods on the same items."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

REPLICATES = 1000
LEVEL = 0.95
_AT_ONCE = 4 << 20  # entries of a matrix of weights


@dataclass(frozen=True)
class Interval:
    """A mean with its interval; NaN where there is none. ``n`` values, ``missing`` ones that have no value."""

    mean: float
    low: float
    high: float
    n: int
    missing: int = 0

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def wilson(share: float, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's 95% interval of a share of ``count`` cases (E. B. Wilson, JASA 22, 1927)."""
    middle, half = share + z * z / (2 * count), z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return (middle - half) / (1 + z * z / count), (middle + half) / (1 + z * z / count)


def intervals(
    values: NDArray[np.float64], clusters: NDArray[np.intp], seed: int = 0, replicates: int = REPLICATES
) -> list[Interval]:
    """Mean and percentile bootstrap interval of each column of ``values`` (items, columns); NaN does not count.

    Whole clusters (items,) are drawn with replacement, the same for every column, so columns stay paired. With fewer
    than two clusters the interval is NaN. Source: Efron, Tibshirani 1993, chapters 8 and 13.
    """
    known = ~np.isnan(values)
    sums = _per_cluster(np.where(known, values, 0.0), clusters)
    counts = _per_cluster(known.astype(np.float64), clusters)
    drawn = _ratios(sums, counts, seed, replicates)
    with np.errstate(invalid="ignore"):
        means = sums.sum(axis=0) / counts.sum(axis=0)
    return [
        Interval(float(mean), *_percentiles(column, (counts[:, k] > 0).sum()), int(known[:, k].sum()),
                 int((~known[:, k]).sum()))
        for k, (mean, column) in enumerate(zip(means, drawn.T, strict=True))
    ]  # fmt: skip


def pooled_intervals(
    parts: NDArray[np.float64],
    wholes: NDArray[np.float64],
    clusters: NDArray[np.intp],
    seed: int = 0,
    replicates: int = REPLICATES,
) -> list[Interval]:
    """The same for the mean over classes of ``sum part / sum whole``; both (items, classes, columns).

    For figures of a whole data set, such as ``iou_dataset_fg_bg``.
    """
    classes = parts.shape[1]
    drawn, means = [], []
    for k in range(classes):
        above, below = _per_cluster(parts[:, k], clusters), _per_cluster(wholes[:, k], clusters)
        drawn.append(_ratios(above, below, seed, replicates))
        with np.errstate(invalid="ignore"):
            means.append(above.sum(axis=0) / below.sum(axis=0))
    used = (wholes.sum(axis=1) > 0).sum(axis=0)
    groups = len(np.unique(clusters))
    return [
        Interval(float(mean), *_percentiles(column, groups), int(n), int(len(clusters) - n))
        for mean, column, n in zip(np.mean(means, axis=0), np.mean(drawn, axis=0).T, used, strict=True)
    ]


def differences(
    values: NDArray[np.float64], reference: int, clusters: NDArray[np.intp], seed: int = 0
) -> list[Interval]:
    """Each column minus the reference column, over the items that have both; ``n`` is their number."""
    return intervals(values - values[:, [reference]], clusters, seed)


def class_mean(values: NDArray[np.float64], categories: list[str]) -> float:
    """Mean within each category, then over categories; NaN values and items without a category do not count."""
    names = np.array(categories)
    means = []
    for name in sorted(set(categories) - {""}):
        inside = values[names == name]
        inside = inside[~np.isnan(inside)]
        if inside.size:
            means.append(float(inside.mean()))
    return float(np.mean(means)) if means else float("nan")


def _per_cluster(values: NDArray[np.float64], clusters: NDArray[np.intp]) -> NDArray[np.float64]:
    found = np.zeros((int(clusters.max()) + 1 if len(clusters) else 0, values.shape[1]))
    np.add.at(found, clusters, values)
    return found


def _ratios(sums: NDArray[np.float64], counts: NDArray[np.float64], seed: int, replicates: int) -> NDArray[np.float64]:
    """(replicates, columns) of resampled means."""
    found = np.empty((replicates, sums.shape[1]))
    both = np.concatenate([sums, counts], axis=1)
    start = 0
    for weights in _weights(len(sums), seed, replicates):
        above, below = np.split(weights @ both, 2, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            found[start : start + len(weights)] = above / below
        start += len(weights)
    return found


def _weights(count: int, seed: int, replicates: int) -> Iterable[NDArray[np.float64]]:
    """How often each cluster is drawn, (some replicates, clusters); drawn once for all metrics where that is small."""
    small = count * replicates <= _AT_ONCE
    return _kept_weights(count, seed, replicates) if small else _draw_weights(count, seed, replicates)


@lru_cache(maxsize=2)
def _kept_weights(count: int, seed: int, replicates: int) -> tuple[NDArray[np.float64], ...]:
    return tuple(_draw_weights(count, seed, replicates))


def _draw_weights(count: int, seed: int, replicates: int) -> Iterator[NDArray[np.float64]]:
    rng = np.random.default_rng([seed, count])
    at_once = max(1, _AT_ONCE // max(count, 1))
    for start in range(0, replicates, at_once):
        size = min(at_once, replicates - start)
        drawn = rng.integers(0, count, (size, count))
        drawn += np.arange(size)[:, None] * count
        yield np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)


def _percentiles(column: NDArray[np.float64], groups: int) -> tuple[float, float]:
    known = column[np.isfinite(column)]
    if groups < 2 or not known.size:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
