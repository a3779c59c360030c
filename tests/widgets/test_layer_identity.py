"""What napari copies, splits, merges, turns into another type or brings back is a layer of its own, of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Shapes, _layer_actions
from napari.plugins import _initialize_plugins
from napari.utils._proxies import PublicOnlyProxy

from napari_vlexplain.layers.dicom import read_dicom_layers
from napari_vlexplain.widgets.viewer.identity import TYPES
from napari_vlexplain.widgets.viewer.layers import (
    ensure_id,
    find_layer,
    find_layers,
    info,
    is_copy,
    layer_id,
    layer_kind,
    mark,
    meet,
    new_metadata,
    source_id,
)

RNG = np.random.default_rng(0)
KINDS = ["source", *TYPES]


def made(kind: str, source: Any = None, shape: tuple[int, ...] = (12, 16), as_shapes: bool = False) -> Any:
    """A layer of a kind, as docks make it."""
    metadata = new_metadata(kind, source, prompt="a dog", plane=[])
    wanted = TYPES.get(kind, ("Image",))
    if wanted == ("Shapes",) or as_shapes:
        return Shapes([np.array([(2, 2), (2, 9), (8, 9), (8, 2)])], shape_type="polygon", metadata=metadata, name=kind)
    if "Labels" in wanted:
        return Labels(RNG.integers(0, 3, shape).astype(np.uint8), metadata=metadata, name=kind)
    return Image(RNG.random(shape).astype(np.float32), metadata=metadata, name=kind)


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def only(viewer: ViewerModel, *layers: Any) -> None:
    viewer.layers.selection = set(layers)


def sound(viewer: ViewerModel) -> None:
    """No two layers have one id, and every kind fits its layer's type."""
    ids = [layer_id(layer) for layer in viewer.layers if info(layer)]
    assert len(set(ids)) == len(ids)
    for layer in viewer.layers:
        wanted = TYPES.get(layer_kind(layer) or "")
        assert wanted is None or type(layer).__name__ in wanted
        assert find_layer(viewer.layers, layer_id(layer)) in (layer, None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_duplicate_is_one_of_its_own_and_keeps_what_it_is(viewer: ViewerModel, kind: str) -> None:
    image = viewer.add_layer(made("source"))
    layer = viewer.add_layer(made(kind, image))
    known = layer_id(layer)
    only(viewer, layer)
    _layer_actions._duplicate_layer(viewer.layers)
    _layer_actions._duplicate_layer(viewer.layers)
    first, second = [x for x in viewer.layers if x not in (image, layer)]
    sound(viewer)
    assert layer_id(layer) == known and not is_copy(layer) and is_copy(first) and is_copy(second)
    assert layer_kind(first) == kind and source_id(first) == source_id(layer) == ensure_id(image)
    assert find_layers(viewer.layers, kind, ensure_id(image)) == [layer]
    assert find_layers(viewer.layers, kind, ensure_id(image), copies=True) == [layer, first, second]
    info(layer)["plane"].append(7)
    assert info(first)["plane"] == [], "nothing is shared"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "Shapes" not in TYPES.get(kind, ()) or kind == "truth"])
@pytest.mark.parametrize("to", ["labels", "image"])
def test_converted(viewer: ViewerModel, kind: str, to: str) -> None:
    image = viewer.add_layer(made("source"))
    layer = viewer.add_layer(made(kind, image))
    known, before = layer_id(layer), type(layer)
    only(viewer, layer)
    getattr(_layer_actions, f"_convert_to_{to}")(viewer.layers)
    sound(viewer)
    new = next(x for x in viewer.layers if x is not image and x is not layer)
    assert layer_id(new) != known
    if type(new) is not before:
        assert layer_kind(new) is None and "prompt" not in info(new)
    mark(new, "mask" if to == "labels" else "heatmap", image)
    sound(viewer)


def test_one_that_was_converted_before_anybody_met_it(viewer: ViewerModel) -> None:
    heatmap = viewer.add_layer(made("heatmap"))
    heatmap.data = (heatmap.data * 9).astype(np.uint8)
    only(viewer, heatmap)
    _layer_actions._convert_to_labels(viewer.layers)
    assert heatmap not in viewer.layers and find_layers(viewer.layers, "heatmap") == []
    assert layer_kind(viewer.layers[0]) is None


def test_shapes_to_labels(viewer: ViewerModel) -> None:
    boxes = viewer.add_layer(made("boxes"))
    truth = viewer.add_layer(made("truth", as_shapes=True))
    known = layer_id(boxes), layer_id(truth)
    only(viewer, boxes, truth)
    _layer_actions._convert_to_labels(viewer.layers)
    sound(viewer)
    new = [x for x in viewer.layers if isinstance(x, Labels)]
    assert len(new) == 2 and all(layer_kind(x) is None for x in new)
    assert (layer_id(boxes), layer_id(truth)) == known


