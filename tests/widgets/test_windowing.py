"""Windows: presets as percentiles and in Hounsfield units, dragging; and the dock that shows them, without a window."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import pytest
from dicom_files import lut, write
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_vlexplain.io.images import as_rgb
from napari_vlexplain.io.voi import (
    Curve,
    Window,
    apart,
    percentiles,
    record_of,
    sample_of,
    window_of,
)
from napari_vlexplain.layers.dicom import read_dicom_layers
from napari_vlexplain.reading_room.windowing import AUTO, FULL, dragged, full_range, function_of, presets
from napari_vlexplain.widgets.viewer.layers import KEY, new_metadata
from napari_vlexplain.widgets.window_level.dock import WindowLevel, WindowLevelDock

RNG = np.random.default_rng(2)
GREY = RNG.integers(100, 4000, (60, 80), dtype=np.uint16)
CURVE = Curve(0.0, (np.linspace(0, 1, 4096) ** 2 * 255).astype(np.uint16), 255, "S")


# --- Without a dock


@given(st.floats(-1e5, 1e5), st.floats(2, 1e5), st.sampled_from(["LINEAR", "LINEAR_EXACT"]))
def test_a_window_and_its_limits_are_the_same_thing(centre: float, width: float, function: Any) -> None:
    again = Window.of_limits(Window(centre, width, function).limits, function)
    assert again.centre == pytest.approx(centre, abs=1e-6) and again.width == pytest.approx(width, abs=1e-6)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_limits_of_a_constant_differ(value: float) -> None:
    low, high = apart(value, value)
    assert low < high and low <= value <= high and np.isfinite([low, high]).all()
    if abs(value) < 1e38:
        assert np.float32(low) < np.float32(high)
    assert apart(low, high) == (low, high)


@pytest.mark.parametrize("level", [2.0**53, 1e17, -1e30])
def test_windows_of_large_constants_are_no_division_by_0(level: float) -> None:
    for voi in (Window(level, 2), Window(level, 1), Window(level, 1, "LINEAR_EXACT")):
        assert voi.limits[0] < voi.limits[1] and np.isfinite(voi.shown(np.full((2, 2), level))).all()
    for low, high in (percentiles(sample_of(np.full((2, 2), level)), 1, 99), full_range(np.full((2, 2), level))):
        assert low < high and not as_rgb(np.full((2, 2), level), (low, high)).any()


def test_windows_survive_as_plain_values() -> None:
    import json

    window = Window(40, 350, "LINEAR_EXACT", "SOFT")
    assert window_of(json.loads(json.dumps(record_of(window)))) == window


def test_presets_of_a_radiograph_are_percentiles_of_what_is_no_padding() -> None:
    padded = GREY.copy()
    padded[:20] = 0
    for preset, ends in zip(presets()[:4:1], [(1, 99), None, (1, 60), (30, 99.5)], strict=True):
        expected = (padded[20:].min(), padded[20:].max()) if ends is None else np.percentile(padded[20:], ends).round()
        assert preset.limits(padded, (0, 0)) == tuple(expected), preset.name
    assert [preset.name for preset in presets()] == ["Auto", "Full", "Lungs", "Mediastinum"]


def test_presets_in_hounsfield_units_are_the_usual_ones() -> None:
    found = {preset.name: preset.limits(GREY) for preset in presets(hounsfield=True)}
    assert found["Lungs"] == (-1200, 199) and found["Soft tissue"] == (-135, 214) and found["Bone"] == (-100, 899)


def test_the_files_windows_have_the_names_that_it_gives_them() -> None:
    own = presets(of_file=[Window(10, 20, name="HARDER"), Window(30, 40), *[Window(0, 2)] * 9])[4:]
    assert [preset.name for preset in own] == ["Harder", "File 2", "File 3", "File 4"]
    assert own[0].limits(GREY) == (0, 19) and "W 20 L 10" in own[0].what


def test_full_and_auto_hold_for_odd_images() -> None:
    assert FULL.limits(np.full((3, 3), 7, np.uint16)) == (7, 8) == AUTO.limits(np.full((3, 3), 7, np.uint16))
    holes = np.array([[np.nan, 1.0], [np.inf, 3.0]])
    assert full_range(holes) == (1, 3) and full_range(np.full((2, 2), np.nan)) == (0, 1)
    assert AUTO.limits(np.full((2, 2), 5, np.uint8), (5, 5)) == (0, 1)
    assert percentiles(np.array([], float), 1, 99) == (0, 1)


def test_a_large_image_is_sampled_on_a_grid() -> None:
    large = np.arange(3000 * 2000, dtype=np.uint32).reshape(3000, 2000)
    sample = sample_of(large)
    assert 40_000 < sample.size < 100_000
    np.testing.assert_allclose(np.percentile(sample, [1, 50, 99]) / large.size, [0.01, 0.5, 0.99], atol=0.005)
    assert sample_of(np.stack([large * 0, large, large * 0])).max() > 0, "the middle plane counts"


def test_dragging_widens_to_the_right_and_darkens_downwards() -> None:
    start = Window(1000, 400)
    assert dragged(start, 0.1, 0, 4000) == Window(1000, 800)
    assert dragged(start, 0, 0.1, 4000) == Window(1400, 400)
    assert dragged(start, -5, 0, 4000).width == 4 and dragged(start, -5, 0, 100).width == 2
    assert dragged(start, 0.0001, 0.0001, 4000) == start, "whole numbers stay whole"
    exact = dragged(Window(0.5, 1, "LINEAR_EXACT"), -0.5, 0.25, 1)
    assert (exact.centre, exact.width) == (0.75, 0.5)
    assert function_of("uint16") == "LINEAR" and function_of("float32") == "LINEAR_EXACT"


# --- The dock


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def dock_of(qtbot: Any, viewer: ViewerModel) -> WindowLevel:
    """The part that the dock holds; ``dock.close`` is the dock's."""
    dock = WindowLevelDock(viewer)
    qtbot.addWidget(dock)
    dock.part.close = dock.close
    return dock.part


