"""Overlap figures on arrays: what each must be where one can say it beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.metrics.figures import measure
from napari_vlexplain.metrics.overlap import (
    confusion,
    dice,
    energy_in_mask,
    iou,
    lost_share,
    pointing_game,
    precision,
    recall,
    threshold_iou,
)
from napari_vlexplain.metrics.thresholds import bin_edges, bin_indices, threshold_of

RATIOS = (iou, dice, precision, recall)
masks = arrays(bool, (6, 7))
heatmaps = arrays(np.float32, (6, 7), elements=st.floats(-2, 2, width=32))


def square(shape: tuple[int, int] = (20, 30)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[5:15, 10:20] = True
    return mask


@pytest.mark.parametrize("figure", RATIOS)
def test_a_perfect_prediction_scores_one_and_an_inverted_one_zero(figure) -> None:
    assert figure(square(), square()) == 1
    assert figure(~square(), square()) == 0


def test_counted_by_hand() -> None:
    prediction, truth = [[1, 1, 1, 0]], [[0, 1, 1, 1]]
    assert iou(prediction, truth) == 2 / 4
    assert dice(prediction, truth) == 4 / 6
    assert precision([[1, 1, 1, 1]], truth) == 3 / 4
    assert recall([[0, 0, 0, 1]], truth) == 1 / 3
    assert confusion(prediction, truth).tn == 0


def test_nothing_to_measure_is_nan() -> None:
    empty, full = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    assert math.isnan(iou(empty, empty)) and math.isnan(dice(empty, empty))
    assert math.isnan(precision(empty, full)) and math.isnan(recall(full, empty))
    assert iou(empty, full) == iou(full, empty) == 0
    assert recall(full, full) == precision(full, full) == 1
    assert math.isnan(pointing_game(np.eye(4), empty)) and math.isnan(energy_in_mask(np.eye(4), empty))
    assert pointing_game(np.eye(4), full) == 1 and energy_in_mask(np.eye(4), full) == 1


@given(masks, masks)
def test_ratios_keep_their_range_and_relations(prediction: np.ndarray, truth: np.ndarray) -> None:
    j, d = iou(prediction, truth), dice(prediction, truth)
    if math.isnan(j):
        assert math.isnan(d) and not prediction.any() and not truth.any()
        return
    assert 0 <= j <= d <= 1
    assert d == pytest.approx(2 * j / (1 + j))
    assert j == iou(truth, prediction)
    p, r = precision(prediction, truth), recall(prediction, truth)
    assert math.isnan(p) == (not prediction.any()) and math.isnan(r) == (not truth.any())
    if p > 0 and r > 0:
        assert d == pytest.approx(2 * p * r / (p + r))


def test_a_random_prediction_scores_what_chance_gives() -> None:
    rng = np.random.default_rng(0)
    truth, heatmap = square((200, 300)), rng.random((200, 300))
    share = truth.mean()
    assert precision(heatmap > 0.5, truth) == pytest.approx(share, rel=0.5)
    assert energy_in_mask(heatmap, truth) == pytest.approx(share, rel=0.3)


def test_the_pointing_game_shares_ties() -> None:
    truth = square()
    heatmap = np.zeros(truth.shape)
    assert pointing_game(heatmap, truth) == truth.mean()  # a constant map earns its area, not a hit
    heatmap[7, 12] = 3
    assert pointing_game(heatmap, truth) == 1
    heatmap[0, 0] = heatmap[1, 1] = 3
    assert pointing_game(heatmap, truth) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("tolerance", "hit"), [(0, 0), (2.9, 0), (3, 1), (15, 1)])
def test_the_pointing_game_tolerates_a_near_miss(tolerance: float, hit: float) -> None:
    heatmap = np.zeros((20, 30))
    heatmap[2, 12] = 1  # three rows above the square
    assert pointing_game(heatmap, square(), tolerance) == hit


def test_energy_counts_positive_mass_only() -> None:
    assert energy_in_mask([[3.0, 1.0, -100.0]], [[1, 0, 1]]) == 0.75
    assert math.isnan(energy_in_mask([[-1.0, 0.0]], [[1, 0]]))


def test_unseen_pixels_count_on_neither_side() -> None:
    heatmap, truth = np.array([[np.nan, 2.0, 1.0, 0.0]]), np.array([[1, 1, 0, 0]])
    figures = measure(heatmap, truth, "value", 1.0)
    assert (figures.iou, figures.recall, figures.precision) == (0.5, 1, 0.5)
    assert figures.pointing == pointing_game(heatmap, truth) == 1
    assert figures.energy == energy_in_mask(heatmap, truth) == pytest.approx(2 / 3)
    assert figures.lost == lost_share(heatmap, truth) == 0.5
    assert figures.chance == pytest.approx(1 / 3) and figures.predicted == pytest.approx(2 / 3)


@given(heatmaps, masks)
def test_unseen_pixels_are_as_good_as_cut_off(heatmap: np.ndarray, truth: np.ndarray) -> None:
    blind = heatmap.copy()
    blind[:, 5:] = np.nan
    seen, seen_truth = heatmap[:, :5], truth[:, :5]
    whole = measure(blind, truth, "quantile", 0.5).as_dict()
    part = measure(seen, seen_truth, "quantile", 0.5).as_dict()
    if truth.any() and not seen_truth.any():  # nothing that the model saw could be right or wrong
        part |= dict.fromkeys(("iou", "dice", "precision"), math.nan)
    for name in set(whole) - {"lost"}:
        assert whole[name] == pytest.approx(part[name], nan_ok=True), name


def test_a_ground_truth_all_unseen_is_all_lost() -> None:
    figures = measure([[np.nan, 1.0]], [[1, 0]])
    assert figures.lost == 1
    assert all(math.isnan(one) for one in (figures.iou, figures.dice, figures.precision, figures.recall))
    assert math.isnan(figures.pointing)


@settings(max_examples=50)
@given(heatmaps, masks)
def test_the_curve_is_the_iou_at_each_threshold(heatmap: np.ndarray, truth: np.ndarray) -> None:
    heatmap = heatmap.copy()
    heatmap[2, 3] = np.nan
    thresholds, curve = threshold_iou(heatmap, truth)
    seen = ~np.isnan(heatmap)
    with np.errstate(invalid="ignore"):
        direct = [iou(heatmap >= float(t), truth, seen) for t in thresholds]
    np.testing.assert_array_equal(curve, direct)


def test_thresholds_by_quantile_keep_at_most_their_share() -> None:
    heatmap = np.random.default_rng(1).random((50, 40)).astype(np.float32)
    for q in (0.0, 0.25, 0.9, 0.99, 1.0):
        kept = (heatmap >= threshold_of(heatmap, "quantile", q)).mean()
        assert 1 - q - 0.01 <= kept <= max(1 - q, 1 / heatmap.size) + 1e-9
    counted = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert (counted >= threshold_of(counted, "quantile", 0.75)).sum() == 2  # exactly a quarter, not less
    half_empty = np.maximum(heatmap - 0.5, 0)
    assert threshold_of(half_empty, "quantile", 0.1) > 0  # ties fall out together


def test_otsu_splits_two_heaps() -> None:
    rng = np.random.default_rng(2)
    heatmap = np.where(square(), rng.normal(0.8, 0.02, (20, 30)), rng.normal(0.2, 0.02, (20, 30)))
    assert iou(heatmap >= threshold_of(heatmap, "otsu"), square()) == 1
    assert threshold_of(np.full((3, 3), 0.4), "otsu") == pytest.approx(0.4)


@given(arrays(np.float32, (8, 9), elements=st.floats(-1e6, 1e6, width=32)), st.integers(1, 300))
def test_every_pixel_sits_between_its_edges(heatmap: np.ndarray, bins: int) -> None:
    heatmap = heatmap.copy()
    heatmap[0, 0] = np.nan
    edges = bin_edges(heatmap, bins)
    assert edges.dtype == heatmap.dtype and len(edges) <= bins + 1
    assert edges[0] == np.nanmin(heatmap) and edges[-1] == np.nanmax(heatmap)
    indices = bin_indices(heatmap, edges)
    expected = np.searchsorted(edges, heatmap, side="right") - 1
    expected[np.isnan(heatmap)] = len(edges)
    np.testing.assert_array_equal(indices, expected)


@pytest.mark.parametrize("values", [(1e6, 1e6 + 1), (0.0, 1e-40), (-3e38, 3e38), (7.0, 7.0)])
def test_edges_survive_awkward_ranges(values: tuple[float, float]) -> None:
    heatmap = np.linspace(*values, 600).reshape(20, 30).astype(np.float32)
    edges = bin_edges(heatmap)
    assert (np.diff(edges.astype(np.float64)) > 0).all()
    np.testing.assert_array_equal(bin_indices(heatmap, edges), np.searchsorted(edges, heatmap, side="right") - 1)


def test_three_decimals_are_always_on_an_edge() -> None:
    heatmap = np.linspace(0, 1, 5000, dtype=np.float32).reshape(50, 100)
    edges = set(bin_edges(heatmap).tolist())
    assert all(float(np.float32(k / 1000)) in edges for k in range(1001))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: iou(np.zeros((2, 2)), np.zeros((2, 3))), "one shape"),
        (lambda: iou(np.zeros(4), np.zeros(4)), "mask"),
        (lambda: iou([[np.nan]], [[1]]), "NaN"),
        (lambda: energy_in_mask(np.full((2, 2), np.nan), np.ones((2, 2))), "no pixel"),
        (lambda: energy_in_mask([[np.inf]], [[1]]), "infinite"),
        (lambda: pointing_game(np.ones((2, 2), complex), np.ones((2, 2))), "real"),
        (lambda: pointing_game(np.ones((2, 2)), np.ones((2, 2)), -1), "tolerance"),
        (lambda: threshold_of(np.ones((2, 2)), "mean"), "otsu"),
        (lambda: threshold_of(np.ones((2, 2)), "quantile", 1.2), "between 0 and 1"),
        (lambda: threshold_of(np.ones((2, 2)), "value", math.nan), "finite"),
        (lambda: bin_edges(np.ones((2, 2)), 70_000), "bins"),
    ],
)
def test_bad_input_is_refused_by_name(call, words: str) -> None:
    with pytest.raises(VLExplainError, match=words):
        call()
