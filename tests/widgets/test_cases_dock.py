"""The Cases dock on a viewer model: a study opened, read, judged, drawn in and left, as a reader does it."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import write as write_dicom
from napari._qt.qt_resources import get_stylesheet
from napari.components import ViewerModel
from napari.utils._proxies import PublicOnlyProxy
from PIL import Image
from qtpy.QtCore import Qt, QThreadPool
from qtpy.QtWidgets import QDockWidget, QMainWindow, QScrollArea

from napari_vlexplain.choices.explain import Explaining
from napari_vlexplain.errors import Cancelled, VLExplainError
from napari_vlexplain.geometry import Geometry
from napari_vlexplain.models.files import known_identity
from napari_vlexplain.reading_room import ahead as ahead_module
from napari_vlexplain.reading_room.journal import JOURNAL, Journal
from napari_vlexplain.reading_room.reopen import read_export
from napari_vlexplain.reading_room.study import NOTES
from napari_vlexplain.reading_room.windowing import presets
from napari_vlexplain.results.explanation import Explanation
from napari_vlexplain.results.request import ImageIdentity, Request
from napari_vlexplain.widgets.cases import dock as module
from napari_vlexplain.widgets.cases.dock import CasesDock
from napari_vlexplain.widgets.cases.export import ExportDialog
from napari_vlexplain.widgets.cases.table import COLUMNS
from napari_vlexplain.widgets.correct.dock import CorrectDock
from napari_vlexplain.widgets.jobs.jobs import jobs_of
from napari_vlexplain.widgets.measure.dock import MeasureDock
from napari_vlexplain.widgets.viewer.layers import info, layer_kind
from napari_vlexplain.widgets.viewer.settings import Settings
from napari_vlexplain.widgets.window_level.dock import WindowLevelDock

LEFT = Qt.MouseButton.LeftButton
SHAPE = (60, 80)
WEIGHTS = "ab" * 32


class Fake:
    """Stands in for the model: counts, waits until it is let go, hears of cancellation, can be made to fail."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()
        self.asked: list[tuple[str, str]] = []
        self.error: BaseException | None = None

    def __call__(self, asked: Explaining, image: Any, name: str, limits: Any, progress: Any, cancelled: Any) -> Any:
        assert threading.current_thread() is not threading.main_thread()
        self.asked.append((Path(name).name, asked.method))
        self.begun.set()
        while not self.gate.wait(0.01):
            if cancelled is not None and cancelled():
                raise Cancelled
        if self.error is not None:
            raise self.error
        shape = (np.shape(image)[0], np.shape(image)[1])
        identity = ImageIdentity.of(np.asarray(image), name, limits)
        request = Request(
            identity, asked.prompts, asked.model, asked.method, tuple(sorted(asked.values().items())),
            asked._target(), asked.seed,
        )  # fmt: skip
        grid = (4, 4)
        geometry = Geometry(shape, (64, 64), (64 / shape[0], 64 / shape[1]), (0.0, 0.0), grid, (16, 16))
        scores = np.zeros(grid, np.float32)
        scores[1:3, 1:3] = 1 + len(asked.method) / 10
        record = {"device": "cpu", "seconds": 0.1, "similarity": 0.2, "logit": 20.0, "weights_sha256": WEIGHTS}
        return [
            Explanation(request, prompt, scores, ("a",), np.ones(1, np.float32), (0,), 0.5, geometry, record)
            for prompt in asked.prompts
        ]

    @property
    def images(self) -> list[str]:
        return [name for name, _ in self.asked]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    fake = Fake()
    monkeypatch.setattr(ahead_module, "compute", fake)
    monkeypatch.setattr(known_identity, "weights_of", lambda name: WEIGHTS)
    yield fake
    fake.gate.set()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four cases with boxes, two categories; the third picture is of colours, one row has no image."""
    root = tmp_path / "study"
    (root / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(4):
        shape = (*SHAPE, 3) if number == 2 else SHAPE
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(root / "images" / f"{number}.png")
    rows = [f"{n}.png,finding {n},20 15 40 30,{'Edema' if n % 2 else 'Mass'}" for n in range(4)]
    rows.append("gone.png,finding 9,1 1 5 5,Mass")
    (root / "prompts.csv").write_text("image,prompt,boxes,category\n" + "\n".join(rows) + "\n")
    return root


@pytest.fixture
def dock(viewer_model: ViewerModel, qtbot: Any, monkeypatch: Any, tmp_path: Path, fake: Fake) -> Iterator[CasesDock]:
    monkeypatch.setattr(module, "settings", lambda: Settings(cache_folder=str(tmp_path / "cache"), reader="Ada"))
    dock = CasesDock(viewer_model)
    qtbot.addWidget(dock)
    dock.show()
    yield dock
    fake.gate.set()
    dock.close()
    assert QThreadPool.globalInstance().waitForDone(20_000)


def settle(dock: CasesDock, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not dock.busy and dock.work.jobs.behind is None, timeout=20_000)


def opened(dock: CasesDock, folder: Path, qtbot: Any) -> Any:
    with qtbot.waitSignal(dock.opened, timeout=20_000):
        dock.open_study(str(folder))
    settle(dock, qtbot)
    return dock.session


def layer(viewer: ViewerModel, kind: str) -> Any:
    (found,) = (one for one in viewer.layers if layer_kind(one) == kind)
    return found


def rows(dock: CasesDock) -> list[Any]:
    return dock.view.list.table.cases.rows


def test_a_study_opens_with_its_first_case_explained(dock, viewer_model, folder, fake, qtbot):
    session = opened(dock, folder, qtbot)
    image, heat, truth, boxes = (layer(viewer_model, kind) for kind in ("source", "heatmap", "truth", "boxes"))
    np.testing.assert_array_equal(image.data[0], np.asarray(Image.open(folder / "images" / "0.png")))
    assert info(heat)["prompt"] == "finding 0" and heat.visible and heat.data[0].shape == SHAPE
    mask = np.zeros(SHAPE, np.uint8)
    mask[15:45, 20:60] = 1
    np.testing.assert_array_equal(truth.data, mask)
    assert not truth.visible and boxes.visible
    np.testing.assert_array_equal(boxes.data[0].min(axis=0), (14.5, 19.5))
    assert dock.view.phrase.text() == "finding 0" and dock.view.place.text().startswith("Case 1 of 5")
    figures = session.rows[0]
    cut = heat.data[0] >= 0.5
    assert figures.iou == pytest.approx((cut & (mask > 0)).sum() / (cut | (mask > 0)).sum())
    assert f"{figures.iou:.3f}" in dock.view.figures.text()
    assert dock.view.problems.isVisible() and "gone.png" in dock.view.problem_list.item(0).text()
    assert fake.images == ["0.png", "1.png"], "and the next one is ready"
    assert not (folder / NOTES).exists(), "looking leaves nothing behind"


def test_what_is_found_in_a_ground_truth_stands_by_its_figures(dock, viewer_model, folder, fake, qtbot):
    (folder / "t.json").write_text('{"boxes": [[0, 0, 9, 9]], "size": [100, 100]}')
    labels = np.zeros(SHAPE, np.uint8)
    labels[15:45, 20:60], labels[10:15, 20:60] = 7, 255
    Image.fromarray(labels).save(folder / "l.png")
    (folder / "prompts.csv").write_text("image,prompt,mask\n0.png,finding 0,t.json\n1.png,finding 1,l.png\n")
    measure = MeasureDock(viewer_model)
    qtbot.addWidget(measure)
    session = opened(dock, folder, qtbot)
    for text in (dock.view.figures.text(), dock.view.status.text()):
        assert "other proportions" in text
    assert math.isnan(session.rows[0].iou) and layer(viewer_model, "truth").data.any()
    measure.truth.set_layer(layer(viewer_model, "truth"))
    qtbot.waitUntil(lambda: not measure.busy, timeout=10_000)
    assert measure.current_figures is None and "other proportions" in measure.status.text()
    with qtbot.waitSignal(dock.explained, timeout=10_000):
        qtbot.mouseClick(dock.view.next, LEFT)
    settle(dock, qtbot)
    cut = (layer(viewer_model, "heatmap").data[0] >= 0.5) & (labels != 255)
    iou = (cut & (labels == 7)).sum() / (cut | (labels == 7)).sum()
    assert session.rows[1].iou == pytest.approx(iou)
    assert "200 pixels" in dock.view.status.text() and "other proportions" not in dock.view.figures.text()
    qtbot.waitUntil(lambda: not measure.busy, timeout=10_000)
    assert measure.current_figures.iou == pytest.approx(iou)
    measure.close()


def test_next_shows_what_was_prepared_at_once_in_the_same_layers(dock, viewer_model, folder, fake, qtbot):
    opened(dock, folder, qtbot)
    before = {kind: layer(viewer_model, kind) for kind in ("source", "heatmap", "truth", "boxes")}
    before["source"].contrast_limits = (10, 99)
    before["heatmap"].colormap = "viridis"
    before["heatmap"].opacity = 0.3
    fake.gate.clear()  # nothing can be computed any more
    with qtbot.waitSignal(dock.explained, timeout=10_000):
        qtbot.mouseClick(dock.view.next, LEFT)
    assert dock.session.current == ("1.png/finding 1", "finding 1") and fake.images == ["0.png", "1.png"]
    assert {kind: layer(viewer_model, kind) for kind in before} == before
    assert info(before["heatmap"])["prompt"] == "finding 1" and before["heatmap"].visible
    np.testing.assert_array_equal(before["source"].data[0], np.asarray(Image.open(folder / "images" / "1.png")))
    assert tuple(before["source"].contrast_limits) == (10, 99), "the reader's window stays"
    assert before["heatmap"].colormap.name == "viridis" and before["heatmap"].opacity == 0.3
    fake.gate.set()
    settle(dock, qtbot)


def test_layers_stay_where_napari_hands_the_dock_a_stand_in_of_the_viewer(
    viewer_model, qtbot, monkeypatch, folder, fake
):
    """As the plugin's menu does."""
    monkeypatch.setattr(module, "settings", lambda: Settings(cache_folder=str(folder.parent / "cache")))
    dock = CasesDock(PublicOnlyProxy(viewer_model))
    qtbot.addWidget(dock)
    dock.show()
    opened(dock, folder, qtbot)
    first = list(viewer_model.layers)
    assert {layer_kind(one) for one in first} == {"source", "heatmap", "boxes", "truth"}
    for _ in range(2):
        dock.step(1)
        settle(dock, qtbot)
    assert {layer_kind(one) for one in viewer_model.layers} == {"source", "heatmap", "boxes", "truth"}
    dock.step(-1)
    settle(dock, qtbot)
    assert [one for one in viewer_model.layers if layer_kind(one) != "source"] == first[1:], "the very same"
    dock.close()


