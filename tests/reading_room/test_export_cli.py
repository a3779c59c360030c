"""``vlexplain export``: a study with what its readers said, as files; and every way to ask for it wrongly."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_records import explanation_of
from PIL import Image

from napari_vlexplain.cli import main
from napari_vlexplain.metrics.thresholds import threshold_of
from napari_vlexplain.models.files import known_identity
from napari_vlexplain.reading_room import ahead
from napari_vlexplain.reading_room.journal import open_journal
from napari_vlexplain.reading_room.records import Judgement
from napari_vlexplain.reading_room.reopen import read_export
from napari_vlexplain.reading_room.study import open_study
from napari_vlexplain.reading_room.threshold import Threshold
from napari_vlexplain.results.explanation import Explanation

SHAPE = (48, 64)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two images with a phrase each, and boxes for both."""
    folder = tmp_path / "study"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(rng.integers(0, 255, SHAPE, dtype=np.uint8)).save(folder / f"{name}.png")
    lines = ["image,prompt,boxes", "a.png,left effusion,10 12 20 16", "b.png,right nodule,10 12 20 16"]
    (folder / "prompts.csv").write_text("\n".join(lines))
    return folder


def read(folder: Path, reader: str, verdict: Any = "agree") -> np.ndarray:
    """The reader judges the first case and draws a mask."""
    opened = open_study(folder)
    journal = open_journal(opened)
    (first, *_) = opened.items()
    mask = np.zeros(SHAPE, bool)
    mask[14:30, 8:25] = True
    journal.judge(Judgement(*first.key, reader=reader, verdict=verdict, comment="=seen"))
    journal.draw(*first.key, reader, mask)
    journal.save()
    return mask


def test_a_reading_becomes_files(study: Path, tmp_path: Path, capsys: Any) -> None:
    mask = read(study, "Ana")
    assert main(["export", str(study), "--out", str(tmp_path / "out")]) == 0
    assert "Wrote 2 cases" in capsys.readouterr().out
    first, second = read_export(tmp_path / "out")
    assert first.judgement.reader == "Ana" and first.judgement.verdict == "agree" and second.judgement is None
    np.testing.assert_array_equal(first.masks["reader"], mask)
    assert first.masks["truth"].sum() == 20 * 16 and "reader" not in second.masks and first.explanation is None
    with (tmp_path / "out" / "rows.csv").open(newline="", encoding="utf-8") as stream:
        row = next(csv.DictReader(stream))
    assert row["reader_truth_difference_px"] == str(int(mask.sum()) - 320) and row["comment"] == "'=seen"


