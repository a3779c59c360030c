"""The manifest: what npe2's own validation does not look at (undeclared commands, menus that napari ignores, typos)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from napari.components import ViewerModel
from npe2 import DynamicPlugin, PluginManager, PluginManifest
from npe2.manifest.contributions import ContributionPoints

from napari_vlexplain.widgets.viewer.layers import KEY
from napari_vlexplain.widgets.viewer.settings import PAGES, Settings, settings

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "napari.yaml"

# Menus that napari 0.9 shows; contributions to others are dropped without a word.
_FILE_MENUS = "new_layer io_utilities acquire"
_LAYER_MENUS = (
    "visualize annotate data metadata layer_type filter transform measure register project segment track classify"
)
CONTRIBUTABLE = {f"napari/file/{name}" for name in _FILE_MENUS.split()} | {
    f"napari/layers/{name}" for name in _LAYER_MENUS.split()
}


@pytest.fixture(scope="module")
def raw() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text())


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(FILE)


@pytest.fixture
def plugins(manifest: PluginManifest) -> Iterator[PluginManager]:
    """napari's plugin manager with this manifest, installed or not."""
    manager = PluginManager.instance()
    known = manifest.name in manager
    if not known:
        manager.register(manifest)
    yield manager
    if not known:
        manager.unregister(manifest.name)


def test_the_package_sees_the_manifest_and_the_resources_at_the_root():
    from napari_vlexplain.shipped import MANIFEST, RESOURCES

    assert (MANIFEST, RESOURCES) == (FILE, ROOT / "resources")


def test_name_and_entry_point_agree(manifest):
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, build = settings["project"], settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert manifest.name == project["name"]
    assert project["entry-points"]["napari.manifest"] == {manifest.name: "napari_vlexplain_manifest:napari.yaml"}
    assert build["force-include"] == {"napari.yaml": "napari_vlexplain_manifest/napari.yaml"}


def test_every_command_that_is_used_is_declared_and_every_declared_one_used(raw):
    contributed = raw["contributions"]
    declared = [command["id"] for command in contributed["commands"]]
    assert len(declared) == len(set(declared))
    used = {
        item["command"]
        for kind in ("widgets", "sample_data", "readers", "writers")
        for item in contributed.get(kind, [])
    }
    in_menus = {item["command"] for items in contributed["menus"].values() for item in items}
    assert used | in_menus == set(declared)


def test_every_python_name_can_be_called(manifest):
    for command in manifest.contributions.commands:
        module, _, name = command.python_name.partition(":")
        assert callable(getattr(import_module(module), name))


def test_menus_are_ones_that_napari_shows(raw):
    assert set(raw["contributions"]["menus"]) <= CONTRIBUTABLE


def test_there_are_no_keys_that_npe2_does_not_know(raw):
    assert set(raw) <= set(PluginManifest.model_fields)
    assert set(raw["contributions"]) <= set(ContributionPoints.model_fields)


def test_the_docks_are_there(manifest):
    assert [widget.display_name for widget in manifest.contributions.widgets] == [
        "Explain",
        "Measure",
        "Correct",
        "Look",
        "Segments",
        "Latent text",
        "Compare",
        "Window level",
        "Cases",
        "Benchmark",
    ]


def test_settings_have_the_defaults_of_the_code(raw):
    pages = raw["contributions"]["configurations"]
    assert tuple(pages) == PAGES
    declared = {name: field["default"] for page in pages.values() for name, field in page["properties"].items()}
    assert declared == dataclasses.asdict(Settings())


def test_every_colormap_on_offer_exists(raw):
    from napari_vlexplain.widgets.viewer.heatmaps import faded

    for name in raw["contributions"]["configurations"]["explain"]["properties"]["colormap"]["enum"]:
        assert faded(name).map(np.array([1.0]))[0, 3] == 1


def test_settings_of_the_user_are_read(plugins, tmp_path):
    from napari import settings as naparis

    naparis._clear_plugin_settings_cache()
    try:
        naparis.get_plugin_settings(path_dir=tmp_path)["napari-vlexplain"].explain.device = "cpu"
        assert settings() == Settings(device="cpu")
    finally:
        naparis._clear_plugin_settings_cache()


def test_without_the_plugin_page_the_defaults_hold(monkeypatch):
    import napari.settings

    monkeypatch.setattr(napari.settings, "get_plugin_settings", lambda name: {}[name])
    assert settings() == Settings()


@pytest.mark.parametrize("key", ["sticker_scene", "typographic_attack", "phantom_radiograph", "astronaut", "cat"])
def test_samples_open_as_napari_opens_them(plugins, key):
    viewer = ViewerModel()
    layers = viewer.open_sample("napari-vlexplain", key)
    image = layers[0]
    entry = image.metadata[KEY]
    assert entry["kind"] == "source" and entry["prompts"] and entry["note"]
    for truth in layers[1:]:
        assert truth.metadata[KEY]["kind"] == "truth" and truth.metadata[KEY]["source"] == entry["id"]
    kinds = [type(layer).__name__ for layer in layers]
    expected = {"sticker_scene": ["Image", "Labels"], "phantom_radiograph": ["Image", "Labels", "Shapes"]}
    assert kinds == expected.get(key, ["Image"])


def test_the_phantoms_box_lies_around_its_finding(plugins):
    viewer = ViewerModel()
    _, masks, boxes = viewer.open_sample("napari-vlexplain", "phantom_radiograph")
    rows, columns = np.nonzero(masks.data)
    low, high = boxes.data[0].min(axis=0), boxes.data[0].max(axis=0)
    np.testing.assert_allclose(low, (rows.min() - 0.5, columns.min() - 0.5), atol=1)
    np.testing.assert_allclose(high, (rows.max() + 0.5, columns.max() + 0.5), atol=1)


def test_labels_have_their_names(plugins):
    viewer = ViewerModel()
    _, masks = viewer.open_sample("napari-vlexplain", "sticker_scene")
    assert list(masks.features["name"])[:2] == ["background", "dog"]
    assert set(np.unique(masks.data)) == set(masks.features["index"])


def test_a_foreign_plugin_is_not_disturbed(plugins):
    with DynamicPlugin("other-plugin", plugin_manager=plugins):
        assert "napari-vlexplain" in plugins