def test_colours_take_another_image_layer_and_come_back(dock, viewer_model, folder, qtbot):
    opened(dock, folder, qtbot)
    for number in (1, 2, 3):
        dock.step(1)
        settle(dock, qtbot)
        image = layer(viewer_model, "source")
        assert image.rgb == (number == 2) and info(layer(viewer_model, "heatmap"))["source"] == info(image)["id"]
        assert viewer_model.layers.index(image) == 0


def test_a_missing_image_stays_in_the_list_and_is_stepped_over(dock, viewer_model, folder, fake, qtbot):
    session = opened(dock, folder, qtbot)
    dock.step_to_end(True)
    settle(dock, qtbot)
    assert session.current == ("gone.png/finding 9", "finding 9")
    assert "gone.png" in dock.view.status.text() and rows(dock)[-1].status == "unreadable"
    assert not any(one.visible for one in viewer_model.layers), "no other picture stands in its place"
    dock.judge(verdict="flag", comment="no picture")
    settle(dock, qtbot)
    dock.step(-1)
    settle(dock, qtbot)
    assert layer(viewer_model, "source").visible and layer(viewer_model, "heatmap").visible
    assert Journal(folder / NOTES).judgement("gone.png/finding 9", "finding 9", "Ada").verdict == "flag"


def test_an_image_that_is_cut_short_is_said_by_name(dock, folder, qtbot):
    file = folder / "images" / "0.png"
    file.write_bytes(file.read_bytes()[:100])
    session = opened(dock, folder, qtbot)
    assert "0.png" in dock.view.status.text() and session.rows[0].status == "unreadable"
    dock.step(1)
    settle(dock, qtbot)
    assert session.current[1] == "finding 1" and not math.isnan(session.rows[1].iou)


