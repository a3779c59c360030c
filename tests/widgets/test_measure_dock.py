"""The Measure dock on a viewer model, without a canvas: what a user does to layers, and the figures that follow."""

from __future__ import annotations

import gc
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QApplication, QLabel, QScrollArea, QWidget

from napari_vlexplain.metrics.figures import measure
from napari_vlexplain.widgets.jobs.latest import LatestOnly
from napari_vlexplain.widgets.measure.dock import MeasureDock
from napari_vlexplain.widgets.parts import hooks as _hooks
from napari_vlexplain.widgets.parts.hooks import Lifetime
from napari_vlexplain.widgets.parts.layer_combo import LayerCombo
from napari_vlexplain.widgets.parts.layout import NOTICE
from napari_vlexplain.widgets.viewer.layers import (
    copy_geometry,
    ensure_id,
    find_layer,
    find_layers,
    geometry,
    info,
    layer_kind,
    mark,
    new_metadata,
    source_id,
)

SHAPE = (60, 50)


def heat() -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    map_ = np.exp(-((rows - 30) ** 2 + (columns - 25) ** 2) / 200).astype(np.float32)
    map_[:, :5] = np.nan
    return (map_ - np.nanmin(map_)) / np.nanmax(map_ - np.nanmin(map_))


def truth() -> np.ndarray:
    labels = np.zeros(SHAPE, np.int32)
    labels[20:35, 3:30] = 1
    labels[40:45, 30:40] = 2
    return labels


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def dock(viewer: ViewerModel, qtbot: Any) -> Iterator[MeasureDock]:
    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    yield dock
    dock.close()


@pytest.fixture
def settle(dock: MeasureDock, qtbot: Any) -> Callable[[], None]:
    def wait() -> None:
        qtbot.waitUntil(lambda: not dock.busy, timeout=10_000)

    return wait


@pytest.fixture
def filled(viewer: ViewerModel, dock: MeasureDock, settle: Callable[[], None]) -> tuple[Image, Labels]:
    heatmap = viewer.add_image(heat(), name="cat | relevance", metadata=new_metadata("heatmap"))
    labels = viewer.add_labels(truth(), name="ground truth")
    settle()
    return heatmap, labels


def agrees(dock: MeasureDock, heatmap: np.ndarray, mask: np.ndarray) -> None:
    """The dock shows what the headless function gives."""
    direct = measure(heatmap, mask, "value", dock.threshold.threshold)
    assert dock.current_figures is not None
    assert dock.current_figures.as_dict() == pytest.approx(direct.as_dict(), rel=1e-9, nan_ok=True)
    assert dock.figures.values["iou"].text() == ("n/a" if math.isnan(direct.iou) else f"{direct.iou:.3f}")


def test_an_empty_viewer_says_what_is_missing(viewer: ViewerModel, dock: MeasureDock, settle: Any) -> None:
    settle()
    assert "choose a heatmap" in dock.status.text() and not dock.make_mask_button.isEnabled()
    viewer.add_image(heat(), name="map")
    settle()
    assert "paint a ground truth" in dock.status.text() and dock.current_figures is None
    assert dock.make_mask_button.isEnabled()
    assert dock.figures.values["iou"].text() == "n/a"


def test_the_figures_are_those_of_the_headless_function(dock: MeasureDock, filled: Any) -> None:
    heatmap, labels = filled
    agrees(dock, heatmap.data, labels.data)
    assert dock.current_figures.lost > 0
    assert "cat | relevance" in dock.status.text()


@pytest.mark.parametrize(
    "edit",
    [
        lambda labels: labels.paint((10, 10), 2),
        lambda labels: labels.fill((0, 40), 3),
        lambda labels: labels.data_setitem((np.array([50]), np.array([20])), 1),
        lambda labels: setattr(labels, "data", np.roll(labels.data, 4)),
        lambda labels: (labels.data.__setitem__((5, slice(None)), 1), labels.refresh()),
    ],
    ids=["stroke", "fill", "setitem", "new data", "in place"],
)
def test_every_edit_is_followed(dock: MeasureDock, filled: Any, settle: Any, edit: Callable) -> None:
    heatmap, labels = filled
    before = dock.current_figures
    edit(labels)
    settle()
    assert dock.current_figures != before
    agrees(dock, heatmap.data, labels.data)


