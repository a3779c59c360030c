"""Perturbation, stability and complexity on models of which everything is known."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.metrics import confidence, perturbation, stability
from napari_vlexplain.metrics.complexity import complexity, sparseness
from napari_vlexplain.metrics.imputation import impute
from napari_vlexplain.metrics.similarity import pearson, spearman, ssim

WEIGHTS = np.array([[0.4, 0.05, 0.0], [0.3, 0.2, 0.05]])
UNITS = WEIGHTS.size


def linear(kept: np.ndarray) -> np.ndarray:
    return (kept * WEIGHTS).reshape(len(kept), -1).sum(axis=1)


def constant(kept: np.ndarray) -> np.ndarray:
    return np.full(len(kept), 0.7)


COUNTS = range(UNITS + 1)


def test_curves_share_their_ends_and_add_up_for_a_linear_model() -> None:
    ins, dele = perturbation.insertion(linear, WEIGHTS, COUNTS), perturbation.deletion(linear, WEIGHTS, COUNTS)
    assert ins.values[-1] == dele.values[0] == pytest.approx(1)
    assert ins.values[0] == dele.values[-1] == 0
    np.testing.assert_allclose(ins.values + dele.values, 1)
    np.testing.assert_allclose(ins.values, np.cumsum([0, 0.4, 0.3, 0.2, 0.05, 0.05, 0]))


def test_the_true_map_is_best_and_the_inverted_one_worst() -> None:
    rng = np.random.default_rng(0)
    auc = [perturbation.deletion(linear, m, COUNTS).auc for m in (WEIGHTS, rng.random(WEIGHTS.shape), -WEIGHTS)]
    assert auc == sorted(auc)
    lerf = perturbation.deletion(linear, WEIGHTS, COUNTS, ascending=True)
    morf = perturbation.deletion(linear, WEIGHTS, COUNTS)
    assert perturbation.area_between(lerf, morf) > 0
    assert perturbation.road(linear, WEIGHTS) > 0 > perturbation.road(linear, -WEIGHTS)


def test_a_deaf_model_gives_flat_curves() -> None:
    for curve in (perturbation.insertion(constant, WEIGHTS, COUNTS), perturbation.deletion(constant, WEIGHTS, COUNTS)):
        assert [curve.auc, curve.auc_by_step, curve.mean] == pytest.approx([0.7] * 3)
        assert np.isnan(curve.normalised(0.7, 0.7).values).all()
    assert perturbation.road(constant, WEIGHTS) == 0


def test_normalised_curves_run_from_one_to_zero() -> None:
    curve = perturbation.deletion(lambda kept: 3 * linear(kept) - 1, WEIGHTS, COUNTS)
    np.testing.assert_allclose(
        curve.normalised(-1, 2).values, perturbation.deletion(linear, WEIGHTS, COUNTS).values, atol=1e-12
    )


def test_ties_keep_the_order_of_the_array_both_ways() -> None:
    assert perturbation.order([1, 2, 2, 1]).tolist() == [1, 2, 0, 3]
    assert perturbation.order([1, 2, 2, 1], ascending=True).tolist() == [0, 3, 1, 2]
    coarse = np.random.default_rng(0).integers(0, 4, 500)
    for ascending in (False, True):
        expected = sorted(range(500), key=lambda i: (coarse[i] if ascending else -coarse[i], i))
        assert perturbation.order(coarse, ascending).tolist() == expected
    with pytest.raises(VLExplainError, match="NaN"):
        perturbation.order([1, np.nan])


def test_counts_of_the_protocols() -> None:
    assert perturbation.even_counts(10, 5) == [0, 2, 4, 6, 8, 10]
    assert perturbation.even_counts(3, 100) == [0, 1, 2, 3]
    assert perturbation.even_counts(7, 5) == [0, 1, 3, 4, 6, 7]
    assert perturbation.rise_counts(10, 4) == [0, 4, 8, 10]
    kept36 = [36 - n for n in perturbation.removed_counts(36)]
    assert kept36 == [36, 27, 18, 9, 7, 5, 3, 1, 0]
    assert 10 - perturbation.removed_counts(10, [0.9])[0] == 0  # the published truncation
    assert 10 - perturbation.removed_counts(10, [0.9], "exact")[0] == 1


def test_two_areas_differ_when_steps_do() -> None:
    curve = perturbation.Curve(np.array([0, 0.9, 1]), np.array([1.0, 1.0, 0.0]))
    assert curve.auc == pytest.approx(0.95)
    assert curve.auc_by_step == pytest.approx(0.75)


def test_a_score_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(VLExplainError, match="one each"):
        perturbation.deletion(lambda kept: np.zeros(2), WEIGHTS, COUNTS)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(0.5, 0.4, (10, 20, 0, 0)), (0.5, 0.75, (0, 0, 100, 50)), (0.5, 0.5, (0, 0, 0, 0))],
)
def test_confidence_by_hand(before: float, after: float, expected: tuple[float, ...]) -> None:
    figures = (confidence.drop_absolute, confidence.drop_relative, confidence.increase, confidence.gain)
    assert tuple(figure(before, after) for figure in figures) == pytest.approx(expected)


def test_confidence_where_a_ratio_has_no_meaning() -> None:
    assert np.isnan(confidence.drop_relative(-0.1, -0.3))
    assert confidence.drop_absolute(-0.1, -0.3) == pytest.approx(20)
    assert np.isnan(confidence.gain(1.0, 1.0))


def test_m2ib_keeps_the_upper_half_of_the_words() -> None:
    assert confidence.kept_words([3, 1, 2, 5, 4]).tolist() == [False, False, False, True, True]
    assert confidence.kept_words([1, 2]).tolist() == [False, True]
    assert confidence.kept_words([1]).tolist() == [False]
    assert confidence.kept_words([2, 2, 2]).sum() == 0


def test_imputation_fills_smoothly_and_keeps_the_rest() -> None:
    rows, columns = np.mgrid[:9, :9].astype(np.float64)
    ramp = np.stack([rows, 2 * columns])
    kept = np.ones((9, 9), bool)
    kept[3:6, 3:6] = False
    filled = impute(ramp, kept, np.random.default_rng(0), noise=0)
    np.testing.assert_allclose(filled, ramp, atol=1e-9)  # a plane is its neighbours' mean
    noisy = impute(ramp, kept, np.random.default_rng(0))
    np.testing.assert_array_equal(noisy[:, kept], ramp[:, kept])
    assert 0 < np.abs(noisy - filled)[:, ~kept].max() < 0.1
    np.testing.assert_array_equal(noisy, impute(ramp, kept, np.random.default_rng(0)))
    empty = impute(ramp, np.zeros((9, 9), bool), np.random.default_rng(0), noise=0)
    np.testing.assert_allclose(empty[0], ramp[0].mean())


def test_imputation_solves_for_the_mean_of_the_neighbours_that_exist() -> None:
    """At the border too, where weights are those of the neighbours there are; by a dense solve."""
    rng = np.random.default_rng(3)
    image, kept = rng.random((2, 5, 6)), rng.random((5, 6)) > 0.6
    kept[0, 0] = kept[0, 1] = kept[4, 5] = False
    places = [(r, c) for r in range(5) for c in range(6)]
    system, known = np.eye(30), np.zeros((30, 2))
    for n, (r, c) in enumerate(places):
        if kept[r, c]:
            known[n] = image[:, r, c]
            continue
        near = [(i, j) for i, j in places if max(abs(i - r), abs(j - c)) == 1]
        weights = np.array([1 / 6 if i == r or j == c else 1 / 12 for i, j in near])
        for (i, j), weight in zip(near, weights / weights.sum(), strict=True):
            system[n, i * 6 + j] -= weight
    expected = np.linalg.solve(system, known).T.reshape(2, 5, 6)
    np.testing.assert_allclose(impute(image, kept, np.random.default_rng(0), noise=0), expected, atol=1e-9)
    large, gone = np.full((1, 80, 80), 0.5), np.zeros((80, 80), bool)
    assert impute(large, gone, np.random.default_rng(0)).std() == pytest.approx(0.01, rel=0.05)


def test_road_is_half_the_mean_distance_of_the_curves() -> None:
    # Of six weights .4 .3 .2 .05 .05 0: one gone, two, three, four, five.
    morf, lerf = [0.6, 0.3, 0.1, 0.05, 0.0], [1.0, 0.95, 0.9, 0.7, 0.4]
    expected = np.mean(np.subtract(lerf, morf)) / 2
    assert perturbation.road(linear, WEIGHTS, [n / 6 for n in range(1, 6)]) == pytest.approx(expected)


def test_sensitivity_n_of_a_linear_model() -> None:
    rng = np.random.default_rng
    assert stability.sensitivity_n(linear, WEIGHTS, rng(0)) == pytest.approx(1)
    assert stability.sensitivity_n(linear, -WEIGHTS, rng(0)) == pytest.approx(-1)
    assert np.isnan(stability.sensitivity_n(constant, WEIGHTS, rng(0)))
    assert np.isnan(stability.sensitivity_n(linear, np.ones_like(WEIGHTS), rng(0)))
    with pytest.raises(VLExplainError, match="subset"):
        stability.sensitivity_n(linear, WEIGHTS, rng(0), sizes=[7])


def test_infidelity_of_a_linear_model() -> None:
    rng = np.random.default_rng
    assert stability.infidelity(linear, WEIGHTS, rng(0)) == pytest.approx(0, abs=1e-20)
    assert stability.infidelity(linear, 5 * WEIGHTS, rng(0)) == pytest.approx(0, abs=1e-20)
    assert stability.infidelity(linear, 5 * WEIGHTS, rng(0), scaled=False) > 1
    assert stability.infidelity(linear, np.roll(WEIGHTS, 1), rng(0)) > 0.01
    assert np.isnan(stability.infidelity(linear, np.zeros_like(WEIGHTS), rng(0)))


def test_random_subsets_are_of_the_sizes_and_shares_they_should_be() -> None:
    assert stability.default_sizes(100) == [1, 3, 9, 27, 80]
    assert stability.default_sizes(1) == [1]
    seen: list[np.ndarray] = []

    def watched(kept: np.ndarray) -> np.ndarray:
        seen.append(kept)
        return np.zeros(len(kept))

    stability.infidelity(watched, WEIGHTS, np.random.default_rng(0), samples=2000)
    assert seen[0][0].all() and seen[0][1:].mean() == pytest.approx(0.5, abs=0.02)
    stability.sensitivity_n(watched, WEIGHTS, np.random.default_rng(0), sizes=[2, 5], subsets=30)
    assert set((~seen[1][1:31]).sum(axis=(1, 2))) == {2} and set((~seen[1][31:]).sum(axis=(1, 2))) == {5}


def test_max_sensitivity_is_a_share_of_the_map() -> None:
    image = np.linspace(0.2, 1, 12).reshape(3, 4)
    small = stability.max_sensitivity(lambda x: x, image, np.random.default_rng(3))
    assert stability.max_sensitivity(lambda x: 7 * x, image, np.random.default_rng(3)) == pytest.approx(small)
    assert 0 < small <= 0.02 * 12**0.5 / np.linalg.norm(image)


def test_max_sensitivity_is_zero_for_a_fixed_map_and_repeats() -> None:
    image = np.linspace(0, 1, 12).reshape(3, 4)
    assert stability.max_sensitivity(lambda x: WEIGHTS, image, np.random.default_rng(0)) == 0
    found = [stability.max_sensitivity(lambda x: x, image, np.random.default_rng(3)) for _ in range(2)]
    assert found[0] == found[1] > 0
    assert np.isnan(stability.max_sensitivity(np.zeros_like, image, np.random.default_rng(0)))


def test_complexity_of_constant_and_single_unit_maps() -> None:
    assert complexity(np.full((4, 4), -2.0)) == pytest.approx(np.log(16))
    assert complexity(np.eye(1, 16)) == 0
    assert np.isnan(complexity(np.zeros(5)))
    assert complexity([1, 1, np.nan]) == pytest.approx(np.log(2))
    assert sparseness(np.full(8, 3.0)) == pytest.approx(0)
    assert sparseness(np.eye(1, 8)) == pytest.approx(1 - 1 / 8)
    assert np.isnan(sparseness(np.zeros(3)))


def test_similarities() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.random((14, 14)), rng.random((14, 14))
    for figure in (pearson, spearman, ssim):
        assert figure(one, one) == pytest.approx(1)
        assert figure(one, 3 * one + 1) == pytest.approx(1)
        assert abs(figure(one, other)) < 0.3
        assert np.isnan(figure(one, np.full_like(one, 0.1)))
    assert pearson(one, -one) == pytest.approx(-1)
    assert spearman(one, np.exp(5 * one)) == pytest.approx(1)
    holed = one.copy()
    holed[0] = np.nan
    assert pearson(holed, one) == pytest.approx(1)