def text_of(viewer: ViewerModel) -> Any:
    return viewer.canvas.overlays.text


def dicom(*windows: Any, **more: Any) -> dict[str, Any]:
    metadata = new_metadata("source")
    metadata[KEY]["dicom"] = {"windows": [record_of(window) for window in windows], **more}
    return metadata


def test_numbers_and_layer_follow_each_other(qtbot: Any, viewer: ViewerModel) -> None:
    layer = viewer.add_image(GREY, contrast_limits=(0, 1999))
    dock = dock_of(qtbot, viewer)
    assert (dock.width_box.value(), dock.level_box.value()) == (2000, 1000)
    assert text_of(viewer).visible and text_of(viewer).text == "W 2000 L 1000"
    dock.width_box.setValue(1000)
    assert tuple(layer.contrast_limits) == (500, 1499)
    dock.level_box.setValue(5000)
    assert tuple(layer.contrast_limits) == (4500, 5499), "beyond the image's range too"
    layer.contrast_limits = (10, 29)
    assert (dock.width_box.value(), dock.level_box.value()) == (20, 20)
    dock.reset_button.click()
    assert tuple(layer.contrast_limits) == (0, 1999)
    dock.width_box.setFocus()
    dock.width_box.clearFocus()
    assert tuple(layer.contrast_limits) == (0, 1999), "leaving a field changes nothing"


def test_the_wheel_that_scrolls_past_the_numbers_leaves_them(qtbot: Any, viewer: ViewerModel) -> None:
    layer = viewer.add_image(GREY, contrast_limits=(0, 1999))
    dock = dock_of(qtbot, viewer)
    none = Qt.KeyboardModifier.NoModifier
    for box in (dock.width_box, dock.level_box):
        wheel = QWheelEvent(QPointF(5, 5), QPointF(5, 5), QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton, none,
                            Qt.ScrollPhase.NoScrollPhase, False)  # fmt: skip
        QApplication.sendEvent(box, wheel)
    assert tuple(layer.contrast_limits) == (0, 1999)


