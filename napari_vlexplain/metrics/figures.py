"""Figures for a heatmap against a ground truth: once (``measure``) or again and again (``Measurement``)."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..truth.note import Note
from .histogram import Counts, OverlapHistogram
from .overlap import Confusion, as_heatmap, as_mask, confusion, ratio, same_shape
from .regions import Grid, Painted, Region, onto, shape_2d
from .thresholds import Mode, threshold_of


@dataclass(frozen=True)
class Figures:
    """What the *Measure* dock shows. All but ``threshold`` lie in [0, 1], NaN where undefined.

    Attributes
    ----------
    iou, dice, precision, recall : the prediction (heatmap at a threshold, or a mask) against the ground truth.
    pointing, energy : the heatmap itself against the ground truth; NaN for an empty ground truth.
    chance : the ground truth's share of the area: what a constant heatmap gets for pointing and energy.
    predicted : the prediction's share of the area.
    lost : the share of the ground truth where the heatmap has no value, which no figure counts.
    threshold : heatmap values at or above it are predicted; None when a mask was measured.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_vlexplain import measure
    >>> truth = np.zeros((4, 4), bool)
    >>> truth[:2] = True
    >>> found = measure(np.eye(4, dtype=np.float32), truth)
    >>> round(found.iou, 3), found.pointing, found.energy, found.chance
    (0.2, 0.5, 0.5, 0.5)
    """

    iou: float
    dice: float
    precision: float
    recall: float
    pointing: float
    energy: float
    chance: float
    predicted: float
    lost: float
    threshold: float | None

    @property
    def notes(self) -> tuple[Note, ...]:
        """What must stand beside them, see :func:`notes_of_figures`."""
        return notes_of_figures(self.lost, self.chance)

    def as_dict(self) -> dict[str, float | None]:
        """The figures by name, ready for JSON or a table row."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def notes_of_figures(lost: float, chance: float) -> tuple[Note, ...]:
    """What must stand beside figures: a ground truth that is empty, or lies where the heatmap has no value."""
    if math.isnan(lost):
        return (Note("The ground truth is empty, so there is nothing to measure against.", "empty"),)
    if not lost:
        return ()
    if not chance > 0:
        return (Note("The ground truth lies outside what the model sees, so no figure can be given.", "crop"),)
    share = f"{lost:.0%}" if lost >= 0.005 else "Less than 1%"
    return (Note(f"{share} of the ground truth lies outside what the model sees; no figure counts it.", "crop"),)


def truth_notes(heatmap: NDArray, truth: NDArray[np.bool_], ignored: NDArray[np.bool_] | None) -> tuple[Note, ...]:
    """The same of a heatmap (H, W), NaN where the model does not look, and a ground truth (H, W)."""
    unseen = np.isnan(without(heatmap, ignored))
    kept = int(np.count_nonzero(truth & ~unseen))
    lost = int(np.count_nonzero(truth)) - kept
    return notes_of_figures(ratio(lost, lost + kept), ratio(kept, int(np.count_nonzero(~unseen))))


def measure(
    heatmap: Any, truth: ArrayLike, mode: Mode = "value", value: float = 0.5, ignored: ArrayLike | None = None
) -> Figures:
    """All figures of a heatmap against a ground truth.

    Parameters
    ----------
    heatmap : (H, W) real, NaN where there is no value; or an explanation or answer, whose heatmap is taken.
    truth : (H, W) bool, the ground truth mask.
    mode : how the threshold is set: ``value`` (keep ``heatmap >= value``), ``quantile`` (keep at most the share
        1 - value of the pixels) or ``otsu``.
    value : the threshold, or the quantile in [0, 1].
    ignored : (H, W) bool, pixels that count nowhere.

    Returns
    -------
    Figures : IoU, Dice, precision, recall, pointing, energy, shares; each in [0, 1], NaN where undefined.

    Raises
    ------
    VLExplainError : arrays that do not fit each other or the task.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_vlexplain import measure
    >>> found = measure(np.array([[0.0, 0.2], [0.6, 1.0]]), np.array([[False, False], [False, True]]))
    >>> found.iou, found.pointing, found.predicted
    (0.5, 1.0, 0.5)
    """
    heatmap = getattr(heatmap, "heatmap", heatmap)
    h, t = as_heatmap(without(heatmap, ignored)), as_mask(truth, "ground truth")
    same_shape(h, t)
    if ignored is not None:
        t = t & ~as_mask(ignored, "border")
    threshold = threshold_of(h, mode, value)
    counts = OverlapHistogram(h).update(t)
    return _figures(counts, confusion(h >= threshold, t, ~np.isnan(h)), counts.lost, threshold)