def test_every_edit_is_saved_at_once(dock, folder, qtbot):
    opened(dock, folder, qtbot)
    judging, key = dock.view.judging, ("0.png/finding 0", "finding 0", "Ada")
    qtbot.mouseClick(judging.verdicts["partly"], LEFT)
    qtbot.mouseClick(judging.confidence[4], LEFT)
    qtbot.keyClicks(judging.comment, "left side")
    qtbot.waitUntil(lambda: not dock.saving.busy, timeout=10_000)
    said = Journal(folder / NOTES).judgement(*key)
    assert (said.verdict, said.confidence, said.comment) == ("partly", 4, "left side")
    assert judging.progress.text() == "1 of 5 judged" and judging.saved.text() == "Saved."
    assert rows(dock)[0].verdict == "partly"
    qtbot.mouseClick(judging.undo_button, LEFT)
    assert judging.comment.toPlainText() == "", "a comment is undone whole"
    qtbot.mouseClick(judging.undo_button, LEFT)
    qtbot.mouseClick(judging.undo_button, LEFT)
    settle(dock, qtbot)
    said = Journal(folder / NOTES).judgement(*key)
    assert (said.verdict, said.confidence, said.comment) == ("", 0, "") and not judging.undo_button.isEnabled()


def test_undo_goes_back_to_where_it_was_said(dock, folder, qtbot):
    session = opened(dock, folder, qtbot)
    dock.judge(verdict="agree")
    dock.step(1)
    settle(dock, qtbot)
    dock.verdicts.undo()
    settle(dock, qtbot)
    assert session.current[1] == "finding 0" and not dock.view.judging.verdicts["agree"].isChecked()


