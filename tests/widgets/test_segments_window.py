"""The Segments dock in a real window, with the mouse: run, click a region, cut again, take a region as a mask."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QWidget

from napari_vlexplain.layers import samples as _samples
from napari_vlexplain.widgets.measure.dock import MeasureDock
from napari_vlexplain.widgets.segments.dock import SegmentsDock
from napari_vlexplain.widgets.viewer.layers import info
from napari_vlexplain.widgets.window import add_layers

pytestmark = pytest.mark.gl


def canvas() -> QWidget:
    main = next(w for w in QApplication.topLevelWidgets() if w.isVisible() and hasattr(w, "centralWidget"))
    central = main.centralWidget()
    return central.childAt(central.rect().center()) or central


def of(viewer: Any, role: str) -> Any:
    (layer,) = (layer for layer in viewer.layers if info(layer).get("segments_role") == role)
    return layer


def keep(viewer: Any, name: str) -> None:
    """A picture of the window, for people, where a folder is named."""
    if folder := os.environ.get("VLEXPLAIN_SCREENSHOTS"):
        viewer.screenshot(f"{folder}/{name}.png", canvas_only=False, flash=False)


def test_segments_with_the_mouse(window: Callable[[], Any], qtbot: Any) -> None:
    viewer = window()
    dock, measure = SegmentsDock(viewer), MeasureDock(viewer)
    viewer.window.add_dock_widget(measure, name="Measure", area="right", tabify=True)
    viewer.window.add_dock_widget(dock, name="Segments", area="right", tabify=True)
    add_layers(viewer, _samples.sticker_scene())
    truth = viewer.layers["Sticker scene | masks"]
    truth.visible = False
    with qtbot.waitSignal(dock.finished, timeout=120_000) as ended:
        qtbot.mouseClick(dock.view.run_button, Qt.MouseButton.LeftButton)
    assert ended.args == ["done"]
    eigen, regions = of(viewer, "eigenvectors"), of(viewer, "segments")
    qtbot.wait(200)
    keep(viewer, "segments")

    shots = []
    regions.visible = of(viewer, "mask").visible = False
    for k in (0, 1):
        viewer.dims.set_current_step(0, k)
        qtbot.wait(50)
        shots.append(viewer.screenshot(canvas_only=True, flash=False).astype(int))
    assert (np.abs(shots[0] - shots[1]).max(axis=2) > 40).mean() > 0.05, "the slider shows another eigenvector"
    eigen.visible, regions.visible = False, True
    qtbot.wait(100)

    surface = canvas()
    middle = surface.rect().center()
    with qtbot.waitSignal(dock.told, timeout=20_000) as told:
        qtbot.mouseMove(surface, middle)
        qtbot.mousePress(surface, Qt.MouseButton.LeftButton, pos=middle)
        qtbot.mouseMove(surface, middle + QPoint(1, 1))
        qtbot.mouseRelease(surface, Qt.MouseButton.LeftButton, pos=middle + QPoint(1, 1))
    height, width = regions.data.shape
    label = int(regions.data[height // 2, width // 2])
    assert told.args[0].startswith("Background" if label == 0 else f"Region {label}:")
    keep(viewer, "segments-clicked")

    qtbot.mouseClick(dock.view.mask_button, Qt.MouseButton.LeftButton)
    mask = viewer.layers[f"{regions.name} {label}"]
    np.testing.assert_array_equal(mask.data.astype(bool), regions.data == label)
    viewer.add_image(dock.shown[0].eigenvectors.at_source()[0], name="map", visible=False)
    measure.heatmap.set_layer(viewer.layers["map"])
    measure.truth.set_layer(truth)
    measure.prediction.set_layer(mask)
    qtbot.waitUntil(lambda: not measure.busy, timeout=20_000)
    inside, wanted = mask.data > 0, truth.data > 0
    assert measure.current_figures.iou == pytest.approx((inside & wanted).sum() / (inside | wanted).sum())

    before = regions.data.copy()
    with qtbot.waitSignal(dock.cut_again, timeout=20_000):
        dock.view.cut.rows["clusters"].editor.setValue(8)
    assert regions.data.max() > before.max()
    keep(viewer, "segments-eight")
