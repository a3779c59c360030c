"""The Correct dock on a viewer model: buttons that one Ctrl+Z takes back, a table that follows every edit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractSpinBox, QPushButton, QScrollArea

from napari_vlexplain.drawing.colour import COLOURS
from napari_vlexplain.reading_room import correcting
from napari_vlexplain.widgets.correct import dock as correct
from napari_vlexplain.widgets.correct import layers as _correct_layers
from napari_vlexplain.widgets.correct.dock import CorrectDock
from napari_vlexplain.widgets.correct.layers import is_reader, spacing_of
from napari_vlexplain.widgets.viewer.layers import layer_id, mark, new_metadata, source_id

SHAPE = (40, 60)
PLACE = {"scale": (0.5, 0.25), "translate": (3, 4)}


@pytest.fixture
def dock(viewer_model: ViewerModel, qtbot: Any) -> Iterator[CorrectDock]:
    dock = CorrectDock(viewer_model)
    qtbot.addWidget(dock)
    dock.show()
    yield dock
    dock.close()


@pytest.fixture
def case(viewer_model: ViewerModel) -> Any:
    """An image, the ground truth of two parts, and a model's mask, as the Cases dock lays them."""
    image = viewer_model.add_image(np.zeros(SHAPE), name="case", **PLACE)
    truth = np.zeros(SHAPE, np.uint8)
    truth[5:15, 5:15] = truth[20:30, 40:50] = 1
    model = np.zeros(SHAPE, np.uint8)
    model[5:15, 5:20] = model[22:30, 40:50] = 1
    model[0, 0] = 1
    viewer_model.add_labels(truth, name="truth", metadata=new_metadata("truth", image), **PLACE)
    viewer_model.add_labels(model, name="model", metadata=new_metadata("mask", image), **PLACE)
    return viewer_model


def press(dock: CorrectDock, qtbot: Any, button: QPushButton) -> str:
    with qtbot.waitSignal(dock.corrected, timeout=20_000) as end:
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    return end.args[0]


def settled(dock: CorrectDock, qtbot: Any) -> dict[str, tuple[str, ...]]:
    qtbot.waitUntil(lambda: not dock.busy, timeout=20_000)
    return dock.view.table.texts()


def test_roles_are_found_and_compared(dock: CorrectDock, case: ViewerModel, qtbot: Any) -> None:
    table = settled(dock, qtbot)
    assert (dock.view.truth.layer.name, dock.view.model.layer.name, dock.view.reader.layer) == ("truth", "model", None)
    assert table["model against truth"] == (f"{180 / 251:.3f}", f"{360 / 431:.3f}", "+31")
    assert table["reader against truth"] == ("", "", "")
    assert table["model against truth, part 1"][2] == "+51" and table["model against truth, part 2"][2] == "-20"


def test_the_heatmap_at_the_threshold_is_the_model(dock: CorrectDock, case: ViewerModel, qtbot: Any) -> None:
    values = np.zeros(SHAPE, np.float32)
    values[5:15, 5:15], values[20:30, 40:50], values[0, :10] = 0.9, 0.6, np.nan
    heat = case.add_image(values, name="heat", metadata=new_metadata("heatmap", case.layers["case"]), **PLACE)
    assert dock.view.model.layer is case.layers["model"], "a mask comes first"
    dock.view.model.set_layer(heat)
    assert settled(dock, qtbot)["model against truth"] == ("1.000", "1.000", "0")
    dock.view.threshold.setValue(0.7)
    assert settled(dock, qtbot)["model against truth"] == ("0.500", f"{2 / 3:.3f}", "-100")

    case.layers.selection.active = case.layers["truth"]
    assert press(dock, qtbot, dock.view.copy_mask) == "done"
    mine, before = dock.view.edited.layer, dock.view.edited.layer.data.copy()
    dock.view.other.set_layer(heat)
    assert press(dock, qtbot, dock.view.subtract) == "done"
    np.testing.assert_array_equal(mine.data != 0, (before != 0) & ~(values >= 0.7))
    mine.undo()
    np.testing.assert_array_equal(mine.data, before)
    np.testing.assert_allclose(mine.get_color(1)[:3], np.array(COLOURS["reader"]) / 255, atol=1e-3)