def test_undo_and_redo_are_followed(dock: MeasureDock, filled: Any, settle: Any) -> None:
    heatmap, labels = filled
    start = dock.current_figures
    with labels.block_history():  # a dragged stroke
        for column in range(5, 45, 5):
            labels.paint((30, column), 1)
    settle()
    painted = dock.current_figures
    assert painted != start
    labels.undo()
    settle()
    assert dock.current_figures == start
    labels.redo()
    settle()
    assert dock.current_figures == painted
    agrees(dock, heatmap.data, labels.data)


def test_boxes_are_followed(viewer: ViewerModel, dock: MeasureDock, filled: Any, settle: Any) -> None:
    heatmap, _ = filled
    box = np.array([[20, 10], [20, 40], [40, 40], [40, 10]], float)
    shapes = viewer.add_shapes([box], shape_type="rectangle", name="boxes")
    shapes.add([[0, 0], [59, 49]], shape_type="line")  # encloses nothing
    dock.truth.set_layer(shapes)
    settle()
    expected = np.zeros(SHAPE, bool)
    expected[20:40, 10:40] = True
    agrees(dock, heatmap.data, expected)
    shapes.data = [np.add(box, [5, -5])]
    settle()
    agrees(dock, heatmap.data, np.roll(expected, (5, -5), (0, 1)))
    shapes.add(np.array([[0, 0], [0, 10], [8, 10], [8, 0]]), shape_type="ellipse")
    settle()
    assert 0 < dock._measured.counts.hits[0] + dock._measured.counts.lost - 600 < 80
    shapes.selected_data = {0, 1}
    shapes.remove_selected()
    settle()
    assert dock._measured.counts.truth == 0 and dock.current_figures.iou == 0


def test_the_selected_label_can_stand_alone(dock: MeasureDock, filled: Any, settle: Any) -> None:
    heatmap, labels = filled
    dock.selected_only.setChecked(True)
    for label in (1, 2):
        labels.selected_label = label
        settle()
        agrees(dock, heatmap.data, labels.data == label)


@pytest.mark.parametrize("mode", ["value", "quantile", "otsu"])
def test_threshold_modes_agree_with_the_headless_function(dock: MeasureDock, filled: Any, mode: Any) -> None:
    heatmap, labels = filled
    dock.threshold.set_threshold(mode, 0.35)
    direct = measure(heatmap.data, labels.data, mode, 0.35)
    assert dock.current_figures.iou == direct.iou
    assert dock.current_figures.threshold == pytest.approx(direct.threshold, abs=1e-7)
    assert dock.threshold.slider.isEnabled() == (mode != "otsu")


def test_slider_number_and_curve_agree(dock: MeasureDock, filled: Any, qtbot: Any) -> None:
    heatmap, labels = filled
    dock.threshold.slider.setValue(1400)
    assert dock.threshold.number.value() == pytest.approx(0.7) and dock.curve.edge == 1400
    agrees(dock, heatmap.data, labels.data)
    dock.threshold.number.setValue(0.25)
    assert dock.threshold.slider.value() == 500 == dock.curve.edge
    dock.show()
    dock.curve.setFocus()
    qtbot.keyClick(dock.curve, Qt.Key.Key_End)
    assert dock.threshold.threshold == 1 == dock.current_figures.threshold
    qtbot.mouseClick(dock.curve, Qt.MouseButton.LeftButton, pos=dock.curve.rect().center())
    assert 0.3 < dock.threshold.threshold < 0.7
    agrees(dock, heatmap.data, labels.data)
    dock.threshold.set_threshold("quantile", 0.5)
    dock.threshold.slider.setValue(950)
    assert dock.threshold.number.value() == pytest.approx(0.95)


def test_the_threshold_survives_a_new_heatmap(dock: MeasureDock, filled: Any, settle: Any) -> None:
    heatmap, labels = filled
    dock.threshold.set_threshold("value", 0.4)
    heatmap.data = np.sqrt(heatmap.data)
    settle()
    assert dock.threshold.threshold == pytest.approx(0.4)
    agrees(dock, heatmap.data, labels.data)
    heatmap.data = heatmap.data * 10 - 3
    settle()
    agrees(dock, heatmap.data, labels.data)