def test_the_files_own_numbers_are_read_on_the_screen(qtbot: Any, viewer: ViewerModel) -> None:
    window = Window(1000, 2000, "LINEAR_EXACT", "NORMAL")
    viewer.add_image(GREY, contrast_limits=window.limits, metadata=dicom(window, warnings=["Distances are odd."]))
    dock = dock_of(qtbot, viewer)
    assert text_of(viewer).text == "W 2000 L 1000" and dock.state.text() == "Distances are odd."
    assert [button.text() for button in dock.preset_buttons] == ["Auto", "Full", "Lungs", "Mediastinum", "Normal"]
    assert dock.preset_buttons[0].toolTip().endswith("(Alt+1)")


def test_presets_are_a_click_away(qtbot: Any, viewer: ViewerModel) -> None:
    layer = viewer.add_image(GREY, metadata=dicom(padding=[4000, 4000]))
    dock = dock_of(qtbot, viewer)
    for number, preset in enumerate(presets()):
        dock.preset_buttons[number].click()
        assert tuple(layer.contrast_limits) == preset.limits(GREY)
    viewer.add_image(GREY, metadata=dicom(hounsfield=True))
    assert [button.text() for button in dock.preset_buttons] == ["Auto", "Full", "Lungs", "Soft tissue", "Bone"]
    dock.control.apply_number(3)
    assert tuple(viewer.layers[1].contrast_limits) == (-135, 214)
    dock.control.apply_number(17)


def test_inverting_leaves_the_pixels_and_twice_is_once(qtbot: Any, viewer: ViewerModel) -> None:
    layer = viewer.add_image(GREY)
    dock = dock_of(qtbot, viewer)
    dock.invert_button.click()
    assert layer.colormap.name == "gray_r" and dock.invert_button.isChecked() and "inverted" in text_of(viewer).text
    dock.invert_button.click()
    assert layer.colormap.name == "gray" and not dock.invert_button.isChecked() and layer.data is GREY
    layer.colormap = "inferno"
    before = layer.colormap.map(np.linspace(0, 1, 9))
    dock.invert_button.click()
    np.testing.assert_allclose(layer.colormap.map(np.linspace(0, 1, 9)), before[::-1], atol=1e-5)
    dock.invert_button.click()
    assert layer.colormap.name == "inferno"


@pytest.mark.parametrize("voi", [CURVE, Window(2000, 1000, "SIGMOID")])
def test_a_curve_is_in_the_pixels_and_its_button_shows_all_of_it(
    qtbot: Any, viewer: ViewerModel, voi: Any, tmp_path: Path
) -> None:
    """Of a file that asks for one, as our reader opens it."""
    asked = {"WindowCenter": 2000, "WindowWidth": 1000, "VOILUTFunction": "SIGMOID"}
    if isinstance(voi, Curve):
        asked = {"VOILUTSequence": lut(voi.values.tolist(), 0, 8, "S")}
    (data,) = read_dicom_layers(write(tmp_path / "a.dcm", GREY, 12, **asked))
    layer = viewer.add_image(data[0], **data[1])
    dock = dock_of(qtbot, viewer)

    def shown() -> np.ndarray:
        low, high = layer.contrast_limits
        return layer.colormap.map(np.clip((layer.data.ravel().astype(float) - low) / (high - low), 0, 1))[:, 0]

    before, exact = tuple(layer.contrast_limits), voi.shown(GREY).ravel()
    np.testing.assert_allclose(shown(), exact, atol=0.5 / 65535 + 1e-6)
    dock.invert_button.click()
    np.testing.assert_allclose(shown(), 1 - exact, atol=0.5 / 65535 + 1e-6)
    dock.invert_button.click()
    dock.preset_buttons[0].click()
    assert tuple(layer.contrast_limits) != before
    dock.preset_buttons[-1].click()
    assert tuple(layer.contrast_limits) == before == picture_limits(layer)
    assert "curve" in dock.state.text()


def picture_limits(layer: Any) -> tuple[float, float]:
    """Those that the file's own record has."""
    return tuple(layer.metadata[KEY]["dicom"]["limits"])