def test_a_zip_and_the_same_again(study: Path, tmp_path: Path, capsys: Any) -> None:
    for _ in range(2):
        assert main(["export", str(study), "--out", str(tmp_path / "x.zip"), "--what", "csv,masks", "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document == {"out": str(tmp_path / "x.zip"), "cases": 2, "notes": []}
    assert len(read_export(tmp_path / "x.zip")) == 2


def test_saved_explanations_are_taken(study: Path, tmp_path: Path, capsys: Any) -> None:
    pixels = np.asarray(Image.open(study / "a.png"))
    saved = explanation_of(pixels, "left effusion").save(tmp_path / "saved" / "one.vlexplain")
    options = ["--explanations", str(tmp_path / "saved"), "--threshold", "q0.75"]
    assert main(["export", str(study), "--out", str(tmp_path / "out"), *options]) == 0
    first, second = read_export(tmp_path / "out")
    assert second.explanation is None
    np.testing.assert_array_equal(first.explanation.patch_scores, Explanation.load(saved).patch_scores)
    np.testing.assert_array_equal(first.masks["model"], first.explanation.heatmap >= first.threshold)
    assert 0 < first.masks["model"].mean() <= 0.3


def test_maps_are_cut_where_the_reader_cut_them(study: Path, tmp_path: Path) -> None:
    saved = explanation_of(np.asarray(Image.open(study / "a.png")), "left effusion").save(tmp_path / "saved" / "one")
    read(study, "Ana")
    journal = open_journal(open_study(study))
    journal.choose_threshold("Ana", Threshold("quantile", 0.9))
    journal.save()
    heatmap, found = Explanation.load(saved).heatmap, {}
    for name, options in {"own": [], "asked": ["--threshold", "q0.5"]}.items():
        words = ["export", str(study), "--out", str(tmp_path / name), "--explanations", str(tmp_path / "saved")]
        assert main([*words, *options]) == 0
        found[name] = read_export(tmp_path / name)[0].threshold
    assert found == {"own": threshold_of(heatmap, "quantile", 0.9), "asked": threshold_of(heatmap, "quantile", 0.5)}
    assert open_journal(open_study(study)).threshold("Ana") == Threshold("quantile", 0.9)


def test_explanations_are_computed_where_a_method_is_named(study: Path, tmp_path: Path, monkeypatch: Any) -> None:
    asked = []

    def compute(about: Any, image: Any, name: str, *others: Any) -> list[Explanation]:
        asked.append((about.method, about.model, *about.prompts))
        return [explanation_of(np.asarray(image), prompt, name) for prompt in about.prompts]

    monkeypatch.setattr(ahead, "compute", compute)
    monkeypatch.setattr(known_identity, "weights_of", lambda name: "ab" * 32)  # what the records say of it
    options = ["--method", "relevance", "--what", "json,masks,explanation"]
    assert main(["export", str(study), "--out", str(tmp_path / "out"), *options]) == 0
    assert sorted(asked) == [("relevance", "mini", "left effusion"), ("relevance", "mini", "right nodule")]
    rows = json.loads((tmp_path / "out" / "rows.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["relevance"] * 2
    assert all(row["model_truth_iou"] is not None for row in rows)
    assert all(one.explanation is not None for one in read_export(tmp_path / "out"))


def test_a_verdict_on_a_damaged_picture_is_in_the_table_without_its_folder(
    study: Path, tmp_path: Path, capsys: Any
) -> None:
    read(study, "AB", "flag")
    file = study / "a.png"
    file.write_bytes(file.read_bytes()[:90])
    out = tmp_path / "out"
    assert main(["export", str(study), "--out", str(out)]) == 0
    assert "1 of 2 cases had no picture" in capsys.readouterr().err
    with (out / "rows.csv").open(encoding="utf-8", newline="") as stream:
        damaged, whole = csv.DictReader(stream)
    assert damaged["verdict"] == "flag" and damaged["height"] == ""
    assert "case-0001" in damaged["status"] and "a.png" not in damaged["status"]
    assert whole["status"] == "" and whole["height"] == "48"
    for text in out.rglob("*.*"):
        assert text.is_dir() or str(study).encode() not in text.read_bytes(), text


def test_of_several_readers_one_is_named(study: Path, tmp_path: Path, capsys: Any) -> None:
    read(study, "Ana")
    read(study, "Ben", "disagree")
    base = ["export", str(study), "--out", str(tmp_path / "out"), "--what", "csv"]
    assert main(base) == 2 and "'Ana', 'Ben'" in capsys.readouterr().err
    assert main([*base, "--reader", "Carl"]) == 2 and "read nothing here" in capsys.readouterr().err
    assert main([*base, "--reader", "Ben"]) == 0
    assert read_export(tmp_path / "out")[0].judgement.verdict == "disagree"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--what", "pdf"], "'pdf' cannot be exported"),
        (["--journal", "nowhere"], "no folder 'nowhere' with a journal"),
        (["--explanations", "nowhere"], "no folder 'nowhere' of saved"),
        (["--method", "magic"], "magic"),
        (["--threshold", "high"], "--threshold"),
        (["--param", "x=1"], "no parameter 'x'"),
    ],
)
def test_wrong_words_are_said_before_anything_is_written(
    study: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(study), "--out", str(tmp_path / "out"), *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_places_that_are_not_ours_are_refused_first(study: Path, tmp_path: Path, capsys: Any) -> None:
    assert main(["export", str(study), "--out", str(study), "--method", "relevance"]) == 2
    assert "holds no export of ours" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "no"), "--out", str(tmp_path / "out")]) == 2
    assert "There is no folder" in capsys.readouterr().err
    blocked = tmp_path / "file"
    blocked.write_text("x")
    assert main(["export", str(study), "--out", str(blocked / "out"), "--what", "csv"]) == 2
    assert "cannot be written" in capsys.readouterr().err
