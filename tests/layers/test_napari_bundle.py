"""Saved explanations as layers and back, through napari's own reading and writing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from npe2 import PluginManager, PluginManifest

from napari_vlexplain import Explanation, explain
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.layers.explanations import (
    napari_get_reader,
    read_bundles,
    record_of,
    recorded,
    write_bundle,
)
from napari_vlexplain.results.bundle import is_bundle, load_masks
from napari_vlexplain.widgets.viewer.heatmaps import show_heatmap
from napari_vlexplain.widgets.viewer.layers import info
from napari_vlexplain.widgets.viewer.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "napari-vlexplain"


@pytest.fixture(autouse=True)
def plugins() -> Iterator[None]:
    manager = PluginManager.instance()
    known = PLUGIN in manager
    if not known:
        manager.register(PluginManifest.from_file(ROOT / "napari.yaml"))
    yield
    if not known:
        manager.unregister(PLUGIN)


@pytest.fixture(scope="module")
def explanations() -> list[Explanation]:
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return explain(image, ["a dog", "a kite"], name="scene.png")


@pytest.fixture
def viewer(explanations: list[Explanation]) -> ViewerModel:
    viewer = ViewerModel()
    source: Any = viewer.add_image(explanations[0].image, name="scene", rgb=True)
    for one in explanations:
        show_heatmap(viewer, source, one, (), False, Settings())
    painted = np.zeros((40, 60), np.int32)
    painted[5:20, 15:30], painted[25:30, 40:50] = 1, 2
    viewer.add_labels(painted, name="organs")
    viewer.add_labels(np.ones((7, 7), np.uint8), name="of another size")
    return viewer


def same(one: Explanation, other: Explanation) -> None:
    np.testing.assert_array_equal(one.patch_scores, other.patch_scores)
    np.testing.assert_array_equal(one.token_scores, other.token_scores)
    assert (one.prompt, one.tokens, one.words, one.score) == (other.prompt, other.tokens, other.words, other.score)
    assert one.request == other.request and one.geometry == other.geometry


def test_a_record_is_plain_and_complete(explanations):
    import json

    record = json.loads(json.dumps(record_of(explanations[0])))
    same(recorded(record), explanations[0])


@pytest.mark.parametrize("missing", ["prompt", "patch_scores", "geometry", "request"])
def test_an_incomplete_record_is_refused(explanations, missing):
    record = record_of(explanations[0])
    del record[missing]
    with pytest.raises(VLExplainError, match="run Explain again"):
        recorded(record)


def test_one_heatmap_with_its_masks_is_one_bundle(viewer, explanations, tmp_path):
    from napari_vlexplain.io.images import read_image

    viewer.layers.selection = {viewer.layers[name] for name in ("scene", "scene | relevance | a dog", "organs")}
    written = viewer.layers.save(str(tmp_path / "dog.vlexplain"), selected=True, plugin=PLUGIN)
    assert written == [str(tmp_path / "dog.vlexplain")]
    same(Explanation.load(written[0]), explanations[0])
    masks = load_masks(written[0])
    labels = viewer.layers["organs"].data
    assert set(masks) == {"organs 1", "organs 2"}
    np.testing.assert_array_equal(masks["organs 2"], labels == 2)
    assert read_image(tmp_path / "dog.vlexplain" / "overlay.png").std() > 0


def test_several_heatmaps_are_a_folder_of_bundles(viewer, explanations, tmp_path):
    written = viewer.layers.save(str(tmp_path / "all.vlexplain"), plugin=PLUGIN)
    assert [Path(folder).name for folder in written] == ["a-dog", "a-kite"]
    assert all(is_bundle(folder) for folder in written)
    again = ViewerModel()
    again.open(str(tmp_path / "all.vlexplain"), plugin=PLUGIN)
    found = [layer for layer in again.layers if info(layer).get("kind") == "heatmap"]
    assert [info(layer)["prompt"] for layer in found] == ["a dog", "a kite"]


@pytest.mark.parametrize("what", ["", "manifest.json"])
def test_a_bundle_opens_as_heatmap_and_masks(viewer, explanations, tmp_path, what):
    folder = explanations[0].save(tmp_path / "b", masks={"left lung": explanations[0].heatmap > 0.5})
    again = ViewerModel()
    heatmap, mask = again.open(str(folder / what), plugin=PLUGIN)
    assert heatmap.name == "scene | relevance | a dog" and mask.name == "left lung"
    np.testing.assert_array_equal(heatmap.data, explanations[0].heatmap)
    np.testing.assert_array_equal(mask.data > 0, explanations[0].heatmap > 0.5)
    assert heatmap.contrast_limits == [0, 1]


def test_what_was_opened_can_be_saved_again(explanations, tmp_path):
    explanations[1].save(tmp_path / "one")
    again = ViewerModel()
    again.open(str(tmp_path / "one"), plugin=PLUGIN)
    (folder,) = again.layers.save(str(tmp_path / "two"), plugin=PLUGIN)
    same(Explanation.load(folder), explanations[1])


def test_other_files_and_folders_are_left_to_others(tmp_path):
    (tmp_path / "manifest.json").write_text('{"name": "a web app"}')
    (tmp_path / "picture.png").touch()
    assert napari_get_reader(str(tmp_path)) is None
    assert napari_get_reader(str(tmp_path / "manifest.json")) is None
    assert napari_get_reader(str(tmp_path / "picture.png")) is None
    assert napari_get_reader([]) is None
    assert napari_get_reader(str(tmp_path / "nowhere")) is None


def test_a_stack_of_bundles_opens(explanations, tmp_path):
    folders = [str(one.save(tmp_path / str(number))) for number, one in enumerate(explanations)]
    reader = napari_get_reader(folders)
    assert reader is not None and len(reader(folders)) == 2


def test_a_damaged_bundle_says_so(explanations, tmp_path):
    folder = explanations[0].save(tmp_path / "b")
    (folder / "patch_scores.tif").unlink()
    with pytest.raises(VLExplainError):
        read_bundles(str(folder))


def test_without_a_heatmap_there_is_nothing_to_save(tmp_path):
    with pytest.raises(VLExplainError, match="heatmap that Explain made"):
        write_bundle(str(tmp_path / "x"), [(np.zeros((4, 4)), {"name": "photo"}, "image")])
    assert not (tmp_path / "x").exists()


def test_the_plane_of_a_stack_can_be_saved(tmp_path):
    stack = np.random.default_rng(0).random((3, 40, 60)).astype(np.float32)
    viewer = ViewerModel()
    source: Any = viewer.add_image(stack, name="stack")
    show_heatmap(viewer, source, explain(stack[2], "a dog", contrast_limits=(0, 1)), (2,), False, Settings())
    viewer.add_labels(np.ones((40, 60), np.uint8), name="organ")
    (folder,) = viewer.layers.save(str(tmp_path / "plane.vlexplain"), plugin=PLUGIN)
    assert set(load_masks(folder)) == {"organ"}
