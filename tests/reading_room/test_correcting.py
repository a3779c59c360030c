"""Masks corrected by rule, and compared part by part: properties that hold for any labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage
from skimage import measure as sk

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.metrics.overlap import confusion
from napari_vlexplain.reading_room import correcting
from napari_vlexplain.reading_room.agreement import agreements, compare
from napari_vlexplain.reading_room.correcting import (
    Change,
    boxes_to_labels,
    change_of,
    difference,
    fill_holes,
    intersection,
    labels_to_boxes,
    largest_component,
    remove_small,
    replaced,
    smooth,
    split,
    union,
)

EIGHT = np.ones((3, 3))
any_labels = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14), elements=st.integers(0, 3))
some = settings(max_examples=40, deadline=None)


def two(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))
    pair = [draw(arrays(np.uint8, shape, elements=st.integers(0, 3))) for _ in range(2)]
    return pair[0], pair[1]


pairs = st.composite(two)()


def check(old: np.ndarray, change: Change) -> np.ndarray:
    """What every change promises: shape, dtype, a tight window, the old array untouched, pixels that rebuild it."""
    new = change.labels
    assert new.shape == old.shape and new.dtype == old.dtype and new is not old
    differs = new != old
    if change.window is None:
        assert not differs.any()
    else:
        rows, columns = np.nonzero(differs)
        assert change.window == (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
    again = old.copy()
    (rows, columns), values = change.pixels(old)
    assert len(rows) == differs.sum()
    again[rows, columns] = values
    np.testing.assert_array_equal(again, new)
    return new


@given(any_labels)
@some
def test_the_largest_part_of_each_label_stays(labels: np.ndarray) -> None:
    before = labels.copy()
    new = check(labels, largest_component(labels))
    np.testing.assert_array_equal(labels, before)
    for number in (1, 2, 3):
        parts = sk.label(labels == number, connectivity=2)
        kept = sk.label(new == number, connectivity=2)
        assert kept.max() == min(parts.max(), 1)
        assert (new == number).sum() == max(np.bincount(parts.ravel())[1:], default=0)
        assert not ((new == number) & (labels != number)).any()


@given(any_labels, st.integers(0, 8))
@some
def test_small_parts_go_and_large_ones_stay(labels: np.ndarray, smallest: int) -> None:
    new = check(labels, remove_small(labels, smallest))
    np.testing.assert_array_equal(check(labels, remove_small(labels, smallest * 0.06, (0.2, 0.3))), new)
    for number in (1, 2, 3):
        parts = sk.label(labels == number, connectivity=2)
        for region in sk.regionprops(parts):
            assert (new[parts == region.label] == (number if region.area >= smallest else 0)).all()


@given(any_labels)
@some
def test_holes_are_filled_and_other_labels_stay(labels: np.ndarray) -> None:
    new = check(labels, fill_holes(labels))
    assert (new[labels != 0] == labels[labels != 0]).all()
    filled = np.any([ndimage.binary_fill_holes(labels == n) for n in (1, 2, 3)], axis=0)
    np.testing.assert_array_equal(new != 0, filled | (labels != 0))
    np.testing.assert_array_equal(fill_holes(new).labels, new)


@given(any_labels, st.floats(0.5, 6))
@some
def test_smoothing_invents_no_label_and_leaves_the_plain_alone(labels: np.ndarray, radius: float) -> None:
    new = check(labels, smooth(labels, radius))
    assert set(np.unique(new)) <= {0, *np.unique(labels)}
    for number in range(4):
        whole = np.full_like(labels, number)
        np.testing.assert_array_equal(smooth(whole, radius).labels, whole)


def test_smoothing_takes_bumps_keeps_edges_and_area() -> None:
    mask = np.zeros((80, 90), np.uint8)
    mask[20:60, 20:70] = 1
    mask[17:20, 40:42] = 1  # a bump of 2 x 3
    mask[57:60, 30:32] = 0  # a notch
    new = check(mask, smooth(mask, 6))
    assert not new[:19].any() and new[57, 30:32].all()
    assert new[20, 30:60].all() and new[40, [20, 69]].all() and not new[40, [19, 70]].any()
    assert abs(int(new.sum()) - int(mask.sum())) < 0.02 * mask.sum()
    in_mm = smooth(mask, 1.2, (0.2, 0.2)).labels
    np.testing.assert_array_equal(in_mm, new)
    turned = np.repeat(mask, 2, axis=1)  # columns half as wide
    np.testing.assert_allclose(smooth(turned, 6, (1.0, 0.5)).labels.sum(), 2 * new.sum(), rtol=0.01)


def test_neighbours_keep_a_common_border_when_they_are_smoothed() -> None:
    labels = np.zeros((40, 60), np.uint8)
    labels[5:35, 5:30], labels[5:35, 30:55] = 1, 2
    new = smooth(labels, 8).labels
    assert (new[10:30, 28:32] != 0).all()
    alone = smooth(labels, 8, label=1).labels
    np.testing.assert_array_equal(alone == 2, labels == 2)


@given(any_labels, st.integers(1, 3))
@some
def test_a_label_on_its_own(labels: np.ndarray, label: int) -> None:
    for change in (smooth(labels, 2, label=label), largest_component(labels, label), fill_holes(labels, label),
                   remove_small(labels, 4, label=label)):  # fmt: skip
        new = check(labels, change)
        others = (labels != label) & (labels != 0)
        np.testing.assert_array_equal(new[others], labels[others])
        assert set(np.unique(new)) <= {0, *np.unique(labels)}


@given(any_labels, st.integers(-2, 16))
@some
def test_split_makes_two_labels_and_moves_no_pixel(labels: np.ndarray, column: int) -> None:
    at = max(column, 0)
    straddling = [n for n in (1, 2, 3) if (labels[:, :at] == n).any() and (labels[:, at:] == n).any()]
    if not straddling:
        with pytest.raises(VLExplainError, match="both sides"):
            split(labels, column)
        return
    new = check(labels, split(labels, column))
    np.testing.assert_array_equal(new != 0, labels != 0)
    np.testing.assert_array_equal(new[:, :at], labels[:, :at])
    for number in np.unique(new)[1:]:
        assert not ((new[:, :at] == number).any() and (new[:, at:] == number).any())
    assert len(np.unique(new)) == len(np.unique(labels)) + len(straddling)


def test_split_at_the_middle_and_what_cannot_be_split() -> None:
    labels = np.ones((2, 6), np.uint8)
    np.testing.assert_array_equal(split(labels).labels[0], [1, 1, 1, 2, 2, 2])
    np.testing.assert_array_equal(split(labels, 1.0).labels[0], [1, 2, 2, 2, 2, 2])
    with pytest.raises(VLExplainError, match="no room"):
        split(labels.astype(bool))
    with pytest.raises(VLExplainError, match="no numbers left"):
        split(labels * np.uint8(255))


@given(pairs)
@some
def test_sets_are_sets(two: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = two
    for change, expected in (
        (union(a, b), (a != 0) | (b != 0)),
        (intersection(a, b), (a != 0) & (b != 0)),
        (difference(a, b), (a != 0) & (b == 0)),
    ):
        new = check(a, change)
        np.testing.assert_array_equal(new != 0, expected)
        kept = (new != 0) & (a != 0)
        np.testing.assert_array_equal(new[kept], a[kept])
    added = (a == 0) & (b != 0)
    assert (union(a, b, 9).labels[added] == 9).all()
    np.testing.assert_array_equal(union(a, b).labels[added], b[added])
    np.testing.assert_array_equal(check(a, replaced(a, b)), b)


boxes = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=4
)


@given(boxes)
@some
def test_boxes_become_labels_and_labels_boxes(given: list[tuple[int, int, int, int]]) -> None:
    labels = boxes_to_labels([(float(x), float(y), float(w), float(h)) for x, y, w, h in given], (50, 50))
    union_of = np.zeros((50, 50), bool)
    for x, y, w, h in given:
        union_of[y : y + h, x : x + w] = True
    np.testing.assert_array_equal(labels != 0, union_of)
    x, y, w, h = given[0]
    assert (labels[y : y + h, x : x + w] == 1).all()
    found = labels_to_boxes(labels)
    apart = np.zeros((50, 50), int)
    for bx, by, bw, bh in given:
        apart[max(by - 1, 0) : by + bh + 1, max(bx - 1, 0) : bx + bw + 1] += 1
    if apart.max() == 1:  # none touches another
        assert sorted(box for _, box in found) == sorted(
            (float(a), float(b), float(c), float(d)) for a, b, c, d in given
        )
    for number, (bx, by, bw, bh) in found:
        inside = labels[int(by) : int(by + bh), int(bx) : int(bx + bw)] == number
        assert inside.any(axis=0).any() and inside[0].any() and inside[-1].any()
        assert inside[:, 0].any() and inside[:, -1].any()


def test_what_is_no_mask_is_refused() -> None:
    mask = np.ones((4, 4), np.uint8)
    for call in (lambda: smooth(mask, 0), lambda: smooth(mask, float("nan")), lambda: remove_small(mask, -1),
                 lambda: fill_holes(mask * 1.5), lambda: union(mask, np.ones((3, 3), np.uint8)),
                 lambda: boxes_to_labels([(9, 9, 1, 1)], (4, 4)), lambda: boxes_to_labels([(1, 1, 0, 1)], (4, 4)),
                 lambda: compare(mask * 0.5, mask)):  # fmt: skip
        with pytest.raises(VLExplainError):
            call()
    assert smooth(mask * 0, 3).window is None
    assert change_of(mask, mask).window is None
    assert correcting.smooth(mask.astype(bool), 2).labels.dtype == bool


@given(pairs)
@some
def test_agreement_counts_as_the_metrics_do_and_parts_add_up(two: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = two
    for first, second in ((a, b), (a != 0, b != 0)):
        found = compare(first, second)
        assert found.counts == confusion(first, second)
        assert found.difference == int((first != 0).sum()) - int((second != 0).sum())
        if found.parts:
            assert sum(part.second for part in found.parts) == int((second != 0).sum())
            assert sum(part.first for part in found.parts) == int((first != 0).sum())
            assert sum(part.difference for part in found.parts) == found.difference


@given(pairs, st.integers(0, 2**32 - 1))
@some
def test_only_what_the_model_saw_is_compared_with_the_model(two: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    a, b = two
    seen = np.random.default_rng(seed).random(a.shape) < 0.6
    masks = {"model": a != 0, "truth": b != 0, "reader": a != 0}
    found = {(one.first, one.second): one.counts for one in agreements(masks, seen)}
    assert list(found) == [("model", "truth"), ("reader", "truth"), ("model", "reader")]
    unseen = (b != 0).any() and not ((b != 0) & seen).any()  # such a ground truth has no figures
    assert found["model", "truth"] == confusion(a, b, seen & (not unseen))
    assert found["reader", "truth"] == confusion(a, b)


def test_figures_are_signed_for_each_part_and_box_and_label() -> None:
    truth = np.zeros((40, 60), np.uint8)
    truth[5:15, 5:15] = truth[20:30, 40:50] = 1
    reader = np.zeros_like(truth)
    reader[5:15, 5:20] = reader[22:30, 40:50] = 1
    parts = compare(reader, truth).parts
    assert [(p.name, p.first, p.second, p.difference) for p in parts] == [
        ("part 1", 150, 100, 50), ("part 2", 80, 100, -20)]  # fmt: skip
    assert parts[0].iou == pytest.approx(100 / 150) and parts[1].iou == pytest.approx(0.8)
    assert (parts[1].row, parts[1].column) == (24.5, 44.5)
    boxed = compare(reader, truth, boxes=[(40, 20, 10, 10), (5, 5, 10, 10)]).parts
    assert [(p.name, p.difference) for p in boxed] == [("box 1", -20), ("box 2", 50)]
    truth[20:30, 40:50] = reader[22:30, 40:50] = 7
    labelled = compare(reader, truth).parts
    assert [(p.name, p.difference) for p in labelled] == [("label 1", 50), ("label 7", -20)]
    assert compare(reader * 0, truth * 0).parts == () and np.isnan(compare(reader * 0, truth * 0).counts.iou)
