"""The size of the model's input in the docks: what is chosen, run and copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_clip
from napari.components import ViewerModel
from qtpy.QtCore import Qt

from napari_vlexplain.choices.explain import Explaining
from napari_vlexplain.latent_text.reproducing import LatentChoices
from napari_vlexplain.results.reproduce import ComparisonChoices, Origin
from napari_vlexplain.widgets.compare.dock import CompareDock
from napari_vlexplain.widgets.explain.dock import ExplainDock
from napari_vlexplain.widgets.latent_text.dock import LatentTextDock
from napari_vlexplain.widgets.parts.model_box import OWN, SizeBox
from napari_vlexplain.widgets.segments.dock import SegmentsDock

IMAGE = Origin("scan.png", "")


@pytest.fixture
def box(qtbot: Any) -> SizeBox:
    box = SizeBox("tip")
    qtbot.addWidget(box)
    return box


@pytest.fixture(scope="module")
def clip(tmp_path_factory: Any) -> Path:
    return tiny_clip.save(tmp_path_factory.mktemp("clip"))


def docked(kind: Any, viewer: ViewerModel, qtbot: Any) -> Any:
    dock = kind(viewer)
    qtbot.addWidget(dock)
    viewer.add_image(tiny_clip.picture(48), name="scan")
    dock._attach()
    return dock


def test_the_models_own_until_it_is_chosen(box: SizeBox, qtbot: Any) -> None:
    assert box.size_chosen is None and box.text() == OWN
    seen: list[Any] = []
    box.chosen.connect(seen.append)
    box.stepUp()
    box.stepUp()
    box.selectAll()
    qtbot.keyClicks(box, "384")
    qtbot.keyClick(box, Qt.Key.Key_Return)
    box.setValue(0)
    assert seen == [224, 240, 384, None]


def test_explain(viewer_model: ViewerModel, qtbot: Any, clip: Path) -> None:
    dock = docked(ExplainDock, viewer_model, qtbot)
    dock.view.model.choose(str(clip))
    dock.view.prompts.set_prompts(["a cat"])
    dock.view.input_size.setValue(48)
    with qtbot.waitSignal(dock.finished, timeout=60000) as ended:
        dock.run()
    assert ended.args == ["done"], dock.view.status.text()
    assert dock._found[0].request.size == 48 and dock._found[0].patch_scores.shape == (6, 6)
    asked: Explaining = dock._asked_now()[1]
    assert "size=48" in asked.as_python(IMAGE) and "--size 48" in asked.as_command(IMAGE)
    dock.view.input_size.setValue(44)
    with qtbot.waitSignal(dock.finished, timeout=60000) as ended:
        dock.run()
    assert ended.args == ["failed"] and "choose a multiple of 8, such as 40 or 48" in dock.view.status.text()
    dock._release()


def test_questions_have_no_size(viewer_model: ViewerModel, qtbot: Any) -> None:
    dock = docked(ExplainDock, viewer_model, qtbot)
    dock.view.input_size.setValue(48)
    dock.view.model.choose("mini-vqa")
    assert dock.view.input_size.isHidden()
    assert "size" not in dock._asked_now()[1].options()
    dock._release()


def test_segments(viewer_model: ViewerModel, qtbot: Any, clip: Path) -> None:
    dock = docked(SegmentsDock, viewer_model, qtbot)
    dock.view.model.choose(str(clip))
    dock.view.input_size.setValue(64)
    with qtbot.waitSignal(dock.finished, timeout=60000) as ended:
        dock.run()
    assert ended.args == ["done"], dock.view.status.text()
    found = dock.shown[0]
    assert found.request.size == 64 and found.eigenvectors.geometry.grid == (8, 8)
    asked = dock._asked_now()[1]
    assert "size=64" in asked.as_python(IMAGE) and "--size 64" in asked.as_command(IMAGE)
    dock._release()


def test_compare(viewer_model: ViewerModel, qtbot: Any, clip: Path) -> None:
    dock = docked(CompareDock, viewer_model, qtbot)
    dock.show_comparison = lambda found: None
    dock.view.prompts.set_prompts(["a cat"])
    for names, chosen in ((dock.view.methods, "raw_attention"), (dock.view.models, str(clip))):
        names.tick([])
        names.add(chosen, chosen, "", True)
    dock.view.input_size.setValue(40)
    with qtbot.waitSignal(dock.finished, timeout=60000) as ended:
        dock.run()
    assert ended.args == ["done"], dock.view.status.text()
    assert dock.shown.cells[0][0].explanation.request.size == 40
    asked: ComparisonChoices = dock._asked_now()[1]
    assert "size=40" in asked.as_python(IMAGE) and "--size 40" in asked.as_command(IMAGE)
    dock._release()


def test_latent_text(viewer_model: ViewerModel, qtbot: Any, clip: Path) -> None:
    dock = docked(LatentTextDock, viewer_model, qtbot)
    source = dock.view.source
    source.model.choose(str(clip))
    source.vocabulary.setCurrentIndex(source.vocabulary.findData("my own list…"))
    source.pasted.setPlainText("cat\ndog")
    source.input_size.setValue(48)
    with qtbot.waitSignal(dock.finished, timeout=60000) as ended:
        dock.read()
    assert ended.args == ["done"], dock.view.status.text()
    assert dock.session.read.found.grid == (6, 6)
    shown: LatentChoices = dock._shown_now()[1]
    assert "size=48" in shown.as_python(IMAGE) and "--size 48" in shown.as_command(IMAGE)
    dock._release()


def test_the_comparison_takes_the_size_over(viewer_model: ViewerModel, qtbot: Any, monkeypatch: Any) -> None:
    from napari_vlexplain.widgets.viewer import docks

    dock, other = docked(ExplainDock, viewer_model, qtbot), docked(CompareDock, viewer_model, qtbot)
    monkeypatch.setattr(docks, "open_dock", lambda viewer, name: other)
    dock.view.input_size.setValue(336)
    dock._compare()
    assert other.view.input_size.size_chosen == 336
    for one in (dock, other):
        one._release()