def test_a_mask_of_the_truth_s_boxes_is_in_its_colour_and_not_the_model(
    dock: CorrectDock, viewer_model: ViewerModel, qtbot: Any
) -> None:
    image = viewer_model.add_image(np.zeros(SHAPE), name="case")
    corners = np.array([(2, 3), (2, 9), (8, 9), (8, 3)])
    viewer_model.add_shapes([corners], shape_type="rectangle", metadata=new_metadata("truth", image))
    assert press(dock, qtbot, dock.view.from_boxes) == "done"
    mask = dock.view.edited.layer
    assert mask.data[2:8, 3:9].all() and mask.data.sum() == 36 and dock.view.model.layer is None
    np.testing.assert_allclose(mask.get_color(1)[:3], np.array(COLOURS["truth"]) / 255, atol=1e-3)


def test_a_truth_in_doubt_is_compared_with_nothing(dock: CorrectDock, case: ViewerModel, qtbot: Any) -> None:
    truth = case.layers["truth"]
    mark(truth, "truth", case.layers["case"], doubt="It is of another picture.")
    truth.data = truth.data.copy()
    assert settled(dock, qtbot)["model against truth"] == ("", "", "")
    assert dock.view.doubt.text() == "It is of another picture." and not dock.view.doubt.isHidden()
    dock.view.truth.set_layer(None)
    settled(dock, qtbot)
    qtbot.waitUntil(dock.view.doubt.isHidden)


@pytest.mark.parametrize("known", [False, True])
def test_the_border_of_a_label_picture_counts_on_neither_side(
    dock: CorrectDock, case: ViewerModel, qtbot: Any, known: bool
) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:31, 3:22] = 0 if known else 255  # around the part of 15
    labels[6:29, 5:20] = 15
    border = np.zeros(SHAPE, bool)
    border[4:31, 3:22], border[6:29, 5:20] = True, False
    model = np.zeros(SHAPE, np.uint8)
    model[4:29, 5:20] = 1  # two rows in the border
    truth = case.add_labels(labels, metadata=new_metadata("truth", case.layers["case"]), **PLACE)
    if known:
        mark(truth, "truth", case.layers["case"], void=border)
    case.layers["model"].data = model
    dock.view.truth.set_layer(truth)
    assert settled(dock, qtbot)["model against truth"][:2] == ("1.000", "1.000")


def test_a_copy_is_the_readers_and_the_original_stays(dock: CorrectDock, case: ViewerModel, qtbot: Any) -> None:
    original = case.layers["model"].data.copy()
    case.layers.selection.active = case.layers["model"]
    assert press(dock, qtbot, dock.view.copy_mask) == "done"
    mine = dock.view.edited.layer
    assert is_reader(mine) and mine.name == "case | reader" and dock.view.reader.layer is mine
    assert source_id(mine) == layer_id(case.layers["case"])
    np.testing.assert_allclose(mine.scale, PLACE["scale"])
    np.testing.assert_allclose(mine.translate, PLACE["translate"])
    mine.paint((30, 10), 1)
    np.testing.assert_array_equal(case.layers["model"].data, original)

    painted = mine.data.copy()
    case.layers.selection.active = case.layers["truth"]
    assert press(dock, qtbot, dock.view.copy_mask) == "done"
    assert dock.view.edited.layer is mine and len(case.layers) == 4
    np.testing.assert_array_equal(mine.data, case.layers["truth"].data)
    mine.undo()
    np.testing.assert_array_equal(mine.data, painted)


@pytest.mark.parametrize("piece", [7, 200_000])
@pytest.mark.parametrize(
    ("button", "expected"),
    [
        ("largest", lambda old: correcting.largest_component(old)),
        ("fill", lambda old: correcting.fill_holes(old)),
        ("remove", lambda old: correcting.remove_small(old, 2)),
        ("smooth", lambda old: correcting.smooth(old, 4)),
        ("split", lambda old: correcting.split(old)),
    ],
)
def test_one_undo_takes_one_button_back(
    dock: CorrectDock, case: ViewerModel, qtbot: Any, monkeypatch: Any, button: str, expected: Any, piece: int
) -> None:
    monkeypatch.setattr(_correct_layers, "PIECE", piece)
    layer = case.layers["model"]
    layer.data[24:27, 44:47] = 0
    case.layers.selection.active = layer
    dock.view.smallest.setValue(2)
    dock.view.radius.setValue(4)
    before = layer.data.copy()
    assert press(dock, qtbot, getattr(dock.view, button)) == "done"
    after = expected(before).labels
    assert (after != before).any()
    np.testing.assert_array_equal(layer.data, after)
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)
    layer.redo()
    np.testing.assert_array_equal(layer.data, after)
    qtbot.mouseClick(dock.view.undo, Qt.MouseButton.LeftButton)
    np.testing.assert_array_equal(layer.data, before)
    layer.paint((35, 35), 2)  # the brush goes on as before, each stroke a step of its own
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)


