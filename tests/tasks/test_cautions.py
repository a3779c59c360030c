"""What is told beside a map unasked: pictures unlike the training, prompts that no picture confirms."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom.data
import pytest
from PIL import Image
from typer.testing import CliRunner

from napari_vlexplain import ask, explain, segment
from napari_vlexplain.benchmark.maps import Asked, explain_case
from napari_vlexplain.benchmark.plan import MethodChoice
from napari_vlexplain.cli.app import app
from napari_vlexplain.datasets.worlds import cases
from napari_vlexplain.io.images import as_rgb, read_image
from napari_vlexplain.methods.targets import Target
from napari_vlexplain.models import load_model
from napari_vlexplain.models.reference import Reference, Side, reference_of, side_of
from napari_vlexplain.models.zoo import list_models
from napari_vlexplain.results.cautions import beside, of_neutral, of_picture
from napari_vlexplain.results.figure import warnings_of
from napari_vlexplain.results.html import explanation_html
from napari_vlexplain.widgets.explain.results import Results

FAST: dict[str, Any] = {"method": "patch_similarity"}
UNLIKE, NOTHING = "is unlike what mini was trained on", "this may be a map of nothing"


@pytest.fixture(scope="module")
def foreign() -> str:
    """A head, by magnetic resonance."""
    return str(pydicom.data.get_testdata_file("MR_small.dcm"))


@pytest.fixture(scope="module")
def drawn() -> Any:
    (case,) = cases("phantom", 1, 41)
    return case


def told(found: Any, part: str) -> bool:
    return any(part in line for line in found.warnings)


def test_a_scene_and_what_is_in_it_need_no_caution(drawn: Any) -> None:
    found = explain(drawn.image, drawn.prompts[0], **FAST)
    assert not found.warnings
    neutral = found.provenance["neutral"]
    assert max(neutral["similarity"]) < found.score and len(neutral["prompts"]) == len(neutral["logit"])
    prompt, value = beside(found.provenance) or ("", 0.0)
    assert value == max(neutral["similarity"]) and prompt in neutral["prompts"]


def test_a_foreign_picture_is_told_by_every_door(foreign: str) -> None:
    found = explain(foreign, "left lung opacity", **FAST)
    assert told(found, UNLIKE) and told(found, NOTHING)
    assert told(ask(foreign, "what is in the picture?"), UNLIKE)
    assert told(segment(foreign), UNLIKE)
    assert told(
        explain(foreign, "cat", model="mini-lattice", method="lattice_adapter"), "what mini-lattice was trained on"
    )


def test_neutral_prompts_change_no_number_and_look_at_no_picture(drawn: Any) -> None:
    model = load_model("mini")
    without = replace(model, info=replace(model.info, neutral=()))
    looks: list[int] = []
    embed = without.image.embed
    counting = replace(without.image, embed=lambda pixels: looks.append(len(pixels)) or embed(pixels))
    prompts = [*drawn.prompts, "a cat", "a dog"]
    counts = []
    for neutral in ((), model.info.neutral):
        looks.clear()
        one = replace(without, image=counting, info=replace(model.info, neutral=neutral))
        found = explain(drawn.image, prompts, one, "clip_surgery", "softmax")
        counts.append((len(looks), [e.score for e in found], np.stack([e.patch_scores for e in found])))
        assert ("neutral" in found[0].provenance) == bool(neutral)
    assert counts[0][:2] == counts[1][:2]
    np.testing.assert_array_equal(counts[0][2], counts[1][2])


def test_a_margin_in_closed_form() -> None:
    neutral = {"prompts": ["a photo", "an image"], "similarity": [0.2, 0.3], "logit": [2.0, 3.0]}
    assert not of_neutral("a cat", 4.0, neutral) and of_neutral("a cat", 3.99, neutral)
    assert "“an image”" in of_neutral("a cat", 0.0, neutral)[0]
    assert not of_neutral("an image", 3.0, neutral) and not of_neutral("a cat", 0.0, None)
    assert beside({"neutral": neutral}, "logit") == ("an image", 3.0) and beside({}) is None


def test_every_model_that_reads_prompts_has_neutral_ones() -> None:
    assert all(info.neutral for info in list_models() if info.kind == "dual_encoder")
    assert next(info for info in list_models() if info.name == "biovil").neutral[0] == "a chest X-ray"


def test_distances_of_a_reference_in_closed_form() -> None:
    side = Side(np.zeros((1, 2), np.float32), np.diag([1.0, 0.5]).astype(np.float32)[None], 2.0)
    np.testing.assert_allclose(side.distances(np.array([[2, 0], [0, 4], [6, 8]], np.float32)), [1, 1, np.sqrt(52) / 2])
    rng = np.random.default_rng(0)
    made = side_of([rng.normal(size=(4000, 3)).astype(np.float32) * [1, 2, 3] + 5, rng.normal(size=(50, 3)) - 40])
    np.testing.assert_allclose(made.distances(np.array([[5, 5, 8]], np.float32)), 1, atol=0.15)


def test_a_folder_may_ship_a_reference_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    known = reference_of("mini")
    assert isinstance(known, Reference) and known.embedding.threshold > 0
    assert reference_of(str(tmp_path)) is None
    (tmp_path / "reference.npz").write_bytes(b"PK\x03\x04 nothing")
    assert reference_of(str(tmp_path)) is None
    names = [f"{side}_{what}" for side in ("embedding", "patches") for what in ("means", "whitened", "threshold")]
    np.savez(tmp_path / "reference.npz", **{name: np.ones(1) for name in (*names, "block")}, pictures="x")
    assert reference_of(str(tmp_path)) is None


def test_the_command_says_it(foreign: str, tmp_path: Path) -> None:
    run = CliRunner()
    shown = run.invoke(app, ["explain", foreign, "left lung opacity", "--method", "patch_similarity"])
    assert UNLIKE in shown.stdout and NOTHING in shown.stdout and "neutral" in shown.stdout
    done = run.invoke(app, ["explain", foreign, "left lung opacity", "--method", "patch_similarity", "--json"])
    (one,) = json.loads(done.stdout)["explanations"]
    assert any(UNLIKE in line for line in one["warnings"]) and set(one["neutral"]) == {"prompt", "score"}
    asked = run.invoke(app, ["ask", foreign, "what is in the picture?"])
    assert UNLIKE in asked.stdout
    compared = run.invoke(app, ["compare", foreign, "left lung opacity", "--methods", "patch_similarity,raw_attention"])
    assert UNLIKE in compared.stdout


def test_pages_figures_and_the_dock_say_it(foreign: str, qtbot: Any) -> None:
    found = explain(foreign, "left lung opacity", **FAST)
    html = explanation_html(found)
    assert UNLIKE in html and "neutral" in html
    assert any(UNLIKE in line for line in warnings_of([found]))
    results = Results()
    qtbot.addWidget(results)
    results.show()
    results.show_results([found])
    assert UNLIKE in results.warnings.text() and results.warnings.isVisible()
    assert len(results.neutrals) == 1 and results.neutrals[0].text().startswith("0.2")
    plain = replace(found, provenance={**found.provenance, "warnings": []})
    results.show_results([plain])
    assert not results.warnings.isVisible()


def test_an_even_picture_is_told(tmp_path: Path) -> None:
    Image.new("L", (60, 60), 90).save(tmp_path / "even.png")
    assert told(explain(tmp_path / "even.png", "a cat", **FAST), "one even tone")
    assert told(segment(tmp_path / "even.png"), "one even tone")


def test_the_benchmark_keeps_it_with_the_rows(foreign: str) -> None:
    model = load_model("mini")
    (scene,) = cases("phantom", 1, 41)
    looks = {}
    for name, image in (("foreign", read_image(foreign)), ("drawn", scene.image)):
        asked = Asked.of(model, image, scene.prompts[:1], Target("similarity"), 0)
        (looks[name],) = explain_case(asked, MethodChoice("patch_similarity")).cautions
    assert UNLIKE in looks["foreign"]["unlike its training"] and NOTHING in looks["foreign"]["no better than neutral"]
    assert looks["drawn"] == {}


def test_a_picture_that_spans_hardly_any_tones_is_told() -> None:
    """Colours of 12 bits kept in 16 are shown, and seen, nearly black."""
    twelve = np.tile(np.arange(4096, dtype=np.uint16)[:, None, None], (1, 4, 3))
    twelve[100] = 65535  # a marker
    assert "spans 6.2% of black to white" in of_picture(as_rgb(twelve))[0]
    assert not of_picture(as_rgb(np.minimum(twelve, 4095) * np.uint16(16)))
    few = np.tile(np.arange(18, dtype=np.uint8)[:, None, None], (1, 18, 3))
    assert not of_picture(few) and of_picture(few[:15])
