"""The Look dock in a real window, with clicks and keys: fade, blink, tiles; and napari's own keys are left alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_vlexplain.widgets.look.dock import LookDock
from napari_vlexplain.widgets.viewer.keys import KEYS
from napari_vlexplain.widgets.viewer.layers import find_layers, new_metadata

pytestmark = pytest.mark.gl
SIDE = 64


@pytest.fixture
def opened(window: Any, qtbot: Any) -> Iterator[tuple[Any, LookDock]]:
    """A black image under two maps: A bright on the left, B bright on the right, both opaque there."""
    viewer = window()
    source = viewer.add_image(np.zeros((SIDE, SIDE), np.uint8), name="scan", contrast_limits=(0, 255))
    halves = np.zeros((2, SIDE, SIDE), np.float32)
    halves[0, :, : SIDE // 2] = halves[1, :, SIDE // 2 :] = 1
    for name, data in zip("BA", halves[::-1], strict=True):
        viewer.add_image(
            data, name=name, colormap="gray", contrast_limits=(0, 1), blending="translucent",
            metadata=new_metadata("heatmap", source, prompt=name, request={"method": "relevance"}),
        )  # fmt: skip
    dock = LookDock(viewer)
    viewer.window.add_dock_widget(dock, name="Look", area="right")
    dock.view.a.set_layer(viewer.layers["A"])
    dock.view.b.set_layer(viewer.layers["B"])
    dock.view.map.set_layer(viewer.layers["A"])
    dock.view.low.setValue(0.5)  # what is dark in a map lets the other one through
    viewer.reset_view()
    qtbot.wait(100)
    yield viewer, dock


def sides(viewer: Any, name: str) -> tuple[float, float]:
    """Mean grey of the left and of the right half of the canvas; the picture is kept for whoever wants to look."""
    picture = viewer.screenshot(canvas_only=True, flash=False)
    if folder := os.environ.get("VLEXPLAIN_PICTURES"):
        from PIL import Image

        Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)).save(Path(folder, f"{name}.png"))
    grey = picture[..., :3].astype(float).mean(axis=2)
    rows, columns = np.array(grey.shape)
    middle = grey[rows // 3 : 2 * rows // 3]
    return float(middle[:, columns // 3 : columns // 2 - 8].mean()), float(
        middle[:, columns // 2 + 8 : 2 * columns // 3].mean()
    )


def press(viewer: Any, qtbot: Any, key: str) -> None:
    """A key on the canvas, where a user's focus is."""
    main = next(w for w in QApplication.topLevelWidgets() if w.isVisible() and hasattr(w, "centralWidget"))
    main.activateWindow()
    qtbot.waitUntil(main.isActiveWindow)
    central = main.centralWidget()
    canvas = central.childAt(central.rect().center()) or central
    canvas.setFocus()
    QTest.keySequence(canvas, QKeySequence(key))
    qtbot.wait(80)


def test_fading_is_seen(opened: Any, qtbot: Any) -> None:
    viewer, dock = opened
    qtbot.mouseClick(dock.view.fade_button, Qt.MouseButton.LeftButton)
    qtbot.wait(80)
    left, right = sides(viewer, "fade_a")
    assert left > 150 > 30 > right
    for _ in range(10):
        press(viewer, qtbot, ".")
    left, right = sides(viewer, "fade_b")
    assert right > 150 > 30 > left
    for _ in range(5):
        press(viewer, qtbot, ",")
    left, right = sides(viewer, "fade_middle")
    assert abs(left - right) < 20 and left > 60


def test_blinking_is_seen_even_while_a_labels_layer_is_painted(opened: Any, qtbot: Any) -> None:
    viewer, dock = opened
    labels = viewer.add_labels(np.zeros((SIDE, SIDE), np.uint8))
    labels.mode = "paint"
    press(viewer, qtbot, "J")
    assert dock.mode == "blink" and labels.mode == "paint"
    first = sides(viewer, "blink_1")
    qtbot.waitUntil(lambda: dock.pair.place == 1.0, timeout=3000)
    qtbot.wait(60)
    second = sides(viewer, "blink_2")
    assert (first[0] > first[1]) and (second[1] > second[0])
    press(viewer, qtbot, "J")
    assert dock.mode == "" and not dock._timer.isActive()


def test_tiles_are_seen_side_by_side(opened: Any, qtbot: Any) -> None:
    viewer, dock = opened
    before = [layer.name for layer in viewer.layers]
    dock.view.bar.setChecked(True)
    press(viewer, qtbot, "U")
    qtbot.waitUntil(lambda: not dock.busy)
    assert dock.mode == "grid" and len(find_layers(viewer.layers, "tile")) == 1
    sides(viewer, "grid")
    picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(float).mean(axis=2)
    row = picture[picture.shape[0] // 2 - 4 : picture.shape[0] // 2 + 4].mean(axis=0) > 150
    edges = np.flatnonzero(np.diff(row.astype(int)))
    assert len(edges) >= 3, "two tiles, a bright half in each"
    press(viewer, qtbot, "U")
    qtbot.waitUntil(lambda: not dock.busy)
    assert dock.mode == "" and [layer.name for layer in viewer.layers] == before


def test_keys_rest_in_text_fields_of_the_window(opened: Any, qtbot: Any) -> None:
    _, dock = opened
    field = dock.view.levels
    field.window().activateWindow()
    qtbot.waitUntil(field.window().isActiveWindow)
    qtbot.mouseClick(field, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: QApplication.focusWidget() is field)
    QTest.keyClicks(field, "juq,.")
    assert field.text() == "juq,." and dock.mode == ""


def test_no_key_of_ours_is_naparis(opened: Any) -> None:
    """Neither in the keymaps of viewer and layers, nor in the menus, nor among menus' own letters."""
    import napari
    from napari.layers import Image, Labels, Points, Shapes, Surface, Tracks, Vectors
    from napari.utils.shortcuts import default_shortcuts

    taken = {str(key) for keys in default_shortcuts.values() for key in keys}
    for kind in (napari.Viewer, Image, Labels, Points, Shapes, Surface, Tracks, Vectors):
        taken |= {str(key) for key in kind.class_keymap}
    bar = next(w for w in QApplication.topLevelWidgets() if w.isVisible() and hasattr(w, "menuBar")).menuBar()

    def walk(actions: Any) -> Iterator[Any]:
        for action in actions:
            yield action
            if action.menu() is not None:
                yield from walk(action.menu().actions())

    ours = {QKeySequence(key).toString() for entry in KEYS for key in entry.keys}
    portable = {QKeySequence(text.replace("PageDown", "PgDown").replace("PageUp", "PgUp")).toString() for text in taken}
    for action in walk(bar.actions()):
        portable |= {sequence.toString() for sequence in action.shortcuts()}
    for action in bar.actions():
        letter = action.text().partition("&")[2][:1]
        portable.add(f"Alt+{letter.upper()}" if letter else "")
    assert "Ctrl+Y" in portable and "Alt+F" in portable, "the walk has found napari's own"
    assert not ours & (portable - {""})
