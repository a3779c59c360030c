"""Comparing methods, models and prompts: the grid, its figures, its picture, and the command."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toys
from PIL import Image

from napari_vlexplain import explain
from napari_vlexplain.cli import main
from napari_vlexplain.errors import Cancelled, VLExplainError
from napari_vlexplain.models.dual_encoder import DualEncoder
from napari_vlexplain.tasks.compare import compare

PROMPTS = ["a cat on the mat", "two dogs"]


@pytest.fixture(scope="module")
def model() -> DualEncoder:
    return toys.transformer()


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def truth() -> np.ndarray:
    found = np.zeros((24, 32), dtype=bool)
    found[4:12, 8:20] = True
    return found


def test_cells_are_what_explain_gives(model: DualEncoder) -> None:
    found = compare(picture(), PROMPTS, ["saliency", "rise"], [model], parameters={"rise": {"masks": 30}})
    assert [len(row) for row in found.cells] == [2, 2] and found.titles == ("saliency", "rise")
    expected = explain(picture(), PROMPTS, model, "rise", masks=30)
    for row, one in zip(found.cells, expected, strict=True):
        assert row[1].explanation is not None and row[1].explanation.prompt == one.prompt
        np.testing.assert_array_equal(row[1].explanation.patch_scores, one.patch_scores)
    assert not found.measured and np.isnan(found.mean(0, "iou"))


def test_figures_are_against_each_prompts_own_truth(model: DualEncoder) -> None:
    found = compare(picture(), PROMPTS, ["saliency"], [model], ground_truth=[truth(), None])
    first, second = found.cells[0][0], found.cells[1][0]
    assert first.figures is not None and second.figures is None
    share = truth().mean()
    assert first.figures.chance == pytest.approx(share, abs=1e-6)
    assert first.figures.predicted <= share + 1e-9  # cut as large as the truth
    assert found.mean(0, "iou") == first.figures.iou
    cut = compare(picture(), PROMPTS[:1], ["saliency"], [model], ground_truth=truth(), threshold=("value", 0.9))
    assert cut.cells[0][0].figures.threshold == pytest.approx(0.9, abs=0.01)  # type: ignore[union-attr]


def test_a_pair_that_does_not_fit_is_an_empty_tile_with_a_reason(model: DualEncoder) -> None:
    other = toys.transformer(1, mean=True)
    other = replace(other, info=replace(other.info, name="mean"))
    found = compare(picture(), PROMPTS, ["grad_eclip", "saliency"], [model, other])
    assert found.titles == ("grad_eclip · toy", "saliency · toy", "grad_eclip · mean", "saliency · mean")
    empty = found.cells[0][2]
    assert empty.explanation is None and "cls_readout" in empty.problem and empty.note == "does not fit"
    assert found.records()[2]["problem"] == empty.problem
    assert found.figure(side=40).width > 4 * 40
    with pytest.raises(VLExplainError, match="cls_readout"):
        compare(picture(), PROMPTS, ["grad_eclip"], [other])


def test_what_was_set_for_a_method_is_kept_with_its_column(model: DualEncoder) -> None:
    found = compare(
        picture(), "a cat", ["relevance", "saliency"], [model], parameters={"relevance": {"start_block": 0}}
    )
    assert found.prompts == ("a cat",) and found.ways[0].parameters == (("start_block", 0),)


def test_checks_come_with_every_map(model: DualEncoder) -> None:
    found = compare(picture(), PROMPTS[:1], ["saliency", "rollout"], [model], sanity=True)
    assert [r["sanity"]["random_prompt"] == 1.0 for r in found.records()] == [False, True]


def test_mistakes_are_found_before_anything_runs(model: DualEncoder) -> None:
    for methods, parameters, said in (
        ([], {}, "no method"),
        (["salience"], {}, "no method 'salience'"),
        (["saliency"], {"saliency": {"masks": 3}}, "no parameter 'masks'"),
        (["saliency"], {"rise": {"masks": 3}}, "not compared"),
    ):
        with pytest.raises(VLExplainError, match=said):
            compare(picture(), PROMPTS, methods, ["nonsense"], parameters=parameters)
    with pytest.raises(VLExplainError, match="3 ground truths for 2"):
        compare(picture(), PROMPTS, ["saliency"], [model], ground_truth=[None] * 3)
    with pytest.raises(VLExplainError, match="shape"):
        compare(picture(), PROMPTS, ["saliency"], [model], ground_truth=truth()[:-1])
    with pytest.raises(Cancelled):
        compare(picture(), PROMPTS, ["saliency"], [model], cancel=lambda: True)


def test_progress_rises_over_all_columns(model: DualEncoder) -> None:
    shares: list[float] = []
    compare(picture(), PROMPTS, ["saliency", "rollout"], [model], progress=lambda share, _: shares.append(share))
    assert shares == sorted(shares) and shares[-1] == 1.0


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    Image.fromarray(np.full((40, 60, 3), 120, dtype=np.uint8)).save(tmp_path / "grey.png")
    (tmp_path / "boxes.json").write_text(json.dumps({"boxes": [[10, 5, 20, 20]]}), encoding="utf-8")
    return tmp_path / "grey.png", tmp_path / "boxes.json"


def test_the_command_prints_and_saves(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, boxes = files
    words = ["compare", str(image), "a cat", "--methods", "raw_attention,relevance", "--ground-truth", str(boxes)]
    words += ["--param", "relevance.start_block=-1", "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "raw_attention" in said and "IoU" in said and "clinical" in said
    with (tmp_path / "out" / "grey_comparison.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["raw_attention", "relevance"] and 0 <= float(rows[0]["energy"]) <= 1
    assert Image.open(tmp_path / "out" / "grey_comparison.png").width > 600
    assert main([*words, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["records"]) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--param", "masks=3"], "METHOD.NAME=VALUE"),
        (["--param", "rise.masks=3"], "not compared"),
        (["--methods", "salience"], "no method 'salience'"),
        (["--threshold", "0.5"], "--ground-truth"),
        (["--against", "a dog"], "margin"),
    ],
)
def test_the_command_says_what_is_wrong(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["compare", str(files[0]), "a cat", *words]) == 2
    errors = capsys.readouterr().err
    assert said in errors and errors.count("\n") == 1
