"""Curves of a perturbation test, and the areas under them with intervals. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..metrics.perturbation import Curve
from ..metrics.statistics import Interval, intervals
from .protocol import MODALITIES, SIGNS

How = Literal["trapezoid", "mean"]
COLUMNS: tuple[tuple[str, str], ...] = tuple((modality, sign) for modality in MODALITIES for sign in SIGNS)
Table = dict[str, dict[tuple[str, str], Interval]]


@dataclass(frozen=True, eq=False)
class Perturbed:
    """What every method's order did to every case.

    Attributes
    ----------
    model, unit : whose answers, and what the curves count: soft accuracy in percent, or cosine times 100.
    methods : names, in the order of ``curves``.
    steps : for image and text, the shares taken away, each of S.
    curves : (cases, methods, 2 modalities, 2 signs, S).
    cases, groups : ids; cases of one group are resampled together.
    facts : what else decides the numbers.
    """

    model: str
    unit: str
    methods: tuple[str, ...]
    steps: tuple[tuple[float, ...], tuple[float, ...]]
    curves: NDArray[np.float64]
    cases: tuple[str, ...]
    groups: tuple[str, ...]
    facts: dict[str, Any]

    def areas(self, how: How = "trapezoid") -> NDArray[np.float64]:
        """(cases, methods, 2 modalities, 2 signs): the area under each curve, or the plain mean of its steps."""
        if how == "mean":
            return self.curves.mean(axis=-1)
        both = [np.trapezoid(self.curves[:, :, m], steps, axis=-1) for m, steps in enumerate(self.steps)]
        return np.stack(both, axis=2) / np.array([s[-1] - s[0] for s in self.steps])[:, None]

    def table(self, how: How = "trapezoid", seed: int = 0) -> Table:
        """Method -> (modality, sign) -> the mean over cases, with a bootstrap interval."""
        return self._table(self.areas(how), seed)

    def margins(self, reference: str, how: How = "trapezoid", seed: int = 0) -> Table:
        """The same of each method minus ``reference`` on the same cases."""
        areas = self.areas(how)
        return self._table(areas - areas[:, [self.methods.index(reference)]], seed)

    def _table(self, values: NDArray[np.float64], seed: int) -> Table:
        cells = iter(intervals(values.reshape(len(values), -1), self._clusters(), seed))
        return {method: {column: next(cells) for column in COLUMNS} for method in self.methods}

    def curve(self, method: str, modality: str, sign: str) -> Curve:
        """The mean curve of a method."""
        m, s = MODALITIES.index(modality), SIGNS.index(sign)
        mean = self.curves[:, self.methods.index(method), m, s].mean(axis=0)
        return Curve(np.asarray(self.steps[m]), mean)

    @property
    def clean(self) -> float:
        """What the whole input is worth, mean over cases."""
        return float(self.curves[:, 0, 0, 0, 0].mean())

    def _clusters(self) -> NDArray[np.intp]:
        own = [group or f"case {case}" for group, case in zip(self.groups, self.cases, strict=True)]
        return np.unique(own, return_inverse=True)[1].reshape(-1)


def document(found: Perturbed) -> dict[str, Any]:
    """All figures, as JSON takes them."""

    def cells(table: Table) -> dict[str, Any]:
        return {
            method: {
                f"{modality}_{sign}": {"mean": cell.mean, "low": cell.low, "high": cell.high}
                for (modality, sign), cell in row.items()
            }
            for method, row in table.items()
        }

    return {
        "model": found.model,
        "unit": found.unit,
        "cases": len(found.cases),
        "clean": found.clean,
        "steps": dict(zip(MODALITIES, map(list, found.steps), strict=True)),
        "area": cells(found.table("trapezoid")),
        "mean_over_steps": cells(found.table("mean")),
        "curves": {
            method: {
                f"{modality}_{sign}": found.curve(method, modality, sign).values.tolist() for modality, sign in COLUMNS
            }
            for method in found.methods
        },
        **found.facts,
    }


def stacked(curves: Sequence[NDArray[np.float64]], methods: int, steps: int) -> NDArray[np.float64]:
    """Cases' curves (methods, 2, 2, S) as one array, also where there are none."""
    return np.stack(curves) if curves else np.zeros((0, methods, 2, 2, steps))
