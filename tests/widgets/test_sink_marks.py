"""Outlines of sinks: where the record says, on the image's own pixels, hidden until the user shows them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import toys
from napari.components import ViewerModel

from napari_vlexplain import explain
from napari_vlexplain.results.explanation import Explanation
from napari_vlexplain.widgets.viewer.heatmaps import show_heatmap
from napari_vlexplain.widgets.viewer.layers import find_layers
from napari_vlexplain.widgets.viewer.settings import Settings
from napari_vlexplain.widgets.viewer.sinks import KIND, mark_sinks

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 64, 3), dtype=np.uint8)  # twice and four times the model's


def of_patches(*patches: tuple[int, int]) -> Explanation:
    found = explain(PICTURE, "a dog", toys.transformer(), "grad_eclip")
    notes = {"sinks": {"patches": [list(at) for at in patches], "blocks": [1] * len(patches), "choice": "keep"}}
    return replace(found, provenance={**found.provenance, "notes": notes})


@pytest.mark.parametrize("plane", [(), (2,)])
def test_sinks_are_outlined_and_replaced(plane: tuple[int, ...]) -> None:
    viewer = ViewerModel()
    data = np.stack([PICTURE] * 4) if plane else PICTURE
    source = viewer.add_image(data, rgb=True, scale=(3,) * len(plane) + (1, 2))
    found = of_patches((1, 2), (0, 0))
    heatmap = show_heatmap(viewer, source, found, plane, False, Settings())
    selected = set(viewer.layers.selection)
    mark_sinks(viewer, heatmap, found)
    (layer,) = find_layers(viewer.layers, KIND)
    assert not layer.visible and viewer.layers.selection == selected
    first = layer.data[0]
    assert first[:, :-2].tolist() == [list(plane)] * 4
    inside = np.zeros(PICTURE.shape[:2], dtype=bool)
    low, high = first[:, -2:].min(axis=0), first[:, -2:].max(axis=0)
    rows, columns = np.mgrid[:24, :64]
    inside = (rows > low[0]) & (rows < high[0]) & (columns > low[1]) & (columns < high[1])
    hot = np.zeros(toys.GRID)
    hot[1, 2] = 1
    np.testing.assert_array_equal(inside, found.geometry.scores_to_source(hot, nearest=True) == 1)
    np.testing.assert_array_equal(layer.scale, source.scale)

    layer.visible, layer.name = True, "mine"
    mark_sinks(viewer, heatmap, of_patches((2, 3)))
    (layer,) = find_layers(viewer.layers, KIND)
    assert layer.visible and layer.name == "mine" and len(layer.data) == 1
    mark_sinks(viewer, heatmap, of_patches())
    assert not find_layers(viewer.layers, KIND)