def test_keys_of_the_reader(dock, viewer_model, folder, qtbot):
    session = opened(dock, folder, qtbot)
    heat, boxes = layer(viewer_model, "heatmap"), layer(viewer_model, "boxes")
    dock.view.list.table.setFocus()

    def press(key: Any, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        qtbot.keyClick(dock.view.list.table, key, modifier)
        settle(dock, qtbot)

    press(Qt.Key.Key_K)
    assert session.judgement(session.current).verdict == "agree"
    press(Qt.Key.Key_K)
    assert session.judgement(session.current).verdict == ""
    press(Qt.Key.Key_N, Qt.KeyboardModifier.AltModifier)
    assert session.judgement(session.current).verdict == "disagree"
    press(Qt.Key.Key_N)
    assert session.current[1] == "finding 1"
    press(Qt.Key.Key_PageDown)
    assert session.current[1] == "finding 2"
    press(Qt.Key.Key_PageUp)
    press(Qt.Key.Key_Home)
    assert session.current[1] == "finding 0"
    press(Qt.Key.Key_H)
    press(Qt.Key.Key_G)
    assert not heat.visible and not boxes.visible
    press(Qt.Key.Key_N)
    assert not heat.visible and not boxes.visible, "as the reader left them"
    press(Qt.Key.Key_H)
    press(Qt.Key.Key_G)
    assert heat.visible and boxes.visible
    dock.view.judging.comment.setFocus()
    qtbot.keyClicks(dock.view.judging.comment, "knnk")
    settle(dock, qtbot)
    assert session.current[1] == "finding 1" and session.judgement(session.current).comment == "knnk"


def test_the_list_has_its_figures_again_when_the_study_is_opened_again(dock, folder, fake, qtbot):
    opened(dock, folder, qtbot)
    qtbot.mouseClick(dock.view.all_button, LEFT)
    settle(dock, qtbot)
    before, asked = rows(dock), list(fake.asked)
    assert sum(row.iou > 0 for row in before) == 4
    picture = folder / "images" / "3.png"
    Image.fromarray(255 - np.asarray(Image.open(picture))).save(picture)
    session = opened(dock, folder, qtbot)
    assert rows(dock)[:3] == before[:3] and math.isnan(rows(dock)[3].iou), "of another picture nothing is known"
    assert fake.asked == asked and session.is_explained(before[2].key) and not session.is_explained(before[3].key)
    dock.view.threshold.set_threshold("value", 0.9)
    dock.view.threshold.changed.emit()
    qtbot.waitUntil(lambda: rows(dock)[2].iou != before[2].iou, timeout=5000)
    method = dock.view.method
    chosen = method.currentIndex()
    method.setCurrentIndex((chosen + 1) % method.count())
    settle(dock, qtbot)
    assert all(math.isnan(row.iou) for row in rows(dock)), "figures of another method"
    method.setCurrentIndex(chosen)
    settle(dock, qtbot)
    assert not math.isnan(rows(dock)[2].iou)


def test_the_window_is_chosen_without_its_dock(dock, viewer_model, folder, qtbot):
    alt, text = Qt.KeyboardModifier.AltModifier, viewer_model.canvas.overlays.text
    opened(dock, folder, qtbot)
    image = layer(viewer_model, "source")
    first = tuple(image.contrast_limits)
    assert text.visible and text.text.startswith("W ")

    def press(key: Any, modifier: Any = alt) -> None:
        qtbot.keyClick(dock.view.list.table, key, modifier)
        settle(dock, qtbot)

    press(Qt.Key.Key_3)
    lungs = tuple(image.contrast_limits)
    assert lungs == presets()[2].limits(image.data[0]) != first
    press(Qt.Key.Key_I)
    assert image.colormap.name == "gray_r" and text.text.endswith("inverted")
    press(Qt.Key.Key_PageDown, Qt.KeyboardModifier.NoModifier)
    assert dock.session.current[1] == "finding 1" and image.colormap.name == "gray_r"
    assert tuple(image.contrast_limits) == presets()[2].limits(image.data[0]), "the lungs of this one"
    press(Qt.Key.Key_PageDown, Qt.KeyboardModifier.NoModifier)
    press(Qt.Key.Key_1)
    assert "colours" in dock.view.status.text()
    dock.close()
    assert not text.visible


def test_the_window_level_dock_and_cases_share_what_they_do(dock, viewer_model, folder, qtbot):
    alt = Qt.KeyboardModifier.AltModifier
    opened(dock, folder, qtbot)
    image, window = layer(viewer_model, "source"), QMainWindow()
    qtbot.addWidget(window)
    beside = WindowLevelDock(viewer_model)
    places = [QDockWidget(), QDockWidget()]
    for place, one in zip(places, (dock, beside), strict=True):
        place.setWidget(one)
        window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, place)
    window.show()
    qtbot.wait(50)
    assert beside.part.control is dock.window_level.control
    for inverted in (True, False, True):
        qtbot.keyClick(beside, Qt.Key.Key_I, alt)
        assert image.colormap.name.endswith("_r") == inverted, "a key that both have is pressed once"
        assert beside.part.invert_button.isChecked() == dock.window_level.invert_button.isChecked() == inverted
    beside.close()
    qtbot.keyClick(dock.view.list.table, Qt.Key.Key_3, alt)
    assert tuple(image.contrast_limits) == presets()[2].limits(image.data[0])
    dock.setParent(None)
    assert not viewer_model.canvas.overlays.text.visible


def test_a_case_is_judged_by_keys_alone(dock, folder, qtbot):
    session = opened(dock, folder, qtbot)
    judging, ctrl = dock.view.judging, Qt.KeyboardModifier.ControlModifier
    dock.activateWindow()
    judging.reader.clear()
    judging.reader.setFocus()
    qtbot.keyClicks(judging.reader, "Kim")
    qtbot.keyClick(judging.reader, Qt.Key.Key_Return)
    settle(dock, qtbot)
    assert session.reader == "Kim" and not judging.reader.hasFocus()
    qtbot.keyClick(dock, Qt.Key.Key_K)
    qtbot.keyClick(dock, Qt.Key.Key_4, ctrl)
    qtbot.keyClick(dock, Qt.Key.Key_2, ctrl)
    qtbot.keyClick(dock, Qt.Key.Key_J, Qt.KeyboardModifier.AltModifier)
    assert judging.comment.hasFocus()
    qtbot.keyClicks(judging.comment, "nodule, hard")
    qtbot.keyClick(judging.comment, Qt.Key.Key_Escape)
    said = session.judgement(session.current)
    assert (said.verdict, said.confidence, said.comment) == ("agree", 2, "nodule, hard")
    qtbot.keyClick(dock, Qt.Key.Key_2, ctrl)
    qtbot.keyClick(dock, Qt.Key.Key_N)
    settle(dock, qtbot)
    assert session.current[1] == "finding 1"
    assert session.judgement(("0.png/finding 0", "finding 0")).confidence == 0


