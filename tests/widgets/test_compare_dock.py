"""The Compare dock on a viewer model: what is asked, what is told, and the grid and table that come of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import toys
from napari.components import ViewerModel
from qtpy.QtCore import Qt, QThreadPool
from qtpy.QtWidgets import QApplication

from napari_vlexplain.errors import Cancelled, VLExplainError
from napari_vlexplain.tasks.compare import Comparison, compare
from napari_vlexplain.widgets.compare import dock as module
from napari_vlexplain.widgets.compare.dock import CompareDock
from napari_vlexplain.widgets.compare.layers import fill_grid
from napari_vlexplain.widgets.compare.table import ComparisonTable
from napari_vlexplain.widgets.parts.lists import CheckList
from napari_vlexplain.widgets.viewer.grid import grid_of
from napari_vlexplain.widgets.viewer.settings import Settings

SHAPE = (36, 48)


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


def truth() -> np.ndarray:
    found = np.zeros(SHAPE, dtype=int)
    found[4:12, 8:20], found[14:20, 2:9] = 1, 2
    return found


class Fake:
    """Stands in for the comparison: a toy model, which waits until it is let go."""

    def __init__(self) -> None:
        self.gate, self.begun = threading.Event(), threading.Event()
        self.gate.set()
        self.asked: dict[str, Any] = {}
        self.error: BaseException | None = None

    def __call__(self, image: np.ndarray, prompts: Any, methods: Any, models: Any, **options: Any) -> Comparison:
        assert threading.current_thread() is not threading.main_thread()
        self.asked = {"prompts": prompts, "methods": methods, "models": models, **options}
        self.begun.set()
        while not self.gate.wait(0.01):
            if options["cancel"]():
                raise Cancelled
        if self.error is not None:
            raise self.error
        return compare(image, prompts, methods, [toys.transformer()], ground_truth=options["ground_truth"])


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    found = Fake()
    monkeypatch.setattr(module, "compare", found)
    monkeypatch.setattr("napari.utils.notifications.show_error", lambda message: None)
    yield found
    found.gate.set()
    QThreadPool.globalInstance().waitForDone(10_000)


@pytest.fixture
def opened(qtbot: Any, viewer_model: ViewerModel, fake: Fake) -> tuple[CompareDock, ViewerModel, list[Comparison]]:
    dock = CompareDock(viewer_model)
    qtbot.addWidget(dock)
    shown: list[Comparison] = []
    dock.show_comparison = shown.append
    viewer_model.add_image(picture(), name="photo")
    dock.view.prompts.set_prompts(["a cat", "two dogs"])
    dock.view.methods.tick(["saliency", "rollout"])
    return dock, viewer_model, shown


def press(dock: CompareDock, qtbot: Any) -> str:
    with qtbot.waitSignal(dock.finished, timeout=60_000) as ended:
        qtbot.mouseClick(dock.view.run_button, Qt.MouseButton.LeftButton)
    return ended.args[0]


def test_what_is_ticked_is_compared(opened: Any, fake: Fake, qtbot: Any) -> None:
    dock, _, shown = opened
    assert press(dock, qtbot) == "done"
    assert fake.asked["methods"] == ("rollout", "saliency") and fake.asked["models"] == ("mini",)
    assert fake.asked["prompts"] == ("a cat", "two dogs") and fake.asked["ground_truth"] == (None, None)
    assert shown == [dock.shown] and "2 ways on 2 prompts" in dock.view.status.text()


def test_each_prompt_is_measured_against_its_own_label(opened: Any, fake: Fake, qtbot: Any) -> None:
    dock, viewer, _ = opened
    layer = viewer.add_labels(truth(), name="truth")
    dock.view.truth.set_layer(layer)
    assert press(dock, qtbot) == "done"
    for number, found in enumerate(fake.asked["ground_truth"], start=1):
        np.testing.assert_array_equal(found.mask, truth() == number)
    dock.view.one_each.setChecked(False)
    press(dock, qtbot)
    np.testing.assert_array_equal(fake.asked["ground_truth"][0].mask, truth() > 0)
    layer.data = truth()[:, ::2].copy()  # made for another picture
    press(dock, qtbot)
    assert "does not reach over the whole image" in fake.asked["ground_truth"][0].notes[0]


def test_boxes_are_a_ground_truth_for_all(opened: Any, fake: Fake, qtbot: Any) -> None:
    dock, viewer, _ = opened
    viewer.layers["photo"].scale = (2, 2)
    box = np.array([[8, 16], [8, 40], [24, 40], [24, 16]])
    dock.view.truth.set_layer(viewer.add_shapes([box], shape_type="rectangle"))
    assert press(dock, qtbot) == "done"
    mask = fake.asked["ground_truth"][1].mask
    assert 8 * 12 * 0.8 < mask.sum() < 9 * 13 * 1.2 and mask[8, 14] and not mask[2, 2]


def test_an_empty_truth_is_said(opened: Any, qtbot: Any) -> None:
    dock, viewer, _ = opened
    dock.view.truth.set_layer(viewer.add_labels(np.zeros(SHAPE, int)))
    assert press(dock, qtbot) == "failed" and "empty" in dock.view.status.text()


def test_what_is_missing_is_said(opened: Any) -> None:
    dock, viewer, _ = opened
    dock.view.methods.tick([])
    assert not dock.view.run_button.isEnabled() and "method" in dock.view.status.text()
    dock.view.methods.tick(["saliency"])
    dock.view.models.tick([])
    assert "model" in dock.view.status.text()
    dock.view.models.tick(["mini"])
    dock.view.prompts.set_prompts([])
    assert "prompt" in dock.view.status.text()
    viewer.layers.clear()
    assert "image" in dock.view.status.text()


def test_cancel_and_failure_leave_the_dock_ready(opened: Any, fake: Fake, qtbot: Any) -> None:
    dock, _, shown = opened
    fake.gate.clear()
    dock.run()
    assert fake.begun.wait(10)
    qtbot.waitUntil(lambda: dock.view.run_button.text() == "Cancel")
    assert press(dock, qtbot) == "cancelled" and dock.view.run_button.text() == "Compare"
    fake.gate.set()
    fake.error = VLExplainError("It does not work.")
    assert press(dock, qtbot) == "failed" and dock.view.status.text() == "It does not work."
    assert shown == [] and dock.view.run_button.isEnabled()


def test_prompts_of_a_sample_are_suggested(opened: Any) -> None:
    dock, viewer, _ = opened
    dock.view.prompts.set_prompts([])
    known = {"id": "1", "kind": "source", "source": None, "prompts": ["a sunflower"]}
    dock.view.image.set_layer(viewer.add_image(picture(), metadata={"napari_vlexplain": known}))
    assert dock.view.prompts.prompts == ("a sunflower",)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    masks, methods = [truth() == 1, None], ["saliency", "rollout", "legrad"]
    return compare(picture(), ["a cat", "two dogs"], methods, [toys.transformer()], ground_truth=masks)


def test_tiles_stand_in_rows_of_prompts_and_columns_of_ways(comparison: Comparison, viewer_model: ViewerModel) -> None:
    fill_grid(viewer_model, comparison, Settings())
    grid = grid_of(viewer_model)
    assert grid.enabled and tuple(grid.shape) == (2, 3) and abs(grid.stride) == 4
    assert len(viewer_model.layers) == 6 * 4
    layers = list(viewer_model.layers)
    for row, prompt in enumerate(comparison.prompts):
        for column, way in enumerate(comparison.titles):
            tile = {index for index, layer in enumerate(layers) if layer.name.startswith(f"{way} | {prompt}")}
            assert len(tile) == 4
            assert {tuple(grid.position(index, layers)) for index in tile} == {(row, column)}


def test_the_table_has_a_line_for_each_way(comparison: Comparison, qtbot: Any, tmp_path: Any) -> None:
    table = ComparisonTable(comparison, "inferno")
    qtbot.addWidget(table)
    assert [name for name, _ in table.rows] == list(comparison.titles)
    assert table.rows[0][1]["iou"] == f"{comparison.mean(0, 'iou'):.3f}"
    table.copy()
    copied = QApplication.clipboard().text().splitlines()
    assert len(copied) == 4 and copied[0].startswith("method\tpointing") and copied[1].startswith("saliency\t")
    table.save(str(tmp_path / "grid.png"))
    assert (tmp_path / "grid.png").stat().st_size > 1000 and "Saved" in table.status.text()
    table.save(str(tmp_path / "nowhere" / "grid.png"))
    assert "cannot be saved" in table.status.text()


def test_a_way_that_does_not_fit_is_an_empty_tile(viewer_model: ViewerModel, qtbot: Any) -> None:
    found = compare(picture(), "a cat", ["saliency", "grad_eclip"], [toys.transformer(mean=True)])
    fill_grid(viewer_model, found, Settings())
    (empty,) = [layer for layer in viewer_model.layers if "does not fit" in layer.name]
    assert empty.opacity == 0
    table = ComparisonTable(found, "inferno")
    qtbot.addWidget(table)
    assert "cls_readout" in table.status.text()


def test_a_list_of_ticks(qtbot: Any) -> None:
    ticks = CheckList(3)
    qtbot.addWidget(ticks)
    for name in "abc":
        ticks.add(name, name.upper(), "", name == "b")
    assert ticks.names == ("b",)
    with qtbot.waitSignal(ticks.changed):
        ticks.tick(["a", "c"])
    ticks.add("b", "B", "", True)
    assert ticks.names == ("a", "b", "c") and ticks.count() == 3
