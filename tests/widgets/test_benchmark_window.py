"""The Benchmark dock in a real window, with the mouse: run on two workers, click a row, look at its layers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_vlexplain.widgets.benchmark.dock import BenchmarkDock
from napari_vlexplain.widgets.viewer.layers import find_layers

pytestmark = pytest.mark.gl


def test_benchmark_with_the_mouse(window: Callable[[], Any], qtbot: Any, tmp_path: Path) -> None:
    viewer = window()
    dock = BenchmarkDock(viewer)
    viewer.window.add_dock_widget(dock, name="Benchmark", area="right")
    view = dock.view
    view.folder.edit.setText(str(tmp_path / "rows"))
    view.limit.setValue(3)
    view.processes.setValue(2)
    view.methods.tick(["relevance", "rollout"])
    with qtbot.waitSignal(dock.finished, timeout=200_000) as ended:
        qtbot.mouseClick(view.run_button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: view.dashboard.isVisible(), timeout=100_000)
    assert ended.args == ["done"] and "rows kept" in view.status.text()
    assert view.means.rowCount() == 6 and view.cases.rowCount() == 3 * 6

    row = next(r for r in range(view.cases.rowCount()) if view.cases.item(r, 2).text() == "relevance")
    view.cases.scrollToItem(view.cases.item(row, 0))
    spot = view.cases.visualItemRect(view.cases.item(row, 0)).center()
    qtbot.wait(100)
    with qtbot.waitSignal(dock.finished, timeout=60_000) as ended:
        qtbot.mouseClick(view.cases.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    assert ended.args == ["opened"]
    assert [len(find_layers(viewer.layers, kind)) for kind in ("source", "heatmap", "truth")] == [1, 1, 1]
    qtbot.wait(200)
    if folder := os.environ.get("VLEXPLAIN_SCREENSHOTS"):
        viewer.screenshot(f"{folder}/benchmark.png", canvas_only=False, flash=False)
    shown = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    assert (np.ptp(shown, axis=2) > 60).sum() > 500, "a heatmap glows on the grey radiograph"
