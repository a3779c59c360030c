"""Masks corrected by rule: smooth, fill, keep the largest, split left from right, combine, boxes to masks and back.

Every function takes labels (H, W), bool or integers, 0 or False outside, and gives a :class:`Change`: new labels of the
same shape and dtype, and the window outside of which they are the old ones. Every label is treated on its own, and none
takes pixels from another; with ``label`` only that one changes. Components touch at corners, too (8-connected). Lengths
are pixels, or millimetres where ``spacing`` (row, column) is given. No Qt here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from ..errors import VLExplainError
from ..metrics.overlap import same_shape
from ..truth.reading import mask_of_boxes
from .agreement import Box

Spacing = tuple[float, float]
Window = tuple[slice, slice]
Labels = NDArray[Any]
_EIGHT = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class Change:
    """New labels, and the smallest window that holds every changed pixel; None where nothing changed."""

    labels: Labels
    window: Window | None

    def pixels(self, old: Labels) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp]], Labels]:
        """(rows, columns) of every pixel that differs from ``old``, and its new value."""
        if self.window is None:
            nothing = np.zeros(0, dtype=np.intp)
            return (nothing, nothing), self.labels[:0, 0]
        new = self.labels[self.window]
        rows, columns = np.nonzero(new != old[self.window])
        return (rows + self.window[0].start, columns + self.window[1].start), new[rows, columns]


def smooth(labels: Labels, radius: float, spacing: Spacing | None = None, label: int | None = None) -> Change:
    """Bumps and notches smaller than about ``radius`` go, straight edges stay, the area hardly changes.

    Each label is blurred (Gaussian, sigma = radius / 2) and a pixel goes to whoever is strongest there, the outside
    included, so that neighbours keep a common border. Parts thinner than the radius vanish.
    Raises VLExplainError for a radius that is not above 0.
    """
    if not (np.isfinite(radius) and radius > 0):
        raise VLExplainError(f"The radius is {radius:g}, but it must be above 0.")
    sigma = [radius / 2 / length for length in (spacing or (1.0, 1.0))]
    margin = [int(np.ceil(4 * s)) + 1 for s in sigma]

    def within(old: Labels, numbers: list[int]) -> Labels:
        new = old.copy()
        blurred = {n: ndimage.gaussian_filter((old == n).astype(np.float32), sigma, mode="nearest") for n in numbers}
        outside = 1 - sum(blurred.values(), np.zeros(old.shape, np.float32))
        others = (old != 0) & ~np.isin(old, numbers)
        new[~others] = 0
        strongest = np.where(others, np.float32(np.inf), outside)
        for number, share in blurred.items():
            better = share >= strongest
            new[better] = number
            strongest[better] = share[better]
        return new

    return _changed(labels, within, label, margin)


def largest_component(labels: Labels, label: int | None = None) -> Change:
    """Of each label only its largest connected part stays; of equally large ones the first from the top."""

    def within(old: Labels, numbers: list[int]) -> Labels:
        new = old.copy()
        for number, parts, sizes in _components(old, numbers):
            if len(sizes) > 2:
                new[(old == number) & (parts != 1 + int(np.argmax(sizes[1:])))] = 0
        return new

    return _changed(labels, within, label)


def remove_small(labels: Labels, smallest: float, spacing: Spacing | None = None, label: int | None = None) -> Change:
    """Connected parts of less than ``smallest`` pixels, or mm² where spacing is given, go.

    Raises VLExplainError for a size below 0.
    """
    if not (np.isfinite(smallest) and smallest >= 0):
        raise VLExplainError(f"The smallest part is {smallest:g}, but an area is 0 or more.")
    area = 1.0 if spacing is None else spacing[0] * spacing[1]

    def within(old: Labels, numbers: list[int]) -> Labels:
        new = old.copy()
        for _, parts, sizes in _components(old, numbers):
            small = sizes * area < smallest
            small[0] = False
            new[small[parts]] = 0
        return new

    return _changed(labels, within, label)


def fill_holes(labels: Labels, label: int | None = None) -> Change:
    """Outside that a label encloses becomes that label; other labels in a hole stay.

    A hole is closed where its rim is, diagonal steps included.
    """

    def within(old: Labels, numbers: list[int]) -> Labels:
        new = old.copy()
        for number in numbers:
            new[ndimage.binary_fill_holes(old == number) & (new == 0)] = number
        return new

    return _changed(labels, within, label)


def split(labels: Labels, column: float | None = None, label: int | None = None) -> Change:
    """Each label that lies on both sides of a column becomes two: its right part gets a number of its own.

    ``column``: the first on the right side; by default the middle of the image. Left and right are the image's: on a
    radiograph seen from the front, the patient's left is on the right.

    Raises VLExplainError where no label lies on both sides, or the dtype has no numbers left.
    """
    middle = labels.shape[1] / 2 if column is None else column
    at = int(np.ceil(middle - 1e-9))
    numbers = [n for n in _numbers(labels) if label in (None, n)]
    both = [n for n in numbers if (labels[:, : max(at, 0)] == n).any() and (labels[:, max(at, 0) :] == n).any()]
    if not both:
        raise VLExplainError(f"No label lies on both sides of column {at}; there is nothing to split.")
    if labels.dtype == bool:
        raise VLExplainError("A mask of False and True has no room for two labels; split labels of integers.")
    highest = max(_numbers(labels))
    if highest + len(both) > np.iinfo(labels.dtype).max:
        raise VLExplainError(f"Labels of {labels.dtype} have no numbers left; use a layer of larger integers.")
    new = labels.copy()
    right = new[:, at:]
    for place, number in enumerate(both, start=1):
        right[labels[:, at:] == number] = highest + place
    return change_of(labels, new)


def union(labels: Labels, other: ArrayLike, value: int | None = None) -> Change:
    """What lies in either: the labels stay, and what ``other`` adds gets ``value``, by default its own labels.

    Raises VLExplainError for masks of different shape.
    """
    second = _fitting(labels, other)
    added = second.astype(labels.dtype) if value is None else np.where(second != 0, value, 0).astype(labels.dtype)
    return change_of(labels, np.where(labels != 0, labels, added))


def intersection(labels: Labels, other: ArrayLike) -> Change:
    """Of the labels what lies in ``other`` too. Raises VLExplainError for masks of different shape."""
    return change_of(labels, np.where(_fitting(labels, other) != 0, labels, np.zeros_like(labels)))


def difference(labels: Labels, other: ArrayLike) -> Change:
    """Of the labels what does not lie in ``other``. Raises VLExplainError for masks of different shape."""
    return change_of(labels, np.where(_fitting(labels, other) == 0, labels, np.zeros_like(labels)))


def replaced(labels: Labels, other: ArrayLike) -> Change:
    """``other`` in place of the labels. Raises VLExplainError for masks of different shape."""
    return change_of(labels, _fitting(labels, other).astype(labels.dtype))


def boxes_to_labels(boxes: Sequence[Box], shape: tuple[int, int]) -> NDArray[np.uint16]:
    """Box k of ``[x, y, width, height]`` as label k + 1, (H, W); where boxes overlap the earlier stays on top.

    A box covers the pixels whose centre lies in it, at least one, and is clipped at the border.
    Raises VLExplainError for a box without area, or one wholly outside.
    """
    labels = np.zeros(shape, dtype=np.uint16)
    for number, box in reversed(list(enumerate(boxes, start=1))):
        labels[mask_of_boxes([list(box)], shape, f"Box {number}")] = number
    return labels


def labels_to_boxes(labels: Labels, label: int | None = None) -> list[tuple[int, Box]]:
    """(label, box) of every connected part: the smallest ``[x, y, width, height]`` around it, from the top."""
    found: list[tuple[int, Box]] = []
    for number in (n for n in _numbers(labels) if label in (None, n)):
        parts, _ = ndimage.label(labels == number, _EIGHT)
        for rows, columns in ndimage.find_objects(parts):
            box = (columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
            found.append((number, (float(box[0]), float(box[1]), float(box[2]), float(box[3]))))
    return found


def change_of(old: Labels, new: Labels, window: Window | None = None) -> Change:
    """The change from old to new; ``window``: where it can be at all."""
    where = window or (slice(0, old.shape[0]), slice(0, old.shape[1]))
    differs = old[where] != new[where]
    rows, columns = np.nonzero(differs.any(axis=1))[0], np.nonzero(differs.any(axis=0))[0]
    if not rows.size:
        return Change(new, None)
    (top, left) = (where[0].start, where[1].start)
    return Change(
        new,
        (
            slice(top + int(rows[0]), top + int(rows[-1]) + 1),
            slice(left + int(columns[0]), left + int(columns[-1]) + 1),
        ),
    )


def _changed(
    labels: Labels,
    within: Callable[[Labels, list[int]], Labels],
    label: int | None,
    margin: Sequence[int] = (1, 1),
) -> Change:
    """``within`` applied to the window around the labels that may change, the rest left as it is."""
    if labels.ndim != 2 or labels.dtype.kind not in "bui":
        raise VLExplainError(f"Labels are integers (H, W); these are {labels.dtype} {labels.shape}.")
    numbers = [n for n in _numbers(labels) if label in (None, n)]
    if not numbers:
        return Change(labels.copy(), None)
    asked = labels != 0 if label is None else labels == label
    window = []
    for axis in (0, 1):
        held = np.nonzero(asked.any(axis=1 - axis))[0]
        low, high = int(held[0]) - margin[axis], int(held[-1]) + 1 + margin[axis]
        window.append(slice(max(low, 0), min(high, labels.shape[axis])))
    where = (window[0], window[1])
    new = labels.copy()
    new[where] = within(labels[where], numbers)
    return change_of(labels, new, where)


def _components(labels: Labels, numbers: list[int]) -> Iterator[tuple[int, NDArray[Any], NDArray[np.intp]]]:
    """For each label its connected parts numbered from 1, and their sizes; the first size is the outside's."""
    for number in numbers:
        parts, count = ndimage.label(labels == number, _EIGHT)
        yield number, parts, np.bincount(parts.ravel(), minlength=count + 1)


def _numbers(labels: Labels) -> list[int]:
    if labels.dtype.kind == "b" or (labels.size and labels.min() >= 0 and labels.max() < 1 << 16):
        return [int(n) for n in np.nonzero(np.bincount(labels.ravel()))[0] if n]
    return [int(n) for n in np.unique(labels) if n]


def _fitting(labels: Labels, other: ArrayLike) -> Labels:
    second = np.asarray(other)
    same_shape(labels, second)
    return second
