"""The Look dock on a viewer model: looks, fading, blinking, tiles, isolines, and everything given back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import toys
from qtpy.QtWidgets import QApplication

from napari_vlexplain import explain
from napari_vlexplain.choices.look import DIVERGING, Look
from napari_vlexplain.layers.explanations import record_of
from napari_vlexplain.widgets.look.dock import UNKNOWN, LookDock
from napari_vlexplain.widgets.look.layers import METADATA, look_of
from napari_vlexplain.widgets.viewer.grid import grid_of
from napari_vlexplain.widgets.viewer.heatmaps import show_heatmap
from napari_vlexplain.widgets.viewer.keys_help import keys_table, show_keys
from napari_vlexplain.widgets.viewer.layers import find_layers, info, layer_kind, new_metadata
from napari_vlexplain.widgets.viewer.planes import is_heatmap, is_labels, is_truth
from napari_vlexplain.widgets.viewer.settings import Settings

SHAPE = (36, 48)


@pytest.fixture
def viewer(viewer_model: Any) -> Any:
    """An image in millimetres, its truth, and three heatmaps: two methods for a dog, one for a cat."""
    image = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
    source = viewer_model.add_image(image, name="scan", scale=(0.5, 0.25), translate=(3, 4), contrast_limits=(0, 200))
    truth = np.zeros(SHAPE, dtype=np.uint8)
    truth[4:12, 8:20] = 1
    viewer_model.add_labels(
        truth, name="truth", metadata=new_metadata("truth", source), scale=(0.5, 0.25), translate=(3, 4)
    )
    ramp = np.linspace(0, 1, truth.size, dtype=np.float32).reshape(SHAPE)
    for method, prompt in (("relevance", "a dog"), ("grad_eclip", "a dog"), ("relevance", "a cat")):
        viewer_model.add_image(
            ramp,
            name=f"scan | {method} | {prompt}",
            colormap="inferno",
            contrast_limits=(0, 1),
            opacity=0.7,
            scale=(0.5, 0.25),
            translate=(3, 4),
            metadata=new_metadata("heatmap", source, prompt=prompt, request={"method": method}),
        )
    return viewer_model


@pytest.fixture
def dock(viewer: Any, qtbot: Any) -> LookDock:
    dock = LookDock(viewer)
    qtbot.addWidget(dock)
    return dock


def settled(dock: LookDock, qtbot: Any) -> None:
    qtbot.wait(80)
    qtbot.waitUntil(lambda: not dock.busy)


def display(viewer: Any) -> list[tuple[Any, ...]]:
    """All that a user sees of the layers, in order."""
    return [
        (
            x.name,
            x.visible,
            x.opacity,
            *(([*x.contrast_limits], x.colormap.name, x.colormap.colors.tolist()) if hasattr(x, "colorbar") else ()),
        )
        for x in viewer.layers
    ]


def maps(viewer: Any) -> list[Any]:
    return find_layers(viewer.layers, "heatmap")


def test_an_empty_viewer_says_what_to_do(viewer_model, qtbot):
    dock = LookDock(viewer_model)
    qtbot.addWidget(dock)
    assert "Run Explain first" in dock.view.status.text() and not dock.view.grid_button.isEnabled()
    dock.view.grid_button.click()
    settled(dock, qtbot)
    dock.reset()
    source = viewer_model.add_image(np.zeros(SHAPE), name="scan")
    viewer_model.add_image(np.zeros(SHAPE), metadata=new_metadata("heatmap", source))
    assert dock.view.status.text() == ""


def test_a_look_goes_to_all_maps_of_the_image_and_back(dock, viewer):
    before = display(viewer)
    dock.view.low.setValue(0.3)
    dock.view.opacity.setValue(0.4)
    dock.view.colormap.setCurrentIndex(dock.view.colormap.findData("cividis"))
    for layer in maps(viewer):
        assert layer.opacity == pytest.approx(0.4) and layer.colormap.name == "cividis, look"
        assert layer.colormap.map(np.array([0.25]))[0, 3] == 0 < layer.colormap.map(np.array([0.9]))[0, 3]
    assert viewer.layers["scan"].colormap.name == "gray", "the image is left alone"
    dock.reset()
    assert display(viewer) == before and METADATA not in maps(viewer)[0].metadata
    dock.reset()
    assert "Nothing to reset" in dock.view.status.text()


def test_only_one_map_when_the_box_is_not_ticked(dock, viewer):
    dock.view.alike.setChecked(False)
    dock.view.map.set_layer(maps(viewer)[1])
    dock.view.gamma.setValue(3.0)
    assert [look_of(x).gamma for x in maps(viewer)] == [1.5, 3.0, 1.5]


def test_the_dock_shows_what_a_layer_looks_like_whoever_made_it_so(dock, viewer):
    layer = dock.view.map.layer
    layer.opacity = 0.25
    assert dock.view.opacity.value() == pytest.approx(0.25)
    layer.colormap = "turbo"
    assert dock.view.colormap.currentData() == "turbo" and dock.view.constant.isChecked()


def test_looks_stay_with_their_layers_through_renaming_and_another_dock(dock, viewer, qtbot):
    dock.view.levels.setText("0.5")
    dock.view.levels.editingFinished.emit()
    dock.view.low.setValue(0.2)
    settled(dock, qtbot)
    dock.close()
    maps(viewer)[-1].name = "mine"
    other = LookDock(viewer)
    qtbot.addWidget(other)
    assert other.view.look().low == pytest.approx(0.2) and other.view.look().levels == (0.5,)


def test_napari_does_not_gather_colour_maps(dock):
    from napari.utils.colormaps import AVAILABLE_COLORMAPS

    dock.view.low.setValue(0.01)
    count = len(AVAILABLE_COLORMAPS)
    for step in range(2, 40):
        dock.view.low.setValue(step / 100)
    assert len(AVAILABLE_COLORMAPS) == count


def test_a_new_run_keeps_the_look(viewer_model, qtbot):
    image = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    source = viewer_model.add_image(image)
    found = explain(image, "a dog", toys.transformer(), "grad_eclip")
    layer = show_heatmap(viewer_model, source, found, (), False, Settings())
    dock = LookDock(viewer_model)
    qtbot.addWidget(dock)
    assert look_of(layer) == Look() and dock.view.full.value() == pytest.approx(0.6)
    dock.view.colormap.setCurrentIndex(dock.view.colormap.findData(DIVERGING))
    settled(dock, qtbot)
    raw = found.pixel_scores
    zero = float(-raw.min() / np.ptp(raw))
    reach = max(zero, 1 - zero)
    np.testing.assert_allclose(layer.contrast_limits, (zero - reach, zero + reach), atol=1e-6)
    assert f"{zero:.2f}" in dock.view.status.text()
    again = explain(image[::-1].copy(), "a dog", toys.transformer(), "grad_eclip")
    assert show_heatmap(viewer_model, source, again, (), False, Settings()) is layer
    settled(dock, qtbot)
    raw = again.pixel_scores
    zero = float(-raw.min() / np.ptp(raw))
    assert np.mean(layer.contrast_limits) == pytest.approx(zero, abs=1e-6) and look_of(layer).centred
    assert info(layer)["patch_scores"] == record_of(again)["patch_scores"]
    dock.reset()
    assert layer.contrast_limits == [0, 1] and layer.colormap.name == "inferno, faded"


def test_a_map_without_a_record_says_so_when_centred(dock, qtbot):
    dock.view.colormap.setCurrentIndex(dock.view.colormap.findData(DIVERGING))
    settled(dock, qtbot)
    assert dock.view.status.text() == UNKNOWN
    assert dock.view.map.layer.contrast_limits == [-1, 1]


def test_fading_mixes_two_maps_and_hides_the_third(dock, viewer, qtbot):
    before = display(viewer)
    a, b = dock.view.a.layer, dock.view.b.layer
    assert a != b
    dock.view.fade.setValue(0.25)
    assert dock.mode == "fade" and dock.view.fade_button.isChecked()
    assert (a.opacity, b.opacity) == (pytest.approx(0.525), pytest.approx(0.175))
    third = next(x for x in maps(viewer) if x not in (a, b))
    assert a.visible and b.visible and not third.visible
    dock.view.opacity.setValue(1.0)
    assert (a.opacity, b.opacity) == (pytest.approx(0.75), pytest.approx(0.25))
    dock.reset()
    settled(dock, qtbot)
    assert display(viewer) == before


def test_blinking_takes_turns_no_faster_than_is_safe(dock, viewer, qtbot):
    before = display(viewer)
    a, b = dock.view.a.layer, dock.view.b.layer
    dock.view.rate.setValue(50)
    assert dock.view.rate.value() == 3.0
    dock.view.blink_button.click()
    assert dock._timer.interval() >= 333 and (a.opacity, b.opacity) == (pytest.approx(0.7), 0)
    qtbot.waitUntil(lambda: b.opacity > 0)
    assert a.opacity == 0
    dock.view.blink_button.click()
    assert not dock._timer.isActive() and display(viewer) == before


@pytest.mark.parametrize("mode", ["fade", "blink", "grid"])
def test_a_deleted_map_ends_it_well(dock, viewer, qtbot, mode):
    dock.set_mode(mode)
    settled(dock, qtbot)
    gone = dock.view.a.layer
    viewer.layers.remove(gone)
    qtbot.wait(20)
    dock.set_mode("")
    settled(dock, qtbot)
    assert [x.name for x in viewer.layers if layer_kind(x) == "tile"] == []
    assert all(x.opacity == pytest.approx(0.7) and x.visible for x in maps(viewer)) and len(maps(viewer)) == 2


@pytest.mark.parametrize("mode", ["fade", "blink", "grid"])
def test_closing_the_dock_gives_the_display_back(dock, viewer, mode, qtbot):
    before = display(viewer)
    dock.set_mode(mode)
    settled(dock, qtbot)
    dock.close()
    assert display(viewer) == before and not dock._timer.isActive() and not grid_of(viewer).enabled


def test_tiles_repeat_the_image_and_the_truth_under_each_map(dock, viewer, qtbot):
    viewer.layers["truth"].contour = 3
    before = display(viewer)
    dock.view.grid_button.click()
    settled(dock, qtbot)
    grid = grid_of(viewer)
    assert grid.enabled and abs(grid.stride) == 3 and len(viewer.layers) == 9
    places: dict[Any, set[str]] = {}
    for number, layer in enumerate(viewer.layers):
        places.setdefault(tuple(grid.position(number, viewer.layers)), set()).add(type(layer).__name__)
    assert sorted(map(len, places.values())) == [2, 2, 2] and len(set(places)) == 3
    kinds = [layer_kind(x) for x in viewer.layers]
    assert kinds.count("heatmap") == 3 and kinds.count("tile") == 4
    viewer.layers["scan"].contrast_limits = (10, 90)
    copies = find_layers(viewer.layers, "tile")
    images = [x for x in copies if hasattr(x, "contrast_limits")]
    assert all(list(x.contrast_limits) == [10, 90] and x.data is viewer.layers["scan"].data for x in images)
    np.testing.assert_allclose(images[0].scale, (0.5, 0.25))
    assert all(x.contour == 3 for x in copies if x not in images), "outlines stay outlines"
    assert not any(is_heatmap(x) or is_truth(x) or is_labels(x) for x in copies), "no dock offers a copy"
    viewer.layers["scan"].contrast_limits = (0, 200)
    dock.view.grid_button.click()
    settled(dock, qtbot)
    assert display(viewer) == before and not grid.enabled


@pytest.mark.parametrize("pieces", [0, 1, 4, 9])
def test_tiles_that_are_left_half_way_are_cleared_up(dock, viewer, qtbot, pieces):
    before = display(viewer)
    dock.set_mode("grid")
    for _ in range(pieces):
        QApplication.processEvents()
    dock.set_mode("")
    settled(dock, qtbot)
    assert display(viewer) == before and not grid_of(viewer).enabled and dock.mode == ""


def test_a_map_that_arrives_while_tiles_are_made_gets_one_too(dock, viewer, qtbot):
    dock.set_mode("grid")
    QApplication.processEvents()
    source = viewer.layers["scan"]
    viewer.add_image(np.zeros(SHAPE, np.float32), name="new", metadata=new_metadata("heatmap", source, prompt="a dog"))
    qtbot.waitUntil(lambda: len(find_layers(viewer.layers, "tile")) == 6 and not dock.busy)
    dock.set_mode("")
    settled(dock, qtbot)
    assert find_layers(viewer.layers, "tile") == []


def test_strokes_are_seen_in_every_tile(dock, viewer, qtbot):
    dock.set_mode("grid")
    settled(dock, qtbot)
    truth = viewer.layers["truth"]
    truth.paint((30, 40), 1)
    copy = next(x for x in find_layers(viewer.layers, "tile") if not hasattr(x, "contrast_limits"))
    assert copy.data[30, 40] == 1
    truth.undo()
    assert copy.data[30, 40] == 0


def test_tiles_of_methods_or_of_prompts(dock, viewer, qtbot):
    dock.view.a.set_layer(maps(viewer)[0])
    for which, expected in (("methods", {0, 1}), ("prompts", {0, 2})):
        dock.view.which.setCurrentIndex(dock.view.which.findData(which))
        dock.set_mode("grid")
        settled(dock, qtbot)
        assert {n for n, x in enumerate(sorted(maps(viewer), key=ORDER.index_of)) if x.visible} == expected
    dock.set_mode("")
    settled(dock, qtbot)


class ORDER:
    """Maps as they were added, whatever tile they are in."""

    NAMES = ("scan | relevance | a dog", "scan | grad_eclip | a dog", "scan | relevance | a cat")

    @classmethod
    def index_of(cls, layer: Any) -> int:
        return cls.NAMES.index(layer.name)


def test_a_map_that_arrives_gets_its_tile(dock, viewer, qtbot):
    dock.set_mode("grid")
    settled(dock, qtbot)
    source = viewer.layers["scan"]
    viewer.add_image(np.zeros(SHAPE, np.float32), name="new", metadata=new_metadata("heatmap", source, prompt="a dog"))
    qtbot.waitUntil(lambda: len(find_layers(viewer.layers, "tile")) == 6)
    dock.set_mode("")
    settled(dock, qtbot)
    assert [x.name for x in viewer.layers][-1] == "new" and find_layers(viewer.layers, "tile") == []


def test_turning_naparis_grid_off_is_taken_for_the_end(dock, viewer, qtbot):
    before = display(viewer)
    dock.set_mode("grid")
    settled(dock, qtbot)
    grid_of(viewer).enabled = False
    settled(dock, qtbot)
    assert dock.mode == "" and not dock.view.grid_button.isChecked() and display(viewer) == before


def test_isolines_follow_their_map(dock, viewer, qtbot):
    dock.view.alike.setChecked(False)
    layer = dock.view.map.layer
    dock.view.levels.setText("0.5, 0.75")
    dock.view.levels.editingFinished.emit()
    settled(dock, qtbot)
    (lines,) = find_layers(viewer.layers, "isolines")
    assert len(lines.data) == 2 and info(lines)["source"] == info(layer)["id"] and not is_truth(lines)
    np.testing.assert_allclose(lines.scale, (0.5, 0.25))
    assert list(viewer.layers).index(lines) == list(viewer.layers).index(layer) + 1
    at_half = float(np.mean([points[:, 0].mean() for points in lines.data]))
    layer.data = layer.data[::-1].copy()
    settled(dock, qtbot)
    assert np.mean([points[:, 0].mean() for points in lines.data]) < at_half
    layer.scale = (1, 1)
    np.testing.assert_allclose(lines.scale, (1, 1))
    layer.visible = False
    assert not lines.visible
    viewer.layers.remove(layer)
    assert find_layers(viewer.layers, "isolines") == []


def test_no_levels_take_the_lines_away(dock, viewer, qtbot):
    for text in ("0.5", ""):
        dock.view.levels.setText(text)
        dock.view.levels.editingFinished.emit()
        settled(dock, qtbot)
        assert len(find_layers(viewer.layers, "isolines")) == (3 if text else 0)
    dock.view.levels.setText("half")
    dock.view.levels.editingFinished.emit()
    assert "between 0 and 1" in dock.view.status.text()


def test_tiles_with_lines_on_one_map_only(dock, viewer, qtbot):
    dock.view.alike.setChecked(False)
    dock.view.levels.setText("0.5")
    dock.view.levels.editingFinished.emit()
    settled(dock, qtbot)
    before = display(viewer)
    dock.set_mode("grid")
    settled(dock, qtbot)
    assert abs(grid_of(viewer).stride) == 4
    dock.set_mode("")
    settled(dock, qtbot)
    assert display(viewer) == before


def test_one_legend_for_all_tiles(dock, viewer, qtbot):
    dock.view.bar.setChecked(True)
    assert all(x.colorbar.visible for x in maps(viewer))
    dock.set_mode("grid")
    settled(dock, qtbot)
    assert sum(x.colorbar.visible for x in maps(viewer)) == 1
    dock.set_mode("")
    settled(dock, qtbot)
    assert all(x.colorbar.visible for x in maps(viewer))


def test_keys_are_listed(dock, qtbot):
    dialog = show_keys(dock)
    assert dialog.isVisible()
    dialog.close()
    assert "| `J` | Blink" in keys_table()


def test_other_scores_are_centred_anew_whichever_map_is_chosen(dock, viewer, qtbot):
    dock.view.colormap.setCurrentIndex(dock.view.colormap.findData(DIVERGING))
    settled(dock, qtbot)
    other = next(x for x in maps(viewer) if x != dock.view.map.layer)
    image = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    found = explain(image, "a dog", toys.transformer(), "grad_eclip")
    info(other).update(record_of(found))
    other.data = found.heatmap
    settled(dock, qtbot)
    raw = found.pixel_scores
    assert np.mean(other.contrast_limits) == pytest.approx(float(-raw.min() / np.ptp(raw)), abs=1e-6)


def test_maps_of_several_resolutions_too(viewer_model, qtbot):
    """As the Cases dock has them."""
    data = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    pyramid = [np.zeros((64, 64), np.uint8), np.zeros((32, 32), np.uint8)]
    source = viewer_model.add_image(pyramid, multiscale=True, name="scan")
    for name in ("x", "y"):
        viewer_model.add_image(
            [data, data[::2, ::2]], multiscale=True, contrast_limits=(0, 1), name=name,
            metadata=new_metadata("heatmap", source, prompt=name),
        )  # fmt: skip
    dock = LookDock(viewer_model)
    qtbot.addWidget(dock)
    dock.view.levels.setText("0.5")
    dock.view.levels.editingFinished.emit()
    settled(dock, qtbot)
    assert [len(x.data) for x in find_layers(viewer_model.layers, "isolines")] == [1, 1]
    dock.set_mode("grid")
    settled(dock, qtbot)
    assert len(find_layers(viewer_model.layers, "tile")) == 1
    dock.set_mode("")
    settled(dock, qtbot)
    dock.reset()
    settled(dock, qtbot)
    assert len(viewer_model.layers) == 3
