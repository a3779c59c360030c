"""The histogram says what the arrays say, regions land on the heatmap's pixels, measurements follow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.draw import polygon2mask

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.metrics.figures import Measurement, measure
from napari_vlexplain.metrics.histogram import OverlapHistogram
from napari_vlexplain.metrics.overlap import confusion, energy_in_mask, pointing_game
from napari_vlexplain.metrics.regions import Grid, Outlined, Painted, nearest, onto
from napari_vlexplain.metrics.thresholds import Mode, threshold_of
from napari_vlexplain.truth.outlines import ellipse, fill


def scene(dtype: str = "float32") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    heatmap = rng.normal(size=(80, 60)).round(2).astype(dtype)  # rounded: many ties
    heatmap[:, 50:] = np.nan
    return heatmap, rng.random((80, 60)) < 0.3


def placed(scale: tuple[float, float] = (1, 1), translate: tuple[float, float] = (0, 0)) -> np.ndarray:
    return np.array([[scale[0], 0, translate[0]], [0, scale[1], translate[1]], [0, 0, 1]], float)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_every_edge_agrees_with_the_thresholded_array(dtype: str) -> None:
    heatmap, truth = scene(dtype)
    counts = OverlapHistogram(heatmap).update(truth)
    heatmap = heatmap.astype(np.result_type(dtype, np.float32))  # float16 is measured as float32
    seen, curve = ~np.isnan(heatmap), counts.iou()
    for k, edge in enumerate(counts.edges):
        direct = confusion(heatmap >= float(edge), truth, seen)
        assert counts.confusion(k) == direct
        assert curve[k] == direct.iou
    assert counts.pointing == pointing_game(heatmap, truth)
    assert counts.energy == pytest.approx(energy_in_mask(heatmap, truth), rel=1e-6)
    assert counts.lost == truth[:, 50:].sum()


def test_strokes_add_up_to_a_fresh_count() -> None:
    heatmap, truth = scene()
    histogram, rng = OverlapHistogram(heatmap), np.random.default_rng(4)
    histogram.update(truth)
    for _ in range(200):
        r, c = rng.integers(0, 70), rng.integers(0, 50)
        truth[r : r + 10, c : c + 10] = rng.random() < 0.5
        live = histogram.update(truth)
    fresh = OverlapHistogram(heatmap).update(truth)
    np.testing.assert_array_equal(live.hits, fresh.hits)
    assert (live.lost, live.truth, live.pointing) == (fresh.lost, fresh.truth, fresh.pointing)
    assert live.energy == pytest.approx(fresh.energy, abs=1e-12)
    cleared = histogram.update(np.zeros_like(truth))
    assert cleared.truth == 0 and cleared.mass_inside == 0 and math.isnan(cleared.energy)


def test_counts_stay_as_they_were() -> None:
    heatmap, truth = scene()
    histogram = OverlapHistogram(heatmap)
    before = histogram.update(truth)
    hits = before.hits.copy()
    histogram.update(~truth)
    np.testing.assert_array_equal(before.hits, hits)


@pytest.mark.parametrize("mode", ["quantile", "otsu"])
def test_the_edge_of_a_mode_is_its_threshold(mode: Mode) -> None:
    heatmap, truth = scene()
    counts = OverlapHistogram(heatmap).update(truth)
    assert float(counts.edges[counts.edge(mode, 0.8)]) == threshold_of(heatmap, mode, 0.8)


def test_a_constant_heatmap_has_one_threshold() -> None:
    truth = np.zeros((4, 5), bool)
    truth[0] = True
    counts = OverlapHistogram(np.full((4, 5), 0.7, np.float32)).update(truth)
    assert len(counts.edges) == 1
    assert counts.confusion(counts.edge("otsu")).iou == counts.pointing == 0.25


def test_a_box_covers_the_pixels_whose_centres_it_holds() -> None:
    box = np.array([[2, 3], [2, 8], [6, 8], [6, 3]], float)
    mask = fill([box], (10, 12))
    assert mask.sum() == 4 * 5 and mask[2:6, 3:8].all()
    np.testing.assert_array_equal(fill([box - 0.4], (10, 12)), mask)
    assert fill([box - 100], (10, 12)).sum() == 0 and fill([box[:2]], (10, 12)).sum() == 0
    below = fill([np.add(box, [4, 0])], (10, 12))
    assert below.sum() == 20 and not (below & mask).any()
    assert fill([box * 100 - 300], (10, 12)).all()


def test_polygons_agree_with_scikit_image() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        angles = np.sort(rng.random(7)) * 2 * np.pi
        star = 25 + (5 + 30 * rng.random((7, 1))) * np.column_stack([np.sin(angles), np.cos(angles)])
        np.testing.assert_array_equal(fill([star], (50, 50)), polygon2mask((50, 50), star))


def test_an_ellipse_has_its_area() -> None:
    outline = ellipse(np.array([[10, 20], [10, 120], [70, 120], [70, 20]], float))
    assert fill([outline], (100, 150)).sum() == pytest.approx(np.pi * 30 * 50, rel=0.01)


def test_a_ground_truth_on_another_grid_lands_by_world_position() -> None:
    truth = np.zeros((40, 30), int)
    truth[10:20, 6:15] = 2
    heatmap_grid = Grid((20, 30), placed((2, 1), (0.5, 0)))  # rows twice as tall: centres between two truth rows
    mask, beyond = Painted(truth, np.eye(3), 2).on(heatmap_grid)
    assert beyond == 0 and mask[5:10, 6:15].all() and mask.sum() == 5 * 9
    mirrored = Grid((40, 30), placed((-1, 1), (39, 0)))
    np.testing.assert_array_equal(Painted(truth, np.eye(3)).on(mirrored)[0], (truth != 0)[::-1])


@pytest.mark.parametrize("region", ["painted", "outlined"])
def test_ground_truth_beyond_the_heatmap_is_lost(region: str) -> None:
    heatmap, to_world = np.random.default_rng(6).random((20, 20)), placed((1, 1), (0, 10))
    labels = np.zeros((20, 40), np.uint8)
    labels[4:8, 5:15] = 1  # half of it left of the heatmap
    box = np.array([[4, 5], [4, 15], [8, 15], [8, 5]], float)
    truth = Painted(labels, np.eye(3)) if region == "painted" else Outlined((box,))
    measured = Measurement().update(heatmap, to_world, truth)
    assert measured.counts.truth == 20
    assert measured.figures(0).lost == pytest.approx(0.5)


def test_a_fine_ground_truth_keeps_its_pixels_under_a_coarse_heatmap() -> None:
    heatmap = np.arange(16.0).reshape(4, 4)
    truth = np.zeros((40, 40), np.uint8)
    truth[33, 33] = 1  # would vanish between the centres of 4 x 4
    measured = Measurement().update(heatmap, placed((10, 10), (4.5, 4.5)), Painted(truth, np.eye(3)))
    assert measured.counts.truth == 1 and measured.counts.pixels == 1600
    assert measured.counts.pointing == pytest.approx(1 / 100)


def test_turned_layers_are_refused_and_shared_turns_are_not() -> None:
    a = np.deg2rad(30)
    turned = np.array([[np.cos(a), -np.sin(a), 3], [np.sin(a), np.cos(a), 4], [0, 0, 1]])
    heatmap, truth = scene()
    with pytest.raises(VLExplainError, match="turned"):
        Measurement().update(heatmap, turned, Painted(truth, np.eye(3)))
    same = Measurement().update(heatmap, turned, Painted(truth, turned))
    np.testing.assert_array_equal(same.counts.hits, OverlapHistogram(heatmap).update(truth).hits)


def test_resampling_marks_what_it_cannot_reach() -> None:
    values = np.array([[1.0, 2.0]])
    wide = Grid((1, 4), placed(translate=(0, -1)))
    np.testing.assert_array_equal(onto(values, Grid((1, 2), np.eye(3)), wide), [[np.nan, 1, 2, np.nan]])
    rows, columns = nearest(Grid((1, 2), np.eye(3)), Grid((2, 6), placed((1, 1 / 3), (0, -1 / 3))))
    assert rows.tolist() == [0, -1] and columns.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_measurement_is_the_direct_measure() -> None:
    heatmap, truth = scene()
    measurement = Measurement()
    for mask in (truth, ~truth, np.roll(truth, 3)):
        measured = measurement.update(heatmap, np.eye(3), Painted(mask, np.eye(3)), stamp=1)
        k = measured.counts.edge("quantile", 0.7)
        live, direct = measured.figures(k).as_dict(), measure(heatmap, mask, "quantile", 0.7).as_dict()
        assert live == pytest.approx(direct, rel=1e-12)


def test_a_mask_takes_the_place_of_the_threshold() -> None:
    heatmap, truth = scene()
    edited = np.zeros(truth.shape, np.uint8)
    edited[10:40, 20:60] = 1
    measured = Measurement().update(heatmap, np.eye(3), Painted(truth, np.eye(3)), Painted(edited, np.eye(3)))
    figures, seen = measured.figures(0), ~np.isnan(heatmap)
    direct = confusion(edited, truth, seen)
    assert (figures.iou, figures.dice) == (direct.iou, direct.dice) and figures.threshold is None
    assert figures.predicted == (edited[seen] > 0).mean()


def test_a_changed_heatmap_is_binned_anew_only_when_said_so() -> None:
    heatmap, truth = scene()
    measurement, region = Measurement(), Painted(truth, np.eye(3))
    first = measurement.update(heatmap, np.eye(3), region, stamp=1).counts
    heatmap[:, :50] *= 2
    assert measurement.update(heatmap, np.eye(3), region, stamp=1).counts.edges[-1] == first.edges[-1]
    assert measurement.update(heatmap, np.eye(3), region, stamp=2).counts.edges[-1] == 2 * first.edges[-1]
    with pytest.raises(VLExplainError, match="no pixel"):
        measurement.update(np.full((5, 5), np.nan), np.eye(3), region, stamp=3)
    again = measurement.update(heatmap, np.eye(3), region, stamp=2)
    assert again.counts.edges[-1] == 2 * first.edges[-1]
