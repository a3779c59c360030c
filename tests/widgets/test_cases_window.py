"""The study on board, read in a real window with mouse and keys: from the first case to the exported zip."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt, QThreadPool
from qtpy.QtWidgets import QApplication, QWidget

from napari_vlexplain.reading_room import journal as journal_module
from napari_vlexplain.reading_room.reopen import read_export
from napari_vlexplain.reading_room.windowing import presets
from napari_vlexplain.widgets.cases import dock as module
from napari_vlexplain.widgets.cases.dock import CasesDock
from napari_vlexplain.widgets.cases.export import ExportDialog
from napari_vlexplain.widgets.measure.dock import MeasureDock
from napari_vlexplain.widgets.viewer.settings import Settings

pytestmark = pytest.mark.gl
LEFT = Qt.MouseButton.LeftButton
ALT = Qt.KeyboardModifier.AltModifier


def canvas() -> QWidget:
    main = next(w for w in QApplication.topLevelWidgets() if w.isVisible() and hasattr(w, "centralWidget"))
    central = main.centralWidget()
    return central.childAt(central.rect().center()) or central


def keep(viewer: Any, name: str) -> None:
    """A picture of the window, for people, where a folder is named."""
    if folder := os.environ.get("VLEXPLAIN_SCREENSHOTS"):
        viewer.screenshot(f"{folder}/{name}.png", canvas_only=False, flash=False)


@pytest.mark.timeout(600)
def test_the_study_on_board_is_read_to_its_export(
    window: Callable[[], Any], qtbot: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "settings", lambda: Settings(cache_folder=str(tmp_path / "cache"), reader="Ada"))
    monkeypatch.setattr(journal_module, "user_data_path", lambda name, appauthor: tmp_path / "own")
    viewer = window()
    dock, measure = CasesDock(viewer), MeasureDock(viewer)
    viewer.window.add_dock_widget(measure, name="Measure", area="right", tabify=True)
    viewer.window.add_dock_widget(dock, name="Cases", area="right", tabify=True)
    view = dock.view
    view.method.setCurrentIndex(view.method.findData("raw_attention"))
    with qtbot.waitSignal(dock.explained, timeout=120_000):
        qtbot.mouseClick(view.phantom_button, LEFT)
    session = dock.session
    assert len(session.items) == 24
    image, heatmap = dock.layers.image, dock.layers.heatmap
    qtbot.wait(200)
    keep(viewer, "cases")
    surface = canvas()
    surface.window().activateWindow()
    surface.setFocus()
    qtbot.waitUntil(surface.window().isActiveWindow, timeout=10_000)
    qtbot.keyClick(surface, Qt.Key.Key_3, ALT)
    assert tuple(image.contrast_limits) == presets()[2].limits(image.data[0]), "the lungs, with no other dock open"
    seen, pictures = [session.current], [viewer.screenshot(canvas_only=True, flash=False).astype(int)]
    for number in range(24):
        qtbot.keyClick(surface, *((Qt.Key.Key_K,) if number % 3 else (Qt.Key.Key_K, ALT)))
        assert session.judgement(session.current).verdict == ("agree" if number % 3 else "partly")
        if number < 23:
            with qtbot.waitSignal(dock.explained, timeout=120_000):
                if number % 2:
                    qtbot.keyClick(surface, Qt.Key.Key_N)
                else:
                    qtbot.mouseClick(view.next, LEFT)
                    surface.setFocus()
            seen.append(session.current)
        if number == 0:
            pictures.append(viewer.screenshot(canvas_only=True, flash=False).astype(int))
    assert seen == list(session.items) and view.judging.progress.text() == "24 of 24 judged"
    assert dock.layers.image is image and dock.layers.heatmap is heatmap, "the same layers from first to last"
    assert (np.abs(pictures[0] - pictures[1]).max(axis=2) > 40).mean() > 0.02, "another case is another picture"
    assert all(row.iou >= 0 for row in session.rows)
    assert tuple(image.contrast_limits) == presets()[2].limits(image.data[0]), "and still, of the last case"
    qtbot.waitUntil(lambda: not measure.busy, timeout=20_000)
    qtbot.keyClick(surface, Qt.Key.Key_Home)
    qtbot.waitUntil(lambda: session.current == seen[0] and not dock.busy, timeout=60_000)

    dock.own_mask.draw("truth")
    mask = dock.layers.reader
    viewer.layers.selection.active = mask
    mask.mode, mask.brush_size = "paint", 40
    middle = surface.rect().center()
    before = int((mask.data > 0).sum())
    qtbot.mousePress(surface, LEFT, pos=middle)
    for step in range(1, 5):
        qtbot.mouseMove(surface, middle + QPoint(8 * step, 0))
        qtbot.wait(20)
    qtbot.mouseRelease(surface, LEFT, pos=middle + QPoint(40, 0))
    assert (mask.data > 0).sum() > before
    painted = np.asarray(mask.data) > 0
    qtbot.keyClick(surface, Qt.Key.Key_N)
    qtbot.waitUntil(lambda: session.current == seen[1] and dock.layers.reader is None, timeout=60_000)
    qtbot.keyClick(surface, Qt.Key.Key_PageUp)
    qtbot.waitUntil(lambda: session.current == seen[0] and dock.layers.reader is not None, timeout=60_000)
    np.testing.assert_array_equal(np.asarray(dock.layers.reader.data) > 0, painted)
    qtbot.wait(300)
    keep(viewer, "cases-corrected")

    dialog = ExportDialog(dock, 24, 24, tmp_path)
    qtbot.addWidget(dialog)
    dialog.boxes["figure"].setChecked(False)  # 24 of them take their time
    dock.export(dialog)
    qtbot.waitUntil(lambda: "Exported" in view.status.text(), timeout=300_000)
    records = list(read_export(tmp_path / "export.zip"))
    assert [record.judgement.verdict for record in records] == ["agree" if n % 3 else "partly" for n in range(24)]
    np.testing.assert_array_equal(records[0].masks["reader"], painted)

    rows = session.rows
    with qtbot.waitSignal(dock.explained, timeout=60_000):
        qtbot.mouseClick(view.phantom_button, LEFT)
    qtbot.waitUntil(lambda: not dock.busy, timeout=60_000)
    assert dock.session is not session and dock.session.rows == rows, "figures and verdicts are there again"
    viewer.close()
    assert QThreadPool.globalInstance().waitForDone(30_000)
