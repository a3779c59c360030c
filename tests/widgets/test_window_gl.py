"""The whole job in a real window, with the mouse: open a sample, explain, look, paint, measure, cancel, close."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManager, PluginManifest
from qtpy.QtCore import QPoint, Qt, QThreadPool
from qtpy.QtWidgets import QApplication, QDockWidget, QScrollArea, QWidget

from napari_vlexplain.widgets import window as _window
from napari_vlexplain.widgets.cases.dock import CasesDock
from napari_vlexplain.widgets.explain.dock import ExplainDock
from napari_vlexplain.widgets.measure.dock import MeasureDock
from napari_vlexplain.widgets.parts.layout import NARROWEST
from napari_vlexplain.widgets.viewer.docks import python_names
from napari_vlexplain.widgets.viewer.layers import find_layers
from napari_vlexplain.widgets.viewer.settings import Settings

pytestmark = pytest.mark.gl
ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "napari-vlexplain"


@pytest.fixture(autouse=True)
def plugin() -> Iterator[None]:
    """napari knows our manifest, installed or not."""
    manager = PluginManager.instance()
    manager.discover()  # where it is installed it is known, and stays so for the tests that follow
    known = PLUGIN in manager
    if not known:
        manager.register(PluginManifest.from_file(ROOT / "napari.yaml"))
    yield
    if not known:
        manager.unregister(PLUGIN)


def opened(window: Callable[[], Any], sample: str) -> tuple[Any, ExplainDock]:
    viewer = window()
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Explain")
    viewer.open_sample(PLUGIN, sample)
    return viewer, dock


def main_window() -> Any:
    return next(w for w in QApplication.topLevelWidgets() if w.isVisible() and hasattr(w, "centralWidget"))


def canvas() -> QWidget:
    central = main_window().centralWidget()
    return central.childAt(central.rect().center()) or central


def press_run(dock: ExplainDock, qtbot: Any) -> str:
    with qtbot.waitSignal(dock.finished, timeout=120_000) as ended:
        qtbot.mouseClick(dock.view.run_button, Qt.MouseButton.LeftButton)
    return ended.args[0]


def all_threads_ended() -> bool:
    return QThreadPool.globalInstance().waitForDone(30_000)


def test_the_main_job_with_the_mouse(window: Callable[[], Any], qtbot: Any) -> None:
    viewer, dock = opened(window, "sticker_scene")
    assert dock.view.prompts.prompts[0] == "a photo of a dog", "the sample brings its prompts along"
    qtbot.wait(100)
    before = viewer.screenshot(canvas_only=True, flash=False).astype(int)
    assert press_run(dock, qtbot) == "done"
    heatmaps = find_layers(viewer.layers, "heatmap")
    assert len(heatmaps) == 3 and [one.visible for one in heatmaps] == [True, False, False]
    truth = viewer.layers["Sticker scene | masks"]
    for number, one in enumerate(heatmaps, start=1):
        peak = np.unravel_index(np.nanargmax(one.data), one.data.shape)
        assert truth.data[peak] == number, f"the peak of “{one.name}” lies on its sticker"
    truth.visible = False
    after = viewer.screenshot(canvas_only=True, flash=False).astype(int)
    rows, columns = np.minimum(before.shape, after.shape)[:2]  # a sub-pixel layout may differ by one
    changed = np.abs(after[:rows, :columns] - before[:rows, :columns]).max(axis=2) > 40
    assert 0.005 < changed.mean() < 0.5, "the heatmap is seen, and does not cover everything"
    answers = dock.view.results.rows
    assert len(answers) == 3
    qtbot.mouseClick(answers[2][0], Qt.MouseButton.LeftButton)
    assert [one.visible for one in heatmaps] == [False, False, True]


def test_a_brush_stroke_on_the_truth_moves_the_iou(window: Callable[[], Any], qtbot: Any) -> None:
    viewer, dock = opened(window, "phantom_radiograph")
    _, measure = viewer.window.add_plugin_dock_widget(PLUGIN, "Measure")
    assert press_run(dock, qtbot) == "done"
    assert isinstance(measure, MeasureDock)
    masks = viewer.layers["Phantom radiograph | masks"]
    measure.truth.set_layer(masks)
    qtbot.waitUntil(lambda: not measure.busy, timeout=20_000)
    before = measure.current_figures
    assert before is not None and before.iou > 0
    viewer.layers.selection.active = masks
    masks.mode, masks.brush_size = "paint", 60
    surface = canvas()
    middle = surface.rect().center()
    qtbot.mousePress(surface, Qt.MouseButton.LeftButton, pos=middle)
    for step in range(1, 6):
        qtbot.mouseMove(surface, middle + QPoint(8 * step, 0))
        qtbot.wait(20)
    qtbot.mouseRelease(surface, Qt.MouseButton.LeftButton, pos=middle + QPoint(40, 0))
    qtbot.waitUntil(lambda: not measure.busy, timeout=20_000)
    assert measure.current_figures.iou != before.iou
    masks.undo()
    qtbot.waitUntil(lambda: not measure.busy, timeout=20_000)
    assert measure.current_figures.iou == before.iou


def test_m2ib_is_cancelled_with_the_mouse(window: Callable[[], Any], qtbot: Any) -> None:
    viewer, dock = opened(window, "sticker_scene")
    dock.view.method.setCurrentIndex(dock.view.method.findData("m2ib"))
    dock.view.form.rows["steps"].editor.setValue(1000)
    with qtbot.waitSignal(dock.finished, timeout=120_000) as ended:
        qtbot.mouseClick(dock.view.run_button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: 0 < dock.view.progress.value() < 100, timeout=60_000)
        assert dock.view.run_button.text() == "Cancel"
        qtbot.mouseClick(dock.view.run_button, Qt.MouseButton.LeftButton)
    assert ended.args == ["cancelled"] and not find_layers(viewer.layers, "heatmap")
    assert dock.view.run_button.text() == "Run" and all_threads_ended()


def test_the_viewer_is_closed_during_a_run(window: Callable[[], Any], qtbot: Any) -> None:
    viewer, dock = opened(window, "sticker_scene")
    dock.view.method.setCurrentIndex(dock.view.method.findData("m2ib"))
    dock.view.form.rows["steps"].editor.setValue(1000)
    told: list[str] = []
    dock.finished.connect(told.append)
    jobs = dock.jobs
    qtbot.mouseClick(dock.view.run_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.view.progress.value() > 0, timeout=60_000)
    viewer.close()
    qtbot.waitUntil(lambda: not jobs.busy, timeout=60_000)
    assert all_threads_ended() and told in ([], ["cancelled"])


def test_the_dock_is_taken_away_during_a_run_and_put_back(window: Callable[[], Any], qtbot: Any) -> None:
    viewer, dock = opened(window, "sticker_scene")
    dock.view.method.setCurrentIndex(dock.view.method.findData("m2ib"))
    dock.view.form.rows["steps"].editor.setValue(1000)
    qtbot.mouseClick(dock.view.run_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.view.progress.value() > 0, timeout=60_000)
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: not dock.jobs.busy, timeout=60_000)
    assert not find_layers(viewer.layers, "heatmap")
    viewer.window.add_dock_widget(dock, name="Explain again")
    dock.view.method.setCurrentIndex(0)
    assert dock.view.run_button.text() == "Run" and press_run(dock, qtbot) == "done"


def test_a_hidden_tab_goes_on_working(window: Callable[[], Any], qtbot: Any) -> None:
    viewer, dock = opened(window, "sticker_scene")
    dock.run()
    dock.parentWidget().hide()
    with qtbot.waitSignal(dock.finished, timeout=120_000) as ended:
        pass
    assert ended.args == ["done"] and find_layers(viewer.layers, "heatmap")


def test_where_a_heatmap_is_low_or_has_no_value_the_image_is_untouched(window: Callable[[], Any], qtbot: Any) -> None:
    from napari_vlexplain.widgets.viewer.heatmaps import faded

    viewer = window()
    viewer.add_image(np.full((60, 90, 3), 120, np.uint8), name="grey")
    qtbot.wait(100)
    plain = viewer.screenshot(canvas_only=True, flash=False)
    heat = np.zeros((60, 90), np.float32)
    heat[:, :30], heat[:, 60:] = np.nan, 1
    viewer.add_image(heat, contrast_limits=(0, 1), colormap=faded("inferno"), opacity=1)
    covered = viewer.screenshot(canvas_only=True, flash=False)
    inside = (plain[..., :3] == 120).all(axis=2)
    columns = np.flatnonzero(inside.any(axis=0))
    left, middle, right = (columns[round(share * (len(columns) - 1))] for share in (0.15, 0.5, 0.85))
    row = np.flatnonzero(inside[:, middle]).mean().astype(int)
    assert tuple(covered[row, left, :3]) == tuple(covered[row, middle, :3]) == (120, 120, 120)
    assert covered[row, right, 0] > 200 and covered[row, right, 2] > 100, "the top of inferno is pale yellow"


def test_the_window_of_the_command(window: Callable[[], Any], qtbot: Any, monkeypatch: Any, tmp_path: Path) -> None:
    from PIL import Image

    from napari_vlexplain import explain
    from napari_vlexplain.errors import VLExplainError

    picture = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "scan.png")
    explain(picture, "a dog").save(tmp_path / "saved")
    viewer = _window.show_window([str(tmp_path / "scan.png"), str(tmp_path / "saved")], demo=True)
    try:
        window_ = main_window()
        dock = window_.findChild(ExplainDock)
        assert window_.findChild(MeasureDock) is not None and dock is not None
        assert not dock.visibleRegion().isEmpty(), "Explain is the tab in front"
        names = [layer.name for layer in viewer.layers]
        assert "scan" in names and any("a dog" in name for name in names) and "Sticker scene" in names
        with qtbot.waitSignal(dock.finished, timeout=120_000) as ended:
            pass
        assert ended.args == ["done"]
        assert [one.name for one in find_layers(viewer.layers, "heatmap") if "Sticker" in one.name] == [
            f"Sticker scene | relevance | {prompt}" for prompt in _window.DEMO_PROMPTS
        ]
    finally:
        viewer.close()
    with pytest.raises(VLExplainError, match="no file"):
        _window.show_window([str(tmp_path / "nowhere.png")])


def test_the_preferences_page_reaches_the_dock(window: Callable[[], Any], qtbot: Any, monkeypatch: Any) -> None:
    from napari_vlexplain.widgets.explain import dock as module
    from napari_vlexplain.widgets.viewer import settings as _settings

    for where in (module, _settings):
        monkeypatch.setattr(
            where, "settings", lambda: Settings(device="cpu", colormap="viridis", fade=False, opacity=0.4)
        )
    viewer, dock = opened(window, "sticker_scene")
    assert "cpu" in dock.view.model.facts.text()
    assert press_run(dock, qtbot) == "done"
    assert {one.colormap.name for one in find_layers(viewer.layers, "heatmap")} == {"viridis"}


def test_a_study_opens_in_front_of_the_other_docks(qtbot: Any) -> None:
    viewer = _window.show_window(["phantom-study"])
    try:
        main = main_window()
        cases = next(dock for dock in main.findChildren(QDockWidget) if dock.windowTitle().startswith("Cases"))
        qtbot.waitUntil(lambda: len(main.tabifiedDockWidgets(cases)) == 2)
        qtbot.waitUntil(lambda: not cases.visibleRegion().isEmpty() and cases.height() > main.height() / 2)
        inner = cases.findChild(CasesDock)
        qtbot.waitUntil(lambda: inner.session is not None and not inner.busy, timeout=60_000)
    finally:
        viewer.close()
        assert all_threads_ended()


@pytest.mark.parametrize("name", list(python_names()))
def test_nothing_of_a_dock_is_cut_off_at_its_least_width(window: Callable[[], Any], qtbot: Any, name: str) -> None:
    """In napari's own style, with a scroll bar: docks never scroll sideways."""
    viewer = window()
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, name)
    qtbot.wait(50)
    area = dock.findChild(QScrollArea)
    room = NARROWEST - area.verticalScrollBar().sizeHint().width()
    assert area.widget().minimumSizeHint().width() <= room