def test_return_takes_the_name_as_typed_while_others_are_offered(dock, folder, qtbot):
    session = opened(dock, folder, qtbot)
    reader = dock.view.judging.reader
    dock.view.judging.offer_readers(["Kim", "Kimberly"])
    dock.activateWindow()
    reader.clear()
    reader.setFocus()
    qtbot.keyClicks(reader, "Kim")
    popup = reader.completer().popup()
    qtbot.waitUntil(popup.isVisible)
    qtbot.keyClick(popup, Qt.Key.Key_Return)
    settle(dock, qtbot)
    assert session.reader == "Kim" and not popup.isVisible() and not reader.hasFocus()


def test_a_verdict_without_a_name_is_kept_and_says_so(dock, folder, qtbot):
    opened(dock, folder, qtbot)
    dock.view.judging.reader.clear()
    dock.view.judging.reader.editingFinished.emit()
    settle(dock, qtbot)
    dock.judge(verdict="agree")
    settle(dock, qtbot)
    assert "without a name" in dock.view.judging.saved.text()
    assert Journal(folder / NOTES).judgement("0.png/finding 0", "finding 0", "").verdict == "agree"


def test_nothing_is_cut_off_at_the_side(dock):
    dock.setStyleSheet(get_stylesheet("dark"))  # napari's, which widens fields and buttons
    scroll = dock.findChild(QScrollArea)
    bar = scroll.verticalScrollBar().sizeHint().width()
    assert scroll.widget().minimumSizeHint().width() + bar <= dock.minimumWidth() <= 300
    dock.resize(dock.minimumWidth(), 900)
    assert dock.view.list.search.width() >= 60, "there is room to write what is searched"


def test_filters_sort_and_undecided(dock, folder, qtbot):
    session = opened(dock, folder, qtbot)
    view = dock.view.list
    view.search.setText("finding MASS")
    assert [row.key[1] for row in rows(dock)] == ["finding 0", "finding 2", "finding 9"]
    dock.step(1)
    settle(dock, qtbot)
    assert session.current[1] == "finding 2", "next goes by what is shown"
    view.search.setText("finding 3")
    qtbot.keyClick(view.search, Qt.Key.Key_Return)
    settle(dock, qtbot)
    assert session.current[1] == "finding 3", "Return goes to what was found"
    view.search.setText("finding")
    qtbot.keyClick(view.search, Qt.Key.Key_Return)
    settle(dock, qtbot)
    assert session.current[1] == "finding 3", "and stays where that is among it"
    view.search.setText("MASS")
    dock.step(-1)
    settle(dock, qtbot)
    view.search.clear()
    view.category.setCurrentIndex(view.category.findData("Edema"))
    assert [row.key[1] for row in rows(dock)] == ["finding 1", "finding 3"]
    view.category.setCurrentIndex(0)
    dock.judge(verdict="agree")
    view.status.setCurrentIndex(view.status.findData("undecided"))
    assert [row.key[1] for row in rows(dock)] == ["finding 0", "finding 1", "finding 3"]
    dock.step(1)
    settle(dock, qtbot)
    assert session.current[1] == "finding 3", "from the place of the row that its verdict has hidden"
    view.status.setCurrentIndex(0)
    view.low.setValue(0.01)
    assert all(not math.isnan(row.iou) for row in rows(dock))
    view.low.setValue(0)
    view.table.sortByColumn(0, Qt.SortOrder.DescendingOrder)
    assert rows(dock)[0].key[1] == "finding 9"
    dock.step_to_undecided()
    settle(dock, qtbot)
    assert session.current[1] == "finding 1"


def test_what_was_said_and_drawn_is_there_again(dock, viewer_model, folder, qtbot):
    opened(dock, folder, qtbot)
    dock.judge(verdict="agree")
    dock.own_mask.draw("truth")
    painted = dock.layers.reader
    assert layer_kind(painted) == "mask" and painted.data.sum() == 30 * 40
    painted.paint((5, 5), 1)
    painted.paint((50, 50), 2)
    dock.step(1)
    settle(dock, qtbot)
    assert painted not in viewer_model.layers and dock.layers.reader is None
    expected = np.asarray(painted.data)
    assert (expected[5, 5], expected[50, 50]) == (1, 2)
    dock.step(-1)
    settle(dock, qtbot)
    np.testing.assert_array_equal(dock.layers.reader.data, expected)
    dock.layers.reader.undo()
    opened(dock, folder, qtbot)
    assert dock.session.current[1] == "finding 1", "the first that is undecided"
    dock.step(-1)
    settle(dock, qtbot)
    np.testing.assert_array_equal(dock.layers.reader.data, expected)
    dock.own_mask.draw("none")
    settle(dock, qtbot)
    assert dock.layers.reader is None and not dock.session.journal.has_mask("0.png/finding 0", "finding 0", "Ada")