def test_masks_are_combined(dock: CorrectDock, case: ViewerModel, qtbot: Any) -> None:
    truth, model = case.layers["truth"].data.copy(), case.layers["model"].data.copy()
    case.layers.selection.active = case.layers["model"]
    dock.view.other.set_layer(case.layers["truth"])
    for button, expected in (("unite", (model | truth)), ("intersect", model & truth), ("subtract", model & ~truth)):
        assert press(dock, qtbot, getattr(dock.view, button)) == "done"
        np.testing.assert_array_equal(case.layers["model"].data != 0, expected == 1)
        case.layers["model"].undo()
    np.testing.assert_array_equal(case.layers["truth"].data, truth)
    assert press(dock, qtbot, dock.view.unite) == "done"
    assert press(dock, qtbot, dock.view.unite) == "unchanged"


def test_only_the_selected_label_changes(dock: CorrectDock, viewer_model: ViewerModel, qtbot: Any) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[1, 1] = labels[5:9, 5:9] = 1
    labels[1, 30] = labels[5:9, 35:39] = 2
    layer = viewer_model.add_labels(labels.copy())
    layer.selected_label = 2
    dock.view.selected_only.setChecked(True)
    assert press(dock, qtbot, dock.view.largest) == "done"
    np.testing.assert_array_equal(layer.data == 1, labels == 1)
    assert layer.data[1, 30] == 0


def test_the_table_follows_strokes_fills_undo_and_new_data(dock: CorrectDock, case: ViewerModel, qtbot: Any) -> None:
    truth = case.layers["truth"]
    mine = case.add_labels(np.zeros(SHAPE, np.uint8), metadata=new_metadata("mask", case.layers["case"], role="reader"))
    mine.scale, mine.translate = PLACE["scale"], PLACE["translate"]
    dock.view.truth.set_layer(truth)
    dock.view.reader.set_layer(mine)
    assert settled(dock, qtbot)["reader against truth"] == ("0.000", "0.000", "-200")

    def area() -> str:
        return settled(dock, qtbot)["reader against truth"][2]

    with mine.block_history():
        mine.data_setitem((np.array([5, 5]), np.array([5, 6])), 1)
    assert area() == "-198"
    mine.brush_size = 1
    mine.paint((30, 30), 1)
    painted = area()
    assert painted == "-197"
    mine.fill((0, 0), 3)
    assert settled(dock, qtbot)["reader against truth"][2].startswith("+")
    mine.undo()
    assert area() == painted
    mine.undo()
    assert area() == "-198"
    mine.redo()
    assert area() == painted
    mine.data = truth.data.copy()
    assert settled(dock, qtbot)["reader against truth"] == ("1.000", "1.000", "0")
    mine.data[:] = 0
    mine.refresh()
    assert area() == "-200"


def test_counting_and_correcting_are_not_done_on_this_thread(
    dock: CorrectDock, case: ViewerModel, qtbot: Any, monkeypatch: Any
) -> None:
    threads = set()

    def noted(name: str, module: Any) -> None:
        real = getattr(module, name)

        def call(*given: Any) -> Any:
            threads.add(threading.current_thread())
            return real(*given)

        monkeypatch.setattr(module, name, call)

    noted("agreements", _correct_layers)
    noted("smooth", correcting)
    noted("labels_to_boxes", correcting)
    noted("cut_heatmap", correct)
    dock.view.truth.set_layer(case.layers["truth"])
    dock.view.model.set_layer(case.layers["model"])
    settled(dock, qtbot)
    for button in (dock.view.smooth, dock.view.to_boxes, dock.view.from_heatmap):
        press(dock, qtbot, button)
    settled(dock, qtbot)
    assert threads and threading.main_thread() not in threads