def test_make_mask_is_what_was_measured_and_is_measured_on(
    viewer: ViewerModel, dock: MeasureDock, filled: Any, settle: Any
) -> None:
    heatmap, _ = filled
    dock.threshold.set_threshold("value", 0.3)
    before = dock.current_figures
    mask = dock.make_mask()
    settle()
    after = dock.current_figures
    assert mask in viewer.layers and dock.prediction.layer is mask
    assert "mask" in dock.status.text() and not dock.threshold.isEnabled()
    for name in ("iou", "dice", "precision", "recall", "pointing", "energy", "predicted", "lost"):
        assert getattr(after, name) == getattr(before, name), name
    assert layer_kind(mask) == "mask" and source_id(mask) == ensure_id(heatmap)
    mask.paint((5, 45), 1)
    settle()
    assert dock.current_figures.precision < after.precision
    mask.undo()
    settle()
    assert dock.current_figures == after
    viewer.layers.remove(mask)
    settle()
    assert dock.prediction.layer is None and dock.current_figures == before


def test_a_mask_lies_where_its_heatmap_lies(viewer: ViewerModel, dock: MeasureDock, settle: Any) -> None:
    placing = {"scale": (2, 0.5), "translate": (7, -3), "rotate": 30, "units": ("mm", "mm")}
    heatmap = viewer.add_image(heat(), **placing)
    labels = viewer.add_labels(truth(), **placing)
    settle()
    agrees(dock, heatmap.data, labels.data)
    mask = dock.make_mask()
    for corner in ((0, 0), (10, 20), (59, 49)):
        assert mask.data_to_world(corner) == pytest.approx(heatmap.data_to_world(corner))
    assert mask.units == heatmap.units


def test_layers_meet_in_world_coordinates(viewer: ViewerModel, dock: MeasureDock, settle: Any) -> None:
    heatmap = viewer.add_image(heat(), scale=(2, 2), translate=(0.5, 0.5), units=("mm", "mm"))
    fine = np.repeat(np.repeat(truth(), 2, 0), 2, 1)
    viewer.add_labels(fine, scale=(1000, 1000), units=("um", "um"))
    box = np.array([[20, 3], [20, 30], [35, 30], [35, 3]]) * 2.0
    shapes = viewer.add_shapes([box - 0.5], shape_type="polygon", units=("mm", "mm"))
    dock.truth.set_layer(viewer.layers[1])
    settle()
    agrees(dock, np.repeat(np.repeat(heatmap.data, 2, 0), 2, 1), fine)
    dock.truth.set_layer(shapes)
    settle()
    agrees(dock, heatmap.data, truth() == 1)
    shapes.translate = (2, 0)
    settle()
    agrees(dock, heatmap.data, np.roll(truth() == 1, 1, 0))


def test_layers_askew_are_refused_in_words(viewer: ViewerModel, dock: MeasureDock, settle: Any) -> None:
    viewer.add_image(heat())
    labels = viewer.add_labels(truth(), rotate=20)
    settle()
    assert "turned" in dock.status.text() and dock.current_figures is None
    labels.rotate = np.eye(2)
    settle()
    assert dock.current_figures is not None


def test_a_stack_is_measured_in_the_plane_shown(viewer: ViewerModel, dock: MeasureDock, settle: Any) -> None:
    stack = viewer.add_image(np.stack([heat(), heat()[::-1] ** 2]))
    labels = viewer.add_labels(np.stack([truth(), np.roll(truth(), 5)]))
    for index in (0, 1):
        viewer.dims.set_current_step(0, index)
        settle()
        agrees(dock, stack.data[index], labels.data[index])
    assert dock.make_mask().ndim == 2


def test_deleting_and_renaming_layers_is_survived(
    viewer: ViewerModel, dock: MeasureDock, filled: Any, settle: Any
) -> None:
    heatmap, labels = filled
    heatmap.name = "renamed"
    settle()
    assert dock.heatmap.currentText() == "renamed" and "renamed" in dock.status.text()
    labels.paint((1, 1), 1)
    viewer.layers.remove(labels)  # while its change waits to be measured
    settle()
    assert dock.truth.layer is None and dock.current_figures is None
    viewer.layers.clear()
    settle()
    assert dock.heatmap.layer is None and not dock.heatmap.isEnabled()
    viewer.add_image(heat(), name="again")
    viewer.add_labels(truth())
    settle()
    assert dock.current_figures is not None