def test_it_stays_with_the_picture_under_other_layers(qtbot: Any, viewer: ViewerModel) -> None:
    dock = dock_of(qtbot, viewer)
    assert dock.control.layer is None and "Open an image" in dock.state.text() and not dock.width_box.isEnabled()
    one = viewer.add_image(GREY, name="one")
    viewer.add_image(GREY / 4000, name="heat", metadata=new_metadata("heatmap", one))
    viewer.add_labels(np.zeros(GREY.shape, int))
    assert dock.control.layer == one and dock.name.text() == "one"
    two = viewer.add_image(GREY / 4000, name="two")
    assert dock.control.layer == two and dock.control.window.function == "LINEAR_EXACT"
    two.contrast_limits = (0.25, 0.5)
    assert (dock.width_box.value(), dock.level_box.value()) == (0.25, 0.375)
    viewer.layers.selection.active = viewer.layers[2]
    assert dock.control.layer == two
    viewer.layers.remove(two)
    assert dock.control.layer == one
    one.name = "first"
    assert dock.name.text() == "first"
    viewer.layers.clear()
    assert dock.control.layer is None and not text_of(viewer).visible


def test_colours_have_no_window(qtbot: Any, viewer: ViewerModel) -> None:
    viewer.add_image(RNG.integers(0, 255, (9, 9, 3), dtype=np.uint8), rgb=True)
    dock = dock_of(qtbot, viewer)
    assert "no window" in dock.state.text() and not dock.preset_buttons and not dock.invert_button.isEnabled()
    dock.state.clear()
    dock.control.apply_number(0)
    assert "no window" in dock.state.text()
    dock.control.toggle_inverted()
    dock.control.reset()
    assert not text_of(viewer).visible


def test_what_is_read_when_needed_is_read_elsewhere(qtbot: Any, viewer: ViewerModel) -> None:
    import threading

    threads: list[str] = []

    def compute(block: np.ndarray) -> np.ndarray:
        threads.append(threading.current_thread().name)
        return block

    stack = da.from_array(np.stack([GREY, GREY + 1000]), chunks=(1, -1, -1)).map_blocks(compute, dtype=GREY.dtype)
    layer = viewer.add_image(stack, contrast_limits=(0, 10))
    viewer.dims.set_point(0, 1)
    dock = dock_of(qtbot, viewer)
    threads.clear()
    dock.preset_buttons[1].click()
    qtbot.waitUntil(lambda: tuple(layer.contrast_limits) == full_range(GREY + 1000), timeout=5000)
    assert threads and "MainThread" not in threads


def test_the_next_case_in_the_same_layer_has_its_own_way_back(qtbot: Any, viewer: ViewerModel) -> None:
    layer = viewer.add_image(GREY, contrast_limits=(0, 50), metadata=dicom(Window(10, 20)))
    dock = dock_of(qtbot, viewer)
    layer.data = GREY[:30]
    layer.metadata[KEY]["dicom"] = dicom(Window(100, 200))[KEY]["dicom"]
    layer.contrast_limits = (7, 9)
    dock.reset_button.click()
    assert tuple(layer.contrast_limits) == (0, 199)
    layer.metadata[KEY].pop("dicom")
    dock.reset_button.click()
    assert tuple(layer.contrast_limits) == AUTO.limits(GREY[:30])


def test_a_preset_of_percentiles_goes_with_the_reader_until_another_window_is_chosen(
    qtbot: Any, viewer: ViewerModel
) -> None:
    layer = viewer.add_image(GREY, contrast_limits=(0, 50))
    dock = dock_of(qtbot, viewer)
    dock.preset_buttons[2].click()
    layer.data = GREY * 2
    assert tuple(layer.contrast_limits) == presets()[2].limits(GREY * 2)
    dock.width_box.setValue(77)
    chosen = tuple(layer.contrast_limits)
    layer.data = GREY
    assert tuple(layer.contrast_limits) == chosen
    dock.preset_buttons[1].click()
    layer.data = GREY * 3
    qtbot.waitUntil(lambda: tuple(layer.contrast_limits) == full_range(GREY * 3))
    layer.data = GREY
    layer.contrast_limits = (5, 6)
    qtbot.waitUntil(lambda: not dock.control._latest.busy)
    assert tuple(layer.contrast_limits) == (5, 6), "what was chosen while the next one was measured"
    dock.preset_buttons[1].click()
    layer.contrast_limits = (3, 9)  # by napari's own slider
    layer.data = GREY * 2
    assert tuple(layer.contrast_limits) == (3, 9)


