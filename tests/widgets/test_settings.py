"""Preferences hold at once: for the looks, the precision, and whether anything may be downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManager, PluginManifest

from napari_vlexplain.choices.look import SEQUENTIAL
from napari_vlexplain.models.precision import PRECISIONS
from napari_vlexplain.widgets.explain.dock import ExplainDock
from napari_vlexplain.widgets.parts.model_box import ModelBox
from napari_vlexplain.widgets.viewer.settings import PLUGIN, Settings, remember_reader, settings

MANIFEST = Path(__file__).resolve().parents[2] / "napari.yaml"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Any]:
    """The plugin's pages of napari's Preferences, in a folder of their own."""
    from napari import settings as naparis

    manager = PluginManager.instance()
    known = PLUGIN in manager
    if not known:
        manager.register(PluginManifest.from_file(MANIFEST))
    naparis._clear_plugin_settings_cache()
    yield naparis.get_plugin_settings(path_dir=tmp_path)[PLUGIN]
    naparis._clear_plugin_settings_cache()
    if not known:
        manager.unregister(PLUGIN)


def test_every_choice_is_read(page):
    page.explain.precision, page.explain.offline, page.explain.opacity = "bfloat16", True, 0.5
    page.reading.reader, page.reading.cache_mb, page.reading.cache_folder = "AB", 100, "/tmp/x"
    assert settings() == Settings(
        precision="bfloat16", offline=True, opacity=0.5, reader="AB", cache_mb=100, cache_folder="/tmp/x"
    )


def test_who_reads_is_remembered(page, tmp_path):
    from napari import settings as naparis

    remember_reader("Kim")
    remember_reader("")
    assert settings().reader == page.reading.reader == "Kim"
    naparis._clear_plugin_settings_cache()
    assert naparis.get_plugin_settings(path_dir=tmp_path)[PLUGIN].reading.reader == "Kim", "and in the next session"


def test_what_is_out_of_range_is_refused(page):
    for group, name, value in (
        ("explain", "precision", "half"),
        ("explain", "colormap", "jet"),
        ("reading", "cache_mb", -1),
    ):
        with pytest.raises(ValueError):
            setattr(getattr(page, group), name, value)


def test_what_is_offered_is_what_the_code_has(page):
    fields = page.explain.model_json_schema()["properties"]
    assert fields["precision"]["enum"] == ["auto", *PRECISIONS]
    assert tuple(fields["colormap"]["enum"]) == SEQUENTIAL


def test_offline_takes_the_leave_to_download_away_at_once(page, qtbot):
    allowed: list[bool] = []
    box = ModelBox()
    qtbot.addWidget(box.picker)
    qtbot.addWidget(box.details)
    box.download.connect(allowed.append)
    box.choose("openai/clip-vit-large-patch14")
    assert not box.tick.isHidden()
    box.tick.setChecked(True)
    page.explain.offline = True
    assert box.tick.isHidden() and not box.tick.isChecked() and allowed == [True, False]
    page.explain.offline = False
    assert not box.tick.isHidden() and not box.tick.isChecked(), "leave has to be given again"


def test_a_box_that_is_made_offline_offers_nothing(page, qtbot):
    page.explain.offline = True
    box = ModelBox()
    qtbot.addWidget(box.picker)
    qtbot.addWidget(box.details)
    box.choose("openai/clip-vit-large-patch14")
    assert box.tick.isHidden()


def test_device_and_precision_reach_the_next_run(page, viewer_model, qtbot):
    dock = ExplainDock(viewer_model)
    qtbot.addWidget(dock)
    page.explain.device, page.explain.precision = "cpu", "bfloat16"
    viewer_model.add_image(np.zeros((8, 8), np.uint8))
    _, asked = dock._asked_now()  # what a run, and a copied program, begin with
    assert asked.options()["device"] == "cpu" and asked.options()["dtype"] == "bfloat16"
    dock.close()
