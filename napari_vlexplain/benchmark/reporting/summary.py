"""From a table of figures to what a report says: one line for each arm and metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import VLExplainError
from ...metrics.catalogue import METRICS, Better
from ...metrics.statistics import Interval, class_mean, differences, intervals, pooled_intervals
from ..rows import FAILED
from .table import Arm, Table

POOLED = "iou_dataset_fg_bg"
_ORDER = [info.name for info in METRICS]
_INFOS = {info.name: info for info in METRICS}
MAIN = (
    "average_precision",
    "iou_quantile_75",
    "energy",
    "cnr_signed",
    "pointing_game",
    "iou_mean",
    "insertion",
    "drop",
)


@dataclass(frozen=True)
class Line:
    """A metric of an arm.

    interval: its mean. classes: mean over categories of the means within them, NaN without categories.
    failed: rows whose computation broke; they are among the missing. against: the paired difference to the reference.
    """

    arm: Arm
    metric: str
    interval: Interval
    classes: float
    failed: int
    against: Interval | None
    best: bool = False


@dataclass(frozen=True)
class Summary:
    """What a report says. ``arms`` methods first, then floors; ``metrics`` in the order of the catalogue."""

    lines: list[Line]
    arms: list[Arm]
    metrics: list[str]
    reference: Arm | None
    names: dict[Arm, str]

    def line(self, arm: Arm, metric: str) -> Line | None:
        """The line of that arm and metric."""
        return next((line for line in self.lines if line.arm == arm and line.metric == metric), None)

    @property
    def main(self) -> str:
        """The metric that orders the gallery and the bars."""
        return next((name for name in MAIN if name in self.metrics), self.metrics[0])

    @property
    def best_arm(self) -> Arm:
        """Of the methods the best by the main metric; a floor where there are only floors."""
        candidates = [arm for arm in self.arms if not arm.is_floor] or self.arms
        sign = -1 if better_of(self.main) == "lower" else 1

        def merit(arm: Arm) -> float:
            line = self.line(arm, self.main)
            value = np.nan if line is None else line.interval.mean
            return -np.inf if np.isnan(value) else sign * value

        return max(candidates, key=merit)


def summarise(table: Table, against: str | None = None, seed: int = 0, asked: Sequence[str] = ()) -> Summary:
    """Means, intervals and paired differences to ``against`` (a method; by default the first that is no floor).

    ``asked`` are the methods in the order in which they are to be listed. Raises VLExplainError when no arm has the
    method ``against``.
    """
    rank = {method: k for k, method in enumerate(asked)}
    arms = sorted(
        table.arms,
        key=lambda a: (
            a.is_floor,
            a.model,
            rank.get(a.method, len(rank)),
            a.method,
            a.target,
            a.seed,
            a.dtype,
            a.size or 0,
        ),
    )
    reference = _reference(arms, against)
    clusters, categories = table.clusters, [item.category for item in table.items]
    columns = [table.arms.index(arm) for arm in arms]
    lines = []
    metrics = sorted(table.metrics, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
    for metric in metrics:
        values = table.values[metric][:, columns]
        found = intervals(values, clusters, seed)
        compared = [None] * len(arms) if reference is None else _compared(values, arms, reference, clusters, seed)
        best = _best([one.mean for one, arm in zip(found, arms, strict=True) if not arm.is_floor], metric)
        for k, arm in enumerate(arms):
            reasons = table.missing.get((metric, arm), {})
            if not found[k].n and not reasons:
                continue
            told = sum(reasons.values())
            kept = Interval(found[k].mean, found[k].low, found[k].high, found[k].n, told)
            broken = sum(n for reason, n in reasons.items() if reason.startswith(FAILED))
            mean = class_mean(values[:, k], categories)
            top = not arm.is_floor and kept.mean == best
            lines.append(Line(arm, metric, kept, mean, broken, compared[k], top))
        if metric == "iou_mean" and metric in table.counts:
            lines += _pooled(table, arms, columns, seed)
    if any(line.metric == POOLED for line in lines):
        metrics.insert(metrics.index("iou_mean") + 1, POOLED)
    return Summary(lines, arms, metrics, reference, names_of(arms))


def better_of(metric: str) -> Better:
    """Which way is better; pooled IoU as the others."""
    return _INFOS[metric].better if metric in _INFOS else "higher"


def title_of(metric: str) -> str:
    """For people."""
    if metric == POOLED:
        return "IoU pooled, foreground and background"
    return _INFOS[metric].title if metric in _INFOS else metric


def names_of(arms: Sequence[Arm]) -> dict[Arm, str]:
    """Method, and what tells arms apart besides: model, target, seed, precision, size."""
    asked = ("model", "target", "seed", "dtype", "size")
    many = {name: len({getattr(arm, name) for arm in arms}) > 1 for name in asked}

    def name(arm: Arm) -> str:
        parts = [arm.method]
        parts += [arm.model] if many["model"] else []
        parts += [arm.target] if many["target"] else []
        parts += [f"seed {arm.seed}"] if many["seed"] else []
        parts += [arm.dtype] if many["dtype"] else []
        parts += [f"{arm.size} px" if arm.size else "own size"] if many["size"] else []
        return " · ".join(parts)

    return {arm: name(arm) for arm in arms}


def _reference(arms: list[Arm], against: str | None) -> Arm | None:
    if against is None:
        return arms[0] if len(arms) > 1 else None
    for arm in arms:
        if against in (arm.method, names_of(arms)[arm]):
            return arm
    raise VLExplainError(f"No rows of {against!r}; there are {', '.join(names_of(arms).values())}.")


def _compared(
    values: np.ndarray, arms: list[Arm], reference: Arm, clusters: np.ndarray, seed: int
) -> list[Interval | None]:
    """Within each model (and target, seed and precision) to the reference's method there."""
    found: list[Interval | None] = []
    for k, arm in enumerate(arms):
        own = replace(arm, method=reference.method)
        if own == arm or own not in arms:
            found.append(None)
            continue
        found.append(differences(values[:, [k, arms.index(own)]], 1, clusters, seed)[0])
    return found


def _pooled(table: Table, arms: list[Arm], columns: list[int], seed: int) -> list[Line]:
    counts = table.counts["iou_mean"][:, columns].astype(np.float64)
    tp, fp, fn, tn = (counts[..., k] for k in range(4))
    parts, wholes = np.stack([tp, tn], axis=1), np.stack([tp + fp + fn, tn + fp + fn], axis=1)
    found = pooled_intervals(parts, wholes, table.clusters, seed)
    best = _best([one.mean for one, arm in zip(found, arms, strict=True) if not arm.is_floor], POOLED)
    return [
        Line(arm, POOLED, one, float("nan"), 0, None, not arm.is_floor and one.mean == best)
        for arm, one in zip(arms, found, strict=True)
        if one.n
    ]


def _best(means: list[float], metric: str) -> float:
    known = [mean for mean in means if not np.isnan(mean)]
    if not known or better_of(metric) == "neither":
        return float("nan")
    return min(known) if better_of(metric) == "lower" else max(known)