def test_a_mask_made_in_the_correct_dock_is_kept_too(dock, viewer_model, folder, qtbot):
    opened(dock, folder, qtbot)
    correct = CorrectDock(viewer_model)
    qtbot.addWidget(correct)
    correct.show()
    correct.view.edited.set_layer(dock.layers.truth)
    with qtbot.waitSignal(correct.corrected):
        correct.copy_as_readers()
    settle(dock, qtbot)
    assert dock.layers.reader is not None
    expected = dock.layers.truth.data > 0
    np.testing.assert_array_equal(Journal(folder / NOTES).mask("0.png/finding 0", "finding 0", "Ada"), expected)
    correct.close()


def test_readers_are_kept_apart(dock, folder, qtbot):
    opened(dock, folder, qtbot)
    dock.judge(verdict="agree")
    reader = dock.view.judging.reader
    reader.setText("Ben")
    reader.editingFinished.emit()
    settle(dock, qtbot)
    assert not dock.view.judging.verdicts["agree"].isChecked() and dock.view.judging.progress.text() == "0 of 5 judged"
    dock.judge(verdict="flag")
    settle(dock, qtbot)
    journal = Journal(folder / NOTES)
    assert {one.reader: one.verdict for one in journal.judgements()} == {"Ada": "agree", "Ben": "flag"}


def test_a_full_disk_is_said_and_tried_again(dock, folder, qtbot, monkeypatch):
    session = opened(dock, folder, qtbot)

    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("napari_vlexplain.reading_room.journal.os.fsync", refuse)
        dock.judge(verdict="agree")
        settle(dock, qtbot)
        assert "No space left" in dock.view.judging.saved.text() and session.journal.unsaved == 1
        assert dock.view.judging.verdicts["agree"].isChecked()
    dock.saving._retry.timeout.emit()
    settle(dock, qtbot)
    assert session.journal.unsaved == 0 and dock.view.judging.saved.text() == "Saved."


def test_explanations_are_not_computed_twice(dock, folder, fake, qtbot):
    opened(dock, folder, qtbot)
    opened(dock, folder, qtbot)
    assert sorted(fake.images) == ["0.png", "1.png"]
    cached = next((folder.parent / "cache" / "explanations").glob("*/0/patch_scores.tif"))
    cached.write_bytes(b"broken")
    opened(dock, folder, qtbot)
    assert len(fake.images) == 3 and dock.session.rows[0].iou > 0, "a damaged entry is computed anew"


def test_the_case_that_runs_ahead_is_taken_over(dock, folder, fake, qtbot):
    opened(dock, folder, qtbot)
    fake.gate.clear()
    fake.begun.clear()
    dock.step(1)
    qtbot.waitUntil(fake.begun.is_set, timeout=10_000)
    assert dock.work.jobs.behind is not None and not dock.work.jobs.busy
    dock.step(1)
    qtbot.waitUntil(lambda: dock.work.jobs.busy, timeout=10_000)
    assert dock.view.run_button.text() == "Cancel"
    fake.gate.set()
    settle(dock, qtbot)
    assert fake.images.count("2.png") == 1 and dock.session.rows[2].iou > 0


def test_what_runs_ahead_makes_way_for_others(dock, folder, fake, qtbot):
    opened(dock, folder, qtbot)
    fake.gate.clear()
    fake.begun.clear()
    dock.step(1)
    qtbot.waitUntil(fake.begun.is_set, timeout=10_000)
    jobs, told = jobs_of(dock.layers.viewer), []
    assert jobs is dock.work.jobs
    jobs.start("Other", lambda progress, cancelled: 7, told.append, told.append, lambda: told.append("cancelled"))
    qtbot.waitUntil(lambda: bool(told), timeout=10_000)
    assert told == [7] and not fake.gate.is_set()
    fake.gate.set()
    settle(dock, qtbot)
    assert fake.images.count("2.png") == 2, "and begins again when they are through"


def test_cancel_and_run(dock, folder, fake, qtbot):
    fake.gate.clear()
    with qtbot.waitSignal(dock.opened, timeout=20_000):
        dock.open_study(str(folder))
    qtbot.waitUntil(lambda: dock.work.mine and fake.begun.is_set(), timeout=10_000)
    qtbot.mouseClick(dock.view.run_button, LEFT)
    settle(dock, qtbot)
    assert dock.view.status.text().startswith("Cancelled") and dock.view.run_button.text() == "Run"
    fake.gate.set()
    with qtbot.waitSignal(dock.explained, timeout=10_000):
        qtbot.mouseClick(dock.view.run_button, LEFT)
    settle(dock, qtbot)


