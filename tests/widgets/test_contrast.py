"""One picture without a window of its own, at every door: shown, explained and recorded alike."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from PIL import Image
from typer.testing import CliRunner

from napari_vlexplain import explain
from napari_vlexplain.cli.app import app
from napari_vlexplain.datasets.reading import read_case
from napari_vlexplain.io.images import as_rgb
from napari_vlexplain.reading_room.opened import read
from napari_vlexplain.reading_room.study import open_study
from napari_vlexplain.widgets.parts.layer_combo import ImageCombo
from napari_vlexplain.widgets.viewer.layers import new_metadata

FAST: dict[str, Any] = {"method": "patch_similarity"}
PROMPT = "an opacity"


@pytest.fixture
def radiograph(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """A 16-bit PNG with a marker that outshines it."""
    rows, columns = np.mgrid[:80, :60]
    pixels = (500 + 2000 * (1 + np.sin(rows / 9) * np.cos(columns / 7))).astype(np.uint16)
    pixels[2:5, 2:5] = 60000
    Image.fromarray(pixels).save(tmp_path / "scan.png")
    return tmp_path / "scan.png", pixels


def combo(qtbot: Any, viewer: ViewerModel) -> ImageCombo:
    found = ImageCombo(viewer)
    qtbot.addWidget(found)
    found.follow()
    return found


def test_one_picture_at_every_door(radiograph, qtbot, viewer_model):
    file, pixels = radiograph
    told = explain(str(file), PROMPT, **FAST)
    limits = told.request.image.contrast_limits
    assert limits is not None and limits[0] == 500 and 4000 < limits[1] < 5000
    assert explain(pixels, PROMPT, **FAST).request.image.contrast_limits == limits

    entry = open_study(file.parent).entries[0]
    opened = read(entry)
    assert opened.identity == told.request.image.of(pixels, str(file), limits), "Cases"
    case = read_case(replace(entry, prompts=(PROMPT,)))
    np.testing.assert_array_equal(as_rgb(case.image), as_rgb(pixels, limits), "the benchmark")

    layer = viewer_model.add_image(pixels)
    assert tuple(layer.contrast_limits) == (500, 60000), "napari's own guess"
    image = combo(qtbot, viewer_model)
    assert tuple(layer.contrast_limits) == limits == image.picture().contrast_limits

    words = shlex.split(told.request.as_command())
    done = CliRunner().invoke(app, [*words[1:-3], "--json", *words[-3:]])
    found = json.loads(done.stdout)
    assert tuple(found["request"]["image"]["contrast_limits"]) == limits and repr(limits[1]) in words
    names: dict[str, Any] = {}
    exec(told.request.as_python(), names)
    np.testing.assert_array_equal(names["explanations"][0].patch_scores, told.patch_scores)


def test_what_somebody_chose_stays(radiograph, qtbot, viewer_model):
    _, pixels = radiograph
    chosen = viewer_model.add_image(pixels, contrast_limits=(0, 3000))
    guessed = viewer_model.add_image(pixels)
    ours = viewer_model.add_image(pixels, contrast_limits=(500, 60000), metadata=new_metadata("source"))
    image = combo(qtbot, viewer_model)
    assert tuple(ours.contrast_limits) == (500, 60000), "the window of its file"
    assert tuple(chosen.contrast_limits) == (0, 3000) and guessed.contrast_limits[1] < 5000
    guessed.contrast_limits = (500, 60000)
    image.refresh()
    other = combo(qtbot, viewer_model)
    other.set_layer(guessed)
    assert tuple(guessed.contrast_limits) == other.picture().contrast_limits == (500, 60000), "looked at once"


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "few", "float32"])
def test_colours_reach_the_model_as_napari_draws_them(kind, qtbot, viewer_model):
    from napari.layers.utils.layer_utils import convert_to_uint8

    shares = np.random.default_rng(0).random((6, 7, 3))
    if kind == "few":
        colours = (shares * 200).astype(np.uint16)
    elif kind == "float32":
        colours = (shares * 1.5 - 0.2).astype(kind)
    else:
        colours = (shares * np.iinfo(kind).max).astype(kind)
    viewer_model.add_image(colours, rgb=True)
    found = combo(qtbot, viewer_model).picture()
    seen = as_rgb(found.pixels, found.contrast_limits).astype(np.float64)
    np.testing.assert_allclose(
        seen / seen.max(), convert_to_uint8(colours.copy()) / seen.max() / (255 if seen.max() <= 1 else 1), atol=0.01
    )
