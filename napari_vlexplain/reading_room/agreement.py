"""Reader, model and ground truth against each other: as a whole, and label by label or box by box, signed.

Of a pair the second is what the first is held against: ``difference`` is above 0 where the first covers more. Masks
are (H, W), 0 or False outside; every other number is a label. Rules for empty masks: as in
:mod:`napari_vlexplain.metrics.overlap`. No Qt here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from ..errors import VLExplainError
from ..metrics.overlap import Confusion, confusion, ratio, same_shape
from .labelled import numbers_of

PAIRS = (("model", "truth"), ("reader", "truth"), ("model", "reader"))
MOST_PARTS = 20
_EIGHT = np.ones((3, 3), dtype=bool)

Edges = tuple[float, float, float, float]
Box = tuple[float, float, float, float]
"""x, y, width, height in pixels from the top left."""


@dataclass(frozen=True)
class Part:
    """Pixels of one label, box or connected part: in the first mask, in the second, and in both.

    ``row``, ``column``: its centre, for people to find it.
    """

    name: str
    first: int
    second: int
    both: int
    row: float = float("nan")
    column: float = float("nan")

    @property
    def difference(self) -> int:
        """Pixels of the first minus those of the second."""
        return self.first - self.second

    @property
    def iou(self) -> float:
        """Intersection over union of this part alone, in [0, 1]; NaN where both are empty."""
        return ratio(self.both, self.first + self.second - self.both)

    @property
    def dice(self) -> float:
        """Dice coefficient of this part alone, in [0, 1]; NaN where both are empty."""
        return ratio(2 * self.both, self.first + self.second)


@dataclass(frozen=True)
class Agreement:
    """One mask against another: pixel counts of the whole, and of each part."""

    first: str
    second: str
    counts: Confusion
    parts: tuple[Part, ...] = ()

    @property
    def difference(self) -> int:
        """Pixels of the first minus those of the second."""
        return self.counts.fp - self.counts.fn


def agreements(
    masks: Mapping[str, ArrayLike],
    valid: ArrayLike | None = None,
    boxes: Sequence[Box] = (),
    pairs: Iterable[tuple[str, str]] = PAIRS,
    ignored: NDArray[np.bool_] | None = None,
) -> list[Agreement]:
    """Every pair of which both masks are there. ``masks``: role -> (H, W), bool or labels.

    ``valid``: pixels that the model saw; pairs with the model are compared there alone. ``boxes``: parts by these.
    ``ignored``: pixels that pairs with the ground truth leave out.
    """
    return [
        compare(masks[first], masks[second], first, second, _area((first, second), masks, valid, ignored), boxes)
        for first, second in pairs
        if first in masks and second in masks
    ]


def overlaps(
    masks: Mapping[str, ArrayLike], valid: ArrayLike | None = None, ignored: NDArray[np.bool_] | None = None
) -> dict[tuple[str, str], Confusion]:
    """The counts of :func:`agreements` alone, without parts: fast enough to follow a brush.

    ``ignored``: pixels that pairs with the ground truth leave out.
    """
    found = {}
    for pair in PAIRS:
        if pair[0] in masks and pair[1] in masks:
            found[pair] = confusion(masks[pair[0]], masks[pair[1]], _area(pair, masks, valid, ignored))
    return found


def _area(
    pair: tuple[str, str], masks: Mapping[str, ArrayLike], valid: ArrayLike | None, ignored: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    """The pixels where a pair is compared; None for all. Of a ground truth that the model did not see at all: none."""
    area = None if valid is None or "model" not in pair else np.asarray(valid, dtype=bool)
    if ignored is not None and "truth" in pair:
        area = ~ignored if area is None else area & ~ignored
    if area is not None and "model" in pair and "truth" in pair:
        truth = np.asarray(masks["truth"]) != 0
        if truth.any() and not (truth & area).any():
            return np.zeros_like(area)
    return area


def compare(
    first: ArrayLike,
    second: ArrayLike,
    first_name: str = "first",
    second_name: str = "second",
    valid: ArrayLike | None = None,
    boxes: Sequence[Box] = (),
) -> Agreement:
    """One mask against another.

    Parts are the boxes where they are given; else the labels, where the masks share one of several; else the labels of
    the only mask that has several (such as left and right), or the connected parts of the second mask: of these two,
    at most ``MOST_PARTS``, and each pixel outside them belongs to the part whose bounding box is nearest, so that the
    parts' figures add up to the whole.

    Raises VLExplainError for masks of different shape.
    """
    a, b = _labels(first, first_name), _labels(second, second_name)
    same_shape(a, b)
    pixels = a.size
    if valid is not None:
        seen = np.asarray(valid, dtype=bool)
        same_shape(a, seen)
        a, b, pixels = a * seen, b * seen, int(np.count_nonzero(seen))
    window = _window(a, b)
    a, b = a[window], b[window]
    inside, wanted = a != 0, b != 0
    both = int(np.count_nonzero(inside & wanted))
    fp, fn = int(np.count_nonzero(inside)) - both, int(np.count_nonzero(wanted)) - both
    counts = Confusion(both, fp, fn, pixels - both - fp - fn)
    origin = (window[0].start, window[1].start)
    if boxes:
        parts = _by_box(inside, wanted, boxes, origin)
    elif _labelled_alike(a, b):
        parts = _by_label(a, b, origin)
    elif (labels := _only_labelled(a, b)) is not None:
        parts = _around_labels(labels, inside, wanted, origin)
    else:
        parts = _by_part(inside, wanted, origin)
    return Agreement(first_name, second_name, counts, tuple(parts))


def _by_label(a: NDArray[Any], b: NDArray[Any], origin: tuple[int, int]) -> list[Part]:
    return [
        _part(f"label {label}", a == label, b == label, origin) for label in sorted({*numbers_of(a), *numbers_of(b)})
    ]


def _by_box(
    inside: NDArray[np.bool_], wanted: NDArray[np.bool_], boxes: Sequence[Box], origin: tuple[int, int]
) -> list[Part]:
    edges = [(y - origin[0], x - origin[1], y + h - origin[0], x + w - origin[1]) for x, y, w, h in boxes]
    pixels = np.flatnonzero(inside | wanted)
    names = [f"box {k + 1}" for k in range(len(edges))]
    return _counted(names, inside, wanted, pixels, _nearest(edges, pixels, inside.shape), edges, origin)


def _by_part(inside: NDArray[np.bool_], wanted: NDArray[np.bool_], origin: tuple[int, int]) -> list[Part]:
    numbered, count = ndimage.label(wanted, _EIGHT)
    if count < 2:
        return [_part("part 1", inside, wanted, origin)] if count else []
    sizes = np.bincount(numbered[wanted], minlength=count + 1)[1:]
    kept = np.sort(np.argsort(-sizes, kind="stable")[:MOST_PARTS]) + 1
    return _around([f"part {k + 1}" for k in range(len(kept))], numbered, kept, inside, wanted, origin)


def _around_labels(
    labels: NDArray[Any], inside: NDArray[np.bool_], wanted: NDArray[np.bool_], origin: tuple[int, int]
) -> list[Part]:
    numbers = sorted((0, *numbers_of(labels)))
    numbered = np.searchsorted(numbers, labels)
    return _around([f"label {n}" for n in numbers[1:]], numbered, np.arange(1, len(numbers)), inside, wanted, origin)


def _around(
    names: Sequence[str],
    numbered: NDArray[np.intp],
    kept: NDArray[np.intp],
    inside: NDArray[np.bool_],
    wanted: NDArray[np.bool_],
    origin: tuple[int, int],
) -> list[Part]:
    """A part for each of the ``kept`` numbers; other pixels go to the nearest of them."""
    pixels = np.flatnonzero(inside | wanted)
    found = ndimage.find_objects(numbered)
    edges = [(found[k][0].start, found[k][1].start, found[k][0].stop, found[k][1].stop) for k in kept - 1]
    place = np.full(len(found) + 1, -1, dtype=np.int16)
    place[kept] = np.arange(len(kept))
    owner = place[numbered.ravel()[pixels]]  # a part's own pixels are its own, whatever box they lie in
    others = owner < 0
    owner[others] = _nearest(edges, pixels[others], wanted.shape)
    return _counted(names, inside, wanted, pixels, owner, edges, origin)


def _counted(
    names: Sequence[str],
    inside: NDArray[np.bool_],
    wanted: NDArray[np.bool_],
    pixels: NDArray[np.intp],
    owner: NDArray[np.int16],
    edges: Sequence[Edges],
    origin: tuple[int, int],
) -> list[Part]:
    """Parts from the owner of each of the pixels."""
    first, second = inside.ravel()[pixels], wanted.ravel()[pixels]
    ours, theirs, both = (np.bincount(owner[which], minlength=len(edges)) for which in (first, second, first & second))
    top, left = origin[0] - 0.5, origin[1] - 0.5
    centres = [(top + (e[0] + e[2]) / 2, left + (e[1] + e[3]) / 2) for e in edges]
    return [Part(names[k], int(ours[k]), int(theirs[k]), int(both[k]), *centres[k]) for k in range(len(edges))]


def _part(name: str, inside: NDArray[np.bool_], wanted: NDArray[np.bool_], origin: tuple[int, int]) -> Part:
    first, second = int(np.count_nonzero(inside)), int(np.count_nonzero(wanted))
    top, left, bottom, right = _edges(wanted if second else inside)
    row, column = origin[0] + (top + bottom - 1) / 2, origin[1] + (left + right - 1) / 2
    return Part(name, first, second, int(np.count_nonzero(inside & wanted)), row, column)


def _edges(mask: NDArray[Any]) -> Edges:
    """Top, left, bottom, right of what is not 0; all 0 where nothing is."""
    rows, columns = _span(mask, 1), _span(mask, 0)
    return rows.start, columns.start, rows.stop, columns.stop


def _span(mask: NDArray[Any], axis: int) -> slice:
    held = np.nonzero(mask.any(axis=axis))[0]
    return slice(int(held[0]), int(held[-1]) + 1) if held.size else slice(0, 0)


def _nearest(edges: Sequence[Edges], pixels: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.int16]:
    """For each pixel (flat index) the nearest box (top, left, bottom, right); of equally near ones the first."""
    rows, columns = (at.astype(np.float32) for at in np.unravel_index(pixels, shape))
    owner, best = np.zeros(len(pixels), dtype=np.int16), np.full(len(pixels), np.inf, dtype=np.float32)
    for k, (top, left, bottom, right) in enumerate(edges):
        down = np.maximum(np.maximum(top - rows, rows - (bottom - 1)), 0)
        across = np.maximum(np.maximum(left - columns, columns - (right - 1)), 0)
        distance = down * down + across * across
        owner[distance < best] = k
        np.minimum(best, distance, out=best)
    return owner


def _labels(mask: ArrayLike, name: str) -> NDArray[Any]:
    found = np.asarray(mask)
    if found.ndim != 2 or found.dtype.kind not in "bui":
        raise VLExplainError(f"The {name} is {found.dtype} {found.shape}, but must be a mask or labels (H, W).")
    return found.view(np.uint8) if found.dtype == bool else found


def _labelled_alike(a: NDArray[Any], b: NDArray[Any]) -> bool:
    if _is_plain(a) or _is_plain(b):
        return False
    first, second = set(numbers_of(a)), set(numbers_of(b))
    return len(first | second) > 1 and bool(first & second) and len(first | second) <= MOST_PARTS


def _only_labelled(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any] | None:
    """The one that has several labels, where the other is plain."""
    labelled = [mask for mask in (a, b) if not _is_plain(mask)]
    return labelled[0] if len(labelled) == 1 and 1 < len(numbers_of(labelled[0])) <= MOST_PARTS else None


def _is_plain(labels: NDArray[Any]) -> bool:
    """Nothing but label 1?"""
    return bool(labels.max(initial=0) < 2 and labels.min(initial=0) >= 0)


def _window(a: NDArray[Any], b: NDArray[Any]) -> tuple[slice, slice]:
    """The smallest window that holds all of both masks."""
    spans = []
    for axis in (1, 0):
        one, other = _span(a, axis), _span(b, axis)
        held = [span for span in (one, other) if span.stop] or [one]
        spans.append(slice(min(span.start for span in held), max(span.stop for span in held)))
    return spans[0], spans[1]