def test_boxes_are_parts_and_move_the_table(dock: CorrectDock, case: ViewerModel, qtbot: Any) -> None:
    boxes = [np.array([(r, c), (r, c + w), (r + h, c + w), (r + h, c)]) - 0.5
             for r, c, h, w in ((20, 40, 10, 10), (5, 5, 10, 10))]  # fmt: skip
    shapes = case.add_shapes(
        boxes, shape_type="rectangle", metadata=new_metadata("boxes", case.layers["case"]), **PLACE
    )
    dock.view.truth.set_layer(shapes)
    dock.view.model.set_layer(case.layers["model"])
    table = settled(dock, qtbot)
    assert table["model against truth"][0] == f"{180 / 251:.3f}"
    assert table["model against truth, box 1"][2] == "-20" and table["model against truth, box 2"][2] == "+51"
    shapes.data = [boxes[0], boxes[1] + (0, 10)]
    assert settled(dock, qtbot)["model against truth, box 2"][0] != table["model against truth, box 2"][0]


def test_boxes_to_mask_and_back(dock: CorrectDock, case: ViewerModel, qtbot: Any) -> None:
    case.layers.selection.active = case.layers["truth"]
    assert press(dock, qtbot, dock.view.to_boxes) == "done"
    shapes = dock.view.boxes.layer
    low = [corners.min(axis=0).tolist() for corners in shapes.data]
    assert low == [[4.5, 4.5], [19.5, 39.5]]
    np.testing.assert_allclose(shapes.scale, PLACE["scale"])
    assert press(dock, qtbot, dock.view.from_boxes) == "done"
    mask = dock.view.edited.layer
    np.testing.assert_array_equal(mask.data != 0, case.layers["truth"].data != 0)
    assert set(np.unique(mask.data)) == {0, 1, 2}
    np.testing.assert_allclose(mask.translate, PLACE["translate"])


def test_shapes_of_all_kinds_and_beyond_the_border_are_filled(dock: CorrectDock, case: ViewerModel, qtbot: Any) -> None:
    from napari_vlexplain.truth.outlines import ellipse, fill

    shapes = case.add_shapes(metadata=new_metadata("truth", case.layers["case"]), **PLACE)
    corners = np.array([(-5.3, -4.2), (-5.3, 12.6), (9.4, 12.6), (9.4, -4.2)])
    round_one = np.array([(20.0, 20.0), (20.0, 44.0), (33.5, 44.0), (33.5, 20.0)])
    polygon = np.array([(30.0, 50.0), (38.5, 70.0), (35.0, 40.0)])
    shapes.add_rectangles([corners])
    shapes.add_ellipses([round_one])
    shapes.add_polygons([polygon])
    shapes.add_lines([np.array([(0, 0), (39, 59)])])
    case.layers.selection.active = shapes
    dock.view.boxes.set_layer(shapes)
    assert press(dock, qtbot, dock.view.from_boxes) == "done"
    mask = dock.view.edited.layer.data
    for number, outline in enumerate((corners, ellipse(round_one), polygon), start=1):
        inside = fill([outline], SHAPE)
        np.testing.assert_array_equal(mask == number, inside & ((mask == 0) | (mask >= number)))
        assert inside.any()


def test_a_heatmap_becomes_the_models_mask(dock: CorrectDock, viewer_model: ViewerModel, qtbot: Any) -> None:
    heat = np.linspace(0, 1, 40 * 60, dtype=np.float32).reshape(SHAPE)
    heat[0, :] = np.nan
    viewer_model.add_image(heat, name="map", metadata=new_metadata("heatmap"), **PLACE)
    dock.view.threshold.setValue(0.25)
    assert press(dock, qtbot, dock.view.from_heatmap) == "done"
    mask = dock.view.model.layer
    np.testing.assert_array_equal(mask.data, np.nan_to_num(heat, nan=-1) >= np.float32(0.25))
    assert mask.name == "map | mask" and dock.view.heatmap.layer.name == "map"


def test_lengths_are_millimetres_where_the_layer_has_units(
    dock: CorrectDock, viewer_model: ViewerModel, qtbot: Any
) -> None:
    labels = np.zeros((40, 40), np.uint8)
    labels[5:15, 5:15] = labels[20:22, 20:22] = 1
    layer = viewer_model.add_labels(labels, scale=(0.5, 0.5), units=("mm", "mm"))
    assert spacing_of(layer) == (0.5, 0.5) and dock.view.radius.suffix() == " mm"
    dock.view.smallest.setValue(1.5)  # mm2; the small part has 4 pixels of 0.25
    assert press(dock, qtbot, dock.view.remove) == "done"
    assert not layer.data[20:].any()
    truth = viewer_model.add_labels(np.zeros((40, 40), np.uint8), scale=(0.5, 0.5), units=("mm", "mm"))
    dock.view.truth.set_layer(truth)
    dock.view.reader.set_layer(layer)
    assert settled(dock, qtbot)["reader against truth"][2] == "+25.0"
    plain = viewer_model.add_labels(labels.copy())
    assert spacing_of(plain) is None and dock.view.radius.suffix() == " px"