def test_bad_heatmaps_are_reported_and_recovered_from(dock: MeasureDock, filled: Any, settle: Any) -> None:
    heatmap, labels = filled
    good = heatmap.data
    heatmap.contrast_limits = (0, 1)
    heatmap.data = np.full(SHAPE, np.nan, np.float32)
    settle()
    assert "no pixel" in dock.status.text() and dock.current_figures is None
    heatmap.data = good
    settle()
    agrees(dock, good, labels.data)


def test_the_same_layer_on_both_sides_is_refused(dock: MeasureDock, filled: Any, settle: Any) -> None:
    dock.prediction.set_layer(filled[1])
    settle()
    assert "same layer" in dock.status.text()


def test_nothing_stays_hooked_after_close(viewer: ViewerModel, qtbot: Any) -> None:
    heatmap, labels = viewer.add_image(heat()), viewer.add_labels(truth())
    emitters = [heatmap.events.data, labels.events.labels_update, labels.events.name, viewer.layers.events.removed]
    before = [len(emitter.callbacks) for emitter in emitters]
    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    qtbot.waitUntil(lambda: not dock.busy)
    assert [len(emitter.callbacks) for emitter in emitters] > before
    dock.close()
    assert [len(emitter.callbacks) for emitter in emitters] == before
    assert not [t for t in threading.enumerate() if t.name.startswith("vlexplain")]
    labels.paint((3, 3), 1)
    assert not dock.busy


def test_a_dock_taken_out_of_its_window_lets_go_and_comes_back(viewer: ViewerModel, qtbot: Any) -> None:
    labels = viewer.add_labels(truth())
    window, dock = QWidget(), MeasureDock(viewer)
    dock.setParent(window)
    hooked = len(labels.events.labels_update.callbacks)
    dock.setParent(None)
    assert len(labels.events.labels_update.callbacks) < hooked and not dock.busy
    dock.setParent(window)
    assert len(labels.events.labels_update.callbacks) == hooked
    window.deleteLater()  # takes the dock along, with no event to the dock
    qtbot.waitSignal(window.destroyed).wait()
    assert len(labels.events.labels_update.callbacks) < hooked
    labels.paint((3, 3), 1)
    viewer.layers.clear()
    assert not [t for t in threading.enumerate() if t.name.startswith("vlexplain")]


def test_the_dock_is_narrow_named_and_labelled(dock: MeasureDock) -> None:
    assert dock.minimumWidth() <= 300 and dock.minimumSizeHint().width() <= 300
    scroll = dock.findChild(QScrollArea)
    bar = scroll.verticalScrollBar().sizeHint().width()
    assert scroll.widget().minimumSizeHint().width() + bar <= 300  # nothing is cut off at the side
    assert NOTICE in [label.text() for label in dock.findChildren(QLabel)]
    for part in (dock.heatmap, dock.truth, dock.prediction, dock.threshold.slider, dock.curve):
        assert part.toolTip() and part.focusPolicy() & Qt.FocusPolicy.TabFocus


def test_the_newest_job_wins(qtbot: Any) -> None:
    latest, gate, seen = LatestOnly(), threading.Event(), []
    latest.done.connect(seen.append)
    latest.failed.connect(seen.append)
    latest.submit(lambda: gate.wait(10) and "first")
    for number in range(5):
        latest.submit(lambda number=number: number)
    gate.set()
    qtbot.waitUntil(lambda: not latest.busy)
    assert seen == ["first", 4]
    latest.submit(lambda: 1 / 0)
    qtbot.waitUntil(lambda: not latest.busy)
    assert isinstance(seen[-1], ZeroDivisionError)
    latest.close()
    latest.submit(lambda: "again")
    qtbot.waitUntil(lambda: not latest.busy)
    assert seen[-1] == "again"
    latest.close()


def test_a_combo_keeps_its_choice_by_identity(viewer: ViewerModel, qtbot: Any) -> None:
    a, b = viewer.add_image(heat(), name="a"), viewer.add_image(heat(), name="b")
    combo = LayerCombo(viewer, lambda layer: isinstance(layer, Image))
    qtbot.addWidget(combo)
    combo.follow()
    combo.set_layer(a)
    a.name, b.name = "b2", "a"
    viewer.layers.move(0, 2)
    viewer.add_image(heat(), name="c")
    assert combo.layer is a and combo.currentText() == "b2" and combo.count() == 3
    viewer.layers.remove(a)
    assert combo.layer in list(viewer.layers)
    combo.unfollow()
    viewer.layers.clear()
    assert combo.count() == 2