def test_going_on_while_a_case_is_explained(dock, folder, fake, qtbot):
    fake.gate.clear()
    with qtbot.waitSignal(dock.opened, timeout=20_000):
        dock.open_study(str(folder))
    qtbot.waitUntil(lambda: dock.work.mine, timeout=10_000)
    dock.step(1)
    dock.step(1)
    qtbot.waitUntil(lambda: not dock.showing.reading, timeout=10_000)
    fake.gate.set()
    settle(dock, qtbot)
    assert dock.session.current[1] == "finding 2" and dock.session.rows[2].iou > 0
    assert info(layer(dock.layers.viewer, "heatmap"))["prompt"] == "finding 2"


def test_a_model_that_fails_is_said_and_the_next_case_goes_on(dock, folder, fake, qtbot):
    fake.error = VLExplainError("No such model here.")
    opened(dock, folder, qtbot)
    assert dock.view.status.text() == "No such model here." and dock.view.run_button.text() == "Run"
    fake.error = None
    dock.step(1)
    settle(dock, qtbot)
    assert dock.session.rows[1].iou > 0


def test_another_method_is_shown_when_known_and_waits_for_run_otherwise(dock, viewer_model, folder, fake, qtbot):
    opened(dock, folder, qtbot)
    heat = layer(viewer_model, "heatmap")
    method = dock.view.method
    method.setCurrentIndex(method.findData("raw_attention"))
    settle(dock, qtbot)
    assert not heat.visible and math.isnan(dock.session.rows[0].iou) and "Run" in dock.view.status.text()
    with qtbot.waitSignal(dock.explained, timeout=10_000):
        qtbot.mouseClick(dock.view.run_button, LEFT)
    settle(dock, qtbot)
    assert heat.visible and info(heat)["request"]["method"] == "raw_attention"
    count = len(fake.asked)
    method.setCurrentIndex(method.findData("relevance"))
    settle(dock, qtbot)
    assert heat.visible and info(heat)["request"]["method"] == "relevance" and len(fake.asked) == count


def test_the_threshold_is_kept_and_moves_every_figure(dock, folder, qtbot):
    session = opened(dock, folder, qtbot)
    before = session.rows[0].iou
    dock.view.threshold.set_threshold("value", 0.9)
    qtbot.waitUntil(lambda: rows(dock)[0].iou != before, timeout=5_000)
    dock.step(1)
    settle(dock, qtbot)
    assert dock.view.threshold.number.value() == pytest.approx(0.9) and session.threshold.value == pytest.approx(0.9)
    assert session.rows[0].iou != before


def test_explain_all_fills_the_list(dock, folder, fake, qtbot):
    opened(dock, folder, qtbot)
    qtbot.mouseClick(dock.view.all_button, LEFT)
    settle(dock, qtbot)
    assert [math.isnan(row.iou) for row in dock.session.rows] == [False] * 4 + [True]
    assert sorted(set(fake.images)) == [f"{n}.png" for n in range(4)] and "explained" in dock.view.status.text()
    records = list(dock.session.records(problems=(told := [])))
    assert [record.prompt for record in records] == [f"finding {n}" for n in (0, 1, 2, 3, 9)] and not told
    assert "gone.png" in records[4].problem and records[4].image.size == 0
    assert records[2].image.ndim == 3 and records[2].explanation is not None and records[2].threshold == 0.5
    assert sorted(records[0].masks) == ["model", "truth"]


def test_export_of_the_study(dock, folder, qtbot, tmp_path):
    opened(dock, folder, qtbot)
    dock.step_to_end(True)
    settle(dock, qtbot)
    dock.judge(verdict="flag", comment="no picture")
    dock.step_to_end(False)
    settle(dock, qtbot)
    dock.judge(verdict="agree", comment="sure")
    dock.own_mask.draw("truth")
    dialog = ExportDialog(dock, 2, 5, tmp_path)
    qtbot.addWidget(dialog)
    assert dialog.scope == "study" and dialog.place == tmp_path / "export.zip" and dialog.ok.isEnabled()
    dialog.boxes["figure"].setChecked(False)
    dock.export(dialog)
    settle(dock, qtbot)
    assert "Exported" in dock.view.status.text() and "1 of 5 cases had no picture" in dock.view.status.text()
    records = {one.prompt: one for one in read_export(tmp_path / "export.zip")}
    assert set(records) == {f"finding {n}" for n in (0, 1, 2, 3, 9)}
    gone = records["finding 9"]
    assert (gone.judgement.verdict, gone.judgement.comment) == ("flag", "no picture")
    assert "gone.png" not in gone.problem and gone.case in gone.problem
    first = records["finding 0"]
    assert (first.judgement.verdict, first.judgement.comment) == ("agree", "sure")
    np.testing.assert_array_equal(first.masks["reader"], first.masks["truth"])
    assert first.explanation is not None and records["finding 3"].explanation is None


def test_an_export_that_cannot_be_written_is_said(dock, folder, qtbot, tmp_path):
    opened(dock, folder, qtbot)
    (tmp_path / "taken.zip").write_text("mine")
    dialog = ExportDialog(dock, 2, 5, tmp_path)
    qtbot.addWidget(dialog)
    dialog.place_edit.setText(str(tmp_path / "taken.zip"))
    dialog.scope_combo.setCurrentIndex(2)
    dock.export(dialog)
    settle(dock, qtbot)
    assert "taken.zip" in dock.view.status.text() and (tmp_path / "taken.zip").read_text() == "mine"
    assert dock.view.run_button.text() == "Run"