def test_two_docks_share_one_control_and_the_last_tidies_up(qtbot: Any, viewer: ViewerModel) -> None:
    layer = viewer.add_image(GREY, contrast_limits=(0, 1999))
    text = text_of(viewer)
    text.position = "top_right"
    one, two = dock_of(qtbot, viewer), dock_of(qtbot, viewer)
    assert one.control is two.control
    two.tool_button.click()
    assert one.tool_button.isChecked() and len(viewer.mouse_drag_callbacks) == 2
    one.close()
    layer.contrast_limits = (0, 999)
    assert two.width_box.value() == 1000 and text.visible
    two.close()
    assert not text.visible and text.position == "top_right" and viewer.scene.camera.mouse_pan is not False
    assert not one.control.tool.on and len(viewer.mouse_drag_callbacks) == 1


def test_a_picture_out_of_sight_has_no_window_on_the_canvas(qtbot: Any, viewer: ViewerModel) -> None:
    layer, text = viewer.add_image(GREY), text_of(viewer)
    dock = dock_of(qtbot, viewer)
    assert text.visible
    layer.visible = False
    assert not text.visible
    layer.visible = True
    assert text.visible
    dock.close()


def test_somebody_elses_text_is_left_alone(qtbot: Any, viewer: ViewerModel) -> None:
    layer = viewer.add_image(GREY)
    text = text_of(viewer)
    text.text, text.visible = "mine", True
    dock = dock_of(qtbot, viewer)
    layer.contrast_limits = (1, 2)
    assert text.text == "mine"
    text.visible = False
    dock.text_box.setChecked(False)
    assert not text.visible
    dock.text_box.setChecked(True)
    assert text.visible and text.text.startswith("W 2")
    dock.close()
    assert text.text == "mine" and not text.visible


def press(viewer: ViewerModel, *positions: tuple[int, int], modifiers: tuple[str, ...] = ()) -> Any:
    """A drag as the canvas would report it."""
    from napari.utils._proxies import ReadOnlyWrapper
    from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks, mouse_release_callbacks

    steps = ["mouse_press", *["mouse_move"] * (len(positions) - 1), "mouse_release"]
    calls = {"mouse_press": mouse_press_callbacks, "mouse_release": mouse_release_callbacks}
    for kind, pos in zip(steps, [*positions, positions[-1]], strict=True):
        inside = SimpleNamespace(
            type=kind, pos=np.array(pos), button=1, modifiers=modifiers, handled=False, is_dragging=True,
            position=(0, 0), dims_displayed=[0, 1], dims_point=[0, 0], view_direction=None,
        )  # fmt: skip
        for target in (viewer, viewer.layers.selection.active):
            calls.get(kind, mouse_move_callbacks)(target, ReadOnlyWrapper(inside, exceptions=("handled",)))


def test_the_tool_takes_the_mouse_and_gives_it_back(qtbot: Any, viewer: ViewerModel) -> None:
    layer = viewer.add_image(GREY, contrast_limits=(0, 1999))
    labels = viewer.add_labels(np.zeros(GREY.shape, np.uint8))
    labels.mode = "erase"
    dock = dock_of(qtbot, viewer)
    camera = viewer.scene.camera
    dock.control.tool.toggle()
    assert labels.mode == "pan_zoom" and not camera.mouse_pan and viewer.cursor.style == "cross"
    press(viewer, (10, 10), (110, 10), (210, 10))
    reach = int(GREY.max()) - int(GREY.min())
    assert dock.control.window == Window(1000, round(2000 + 0.2 * reach))
    press(viewer, (10, 10), (60, 60), modifiers=("Alt",))
    assert dock.control.window.centre == 1000, "Alt is napari's own zoom"
    viewer.layers.selection.active = layer
    assert labels.mode == "erase" and not camera.mouse_pan, "each layer gets its tool back"
    viewer.layers.selection.active = labels
    labels.mode = "fill"
    assert not dock.control.tool.on and labels.mode == "fill" and not dock.tool_button.isChecked()
    dock.tool_button.click()
    viewer.layers.remove(labels)
    dock.tool_button.click()
    assert camera.mouse_pan and viewer.cursor.style == "standard" and len(viewer.mouse_drag_callbacks) == 1