def test_our_heatmaps_come_first(viewer: ViewerModel, qtbot: Any) -> None:
    ours = viewer.add_image(heat(), metadata=new_metadata("heatmap"))
    viewer.add_image(heat(), name="plain")
    viewer.add_image(np.zeros((*SHAPE, 3)), rgb=True)
    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    assert dock.heatmap.layer is ours and dock.heatmap.count() == 2
    dock.close()


def test_a_heatmap_that_arrives_takes_over_unless_the_user_chose(viewer: ViewerModel, qtbot: Any) -> None:
    picture, other = viewer.add_image(heat(), name="picture"), viewer.add_image(heat(), name="other")
    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    assert dock.heatmap.layer is other
    first = viewer.add_image(heat(), metadata=new_metadata("heatmap", picture))
    assert dock.heatmap.layer is first
    viewer.add_image(heat(), metadata=new_metadata("heatmap", picture))
    assert dock.heatmap.layer is first
    viewer.layers.remove(first)
    dock.heatmap.set_layer(picture)
    viewer.add_image(heat(), metadata=new_metadata("heatmap", picture))
    assert dock.heatmap.layer is picture
    dock.close()


@pytest.mark.filterwarnings("error")
def test_the_dock_works_through_the_proxy_that_plugins_get(viewer: ViewerModel, qtbot: Any) -> None:
    dock = MeasureDock(PublicOnlyProxy(viewer))
    qtbot.addWidget(dock)
    heatmap, labels = viewer.add_image(heat()), viewer.add_labels(truth())
    labels.paint((10, 10), 1)
    qtbot.waitUntil(lambda: not dock.busy)
    agrees(dock, heatmap.data, labels.data)
    dock.make_mask()
    qtbot.waitUntil(lambda: not dock.busy)
    assert dock.prediction.layer == viewer.layers[-1] and dock.current_figures.threshold is None
    dock.prediction.set_layer(labels)
    qtbot.waitUntil(lambda: not dock.busy)
    assert "same layer" in dock.status.text()
    heatmap.name = "renamed"
    assert dock.heatmap.currentText() == "renamed"
    dock.close()
    assert not [c for c in labels.events.labels_update.callbacks if "measure" in repr(c).lower()]


def test_layers_are_known_by_id(viewer: ViewerModel) -> None:
    source, derived = viewer.add_image(heat()), viewer.add_labels(truth())
    assert info(source) == {} and find_layer(viewer.layers, None) is None
    key = mark(derived, "mask", source, threshold=0.5)
    assert find_layer(viewer.layers, key) is derived and source_id(derived) == ensure_id(source)
    assert mark(derived, "segments") == key and layer_kind(derived) == "segments"
    assert find_layers(viewer.layers, source=ensure_id(source)) == []
    assert find_layers(viewer.layers, "segments") == [derived]


@pytest.mark.parametrize(
    "placing",
    [
        {},
        {"scale": (2, 0.5), "translate": (3, 4)},
        {"scale": (-2, 0.5), "rotate": 30},
        {"scale": (2, -0.5), "rotate": 100, "shear": [0.3]},
        {"shear": np.array([[1, 0], [0.4, 1]]), "scale": (2, 3)},
        {"affine": np.array([[1, 0.2, 5], [0.1, 1, 3], [0, 0, 1]]), "rotate": 20, "units": ("mm", "mm")},
    ],
)
def test_geometry_is_copied_whole(placing: dict[str, Any]) -> None:
    source = Image(np.zeros((20, 30)), **placing)
    made = Labels(np.zeros((20, 30), int), **geometry(source))
    moved: Layer = Labels(np.zeros((20, 30), int), rotate=77, scale=(3, 4), shear=[0.2])
    copy_geometry(source, moved)
    for layer in (made, moved):
        for corner in ((0, 0), (7, 11)):
            assert layer.data_to_world(corner) == pytest.approx(source.data_to_world(corner))
        assert layer.units == source.units and layer.axis_labels == source.axis_labels


