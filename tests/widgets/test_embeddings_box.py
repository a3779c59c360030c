"""Prompts from a file in the Explain dock: chosen, explained, copied and left out again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_clip
import tiny_models as tiny
from napari.components import ViewerModel
from qtpy.QtWidgets import QFileDialog

from napari_vlexplain import check, load_model
from napari_vlexplain.results.reproduce import Origin
from napari_vlexplain.widgets.explain.dock import ExplainDock
from napari_vlexplain.widgets.explain.embeddings import NONE


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """An image side without texts, and embeddings of its width."""
    (tmp_path / "side").mkdir()
    tiny.clip_image(tmp_path / "side")
    np.save(tmp_path / "prompts.npy", np.random.default_rng(0).normal(size=(2, 24)))
    (tmp_path / "prompts.txt").write_text("cat\ndog\n")
    return str(tmp_path / "side"), str(tmp_path / "prompts.npy")


@pytest.fixture
def dock(viewer_model: ViewerModel, qtbot: Any, files: tuple[str, str]) -> Any:
    dock = ExplainDock(viewer_model)
    qtbot.addWidget(dock)
    viewer_model.add_image(tiny_clip.picture(48), name="scan")
    dock._attach()
    dock.view.model.choose(files[0])
    yield dock
    dock._release()


def run(dock: ExplainDock, qtbot: Any) -> str:
    with qtbot.waitSignal(dock.finished, timeout=60000) as ended:
        dock.run()
    return ended.args[0]


def test_all_of_a_file_and_some_of_it(dock: Any, qtbot: Any, files: tuple[str, str], monkeypatch: Any) -> None:
    assert dock.view.embeddings.clear_button.isHidden() and not dock.view.run_button.isEnabled()
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *args: (files[1], ""))
    dock.view.embeddings.button.click()
    assert dock.view.embeddings.button.text() == "prompts.npy" and dock.view.run_button.isEnabled()
    assert run(dock, qtbot) == "done", dock.view.status.text()
    assert [one.prompt for one in dock._found] == ["cat", "dog"]
    assert "no word has a score" in dock.view.results.warnings.text()
    asked, image = dock._asked_now()[1], Origin("scan.png", "")
    assert asked.as_python(image).count("None,") == 1 and f"embeddings={files[1]!r}" in asked.as_python(image)
    assert f"--embeddings {files[1]}" in asked.as_command(image)
    checked = check(dock._found[0], load_model(files[0], device="cpu"), randomise=False)
    assert checked.provenance["sanity"]["unrelated"] == ["dog"]
    dock.view.prompts.set_prompts(["dog"])
    assert run(dock, qtbot) == "done"
    assert [one.prompt for one in dock._found] == ["dog"]


def test_left_out_again(dock: Any, qtbot: Any, files: tuple[str, str]) -> None:
    dock.view.embeddings.choose(files[1])
    dock.view.embeddings.clear_button.click()
    assert dock.asked.embeddings is None and dock.view.embeddings.button.text() == NONE
    dock.view.prompts.set_prompts(["cat"])
    assert run(dock, qtbot) == "failed"
    assert "only an image tower" in dock.view.status.text()


def test_what_is_wrong_with_a_file_is_said(dock: Any, qtbot: Any, files: tuple[str, str]) -> None:
    np.save(files[1], np.ones((2, 7)))
    dock.view.embeddings.choose(files[1])
    assert run(dock, qtbot) == "failed"
    assert "7 wide" in dock.view.status.text()


def test_questions_have_none(dock: Any, files: tuple[str, str]) -> None:
    dock.view.embeddings.choose(files[1])
    dock.view.model.choose("mini-vqa")
    assert dock.view.embeddings.isHidden() and "embeddings" not in dock._asked_now()[1].options()
