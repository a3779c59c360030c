"""Where a heatmap can be cut: a fixed ladder of edges, and the edge for a value, a quantile or Otsu.

A heatmap is cut at edges only, ``heatmap >= edges[k]``. The edges are numbers of the heatmap's own dtype, so
that counting pixels by bin and thresholding the array give the same pixels, to the last one. For a heatmap
that runs from 0 to 1 they are the multiples of 0.0005, so a threshold with three decimals is met exactly.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.filters import threshold_otsu

from ..errors import VLExplainError
from .overlap import as_heatmap

BINS = 2000
Mode = Literal["value", "quantile", "otsu"]


def bin_edges(heatmap: NDArray[np.floating], bins: int = BINS) -> NDArray[np.floating]:
    """The ladder: up to ``bins`` + 1 rising edges of the heatmap's dtype, from its minimum to its maximum.

    Fewer where the dtype cannot tell neighbours apart; a constant heatmap has one edge.
    """
    if not 1 <= bins < 2**16 - 2:
        raise VLExplainError(f"The number of bins is {bins}, but must lie between 1 and {2**16 - 3}.")
    lowest = float(np.fmin.reduce(heatmap, axis=None))
    highest = float(np.fmax.reduce(heatmap, axis=None))
    steps = np.arange(bins + 1) / bins
    # Written so that neither end can overflow, and both are met exactly.
    edges = lowest * (1 - steps) + highest * steps if lowest else highest * steps
    edges[0], edges[-1] = lowest, highest
    return np.unique(np.clip(edges, lowest, highest).astype(heatmap.dtype))


def bin_indices(heatmap: NDArray[np.floating], edges: NDArray[np.floating]) -> NDArray[np.uint16]:
    """For each pixel the last k with ``value >= edges[k]``; NaN pixels get ``len(edges)``."""
    indices = np.empty(heatmap.shape, dtype=np.uint16)
    last, low, high = len(edges) - 1, float(edges[0]), float(edges[-1])
    # Where a bin is wide against rounding, arithmetic finds the bin to within one, and comparing settles it.
    wide = last > 0 and np.diff(edges).min() > 32 * np.spacing(np.abs(edges).max())
    above = np.append(edges[1:], np.asarray(np.inf, edges.dtype))
    for start in range(0, heatmap.shape[0], 64):  # bands that stay in the processor's cache
        band = heatmap[start : start + 64]
        unseen = np.isnan(band)
        if wide:
            place = (np.where(unseen, low, band).astype(np.float64) - low) * (last / (high - low))
            k = np.minimum(place.astype(np.int32), last)
            k -= band < edges[k]
            k += band >= above[k]
        else:
            k = np.searchsorted(edges, band, side="right").astype(np.int32) - 1
        k[unseen] = last + 1
        indices[start : start + 64] = k
    return indices


def value_edge(edges: NDArray[np.floating], value: float) -> int:
    """The number of the edge nearest to a value (the lower one of two equally near)."""
    return int(np.argmin(np.abs(edges.astype(np.float64) - value)))


def quantile_edge(kept: NDArray[np.integer], q: float) -> int:
    """The lowest edge that keeps at most the share 1 - q of the pixels, or the last edge where none does.

    ``kept[k]`` is the number of pixels at or above edge k. Ties fall out together: in a map that is zero over
    half its area, every q above 0 leaves the zeros out.
    """
    below = kept[0] - kept
    enough = below >= q * kept[0]
    return int(np.argmax(enough)) if enough.any() else len(kept) - 1


def otsu_edge(kept: NDArray[np.integer], edges: NDArray[np.floating]) -> int:
    """The edge that splits the histogram best (Otsu 1979; scikit-image's, on our bins)."""
    if len(edges) < 2:
        return 0
    counts = -np.diff(kept, append=0)
    best = threshold_otsu(hist=(counts, np.arange(len(counts), dtype=np.float64)))
    return min(int(best) + 1, len(edges) - 1)


def threshold_of(heatmap: ArrayLike, mode: Mode, value: float = 0.5) -> float:
    """The threshold of a heatmap (H, W) for a mode, as the *Measure* dock finds it.

    ``value`` is the threshold itself for "value" (taken as it is, on an edge or not), the quantile in [0, 1]
    for "quantile", and unused for "otsu". Raises VLExplainError for another mode or a value out of range.
    """
    check_mode(mode, value)
    if mode == "value":
        return float(value)
    h = as_heatmap(heatmap)
    edges = bin_edges(h)
    counts = np.bincount(bin_indices(h, edges).ravel(), minlength=len(edges) + 1)[: len(edges)]
    kept = counts[::-1].cumsum()[::-1]
    return float(edges[quantile_edge(kept, value) if mode == "quantile" else otsu_edge(kept, edges)])


def check_mode(mode: str, value: float) -> None:
    """Raise VLExplainError unless the mode is known and its value in range."""
    if mode not in get_args(Mode):
        raise VLExplainError(f"A threshold is set by {', '.join(get_args(Mode))}; {mode!r} is none of them.")
    if mode != "otsu" and not np.isfinite(value):
        raise VLExplainError(f"The threshold is {value}, but must be a finite number.")
    if mode == "quantile" and not 0 <= value <= 1:
        raise VLExplainError(f"The quantile is {value}, but must lie between 0 and 1.")