def test_a_plane_takes_the_geometry_of_its_stack() -> None:
    stack = Image(np.zeros((3, 20, 30)), scale=(5, 2, 0.5), translate=(1, 2, 3), axis_labels=("z", "y", "x"))
    flat = Labels(np.zeros((20, 30), int), **geometry(stack, 2))
    assert flat.scale.tolist() == [2, 0.5] and flat.translate.tolist() == [2, 3]
    assert flat.axis_labels == ("y", "x")


def test_lifetime_calls_once_per_change(qtbot: Any) -> None:
    calls: list[str] = []

    class Dock(QWidget):
        def attach(self) -> None:
            calls.append("attach")

        def release(self) -> None:
            calls.append("release")

    widget = Dock()
    qtbot.addWidget(widget)
    Lifetime(widget, widget.attach, widget.release)
    widget.show()
    widget.close()
    widget.close()
    widget.show()
    assert calls == ["attach", "release", "attach"]


def test_lifetime_leaves_nothing_behind(qtbot: Any) -> None:
    """What Qt shall call when a widget goes is kept until then, whatever the collector does, and no longer."""
    released: list[int] = []

    class Dock(QWidget):
        def attach(self) -> None: ...

        def release(self) -> None:
            released.append(1)

    before = set(_hooks._awaited)
    kept, lost = Dock(), Dock()
    lost.me = lost  # type: ignore[attr-defined]  # only the collector takes it
    for widget in (kept, lost):
        Lifetime(widget, widget.attach, widget.release)
    del widget, lost
    gc.collect()
    assert len(_hooks._awaited - before) == 1
    kept.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert released
    del kept
    gc.collect()
    assert not _hooks._awaited - before


# --- what is told of a ground truth


def test_a_border_of_a_label_picture_counts_nowhere(viewer: ViewerModel, dock: MeasureDock, settle: Any) -> None:
    viewer.add_image(heat(), name="map", metadata=new_metadata("heatmap"))
    labels = truth().astype(np.uint8)
    labels[20:24] = 255
    layer = viewer.add_labels(labels, name="voc")
    settle()
    void = labels == 255
    agrees(dock, np.where(void, np.float32(np.nan), heat()), np.isin(labels, (1, 2)))
    assert "Label 255" in dock.status.text() and f"{void.sum()} pixels" in dock.status.text()
    layer.data_setitem((np.array([50]), np.array([30])), 255)  # the border grows by a pixel of the heatmap
    settle()
    void[50, 30] = True
    agrees(dock, np.where(void, np.float32(np.nan), heat()), np.isin(labels, (1, 2)))
    dock.selected_only.setChecked(True)
    layer.selected_label = 255
    settle()
    agrees(dock, heat(), void)


def test_what_the_model_does_not_see_is_told_beside_the_figures(
    viewer: ViewerModel, dock: MeasureDock, filled: Any, settle: Any
) -> None:
    _, labels = filled
    assert "% of the ground truth lies outside what the model sees" in dock.status.text()
    outside = np.zeros(SHAPE, np.int32)
    outside[:, :5] = 1
    labels.data = outside
    settle()
    assert "so no figure can be given" in dock.status.text()
    labels.data = np.zeros(SHAPE, np.int32)
    settle()
    assert "is empty" in dock.status.text()


def test_labels_made_for_another_picture_are_told(viewer: ViewerModel, dock: MeasureDock, settle: Any) -> None:
    viewer.add_image(heat(), name="map", metadata=new_metadata("heatmap"))
    layer = viewer.add_labels(truth().T.copy(), name="turned")
    settle()
    assert "does not reach over the whole image of 50 x 60" in dock.status.text()
    layer.data = truth()[::2, ::2].copy()
    settle()
    assert "25 x 30 pixels" in dock.status.text()
    layer.scale = (2, 2)
    settle()
    assert "does not reach" not in dock.status.text()


def test_a_truth_in_doubt_has_no_figures(viewer: ViewerModel, dock: MeasureDock, settle: Any) -> None:
    viewer.add_image(heat(), name="map", metadata=new_metadata("heatmap"))
    viewer.add_labels(truth(), name="truth", metadata=new_metadata("truth", doubt="It is of another picture."))
    settle()
    assert dock.current_figures is None and "It is of another picture." in dock.status.text()
