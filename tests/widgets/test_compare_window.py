"""The Compare dock in a real window: methods are ticked with the mouse, and a window of tiles and figures opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.widgets import window as _window
from napari_vlexplain.widgets.compare import dock as module
from napari_vlexplain.widgets.compare.dock import CompareDock
from napari_vlexplain.widgets.compare.table import ComparisonTable
from napari_vlexplain.widgets.explain.dock import ExplainDock
from napari_vlexplain.widgets.viewer.docks import dock_class, dock_named, python_names
from napari_vlexplain.widgets.viewer.grid import grid_of
from napari_vlexplain.widgets.viewer.layers import find_layers

PROMPTS = ("a photo of a dog", "a photo of a sunflower")


def test_docks_are_known_by_their_names_in_the_menu() -> None:
    assert dock_named("latent-text") == dock_named("Latent Text") == "Latent text"
    assert dock_class("Compare") is CompareDock
    assert all(isinstance(dock_class(name), type | type(dock_class)) for name in python_names())
    with pytest.raises(VLExplainError, match="no dock 'nonsense'; choose one of explain, measure"):
        dock_named("nonsense")


def tiles(viewer: Any, rows: int, columns: int) -> list[np.ndarray]:
    """The canvas cut into the grid's tiles."""
    canvas = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    height, width = canvas.shape[0] // rows, canvas.shape[1] // columns
    return [
        canvas[r * height : (r + 1) * height, c * width : (c + 1) * width] for r in range(rows) for c in range(columns)
    ]


@pytest.mark.gl
def test_tiles_legend_and_table_of_a_real_comparison(
    window: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown: list[Any] = []
    opened = module.open_window
    viewer = _window.show_window(docks=["compare"])
    try:
        _window.add_layers(viewer, _window._samples.sticker_scene())
        dock = next(w for top in QApplication.topLevelWidgets() for w in top.findChildren(CompareDock))
        qtbot.waitUntil(lambda: not dock.visibleRegion().isEmpty(), timeout=10_000)  # the tab in front
        explain = _window.open_dock(viewer, "Explain")
        assert isinstance(explain, ExplainDock)
        qtbot.waitUntil(lambda: dock.visibleRegion().isEmpty(), timeout=10_000)
        explain.view.prompts.set_prompts(PROMPTS)
        explain.view.compare_button.click()
        qtbot.waitUntil(lambda: not dock.visibleRegion().isEmpty(), timeout=10_000)  # the same dock, in front again
        assert dock.view.prompts.prompts == PROMPTS
        dock.show_comparison = lambda found: shown.append(opened(found))
        dock.view.truth.set_layer(viewer.layers["Sticker scene | masks"])
        dock.view.methods.tick(["relevance", "rollout"])
        with qtbot.waitSignal(dock.finished, timeout=120_000) as ended:
            qtbot.mouseClick(dock.view.run_button, Qt.MouseButton.LeftButton)
        assert ended.args == ["done"] and dock.shown is not None
        (grid,) = shown
        assert tuple(grid_of(grid).shape) == (2, 2) and grid_of(grid).enabled
        assert len(find_layers(grid.layers, "heatmap")) == 4
        table = next(w for top in QApplication.topLevelWidgets() for w in top.findChildren(ComparisonTable))
        scores = dict(table.rows)
        assert float(scores["relevance"]["pointing"]) == 1.0 > float(scores["rollout"]["pointing"])
        qtbot.wait(300)
        grid.screenshot(path=str(tmp_path / "comparison.png"), canvas_only=False, flash=False)
        before = tiles(grid, 2, 2)
        assert all(tile.std() > 20 for tile in before), "no tile is empty"
        grid.camera.zoom *= 2
        qtbot.wait(300)
        after = tiles(grid, 2, 2)
        moved = [np.abs(a - b).mean() for a, b in zip(before, after, strict=True)]
        assert min(moved) > 1, "all tiles follow one camera"
        grid.close()
    finally:
        viewer.close()
