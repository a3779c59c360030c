"""The Latent text dock in a real window, with the mouse, on the embedded model."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QWidget

from napari_vlexplain.datasets.worlds import stickers
from napari_vlexplain.latent_text.texts import banks as text_banks
from napari_vlexplain.widgets.latent_text.dock import LatentTextDock
from napari_vlexplain.widgets.latent_text.layers import COLOURED, PAINTED
from napari_vlexplain.widgets.viewer.layers import find_layers

pytestmark = pytest.mark.gl


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_banks, "folder", lambda: tmp_path / "banks")
    text_banks.forget_banks()


def canvas(viewer: Any) -> QWidget:
    """The drawing area: the widget at the middle of the window's central part."""
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    main = next(w for w in app.topLevelWidgets() if w.isVisible() and hasattr(w, "centralWidget"))
    central = main.centralWidget()
    return central.childAt(central.rect().center()) or central


def place_of(viewer: Any, surface: QWidget, row: float, column: float) -> QPoint:
    """Where a pixel of an unscaled image is on the canvas, from the camera."""
    zoom, centre = viewer.camera.zoom, viewer.camera.center
    middle = surface.rect().center()
    return middle + QPoint(round((column - centre[-1]) * zoom), round((row - centre[-2]) * zoom))


def test_read_point_paint_and_undo(window: Callable[[], Any], qtbot: Any) -> None:
    viewer = window()
    viewer.window._qt_window.resize(1500, 1050)
    dock = LatentTextDock(viewer)
    viewer.window.add_dock_widget(dock, name="Latent text", area="right")
    image = viewer.add_image(stickers.render(stickers.attacked(3, 1)).image, name="attack")
    choose = dock.view.source.vocabulary
    choose.setCurrentIndex(choose.findData("stickers"))
    with qtbot.waitSignal(dock.finished, timeout=120_000) as blocker:
        qtbot.mouseClick(dock.view.source.read_button, Qt.MouseButton.LeftButton)
    assert blocker.args == ["done"]
    dock.view.prediction.names.setText("a lettuce, a hippopotamus, a dog")
    dock.view.prediction.names.editingFinished.emit()
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)
    before = {row[0]: row[1] for row in dock.view.prediction.bars.rows}
    assert before["a lettuce"] > before["a hippopotamus"]

    viewer.layers.selection.active = image
    viewer.reset_view()
    qtbot.wait(200)
    surface = canvas(viewer)
    leaf, label = (70, 112), (184, 100)  # rows and columns of the picture
    qtbot.mouseMove(surface, place_of(viewer, surface, *leaf))
    qtbot.waitUntil(lambda: "a lettuce" in dock.view.says.token_texts.text(), timeout=5000)
    qtbot.mouseClick(surface, Qt.MouseButton.LeftButton, pos=place_of(viewer, surface, *label))
    qtbot.waitUntil(lambda: "kept" in dock.view.says.token_texts.text(), timeout=5000)
    assert "the word hippopotamus" in dock.view.says.token_texts.text()
    (coloured,) = find_layers(viewer.layers, COLOURED)
    dock.view.says.layer.setValue(6)
    assert dock.view.says.layer_name.text() == "layer 6" and coloured.data.shape == (14, 14, 3)
    dock.view.says.layer.setValue(12)

    qtbot.mouseClick(dock.view.edit.paint_button, Qt.MouseButton.LeftButton)
    (painted,) = find_layers(viewer.layers, PAINTED)
    painted.brush_size = 3
    surface = canvas(viewer)
    start, end = place_of(viewer, surface, 64, 92), place_of(viewer, surface, 76, 130)
    qtbot.mousePress(surface, Qt.MouseButton.LeftButton, pos=start)
    for step in range(1, 9):
        qtbot.mouseMove(surface, start + (end - start) * step / 8)
        qtbot.wait(15)
    qtbot.mouseRelease(surface, Qt.MouseButton.LeftButton, pos=end)
    qtbot.waitUntil(lambda: dock.session.painted().any() and not dock.busy, timeout=60_000)
    stroke = {row[0]: row for row in dock.view.prediction.bars.rows}
    assert dock.session.painted().sum() >= 8 and stroke["a lettuce"][2] < before["a lettuce"] - 0.2
    if folder := os.environ.get("VLEXPLAIN_SCREENSHOTS"):
        qtbot.wait(300)
        viewer.window._qt_window.grab().save(str(Path(folder) / "latent-text-dock.png"))
    qtbot.mouseClick(dock.view.edit.undo_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)
    shot = viewer.screenshot(canvas_only=True, flash=False)
    assert shot.std() > 20
    viewer.layers.remove(image)
    qtbot.waitUntil(lambda: dock.session.read is None)