def test_stacks_are_corrected_plane_by_plane(dock: CorrectDock, viewer_model: ViewerModel, qtbot: Any) -> None:
    stack = np.zeros((3, *SHAPE), np.uint8)
    stack[:, 2:10, 2:10] = stack[:, 20, 20] = 1
    layer = viewer_model.add_labels(stack.copy())
    viewer_model.dims.set_current_step(0, 1)
    assert press(dock, qtbot, dock.view.largest) == "done"
    assert not layer.data[1, 20, 20] and layer.data[0, 20, 20] and layer.data[2, 20, 20]
    layer.undo()
    np.testing.assert_array_equal(layer.data, stack)


def test_what_cannot_be_done_is_said(dock: CorrectDock, case: ViewerModel, qtbot: Any) -> None:
    view = dock.view
    empty = case.add_labels(np.zeros(SHAPE, np.uint8), name="empty")
    assert press(dock, qtbot, view.split) == "failed" and "both sides" in view.status.text()
    assert press(dock, qtbot, view.to_boxes) == "failed" and "empty" in view.status.text()
    assert press(dock, qtbot, view.fill) == "unchanged"
    small = case.add_labels(np.zeros((5, 5), np.uint8), name="small")
    dots = case.add_labels(np.zeros((60, 60), np.uint8), name="dots")
    dots.data[::3, ::3] = 1
    assert press(dock, qtbot, view.to_boxes) == "failed" and "400 parts" in view.status.text()
    view.edited.set_layer(case.layers["model"])
    view.other.set_layer(small)
    assert press(dock, qtbot, view.unite) == "failed" and "one shape" in view.status.text()
    frozen = np.zeros(SHAPE, np.uint8)
    frozen[3, 3] = 1
    frozen.flags.writeable = False
    view.edited.set_layer(case.add_labels(frozen, name="frozen"))
    assert press(dock, qtbot, view.smooth) == "failed" and "cannot be changed in place" in view.status.text()
    case.layers.remove(empty)
    case.layers.clear()
    assert settled(dock, qtbot)["model against truth"] == ("", "", "")
    assert not any(b.isEnabled() for b in (view.smooth, view.unite, view.from_boxes, view.from_heatmap, view.undo))


def test_a_layer_that_goes_meanwhile_is_not_written(dock: CorrectDock, case: ViewerModel, qtbot: Any) -> None:
    gate, begun = threading.Event(), threading.Event()
    layer = case.layers["model"]
    case.layers.selection.active = layer

    def slowly(old: np.ndarray) -> Any:
        begun.set()
        gate.wait(10)
        return correcting.largest_component(old)

    dock.correct(slowly, "Slowly")
    assert begun.wait(10) and not dock.view.smooth.isEnabled()
    dock.correct(slowly, "Again")  # one at a time
    kept = layer.data.copy()
    layer.data = kept
    with qtbot.waitSignal(dock.corrected, timeout=10_000) as end:
        gate.set()
    assert end.args == ["dropped"] and dock.view.smooth.isEnabled()
    np.testing.assert_array_equal(layer.data, kept)


def test_closing_lets_go_of_everything(dock: CorrectDock, case: ViewerModel, qtbot: Any) -> None:
    dock.view.truth.set_layer(case.layers["truth"])
    dock.view.model.set_layer(case.layers["model"])
    settled(dock, qtbot)
    dock.close()
    case.layers["truth"].data = np.zeros(SHAPE, np.uint8)
    assert not dock.busy
    dock.show()
    assert settled(dock, qtbot)["model against truth"][0] == "0.000"


def test_the_dock_fits_a_narrow_place(dock: CorrectDock) -> None:
    (scroll,) = dock.findChildren(QScrollArea)
    bar = scroll.verticalScrollBar().sizeHint().width()
    assert scroll.widget().minimumSizeHint().width() + bar <= dock.minimumWidth() <= 300
    named = [*dock.findChildren(QPushButton), *dock.findChildren(QAbstractSpinBox)]
    assert all(part.toolTip() for part in named)
