"""The Correct dock in a real window: a stroke with the mouse, a button, and Ctrl+Z, with the table watching."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QWidget

from napari_vlexplain.layers import samples as _samples
from napari_vlexplain.widgets.correct.dock import CorrectDock
from napari_vlexplain.widgets.viewer.layers import new_metadata
from napari_vlexplain.widgets.window import add_layers

pytestmark = pytest.mark.gl

LEFT = Qt.MouseButton.LeftButton


def canvas() -> QWidget:
    main = next(w for w in QApplication.topLevelWidgets() if w.isVisible() and hasattr(w, "centralWidget"))
    central = main.centralWidget()
    return central.childAt(central.rect().center()) or central


def keep(viewer: Any, name: str) -> None:
    """A picture of the window, for people, where a folder is named."""
    if folder := os.environ.get("VLEXPLAIN_SCREENSHOTS"):
        viewer.screenshot(f"{folder}/{name}.png", canvas_only=False, flash=False)


def test_a_stroke_a_button_and_undo(window: Callable[[], Any], qtbot: Any) -> None:
    viewer = window()
    dock = CorrectDock(viewer)
    viewer.window.add_dock_widget(dock, name="Correct", area="right")
    add_layers(viewer, _samples.phantom_radiograph())
    image, truth = viewer.layers[0], viewer.layers[1]
    rows, columns = np.nonzero(truth.data)
    model = np.zeros_like(truth.data)
    model[rows.min() - 8 : rows.max() - 2, columns.min() - 6 : columns.max() + 14] = 1
    viewer.add_labels(model, name="model", opacity=0.4, metadata=new_metadata("mask", image))

    def table() -> dict[str, tuple[str, ...]]:
        qtbot.waitUntil(lambda: not dock.busy, timeout=20_000)
        return dock.view.table.texts()

    assert dock.view.truth.layer is truth and table()["model against truth"][0] not in ("", "1.000")
    viewer.layers.selection.active = truth
    with qtbot.waitSignal(dock.corrected, timeout=20_000):
        qtbot.mouseClick(dock.view.copy_mask, LEFT)
    mine = dock.view.reader.layer
    assert table()["reader against truth"] == ("1.000", "1.000", "0")

    viewer.layers.selection.active = mine
    mine.mode, mine.brush_size = "paint", 24
    surface = canvas()
    middle = surface.rect().center()
    before = mine.data.copy()
    qtbot.mousePress(surface, LEFT, pos=middle)
    for step in range(1, 13):
        qtbot.mouseMove(surface, middle + QPoint(6 * step, 2 * step))
        qtbot.wait(10)
    qtbot.mouseRelease(surface, LEFT, pos=middle + QPoint(72, 24))
    painted = int((mine.data != 0).sum()) - int((before != 0).sum())
    assert painted > 0 and table()["reader against truth"][2] == f"{painted:+,}"
    qtbot.wait(200)
    keep(viewer, "correct-stroke")

    with qtbot.waitSignal(dock.corrected, timeout=20_000) as ended:
        qtbot.mouseClick(dock.view.smooth, LEFT)
    smoothed = mine.data.copy()
    assert ended.args == ["done"] and table()["reader against truth"][2] != f"{painted:+,}"
    keep(viewer, "correct-smoothed")
    qtbot.keyClick(surface, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: not np.array_equal(mine.data, smoothed), timeout=5_000)
    assert table()["reader against truth"][2] == f"{painted:+,}"
    qtbot.keyClick(surface, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: np.array_equal(mine.data, before), timeout=5_000)
    assert table()["reader against truth"] == ("1.000", "1.000", "0")