@pytest.mark.parametrize("kind", ["source", "heatmap", "eigenvectors"])
def test_a_stack_split_and_merged_again(viewer: ViewerModel, kind: str) -> None:
    stack = viewer.add_layer(made(kind, shape=(3, 12, 16)))
    known = layer_id(stack)
    only(viewer, stack)
    _layer_actions._split_stack(viewer.layers)
    assert len(viewer.layers) == 3
    sound(viewer)
    assert known not in {layer_id(x) for x in viewer.layers}, "a plane is not the stack"
    assert {layer_kind(x) for x in viewer.layers} == {"source" if kind == "source" else None}
    planes = list(viewer.layers)
    ids = [layer_id(x) for x in planes]
    only(viewer, *planes)
    _layer_actions._merge_stack(viewer.layers)
    sound(viewer)
    assert layer_id(viewer.layers[0]) not in {known, *ids}


def test_merged_heatmaps_are_no_heatmap_of_anybody_s_prompt(viewer: ViewerModel) -> None:
    image = viewer.add_layer(made("source"))
    both = [viewer.add_layer(made("heatmap", image)) for _ in range(2)]
    meet(viewer.layers)
    only(viewer, *both)
    _layer_actions._merge_stack(viewer.layers)
    assert find_layers(viewer.layers, "heatmap", copies=True) == []
    assert layer_kind(viewer.layers[-1]) is None and "prompt" not in info(viewer.layers[-1])
    sound(viewer)


def test_projected_and_one_level_extracted(viewer: ViewerModel) -> None:
    stack = viewer.add_layer(made("heatmap", shape=(3, 12, 16)))
    levels = [RNG.random((16, 16)), RNG.random((8, 8))]
    pyramid = viewer.add_image(levels, multiscale=True, metadata=new_metadata("heatmap"))
    known = {layer_id(stack), layer_id(pyramid)}
    only(viewer, stack)
    _layer_actions._project(viewer.layers)
    only(viewer, pyramid)
    _layer_actions._extract_multiscale_level_from_selection(viewer.layers)
    sound(viewer)
    assert len(viewer.layers) == 4 and {layer_id(stack), layer_id(pyramid)} == known


def test_renamed_removed_and_put_back_it_is_the_same(viewer: ViewerModel) -> None:
    image = viewer.add_layer(made("source"))
    heatmap = viewer.add_layer(made("heatmap", image))
    known = layer_id(heatmap)
    heatmap.name = "mine"
    viewer.layers.remove(heatmap)
    only(viewer, image)
    _layer_actions._duplicate_layer(viewer.layers)
    viewer.layers.append(heatmap)
    assert layer_id(heatmap) == known and find_layers(viewer.layers, "heatmap", ensure_id(image)) == [heatmap]
    again = Layer.create(*heatmap.as_layer_data_tuple())  # as it comes out of somebody's history or clipboard
    viewer.layers.remove(heatmap)
    viewer.add_layer(again)
    assert layer_id(again) != known and layer_kind(again) == "heatmap" and is_copy(again)
    sound(viewer)


def test_in_another_viewer_too(viewer: ViewerModel) -> None:
    layer, other = viewer.add_layer(made("heatmap")), ViewerModel()
    known = layer_id(layer)
    pasted = other.add_layer(Layer.create(*layer.as_layer_data_tuple()))
    assert layer_id(pasted) != known == layer_id(layer)


@pytest.mark.parametrize("kind", ["heatmap", "mask", "source"])
def test_saved_by_napari_and_opened_again_it_is_a_picture(viewer: ViewerModel, kind: str, tmp_path: Any) -> None:
    _initialize_plugins()
    layer = viewer.add_layer(made(kind))
    known, file = layer_id(layer), str(tmp_path / "saved.tif")
    assert layer.save(file, plugin="napari") == [file]
    (opened,) = viewer.open(file, plugin="napari")
    assert layer_id(opened) != known and layer_kind(opened) is None
    sound(viewer)


def test_a_duplicated_dicom_image(viewer: ViewerModel, tmp_path: Any) -> None:
    pydicom_data = pytest.importorskip("pydicom.data")
    (data,) = read_dicom_layers(pydicom_data.get_testdata_file("CT_small.dcm"))
    image = viewer.add_layer(Layer.create(*data))
    only(viewer, image)
    _layer_actions._duplicate_layer(viewer.layers)
    sound(viewer)
    copy = viewer.layers[1]
    assert copy is not image and layer_kind(copy) == "source" and info(copy)["dicom"] == info(image)["dicom"]
    heatmap = viewer.add_layer(made("heatmap", copy))
    assert find_layer(viewer.layers, source_id(heatmap)) is copy


def test_the_stand_in_that_napari_gives_to_plugins_is_the_layer(viewer: ViewerModel) -> None:
    layer = viewer.add_layer(made("heatmap"))
    known = layer_id(PublicOnlyProxy(layer))
    assert known == layer_id(layer) == layer_id(PublicOnlyProxy(layer))
    assert find_layers(PublicOnlyProxy(viewer).layers, "heatmap") == [layer]
    ensure_id(PublicOnlyProxy(layer))
    assert layer_id(layer) == known
