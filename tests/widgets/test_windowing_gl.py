"""The window tool in a real window: a drag and keys with a Labels layer active, a large file, a curve on the screen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import dataset, lut, save, write
from npe2 import PluginManager, PluginManifest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QOpenGLContext
from qtpy.QtWidgets import QApplication, QWidget

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.io.dicom.image import read_dicom_image
from napari_vlexplain.widgets import window as _window
from napari_vlexplain.widgets.window_level.dock import WindowLevelDock

pytestmark = pytest.mark.gl
ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "napari-vlexplain"


@pytest.fixture(autouse=True)
def plugin() -> None:
    """napari knows our manifest, installed or not."""
    manager = PluginManager.instance()
    manager.discover()
    if PLUGIN not in manager:
        manager.register(PluginManifest.from_file(ROOT / "napari.yaml"))


def main_window() -> Any:
    return next(w for w in QApplication.topLevelWidgets() if w.isVisible() and hasattr(w, "centralWidget"))


def canvas() -> QWidget:
    central = main_window().centralWidget()
    return central.childAt(central.rect().center()) or central


def phantom(path: Path, **tags: Any) -> Path:
    """A drawn chest of 12 bits."""
    from napari_vlexplain.datasets.worlds import phantom as world

    grey = world.render(world.sample(7, 3)).image.astype(np.float64)
    grey = grey if grey.ndim == 2 else grey.mean(axis=2)
    return write(path, (grey / grey.max() * 3000 + 500).astype(np.uint16), 12, **tags)


def test_colours_take_the_place_of_grey_with_its_text(window: Callable[[], Any], qtbot: Any) -> None:
    """What is freed in another context than the canvas's ends the program in Mesa's renderer at a later draw."""
    viewer = window()
    viewer.window.add_dock_widget(WindowLevelDock(viewer), name="Window level", area="right")
    grey = viewer.add_image(np.arange(64, dtype=np.uint16).reshape(8, 8))
    qtbot.wait(500)
    drawn: Any = next(part for part in main_window().centralWidget().findChildren(QWidget) if hasattr(part, "context"))
    drawn.doneCurrent()
    seen: list[bool] = []
    viewer.layers.events.removed.connect(lambda event: seen.append(QOpenGLContext.currentContext() == drawn.context()))
    viewer.layers.remove(grey)
    viewer.add_image(np.zeros((8, 8, 3), dtype=np.uint8), rgb=True)
    for _ in range(4):
        viewer.camera.zoom *= 1.1
        qtbot.wait(200)
    assert seen == [True]


def drag(surface: QWidget, qtbot: Any, by: QPoint) -> None:
    start = surface.rect().center()
    qtbot.mousePress(surface, Qt.MouseButton.LeftButton, pos=start)
    for step in range(1, 5):
        qtbot.mouseMove(surface, start + by * step / 4)
        qtbot.wait(20)
    qtbot.mouseRelease(surface, Qt.MouseButton.LeftButton, pos=start + by)


def test_drag_and_keys_while_a_labels_layer_is_active(window: Callable[[], Any], qtbot: Any, tmp_path: Path) -> None:
    path = phantom(tmp_path / "chest.dcm", WindowCenter=2000, WindowWidth=3000, PixelSpacing=[0.4, 0.4])
    viewer = window()
    viewer.open(str(path), plugin=PLUGIN)
    image = viewer.layers[0]
    labels = viewer.add_labels(np.zeros(image.data.shape, np.uint8), name="paint", scale=image.scale, units=image.units)
    _, whole = viewer.window.add_plugin_dock_widget(PLUGIN, "Window level")
    assert isinstance(whole, WindowLevelDock)
    dock = whole.part
    assert dock.control.layer == image
    main_window().resize(1200, 800)
    qtbot.wait(300)
    labels.mode = "paint"
    surface = canvas()
    main_window().activateWindow()
    surface.setFocus()
    qtbot.waitUntil(lambda: main_window().isActiveWindow() and surface.hasFocus())
    centre = tuple(viewer.scene.camera.center)

    qtbot.keyClick(surface, Qt.Key.Key_W)
    assert dock.tool_button.isChecked() and labels.mode == "pan_zoom"
    drag(surface, qtbot, QPoint(100, 0))
    assert dock.control.window.width > 3000 and dock.control.window.centre == 2000
    wide = dock.control.window
    drag(surface, qtbot, QPoint(0, -60))
    assert dock.control.window.centre < 2000 and dock.control.window.width == pytest.approx(wide.width)
    assert not labels.data.any() and tuple(viewer.scene.camera.center) == centre, "nothing painted, nothing moved"
    text = viewer.canvas.overlays.text
    assert text.visible and dock.control.window.text in text.text and "Drag" in text.text
    viewer.screenshot(str(tmp_path / "tool.png"), canvas_only=False, flash=False)
    qtbot.keyClick(surface, Qt.Key.Key_W)
    assert labels.mode == "paint" and not dock.control.tool.on and "Drag" not in text.text
    drag(surface, qtbot, QPoint(30, 0))
    assert labels.data.any(), "the brush is back"

    before = viewer.screenshot(canvas_only=True, flash=False).astype(int)
    qtbot.keyClick(surface, Qt.Key.Key_I, Qt.KeyboardModifier.AltModifier)
    assert image.colormap.name == "gray_r" and dock.invert_button.isChecked()
    after = viewer.screenshot(canvas_only=True, flash=False).astype(int)
    assert np.abs(after - before).mean() > 20
    viewer.screenshot(str(tmp_path / "inverted.png"), canvas_only=False, flash=False)
    qtbot.keyClick(surface, Qt.Key.Key_I, Qt.KeyboardModifier.AltModifier)
    qtbot.keyClick(surface, Qt.Key.Key_3, Qt.KeyboardModifier.AltModifier)
    dark = dock.control.window
    qtbot.keyClick(surface, Qt.Key.Key_4, Qt.KeyboardModifier.AltModifier)
    assert dock.control.window.centre > dark.centre, "the mediastinum is brighter than the lungs"
    viewer.screenshot(str(tmp_path / "mediastinum.png"), canvas_only=False, flash=False)
    qtbot.keyClick(surface, Qt.Key.Key_5, Qt.KeyboardModifier.AltModifier)
    assert dock.control.window.text == "W 3000 L 2000"

    dock.width_box.setFocus()
    qtbot.keyClick(dock.width_box, Qt.Key.Key_W)
    assert not dock.control.tool.on, "a letter in a field is a letter"
    image.contrast_limits = (600, 1599)
    assert (dock.width_box.value(), dock.level_box.value()) == (1000, 1100), "napari's own slider is followed"


def test_a_large_file_is_shown_and_a_curve_is_drawn_exactly(
    window: Callable[[], Any], qtbot: Any, tmp_path: Path
) -> None:
    table = [int(x) for x in 255 * np.linspace(0, 1, 4096) ** 2]
    rows, columns = np.mgrid[:256, :256]
    pixels = (rows * 16 + columns // 16).astype(np.uint16)
    viewer = window()
    plain, curve = tmp_path / "plain.dcm", tmp_path / "curve.dcm"
    viewer.open(str(write(plain, pixels, 12, WindowCenter=2048, WindowWidth=4096)), plugin=PLUGIN)
    dock = viewer.window.add_plugin_dock_widget(PLUGIN, "Window level")[1].part
    dock.control.text_shown = False
    qtbot.wait(200)

    def column() -> np.ndarray:
        shot = viewer.screenshot(canvas_only=True, flash=False)[..., 0].astype(int)
        return shot[:, shot.shape[1] // 2]

    straight = column()
    places = np.linspace(*np.flatnonzero(straight)[[3, -3]], 9).astype(int)
    assert np.ptp(straight[places]) > 200
    viewer.open(str(write(curve, pixels, 12, VOILUTSequence=lut(table, 0, 8, "S"))), plugin=PLUGIN)
    bent = column()
    np.testing.assert_allclose(bent[places], 255 * (straight[places] / 255) ** 2, atol=3)
    qtbot.mouseClick(dock.invert_button, Qt.MouseButton.LeftButton)
    np.testing.assert_allclose(column()[places], 255 - bent[places], atol=2)
    qtbot.mouseClick(dock.reset_button, Qt.MouseButton.LeftButton)
    np.testing.assert_allclose(column()[places], bent[places], atol=1)

    large = np.random.default_rng(0).integers(0, 60000, (4000, 3000), dtype=np.uint16)
    path = save(dataset(large, 16, PhotometricInterpretation="MONOCHROME1"), tmp_path / "large.dcm")
    _window._open(viewer, str(path))  # as ``vlexplain gui large.dcm`` does
    viewer.screenshot(canvas_only=True, flash=False)
    np.testing.assert_array_equal(viewer.layers[-1].data, read_dicom_image(path).pixels)
    assert dock.control.layer == viewer.layers[-1] and viewer.layers[-1].source.path == str(path)
    (tmp_path / "text.dcm").write_text("x" * 400)
    with pytest.raises(VLExplainError, match="is not a DICOM file"):
        _window._open(viewer, str(tmp_path / "text.dcm"))