def without(heatmap: ArrayLike, ignored: ArrayLike | None) -> NDArray:
    """A heatmap (H, W) without a value where it is to be ``ignored`` (H, W), so that no figure counts it."""
    h = np.asarray(heatmap)
    if ignored is None:
        return h
    left_out = as_mask(ignored, "border")
    same_shape(h, left_out)
    return np.where(left_out, h.dtype.type(np.nan), h) if h.dtype.kind == "f" else np.where(left_out, np.nan, h)


@dataclass(frozen=True, eq=False)
class Measured:
    """One state of a measurement, complete and unchanging: figures at any threshold are look-ups.

    ``notes``: what was found in the ground truth, to be said beside the figures.
    """

    counts: Counts
    beyond: float
    mask: Confusion | None
    notes: tuple[Note, ...] = ()

    def figures(self, edge: int) -> Figures:
        """The figures of the heatmap cut at edge number ``edge``, or of the mask when one is measured."""
        lost = self.counts.lost + self.beyond
        if self.mask is not None:
            return _figures(self.counts, self.mask, lost, None)
        return _figures(self.counts, self.counts.confusion(edge), lost, float(self.counts.edges[edge]))


class Measurement:
    """A heatmap measured against a ground truth that keeps changing.

    The heatmap is binned when it is new, the ground truth compared with the one before. Everything is
    measured on the heatmap's grid, or on the ground truth's where that is finer. One thread at a time may
    call ``update``.
    """

    def __init__(self) -> None:
        self._histogram: OverlapHistogram | None = None
        self._seen: NDArray[np.bool_] | None = None
        self._hidden: NDArray[np.bool_] | None = None
        self._of: tuple[Hashable, Grid, Grid] | None = None

    def update(
        self,
        heatmap: NDArray,
        to_world: NDArray[np.floating],
        truth: Region,
        prediction: Painted | None = None,
        stamp: Hashable = None,
        void: Painted | None = None,
        notes: tuple[Note, ...] = (),
    ) -> Measured:
        """Measure ``heatmap`` (H, W), placed by the (3, 3) ``to_world``, against ``truth``.

        ``prediction`` is a mask to measure in place of the heatmap at a threshold. ``stamp`` differs
        whenever the heatmap's values do; None bins it anew at every call. Pixels of ``void`` count nowhere.
        ``notes`` go along. Raises VLExplainError when the heatmap is no heatmap or the layers lie askew to
        each other.
        """
        own = Grid(shape_2d(heatmap), to_world)
        grid = truth.grid if isinstance(truth, Painted) and _finer(truth.grid, own) else own
        histogram = self._binned(heatmap, own, grid, stamp, None if void is None else void.on(grid)[0])
        inside, beyond = truth.on(grid)
        counts = histogram.update(inside)
        mask = None if prediction is None else confusion(prediction.on(grid)[0], inside, self._seen)
        return Measured(counts, beyond, mask, notes)

    def _binned(
        self, heatmap: NDArray, own: Grid, grid: Grid, stamp: Hashable, hidden: NDArray[np.bool_] | None
    ) -> OverlapHistogram:
        if self._histogram is not None and self._of is not None:
            old_stamp, old_own, old_grid = self._of
            same = stamp is not None and stamp == old_stamp and own.same_as(old_own) and grid.same_as(old_grid)
            if same and _alike(hidden, self._hidden):
                return self._histogram
        self._histogram = None  # should the rest fail, the old one must not stand
        values = without(onto(as_heatmap(heatmap), own, grid), hidden)
        self._hidden = hidden
        self._seen = ~np.isnan(values)
        self._histogram = OverlapHistogram(values)
        self._of = stamp, own, grid
        return self._histogram


def _figures(counts: Counts, c: Confusion, lost: float, threshold: float | None) -> Figures:
    unseen = lost > 0 and not counts.truth  # no figure can be given
    return Figures(
        iou=math.nan if unseen else c.iou,
        dice=math.nan if unseen else c.dice,
        precision=math.nan if unseen else c.precision,
        recall=c.recall,
        pointing=counts.pointing,
        energy=counts.energy,
        chance=ratio(counts.truth, counts.pixels),
        predicted=ratio(c.tp + c.fp, counts.pixels),
        lost=ratio(lost, counts.truth + lost),
        threshold=threshold,
    )


def _alike(one: NDArray[np.bool_] | None, other: NDArray[np.bool_] | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


def _finer(one: Grid, other: Grid) -> bool:
    # Thinning a fine ground truth to a coarse heatmap would drop small findings.
    return one.pixel_area < 0.9 * other.pixel_area
