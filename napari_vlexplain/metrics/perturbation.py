"""What a score does while parts of the input are taken away or put back in the order of their relevance.

A part ("unit") is a patch, a pixel or a word. The model comes in as a function ``score`` of which units are kept, so
everything here is arithmetic; what stands for a unit that is not kept (mean colour, black, a blur, padding) and what
the score is (a probability, a cosine) is the caller's to choose and to record: curves that differ in it, in the
number of steps or in the unit cannot be compared.

Ties: units of one relevance keep their order, the first of the array first, whichever way the order runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import VLExplainError

Score = Callable[[NDArray[np.bool_]], NDArray[np.floating]]
"""Which units are kept (B, *units) -> the score of each (B,)."""

LXMERT_STEPS = (0.0, 0.25, 0.5, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
VISUALBERT_IMAGE_STEPS = (0.0, 0.5, 0.75, 0.95, 0.96, 0.97, 0.98, 0.99, 1.0)


@dataclass(frozen=True, eq=False)
class Curve:
    """A score along a way: ``fractions`` (n,) of the units moved, rising in [0, 1], and ``values`` (n,)."""

    fractions: NDArray[np.float64]
    values: NDArray[np.float64]

    @property
    def auc(self) -> float:
        """Area by trapezoids over the true fractions, divided by their span; in the range of the values."""
        span = float(self.fractions[-1] - self.fractions[0])
        return float(np.trapezoid(self.values, self.fractions)) / span if span else float("nan")

    @property
    def auc_by_step(self) -> float:
        """``(sum y - (y_0 + y_n) / 2) / n``: every step counts alike, as in RISE's published code."""
        steps = len(self.values) - 1
        whole = float(self.values.sum()) - float(self.values[0] + self.values[-1]) / 2
        return whole / steps if steps else float("nan")

    @property
    def mean(self) -> float:
        """Plain mean of the values, for protocols whose steps crowd near the end (LXMERT)."""
        return float(self.values.mean())

    def normalised(self, empty: float, full: float, least: float = 1e-6) -> Curve:
        """``(y - empty) / (full - empty)``, for scores that are no probability.

        All NaN for a gap below ``least`` times the larger of both."""
        gap = full - empty
        told = abs(gap) > least * max(abs(empty), abs(full))
        values = (self.values - empty) / gap if told else np.full_like(self.values, np.nan)
        return Curve(self.fractions, values)


def order(scores: ArrayLike, ascending: bool = False) -> NDArray[np.intp]:
    """Units by relevance, the highest first (or last), as flat indices; stable either way."""
    values = np.asarray(scores, dtype=np.float64).ravel()
    if not values.size or np.isnan(values).any():
        raise VLExplainError("Units can be ordered only if there are any and each has a score that is not NaN.")
    return np.argsort(values if ascending else -values, kind="stable")


def deletion(score: Score, scores: ArrayLike, counts: Sequence[int], ascending: bool = False) -> Curve:
    """The score after the ``counts`` most relevant units were taken away; a low curve is good.

    ``ascending`` takes the least relevant away first (LeRF); then a high curve is good.
    Source: Petsiuk et al. 2018, "RISE"; MoRF and LeRF: Samek et al. 2017.
    """
    return _curve(score, scores, counts, ascending, keep_moved=False)


def insertion(score: Score, scores: ArrayLike, counts: Sequence[int]) -> Curve:
    """The score when only the ``counts`` most relevant units are there; a high curve is good. Source: RISE."""
    return _curve(score, scores, counts, False, keep_moved=True)


def even_counts(units: int, steps: int) -> list[int]:
    """0 to ``units`` in ``steps`` equal steps, both ends included, each count once (ALA: 100; ours: 20)."""
    if units < 1 or steps < 1:
        raise VLExplainError(f"A curve over {units} units in {steps} steps is none; both must be at least 1.")
    return sorted({round(units * k / steps) for k in range(steps + 1)})


def rise_counts(units: int, step: int) -> list[int]:
    """0, step, 2 step, ... and ``units``: ``ceil(units / step)`` steps, as in RISE (step: one row of pixels)."""
    return [*range(0, units, step), units]


def removed_counts(
    units: int, shares: Sequence[float] = LXMERT_STEPS, rounding: Literal["published", "exact"] = "published"
) -> list[int]:
    """How many of the units the LXMERT protocol takes away at each share.

    It keeps ``int((1 - p) n)`` in floating point: of ten units at p = 0.9 none, not one. ``exact`` keeps the true
    number. Source: Chefer et al. 2021b and its code; ``relevance-spectral-baselines`` 8.1.
    """
    slack = 0.0 if rounding == "published" else 1e-9
    return [units - int((1 - share) * units + slack) for share in shares]


def insertion_deletion(insertion_auc: float, deletion_auc: float) -> float:
    """ID = insertion - deletion, [-1, 1] for probabilities, higher is better. Source: ALA, section 4."""
    return insertion_auc - deletion_auc


def area_between(lerf: Curve, morf: Curve) -> float:
    """ABPC = LeRF - MoRF, higher is better, 0 for a map that says nothing. Source: Samek et al. 2017."""
    return lerf.auc - morf.auc


def road(
    score: Callable[[NDArray[np.bool_]], NDArray[np.floating]],
    scores: ArrayLike,
    shares: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
) -> float:
    """ROAD, combined: mean over ``shares`` removed of (LeRF - MoRF) / 2, higher is better.

    In [-0.5, 0.5] for probabilities. ``score`` has to fill what is removed by
    :func:`napari_vlexplain.metrics.imputation.impute`, seeded. Like ROAR it favours blurred maps.
    Source: Rong et al. 2022, "A consistent and efficient evaluation strategy for attribution methods".
    """
    units = np.asarray(scores).size
    counts = [round(units * share) for share in shares]
    morf, lerf = deletion(score, scores, counts), deletion(score, scores, counts, ascending=True)
    return float((lerf.values - morf.values).mean() / 2)


def _curve(score: Score, scores: ArrayLike, counts: Sequence[int], ascending: bool, keep_moved: bool) -> Curve:
    values = np.asarray(scores)
    ranks = np.empty(values.size, dtype=np.intp)
    ranks[order(values, ascending)] = np.arange(values.size)
    moved = ranks.reshape(values.shape) < np.asarray(counts).reshape(-1, *[1] * values.ndim)
    found = np.asarray(score(moved if keep_moved else ~moved), dtype=np.float64)
    if found.shape != (len(counts),):
        raise VLExplainError(f"The score gave {found.shape} values for {len(counts)} inputs; it must give one each.")
    return Curve(np.asarray(counts, dtype=np.float64) / values.size, found)
