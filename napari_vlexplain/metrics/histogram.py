"""The two-column histogram of heatmap value by ground truth, from which every figure can be read.

Binning the heatmap costs one pass; after that a change of the ground truth costs the changed pixels, and a
change of the threshold nothing. At the edges of the bins the counts are those of the thresholded array,
exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .overlap import Confusion, as_heatmap, as_mask, ratio, ratios, same_shape
from .thresholds import BINS, Mode, bin_edges, bin_indices, check_mode, otsu_edge, quantile_edge, value_edge

PIECE = 1 << 18  # pixels counted in one go


@dataclass(frozen=True, eq=False)
class Counts:
    """What the histogram says about one heatmap and one ground truth; never changes, so threads may share it.

    edges: (K,) the thresholds one can ask for, rising, in the heatmap's dtype.
    kept: (K,) int64, pixels with a value at or above each edge.
    hits: (K,) int64, those of them that lie in the ground truth.
    lost: ground truth pixels where the heatmap is NaN.
    mass, mass_inside: the heatmap's positive sum, everywhere and in the ground truth.
    """

    edges: NDArray[np.floating]
    kept: NDArray[np.int64]
    hits: NDArray[np.int64]
    lost: int
    mass: float
    mass_inside: float

    def confusion(self, k: int) -> Confusion:
        """Pixel counts of ``heatmap >= edges[k]`` against the ground truth."""
        tp = int(self.hits[k])
        fp, fn = int(self.kept[k]) - tp, self.truth - tp
        return Confusion(tp, fp, fn, self.pixels - tp - fp - fn)

    def edge(self, mode: Mode, value: float = 0.5) -> int:
        """The number of the edge for a threshold by value (nearest edge), quantile or Otsu."""
        check_mode(mode, value)
        if mode == "value":
            return value_edge(self.edges, value)
        return quantile_edge(self.kept, value) if mode == "quantile" else otsu_edge(self.kept, self.edges)

    def iou(self) -> NDArray[np.float64]:
        """(K,) IoU at each edge."""
        return ratios(self.hits, self.kept + self.truth - self.hits)

    @property
    def pixels(self) -> int:
        """Pixels that have a heatmap value."""
        return int(self.kept[0])

    @property
    def truth(self) -> int:
        """Ground truth pixels that have a heatmap value."""
        return int(self.hits[0])

    @property
    def pointing(self) -> float:
        """The pointing game without tolerance: the last bin holds the maxima and nothing else."""
        return ratio(int(self.hits[-1]), int(self.kept[-1])) if self.truth else float("nan")

    @property
    def energy(self) -> float:
        """Share of the positive mass in the ground truth, as ``energy_in_mask``."""
        return ratio(self.mass_inside, self.mass) if self.truth else float("nan")


class OverlapHistogram:
    """A heatmap (H, W), binned once, and the ground truth as it was last seen.

    One thread at a time may call ``update``; the ``Counts`` it returns are free of the histogram.
    """

    def __init__(self, heatmap: ArrayLike, bins: int = BINS) -> None:
        h = as_heatmap(heatmap)
        self.shape = h.shape
        self.edges = bin_edges(h, bins)
        self._indices = bin_indices(h, self.edges).ravel()
        self._columns = len(self.edges) + 1  # the last one counts NaN pixels
        self._total = _tally(self._indices, self._columns)
        self._positive = np.nan_to_num(np.clip(h, 0, None), nan=0.0).ravel()
        self._mass = float(self._positive.sum(dtype=np.float64))
        self._start_over()

    def update(self, truth: ArrayLike) -> Counts:
        """Take in a ground truth (H, W): the work is in the pixels that changed since the last call."""
        t = as_mask(truth, "ground truth")
        if t.shape != self.shape:
            same_shape(t, np.empty(self.shape, bool))
        t = t.ravel()
        if np.count_nonzero(t) == 0:
            self._start_over()  # also sheds what rounding has gathered in the mass
        differs = t != self._truth
        if np.count_nonzero(differs) > t.size // 8:  # picking pixels out one by one would take longer
            self._start_over()
            self._count(t, 1)
        else:
            changed = np.flatnonzero(differs)
            entered = t[changed]
            self._count(changed[entered], 1)
            self._count(changed[~entered], -1)
        np.copyto(self._truth, t)
        return Counts(
            edges=self.edges,
            kept=_at_or_above(self._total),
            hits=_at_or_above(self._inside),
            lost=int(self._inside[-1]),
            mass=self._mass,
            mass_inside=min(max(self._mass_inside, 0.0), self._mass),
        )

    def _count(self, pixels: NDArray, sign: int) -> None:
        self._inside += sign * _tally(self._indices[pixels], self._columns)
        self._mass_inside += sign * float(self._positive[pixels].sum(dtype=np.float64))

    def _start_over(self) -> None:
        self._truth = np.zeros(self._indices.size, dtype=bool)
        self._inside = np.zeros(self._columns, dtype=np.int64)
        self._mass_inside = 0.0


def _tally(indices: NDArray, columns: int) -> NDArray[np.int64]:
    """``np.bincount`` piece by piece: it never lets go of Python's lock, which would hold the window for 0.1 s."""
    found = np.zeros(columns, dtype=np.int64)
    for start in range(0, indices.size, PIECE):
        found += np.bincount(indices[start : start + PIECE], minlength=columns)
    return found


def _at_or_above(column: NDArray[np.int64]) -> NDArray[np.int64]:
    return column[:-1][::-1].cumsum()[::-1]