def test_cases_without_a_phrase_are_asked_the_readers(dock, folder, fake, qtbot):
    (folder / "prompts.csv").unlink()
    session = opened(dock, folder, qtbot)
    assert len(session.items) == 4 and fake.asked == [] and dock.view.own_prompt.isVisible()
    header = dock.view.list.table.horizontalHeader()
    titles = [COLUMNS[header.logicalIndex(place)][0] for place in range(len(COLUMNS))]
    assert titles[:2] == ["Case", "Status"] and titles[-1] == "Phrase"
    dock.view.own_prompt.setText("effusion")
    dock.view.own_prompt.editingFinished.emit()
    settle(dock, qtbot)
    assert session.current == ("images/0.png", "effusion") and fake.images == ["0.png", "1.png"]
    dock.judge(verdict="agree")
    dock.step(1)
    settle(dock, qtbot)
    assert session.current == ("images/1.png", "effusion")


def test_measure_follows_from_case_to_case(dock, viewer_model, folder, qtbot):
    measure = MeasureDock(viewer_model)
    qtbot.addWidget(measure)
    measure.show()
    session = opened(dock, folder, qtbot)
    measure.threshold.set_threshold("value", 0.5)

    def agree() -> bool:
        figures = measure.current_figures
        row = session.row
        return figures is not None and row is not None and figures.iou == pytest.approx(row.iou)

    qtbot.waitUntil(agree, timeout=10_000)
    dock.step(1)
    settle(dock, qtbot)
    qtbot.waitUntil(agree, timeout=10_000)
    assert measure.heatmap.layer is dock.layers.heatmap and measure.truth.layer is dock.layers.truth
    measure.close()


def test_layers_that_the_user_takes_away_come_back(dock, viewer_model, folder, qtbot):
    opened(dock, folder, qtbot)
    viewer_model.layers.clear()
    dock.step(1)
    settle(dock, qtbot)
    assert {layer_kind(one) for one in viewer_model.layers} == {"source", "heatmap", "truth", "boxes"}


@pytest.mark.parametrize("name", ["nowhere", "empty", "file.txt"])
def test_what_is_no_study_is_said_and_the_one_in_view_stays(dock, folder, qtbot, name):
    session = opened(dock, folder, qtbot)
    (folder.parent / "empty").mkdir()
    (folder.parent / "file.txt").write_text("hello")
    with qtbot.waitSignal(dock.opened, timeout=10_000):
        dock.open_study(str(folder.parent / name))
    assert name in dock.view.status.text() and dock.session is session


def test_closing_keeps_what_was_just_said_and_drawn(dock, folder, qtbot):
    opened(dock, folder, qtbot)
    dock.own_mask.draw("nothing")
    dock.layers.reader.paint((10, 10), 1)
    dock.judge(comment="typed last")
    dock.close()
    journal = Journal(folder / NOTES)
    assert journal.judgement("0.png/finding 0", "finding 0", "Ada").comment == "typed last"
    assert journal.mask("0.png/finding 0", "finding 0", "Ada")[10, 10]
    assert (folder / NOTES / JOURNAL).read_bytes().endswith(b"\n")


def test_a_case_of_several_frames_is_gone_through_by_its_slider(dock, viewer_model, tmp_path, fake, qtbot):
    frames = np.random.default_rng(1).integers(0, 4000, (6, *SHAPE)).astype(np.uint16)
    place = tmp_path / "cines"
    place.mkdir()
    write_dicom(place / "a.dcm", frames, 12)
    write_dicom(place / "b.dcm", frames[0], 12)
    dock.view.own_prompt.setText("effusion")
    session = opened(dock, place, qtbot)
    view, image = dock.view, dock.layers.image
    assert not view.frames.isHidden() and (view.frame.minimum(), view.frame.maximum()) == (1, 6)
    view.frame.setValue(4)
    settle(dock, qtbot)
    assert dock.layers.image is image
    np.testing.assert_array_equal(image.data[0], frames[3])
    assert info(dock.layers.heatmap)["request"]["image"]["plane"] in ([3], (3,)) and dock.layers.heatmap.visible
    dock.own_mask.draw("nothing")
    dock.layers.reader.paint((10, 10), 1)
    view.frame.setValue(6)
    settle(dock, qtbot)
    assert dock.layers.reader is None, "the mask is that of another frame"
    asked = len(fake.asked)
    view.frame.setValue(4)
    settle(dock, qtbot)
    assert dock.layers.reader.data[10, 10] == 1 and len(fake.asked) == asked, "what was explained is known"
    dock.step(1)
    assert view.frames.isHidden()
    settle(dock, qtbot)
    assert view.frames.isHidden(), "one frame needs no slider"
    dock.step(-1)
    settle(dock, qtbot)
    assert view.frame.value() == 4 and session.item.entry.frame == 3
    opened(dock, place, qtbot)
    assert view.frame.value() == 4, "remembered in the journal"
    np.testing.assert_array_equal(dock.layers.image.data[0], frames[3])
