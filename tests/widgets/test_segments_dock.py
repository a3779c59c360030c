"""The Segments dock on a viewer model, without a canvas: what is added, cut again, clicked, and what goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt, QThreadPool
from toys import transformer

from napari_vlexplain.choices.segments import CUT, EIGEN, SegmentChoices
from napari_vlexplain.errors import Cancelled, VLExplainError
from napari_vlexplain.results.segmentation import Segmentation
from napari_vlexplain.running.logs import log_file
from napari_vlexplain.tasks.segment import segment
from napari_vlexplain.widgets.jobs.jobs import jobs_of
from napari_vlexplain.widgets.segments import dock as module
from napari_vlexplain.widgets.segments.dock import SegmentsDock, describe_region
from napari_vlexplain.widgets.viewer.layers import info, layer_id, new_metadata, pixel_to_world, source_id
from napari_vlexplain.widgets.viewer.planes import is_labels, is_truth

SHAPE = (48, 64)


def pixels(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (*[n // 16 for n in shape], 3), dtype=np.uint8)
    return coarse.repeat(16, axis=0).repeat(16, axis=1)


class Fake:
    """The computation with a toy model, which waits until it is let go and can be made to fail."""

    def __init__(self) -> None:
        self.gate, self.begun = threading.Event(), threading.Event()
        self.gate.set()
        self.error: BaseException | None = None
        self.calls: list[SegmentChoices] = []

    def __call__(self, asked: SegmentChoices, image: Any, name: str, limits: Any, progress: Any, cancelled: Any) -> Any:
        assert threading.current_thread() is not threading.main_thread()
        self.calls.append(asked)
        progress(0.5, "Looking")
        self.begun.set()
        while not self.gate.wait(0.01):
            if cancelled():
                raise Cancelled
        if self.error is not None:
            raise self.error
        own = asked.values([*EIGEN, *CUT])
        own["block"] = -1
        found = segment(np.asarray(image), transformer(), name=name, contrast_limits=limits, **own)
        return found, found.eigenvectors.at_source()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    fake = Fake()
    monkeypatch.setattr(module, "compute", fake)
    yield fake
    fake.gate.set()


@pytest.fixture
def dock(viewer_model: ViewerModel, qtbot: Any) -> Iterator[SegmentsDock]:
    dock = SegmentsDock(viewer_model)
    qtbot.addWidget(dock)
    dock.show()
    yield dock
    dock.close()
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=20_000)


def press(dock: SegmentsDock, qtbot: Any) -> str:
    with qtbot.waitSignal(dock.finished, timeout=60_000) as end:
        qtbot.mouseClick(dock.view.run_button, Qt.MouseButton.LeftButton)
    return end.args[0]


def of(viewer: ViewerModel, role: str) -> list[Any]:
    return [layer for layer in viewer.layers if info(layer).get("segments_role") == role]


def edit(dock: SegmentsDock, qtbot: Any, name: str, value: Any) -> None:
    form = dock.view.cut if name in dock.view.cut.rows else dock.view.form
    with qtbot.waitSignal(dock.cut_again, timeout=20_000):
        form.rows[name].edited.emit(value)


def click(viewer: ViewerModel, position: tuple[float, ...], dragged: float = 0) -> None:
    """As napari does it: press, perhaps move, release."""
    event = SimpleNamespace(type="mouse_press", position=position, pos=np.zeros(2), button=1, modifiers=())
    running = [callback(viewer, event) for callback in viewer.mouse_drag_callbacks]
    for one in running:
        next(one, None)
    steps = [("mouse_move", np.full(2, dragged))] if dragged else []
    for kind, pos in [*steps, ("mouse_release", np.full(2, dragged))]:
        event.type, event.pos = kind, pos
        for one in running:
            next(one, None)


def test_a_run_adds_four_layers(dock, viewer_model, fake, qtbot):
    image = viewer_model.add_image(pixels(), name="photo", scale=(0.5, 0.25), translate=(3, 4), rotate=20)
    assert press(dock, qtbot) == "done"
    (eigen,), (regions,), (mask,), (box,) = (
        of(viewer_model, role) for role in ("eigenvectors", "segments", "mask", "object box")
    )
    found, _ = dock.shown
    assert eigen.data.shape == (4, *SHAPE) and eigen.ndim == 3
    low, high = eigen.contrast_limits
    assert low == -high and high == pytest.approx(np.abs(found.eigenvectors.vectors).max())
    colours = eigen.colormap.map(np.array([0.0, 0.5, 1.0]))
    assert colours[0, 2] > colours[0, 0] and colours[2, 0] > colours[2, 2] and colours[1, :3].min() > 0.9
    np.testing.assert_array_equal(regions.data, found.regions)
    np.testing.assert_array_equal(mask.data.astype(bool), found.object_mask)
    for layer in (eigen, regions, mask, box):
        assert source_id(layer) == layer_id(image)
        np.testing.assert_allclose(pixel_to_world(layer), pixel_to_world(image), atol=1e-6)
    x0, y0, x1, y1 = found.box - 0.5
    assert box.data[0].min(axis=0) == pytest.approx((y0, x0)) and box.data[0].max(axis=0) == pytest.approx((y1, x1))
    assert viewer_model.dims.ndim == 3 and viewer_model.dims.nsteps[0] == 4
    assert "4 eigenvectors" in dock.view.status.text() and "regions" in dock.view.summary.text()


def test_the_slider_shows_each_eigenvector(dock, viewer_model, fake, qtbot):
    viewer_model.add_image(pixels(), name="photo")
    press(dock, qtbot)
    (eigen,) = of(viewer_model, "eigenvectors")
    for k in range(4):
        viewer_model.dims.set_current_step(0, k)
        assert viewer_model.dims.point[0] == k
        np.testing.assert_array_equal(eigen.data[k], dock.shown[0].eigenvectors.at_source()[k])


def test_the_regions_can_be_edited_and_are_measured_like_any_mask(dock, viewer_model, fake, qtbot):
    viewer_model.add_image(pixels(), name="photo")
    press(dock, qtbot)
    (regions,), (mask,) = of(viewer_model, "segments"), of(viewer_model, "mask")
    assert is_labels(regions) and is_truth(regions) and is_labels(mask) and not is_truth(mask)
    regions.paint((5, 5), 9)
    assert regions.data[5, 5] == 9
    regions.undo()


def test_run_again_updates_the_same_layers(dock, viewer_model, fake, qtbot):
    viewer_model.add_image(pixels(), name="photo")
    press(dock, qtbot)
    ids = [layer_id(layer) for layer in viewer_model.layers]
    of(viewer_model, "segments")[0].name = "mine"
    assert press(dock, qtbot) == "done"
    assert [layer_id(layer) for layer in viewer_model.layers] == ids and viewer_model.layers["mine"] is not None


def test_another_number_of_eigenvectors(dock, viewer_model, fake, qtbot):
    viewer_model.add_image(pixels(), name="photo")
    press(dock, qtbot)
    dock.view.form.rows["eigenvectors"].edited.emit(7)
    assert press(dock, qtbot) == "done"
    (eigen,) = of(viewer_model, "eigenvectors")
    assert eigen.data.shape[0] == 7 and len(viewer_model.layers) == 5


def test_cutting_again_needs_no_model(dock, viewer_model, fake, qtbot):
    viewer_model.add_image(pixels(), name="photo")
    press(dock, qtbot)
    (regions,), (mask,) = of(viewer_model, "segments"), of(viewer_model, "mask")
    before, area = regions.data.copy(), int(mask.data.sum())
    edit(dock, qtbot, "clusters", 2)
    assert regions.data.max() == 1 and (regions.data != before).any() and len(fake.calls) == 1
    edit(dock, qtbot, "threshold", 0.5)
    assert 0 < mask.data.sum() < area and regions.data.max() == 1
    with qtbot.waitSignal(dock.cut_again, timeout=20_000):
        dock.view.cut.rows["threshold"].reset.emit()
    assert mask.data.sum() == area and len(viewer_model.layers) == 5


def test_a_cut_of_what_was_found_before_does_not_replace_what_was_found_since(
    dock, viewer_model, fake, qtbot, monkeypatch
):
    viewer_model.add_image(pixels(), name="photo")
    press(dock, qtbot)
    gate, recut, cuts = threading.Event(), Segmentation.recut, []
    monkeypatch.setattr(Segmentation, "recut", lambda self, **to: gate.wait(10) and recut(self, **to))
    dock.cut_again.connect(lambda: cuts.append(True))
    dock.view.cut.rows["clusters"].edited.emit(2)
    press(dock, qtbot)
    found = dock.shown
    gate.set()
    qtbot.waitUntil(lambda: not dock.busy)
    assert dock.shown is found and not cuts


def test_regions_that_were_painted_in_are_not_lost(dock, viewer_model, fake, qtbot):
    viewer_model.add_image(pixels(), name="photo")
    press(dock, qtbot)
    (own,) = of(viewer_model, "segments")
    own.paint((5, 5), 9)
    painted = own.data.copy()
    edit(dock, qtbot, "clusters", 2)
    (fresh,) = of(viewer_model, "segments")
    assert fresh is not own and own in viewer_model.layers
    np.testing.assert_array_equal(own.data, painted)
    edit(dock, qtbot, "threshold", 0.3)
    assert of(viewer_model, "segments") == [fresh]


def test_a_click_tells_of_a_region_and_what_a_heatmap_says(dock, viewer_model, fake, qtbot):
    image = viewer_model.add_image(pixels(), name="photo", scale=(2, 2))
    heat = np.random.default_rng(1).random(SHAPE).astype(np.float32)
    heat[:4] = np.nan
    press(dock, qtbot)
    (regions,) = of(viewer_model, "segments")
    viewer_model.add_image(heat, name="heat", scale=(2, 2), metadata=new_metadata("heatmap", image))
    dock.view.heatmap.set_layer(viewer_model.layers["heat"])
    row, column = np.argwhere(regions.data == 2)[0]
    with qtbot.waitSignal(dock.told, timeout=20_000) as said:
        click(viewer_model, (0.0, 2.0 * row, 2.0 * column))
    inside = regions.data == 2
    mean = np.nanmean(heat[inside])
    assert said.args[0] == (
        f"Region 2: {inside.sum()} pixels, {inside.mean():.1%} of the image. Mean of “heat”: {mean:.3f}."
    )
    mask = dock.make_mask()
    np.testing.assert_array_equal(mask.data.astype(bool), inside)
    assert info(mask)["kind"] == "mask"
    np.testing.assert_allclose(pixel_to_world(mask), pixel_to_world(image))


def test_a_drag_and_a_brush_are_no_clicks(dock, viewer_model, fake, qtbot):
    viewer_model.add_image(pixels(), name="photo")
    press(dock, qtbot)
    (regions,) = of(viewer_model, "segments")
    click(viewer_model, (0.0, 5.0, 5.0), dragged=30)
    assert not dock.busy
    viewer_model.layers.selection.active = regions
    regions.mode = "paint"
    click(viewer_model, (0.0, 5.0, 5.0))
    assert not dock.busy and not dock.view.mask_button.isEnabled() and dock.make_mask() is None


def test_what_is_said_of_a_region():
    labels = np.array([[0, 1], [1, 1]])
    scores = np.array([[5.0, 1.0], [2.0, np.nan]])
    assert describe_region(labels, 0, None, "") == "Background: 1 pixels, 25.0% of the image."
    assert describe_region(labels, 1, scores, "map").endswith("Mean of “map”: 1.500.")
    assert "another grid" in describe_region(labels, 1, None, "map")
    assert "no values" in describe_region(labels, 1, np.full((2, 2), np.nan), "map")


def test_a_plane_of_a_stack(dock, viewer_model, fake, qtbot):
    stack = np.stack([pixels(k)[..., 0] for k in range(3)])
    viewer_model.add_image(stack, name="stack", scale=(5, 1, 1))
    viewer_model.dims.set_point(0, 10)
    assert press(dock, qtbot) == "done"
    (eigen,), (regions,) = of(viewer_model, "eigenvectors"), of(viewer_model, "segments")
    assert eigen.data.shape == (4, 1, *SHAPE) and regions.data.shape == (1, *SHAPE)
    assert regions.data_to_world((0, 0, 0)) == pytest.approx((10, 0, 0))
    assert eigen.data_to_world((2, 0, 0, 0)) == pytest.approx((2, 10, 0, 0))


def test_cancel(dock, viewer_model, fake, qtbot):
    viewer_model.add_image(pixels(), name="photo")
    fake.gate.clear()
    with qtbot.waitSignal(dock.finished, timeout=20_000) as end:
        qtbot.mouseClick(dock.view.run_button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(fake.begun.is_set, timeout=10_000)
        assert dock.view.run_button.text() == "Cancel" and not dock.view.cut.isEnabled()
        qtbot.mouseClick(dock.view.run_button, Qt.MouseButton.LeftButton)
    assert end.args == ["cancelled"] and len(viewer_model.layers) == 1 and not jobs_of(viewer_model).busy
    assert dock.view.run_button.text() == "Run"


@pytest.mark.parametrize("error", [VLExplainError("The weights are damaged."), RuntimeError("boom"), MemoryError()])
def test_a_failure_is_told_and_leaves_nothing(dock, viewer_model, fake, qtbot, error):
    viewer_model.add_image(pixels(), name="photo")
    fake.error = error
    assert press(dock, qtbot) == "failed"
    text = dock.view.status.text()
    assert len(viewer_model.layers) == 1 and any(word in text for word in ("damaged", "boom", "Memory"))
    fake.error = None
    assert press(dock, qtbot) == "done"


def test_the_log_of_a_failure_spares_the_layers_name(dock, viewer_model, fake, qtbot):
    viewer_model.add_image(pixels(), name="Miller, Jane")
    fake.error = RuntimeError("boom")
    assert press(dock, qtbot) == "failed" and "Miller, Jane" in dock.view.status.text()
    text = log_file().read_text(encoding="utf-8")
    assert "A job of a dock failed" in text and "boom" in text and "Miller" not in text


@pytest.mark.parametrize("what", ["deleted", "replaced"])
def test_an_image_that_is_no_longer_there(dock, viewer_model, fake, qtbot, what):
    image = viewer_model.add_image(pixels(), name="photo")
    fake.gate.clear()
    with qtbot.waitSignal(dock.finished, timeout=20_000) as end:
        qtbot.mouseClick(dock.view.run_button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(fake.begun.is_set, timeout=10_000)
        if what == "deleted":
            viewer_model.layers.remove(image)
        else:
            image.data = pixels(5)
        fake.gate.set()
    assert end.args == ["dropped"] and what in dock.view.status.text() and not of(viewer_model, "segments")


def test_layers_that_were_deleted_come_back(dock, viewer_model, fake, qtbot):
    viewer_model.add_image(pixels(), name="photo")
    press(dock, qtbot)
    for layer in list(viewer_model.layers)[1:]:
        viewer_model.layers.remove(layer)
    edit(dock, qtbot, "threshold", 0.2)
    assert of(viewer_model, "mask") and press(dock, qtbot) == "done"
    assert all(of(viewer_model, role) for role in ("eigenvectors", "segments", "mask", "object box"))


def test_the_models_advice_is_shown(dock):
    assert dock.asked.value("features") == "output" and dock.view.cut.rows["clusters"].editor.value() == 4
    dock.view.cut.rows["clusters"].edited.emit(6)
    assert dock.asked.options()["clusters"] == 6
    dock.view.cut.rows["clusters"].reset.emit()
    assert dock.asked.parameters == {}
    listed = [dock.view.model.combo.itemText(k) for k in range(dock.view.model.combo.count())]
    assert listed[0] == "mini" and "mini-vqa" not in listed


def test_nothing_to_segment(dock):
    assert not dock.view.run_button.isEnabled() and "Open an image first" in dock.view.status.text()


def test_a_closed_dock_lets_go(viewer_model, fake, qtbot):
    dock = SegmentsDock(viewer_model)
    qtbot.addWidget(dock)
    dock.show()
    viewer_model.add_image(pixels(), name="photo")
    press(dock, qtbot)
    assert dock._on_mouse in viewer_model.mouse_drag_callbacks
    dock.close()
    assert dock._on_mouse not in viewer_model.mouse_drag_callbacks
    assert dock.shown is None and not [t for t in threading.enumerate() if t.name.startswith("vlexplain-measure")]
