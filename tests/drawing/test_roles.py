"""One colour each for truth, model and reader: apart for all eyes, and spelled in one file."""

from __future__ import annotations

import ast
from itertools import combinations
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from napari.layers import Labels
from skimage.color import deltaE_ciede2000, rgb2lab

import napari_vlexplain
from napari_vlexplain.drawing.colour import COLOURS, OTHER, RIM, ROLES, colour_of, hex_of, label_colours, shades, table
from napari_vlexplain.drawing.overlay import draw_outline
from napari_vlexplain.reading_room.files.mask_files import labels_png

PACKAGE = Path(napari_vlexplain.__file__).parent
# Machado, Oliveira and Fernandes 2009, severity 1: of linear sRGB.
SEEN = {
    "normal": np.eye(3),
    "protan": [
        (0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998),
    ],
    "deutan": [
        (0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881),
    ],
    "tritan": [
        (1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900),
    ],
}  # fmt: skip


def lab(colours, eyes):
    """CIELAB of sRGB colours (N, 3) in 0..255, as these eyes see them."""
    share = np.atleast_2d(np.asarray(colours, dtype=float)) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.asarray(SEEN[eyes]).T, 0, 1)
    return rgb2lab(np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055))


def distances(first, second, eyes):
    """CIEDE2000 of each of the first from each of the second."""
    return deltaE_ciede2000(lab(first, eyes)[:, None], lab(second, eyes)[None])


@pytest.mark.parametrize("eyes", SEEN)
def test_roles_are_apart_from_each_other_from_grey_and_from_heat(eyes):
    for one, other in combinations(ROLES, 2):
        assert distances(COLOURS[one], COLOURS[other], eyes) > 28, (one, other)
    grey = np.repeat(np.arange(256)[:, None], 3, axis=1)
    inferno = matplotlib.colormaps["inferno"](np.arange(256))[:, :3] * 255
    for ground in (grey, inferno, table("ember")):
        assert distances(list(COLOURS.values()), ground, eyes).min() > 10
    assert distances(list(COLOURS.values()), OTHER, eyes).min() > 15


@pytest.mark.parametrize("eyes", SEEN)
def test_the_darker_label_of_a_role_is_told_from_the_first_and_taken_for_no_other_role(eyes):
    for role in ROLES:
        away = distances(shades(role)[1], [COLOURS[each] for each in ROLES], eyes)[0]
        assert ROLES[int(away.argmin())] == role and away.min() > 8


def test_every_form_is_the_same_colour():
    for role in (*ROLES, "second reader"):
        layer = Labels(np.array([[0, 1], [2, 300]], np.uint16), colormap=label_colours(role))
        painted = [np.rint(np.asarray(layer.get_color(label)[:3]) * 255).tolist() for label in (1, 2, 300)]
        assert painted == [list(colour_of(role)), list(shades(role)[1]), list(colour_of(role))]
        assert bytes.fromhex(hex_of(role)[1:]) == bytes(colour_of(role))


def test_pictures_of_labels_and_outlines_have_it():
    from io import BytesIO

    from PIL import Image

    labels = np.array([[0, 1], [2, 1]], np.uint8)
    picture = np.asarray(Image.open(BytesIO(labels_png(labels, "model"))).convert("RGB"))
    assert picture[0, 1].tolist() == list(COLOURS["model"]) and picture[1, 0].tolist() == list(shades("model")[1])
    canvas, mask = np.full((9, 9, 3), 77, np.uint8), np.zeros((9, 9), bool)
    mask[2:7, 2:7] = True
    draw_outline(canvas, mask, "reader", 1)
    assert canvas[2, 2:7].tolist() == [list(COLOURS["reader"])] * 5
    assert canvas[1, 4].tolist() == list(RIM) and canvas[4, 4].tolist() == canvas[0, 0].tolist() == [77] * 3


def spelled(tree):
    """Colours written out where layers are coloured: edges, and the labels of a colour map."""
    for node in ast.walk(tree):
        named = [(key.arg, key.value) for key in node.keywords] if isinstance(node, ast.Call) else []
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            named += [(key.value, value) for key, value in pairs if isinstance(key, ast.Constant)]
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            named.append((getattr(target, "attr", getattr(target, "id", "")), node.value))
        for name, value in named:
            if name in ("edge_color", "colormap", "colours", "outline", None, 1):
                found = value.values if isinstance(value, ast.Dict) else [value]
                texts = [each.value for each in found if isinstance(each, ast.Constant)]
                yield from (t for t in texts if isinstance(t, str) and (t.startswith("#") or t in NAMES))


NAMES = ("cyan", "yellow", "green", "lime", "red", "blue", "magenta", "orange")


def test_no_other_file_spells_a_role_s_colour():
    forms = [text for role in ROLES for text in (hex_of(role), str(colour_of(role)), str(colour_of(role))[1:-1])]
    for file in sorted(PACKAGE.rglob("*.py")):
        if file.name == "colour.py":
            continue
        text = file.read_text(encoding="utf-8")
        assert not [form for form in forms if form in text.lower()], file
        assert not list(spelled(ast.parse(text))), file
        assert "READER_COLOUR" not in text and "MODEL_COLOUR" not in text, file
