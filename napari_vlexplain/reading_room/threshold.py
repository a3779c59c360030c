"""Where the heatmaps of a study are cut; what a reader chose is kept in the journal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from ..metrics.figures import Figures, Measured
from ..metrics.histogram import Counts
from ..metrics.thresholds import Mode
from ..results.explanation import Explanation
from .labelled import Mask


@dataclass(frozen=True)
class Threshold:
    """Where heatmaps are cut, see :mod:`napari_vlexplain.metrics.thresholds`; kept from case to case."""

    mode: Mode = "value"
    value: float = 0.5

    def of(self, counts: Counts) -> float:
        """The threshold on one heatmap: an edge of its histogram."""
        return float(counts.edges[counts.edge(self.mode, self.value)])

    def figures(self, counts: Counts) -> Figures:
        """All figures of one heatmap at this threshold."""
        return Measured(counts, 0.0, None).figures(counts.edge(self.mode, self.value))

    def cut(self, explanation: Explanation, counts: Counts) -> tuple[float, Mask]:
        """The threshold on one heatmap, and what of it is kept: (H, W) bool."""
        threshold = self.of(counts)
        with np.errstate(invalid="ignore"):
            return threshold, explanation.heatmap >= np.float32(threshold)  # NaN is never kept


def threshold_from(mode: Any, value: Any) -> Threshold:
    """A threshold as it was written down; ValueError for one that cannot be."""
    known = mode in get_args(Mode) and isinstance(value, int | float) and math.isfinite(value)
    if not known or (mode == "quantile" and not 0 <= value <= 1):
        raise ValueError("threshold")
    return Threshold(mode, float(value))
