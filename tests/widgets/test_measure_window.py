"""The Measure dock in a real window: strokes with the mouse, its place on the screen, and how it goes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QWidget

from napari_vlexplain.metrics.figures import measure
from napari_vlexplain.widgets.measure.dock import MeasureDock
from napari_vlexplain.widgets.viewer.layers import new_metadata

pytestmark = pytest.mark.gl


def filled(viewer: Any) -> tuple[MeasureDock, Any, Any]:
    rows, columns = np.mgrid[:120, :100]
    heat = np.exp(-((rows - 60) ** 2 + (columns - 50) ** 2) / 400).astype(np.float32)
    dock = MeasureDock(viewer)
    viewer.window.add_dock_widget(dock, name="Measure", area="right")
    heatmap = viewer.add_image(heat, name="map", metadata=new_metadata("heatmap"))
    truth = viewer.add_labels(np.zeros(heat.shape, np.uint8), name="truth")
    viewer.reset_view()
    return dock, heatmap, truth


def canvas(viewer: Any) -> QWidget:
    """The drawing area: the widget at the middle of the window's central part."""
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    main = next(w for w in app.topLevelWidgets() if w.isVisible() and hasattr(w, "centralWidget"))
    central = main.centralWidget()
    return central.childAt(central.rect().center()) or central


def test_a_stroke_with_the_mouse_moves_the_figures(window: Callable[[], Any], qtbot: Any) -> None:
    viewer = window()
    dock, heatmap, truth = filled(viewer)
    qtbot.waitUntil(lambda: not dock.busy)
    assert dock.current_figures.iou == 0
    truth.mode, truth.brush_size = "paint", 12
    surface = canvas(viewer)
    middle = surface.rect().center()
    qtbot.mousePress(surface, Qt.MouseButton.LeftButton, pos=middle)
    for step in range(1, 9):
        qtbot.mouseMove(surface, middle + QPoint(5 * step, 0))
        qtbot.wait(10)
    qtbot.mouseRelease(surface, Qt.MouseButton.LeftButton, pos=middle + QPoint(40, 0))
    qtbot.waitUntil(lambda: not dock.busy)
    stroke = dock.current_figures
    assert stroke.iou == measure(heatmap.data, truth.data, "value", stroke.threshold).iou > 0
    truth.undo()
    qtbot.waitUntil(lambda: not dock.busy)
    assert dock.current_figures.iou == 0
    truth.redo()
    qtbot.waitUntil(lambda: not dock.busy)
    assert dock.current_figures == stroke


def test_the_dock_draws_its_curve_and_its_mask(window: Callable[[], Any], qtbot: Any) -> None:
    viewer = window()
    dock, heatmap, truth = filled(viewer)
    truth.data = (heatmap.data > 0.5).astype(np.uint8)
    qtbot.waitUntil(lambda: not dock.busy)
    dock.threshold.set_threshold("value", 0.5)
    assert dock.current_figures.iou > 0.99
    image = dock.curve.grab().toImage()
    orange = [
        image.pixelColor(x, y)
        for x in range(image.width())
        for y in range(image.height())
        if image.pixelColor(x, y).red() > 200 and image.pixelColor(x, y).blue() < 90
    ]
    assert len(orange) > image.width() // 2
    mask = dock.make_mask()
    qtbot.waitUntil(lambda: not dock.busy)
    picture = viewer.screenshot(canvas_only=True, flash=False).reshape(-1, 4).astype(int)
    purple = (picture[:, 0] - picture[:, 1] > 60) & (picture[:, 2] - picture[:, 1] > 60)  # half of the model's colour
    assert mask.visible and purple.sum() > 500


def test_taking_the_dock_away_leaves_nothing_behind(window: Callable[[], Any], qtbot: Any) -> None:
    viewer = window()
    dock, _, truth = filled(viewer)
    qtbot.waitUntil(lambda: not dock.busy)
    hooked = len(truth.events.labels_update.callbacks)
    viewer.window.remove_dock_widget(dock)
    qtbot.wait(50)
    assert len(truth.events.labels_update.callbacks) == hooked - 1
    truth.paint((5, 5), 1)
    assert not dock.busy
    viewer.window.add_dock_widget(dock, name="Measure again", area="left")
    qtbot.waitUntil(lambda: not dock.busy)
    assert dock.current_figures.recall == 0


def test_closing_the_viewer_in_the_middle_of_a_stroke(window: Callable[[], Any], qtbot: Any) -> None:
    viewer = window()
    _, _, truth = filled(viewer)
    truth.paint((60, 50), 1)
    viewer.close()
    qtbot.wait(200)
    assert not [t for t in threading.enumerate() if t.name.startswith("vlexplain-measure")]
