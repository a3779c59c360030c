"""Maps have no unit: what is constant, how it is scaled, and what is said of sums that run away."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_models

from napari_vlexplain import explain
from napari_vlexplain.benchmark.reporting.text import number
from napari_vlexplain.metrics.perturbation import Curve
from napari_vlexplain.results.cautions import of_sums
from napari_vlexplain.scale import is_constant, min_max, percent, written

RAMP = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize("factor", [1e-37, 1e-14, 1e-3, 1.0, 1e9, 5e37])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_map_is_the_same_in_every_unit(factor: float, sign: int) -> None:
    scores = (sign * factor * RAMP).astype(np.float32)
    assert not is_constant(scores)
    expected = RAMP / 5 if sign > 0 else 1 - RAMP / 5
    np.testing.assert_allclose(min_max(scores), expected, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 1e-30, -3.0, 7e8])
def test_what_is_rounded_does_not_vary(value: float) -> None:
    almost = np.float32(value) * np.array([1, 1 + 1.2e-7, 1 - 1.2e-7, np.nan], np.float32)
    assert is_constant(almost)
    np.testing.assert_array_equal(min_max(almost), [0, 0, 0, np.nan])


def test_nothing_is_constant() -> None:
    assert is_constant(np.zeros((0, 3))) and is_constant(np.full(3, np.nan))


def test_both_ends_of_float32() -> None:
    np.testing.assert_allclose(min_max(np.array([-3e38, 0, 3e38], np.float32)), [0, 0.5, 1])


def test_normalised_curves_have_no_unit() -> None:
    values = np.array([1.0, 3.0, 2.0])
    for unit in (1.0, 1e-14, 1e9):
        curve = Curve(np.array([0.0, 0.5, 1.0]), unit * values).normalised(unit * 1.0, unit * 2.0)
        np.testing.assert_allclose(curve.values, [0, 2, 1])
    assert np.isnan(Curve(np.array([0.0, 1.0]), np.array([1.0, 2.0])).normalised(5.0, 5.0 + 1e-7).values).all()


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.000"), (0.29, "0.290"), (1.2e-14, "1.2e-14"), (-1.5e9, "-1.5e+09"), (13.45, "13.450")]
)
def test_scores_for_people(value: float, text: str) -> None:
    assert written(value) == text


@pytest.mark.parametrize(
    ("chance", "decimals", "text"),
    [(0.0, 0, "0%"), (0.42, 0, "42%"), (0.42, 1, "42.0%"), (4e-4, 1, "0.04%"), (1.2e-14, 0, "1.2e-12%")],
)
def test_probabilities_for_people(chance: float, decimals: int, text: str) -> None:
    assert percent(chance, decimals) == text


@pytest.mark.parametrize(("value", "text"), [(0.25, "0.250"), (1.2e-14, "1.2e-14"), (13.45, "13.4"), (np.nan, "-")])
def test_figures_of_reports(value: float, text: str) -> None:
    assert number(value) == text


def test_sums_that_run_away_are_told() -> None:
    def conserved(arrived: float, largest: float) -> dict:
        return {"conserved": {"given": 1.0, "arrived": [0.5, arrived], "largest": [0.1, largest]}}

    assert not of_sums(conserved(1.9, 3.5), 1) and not of_sums(conserved(-1.5e9, 1e9), 0)
    assert "-1.5e+09" in of_sums(conserved(-1.5e9, 1e9), 1)[0]
    assert of_sums(conserved(0.0, 1e9), 1)  # what cancels runs away as well

    def complete(change: float, missed: float) -> dict:
        return {"completeness": {"image": [missed], "image_change": [change]}}

    assert not of_sums(complete(1e-14, 1e-15), 0) and not of_sums(complete(0.2, -0.1), 0)
    assert "add up to 2.2 where the score changes by 0.2" in of_sums(complete(0.2, 2.0), 0)[0]
    assert not of_sums({}, 0)


def test_the_door_tells_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_vlexplain.results import cautions

    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    monkeypatch.setattr(cautions, "LOST", 0.0)  # whatever arrives is more than none
    assert any("propagation is unstable" in one for one in explain(picture, "a cat", method="attn_lrp").warnings)


def test_a_faint_probability_has_the_map_of_its_logit(tmp_path) -> None:
    import torch
    from transformers import SiglipConfig, SiglipModel

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    texts = {**sizes, "vocab_size": 300, "max_position_embeddings": 16, "projection_size": 32}
    config = SiglipConfig(text_config=texts, vision_config={**sizes, "image_size": 32, "patch_size": 8})
    torch.manual_seed(0)
    model = tiny_models.shake(SiglipModel(config))
    with torch.no_grad():
        model.logit_scale.fill_(2.3)
        model.logit_bias.fill_(-31.0)
    model.save_pretrained(tmp_path)
    tiny_models.piece_tokenizer(tmp_path)
    tiny_models.statistics(tmp_path, {"height": 32, "width": 32})
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for method in ("saliency", "grad_cam"):
        faint = explain(picture, "a cat", model=str(tmp_path), method=method, target="probability")
        logit = explain(picture, "a cat", model=str(tmp_path), method=method, target="logit")
        assert faint.score < 1e-12 and not faint.degenerate
        np.testing.assert_allclose(faint.heatmap, logit.heatmap, atol=1e-4)
