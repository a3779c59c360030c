"""Localisation figures on maps whose answer is known: perfect, inverted, constant, random; empty, full, NaN."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.metrics import localisation as loc
from napari_vlexplain.metrics.overlap import Confusion

TRUTH = np.zeros((8, 10), dtype=bool)
TRUTH[2:5, 3:7] = True
AREA = TRUTH.mean()
PERFECT = TRUTH.astype(np.float32)
SHADED = PERFECT + np.linspace(0, 0.4, 80, dtype=np.float32).reshape(8, 10)
RANKED = (loc.relevance_rank, loc.average_precision)


@pytest.mark.parametrize("figure", RANKED)
def test_perfect_map_scores_one_and_a_constant_one_the_area(figure) -> None:
    assert figure(PERFECT, TRUTH) == 1
    assert figure(SHADED, TRUTH) == 1
    assert figure(np.full(TRUTH.shape, 0.3), TRUTH) == pytest.approx(AREA)
    assert figure(PERFECT, np.ones_like(TRUTH)) == 1


def test_inverted_map_finds_nothing() -> None:
    assert loc.relevance_rank(1 - PERFECT, TRUTH) == 0
    assert loc.average_precision(1 - PERFECT, TRUTH) == pytest.approx(AREA)  # everything enters at the last level
    assert loc.average_precision(-SHADED, TRUTH) < AREA


@pytest.mark.parametrize("figure", RANKED)
def test_random_maps_score_the_area_on_average(figure) -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros((30, 30), dtype=bool)
    truth[:10] = True
    mean = np.mean([figure(rng.random(truth.shape), truth) for _ in range(60)])
    assert mean == pytest.approx(1 / 3, abs=0.02)


@pytest.mark.parametrize("figure", [*RANKED, loc.cnr, loc.cnr_signed, loc.iou_threshold_mean])
def test_nan_pixels_do_not_count_and_an_empty_truth_is_nan(figure) -> None:
    seen = SHADED.copy()
    seen[:, 5:] = np.nan
    assert figure(seen, TRUTH) == pytest.approx(figure(SHADED[:, :5], TRUTH[:, :5]), rel=1e-6)
    assert np.isnan(figure(SHADED, np.zeros_like(TRUTH)))
    hidden = SHADED.copy()
    hidden[TRUTH] = np.nan
    assert np.isnan(figure(hidden, TRUTH))


def test_average_precision_by_hand() -> None:
    heatmap = np.array([[4, 3, 2, 1]], dtype=float)
    truth = np.array([[1, 0, 1, 0]], dtype=bool)
    assert loc.average_precision(heatmap, truth) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert loc.relevance_rank(heatmap, truth) == 0.5


def test_rank_shares_the_last_place_among_ties() -> None:
    heatmap = np.array([[5, 1, 1, 1]], dtype=float)
    truth = np.array([[1, 1, 0, 0]], dtype=bool)
    assert loc.relevance_rank(heatmap, truth) == pytest.approx((1 + 1 / 3) / 2)


def test_cnr_by_hand_and_its_sign() -> None:
    rng = np.random.default_rng(1)
    heatmap = rng.normal(0, 1, TRUTH.shape) + 2 * TRUTH
    inside, outside = heatmap[TRUTH], heatmap[~TRUTH]
    expected = (inside.mean() - outside.mean()) / np.sqrt(inside.var() + outside.var())
    assert loc.cnr_signed(heatmap, TRUTH) == pytest.approx(expected)
    assert loc.cnr_signed(-heatmap, TRUTH) == pytest.approx(-expected)
    assert loc.cnr(-heatmap, TRUTH) == pytest.approx(abs(expected))
    assert loc.cnr(3 * heatmap - 7, TRUTH) == pytest.approx(abs(expected))
    for nothing in (np.full(TRUTH.shape, 0.1, np.float32), PERFECT):
        assert np.isnan(loc.cnr(nothing, TRUTH))
    assert np.isnan(loc.cnr(heatmap, np.ones_like(TRUTH)))


def test_mean_ious_are_different_figures() -> None:
    pooled = loc.iou_dataset_fg_bg([Confusion(1, 0, 1, 8), Confusion(3, 4, 0, 3)])
    assert pooled == pytest.approx((4 / 9 + 11 / 16) / 2)
    assert np.isnan(loc.iou_dataset_fg_bg([Confusion(0, 0, 0, 5)]))
    cosines = 0.35 * PERFECT
    assert loc.iou_threshold_mean(cosines, TRUTH) == pytest.approx(3 / 5)  # found at 0.1, 0.2 and 0.3
    assert loc.iou_threshold_mean(cosines / 10, TRUTH) == 0
    assert loc.iou_threshold_mean(0.5 * PERFECT, TRUTH) == pytest.approx(4 / 5)  # above, not at, 0.5
    assert loc.iou_threshold_mean(-cosines, TRUTH) == 0
    assert loc.above_mean(SHADED, TRUTH).recall == 1
    assert loc.above_mean(np.ones(TRUTH.shape), TRUTH).tp == 0


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float32, (4, 5), elements=st.floats(-3, 3, width=16)),
    arrays(bool, (4, 5)).filter(lambda m: m.any() and not m.all()),
)
def test_rank_figures_follow_order_alone(heatmap, truth) -> None:
    monotone = np.exp(heatmap.astype(np.float64))
    for figure in RANKED:
        found = figure(heatmap, truth)
        assert 0 <= found <= 1
        assert figure(monotone, truth) == pytest.approx(found)


def test_shapes_must_agree() -> None:
    with pytest.raises(VLExplainError, match="one shape"):
        loc.cnr(np.zeros((3, 3)), np.zeros((3, 4), bool))
