"""Pictures of labels: which pixels are inside, and which count nowhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.truth.described import MaskFile
from napari_vlexplain.truth.label_pictures import read_mask
from napari_vlexplain.truth.picture import Picture
from napari_vlexplain.truth.reading import find_ground_truth

LABELS = np.zeros((40, 40), np.uint8)
LABELS[8:22, 8:22], LABELS[10:20, 10:20], LABELS[30:35, 30:35] = 255, 15, 2
COLOURS = np.random.default_rng(0).integers(1, 255, (256, 3)).astype(np.uint8)
COLOURS[0], COLOURS[255] = 0, (224, 224, 192)


def palette(path: Path, labels: np.ndarray, colours: np.ndarray = COLOURS) -> Path:
    image = Image.fromarray(labels)
    image.putpalette(colours.ravel().tolist())
    image.save(path)
    return path


def kinds(found: object) -> list[str]:
    return [note.kind for note in found.notes]  # type: ignore[attr-defined]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_palette_holds_numbers(tmp_path: Path, suffix: str) -> None:
    found = read_mask(MaskFile(palette(tmp_path / f"voc.{suffix}", LABELS)))
    np.testing.assert_array_equal(found.mask, np.isin(LABELS, (2, 15)))
    np.testing.assert_array_equal(found.void, LABELS == 255)
    assert kinds(found) == ["void", "labels"] and "96 pixels" in found.notes[0] and "(2, 15)" in found.notes[1]
    one = read_mask(MaskFile(tmp_path / f"voc.{suffix}", "label", 15))
    np.testing.assert_array_equal(one.mask, LABELS == 15)
    np.testing.assert_array_equal(one.void, LABELS == 255)
    assert kinds(one) == ["void"]


def test_grey_label_pictures_have_the_same_border(tmp_path: Path) -> None:
    Image.fromarray(LABELS).save(tmp_path / "raw.png")
    found = read_mask(MaskFile(tmp_path / "raw.png"))
    np.testing.assert_array_equal(found.void, LABELS == 255)
    thin = np.zeros((20, 20), np.uint8)
    thin[5], thin[4] = 1, 255
    Image.fromarray(thin).save(tmp_path / "thin.png")
    np.testing.assert_array_equal(read_mask(MaskFile(tmp_path / "thin.png")).void, thin == 255)


def test_signed_and_wide_labels(tmp_path: Path) -> None:
    signed = LABELS.astype(np.int16)
    signed[LABELS == 255] = -1
    tifffile.imwrite(tmp_path / "signed.tif", signed)
    wide = LABELS.astype(np.uint16) * 3
    wide[LABELS == 255] = 65535
    tifffile.imwrite(tmp_path / "wide.tif", wide)
    for name in ("signed.tif", "wide.tif"):
        found = read_mask(MaskFile(tmp_path / name))
        np.testing.assert_array_equal(found.void, LABELS == 255)
        np.testing.assert_array_equal(found.mask, np.isin(LABELS, (2, 15)))


def test_white_is_inside_in_plain_and_soft_masks(tmp_path: Path) -> None:
    hard = np.where(LABELS == 15, 255, 0).astype(np.uint8)
    soft = ndimage.gaussian_filter(hard.astype(float), 0.8).round().astype(np.uint8)
    for name, pixels in {"hard": hard, "soft": soft}.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        found = read_mask(MaskFile(tmp_path / f"{name}.png"))
        np.testing.assert_array_equal(found.mask, pixels != 0)
        assert found.void is None and not found.notes


def test_palettes_that_say_no_labels(tmp_path: Path) -> None:
    """A grey palette is read as grey, and a picture saved with a palette of its colours as those colours."""
    square = np.isin(LABELS, (2, 15))
    grey = np.repeat(np.arange(256, dtype=np.uint8)[::-1, None], 3, axis=1)
    found = read_mask(MaskFile(palette(tmp_path / "grey.png", np.where(square, 0, 255).astype(np.uint8), grey)))
    np.testing.assert_array_equal(found.mask, square)
    own = np.zeros((256, 3), np.uint8)
    own[0] = (200, 0, 0)  # number 0 is the object, number 1 the black ground
    found = read_mask(MaskFile(palette(tmp_path / "own.png", (~square).astype(np.uint8), own)))
    np.testing.assert_array_equal(found.mask, square)
    roads = COLOURS.copy()  # Cityscapes: 0 is a class with a colour, and 255, left out, is black
    roads[0], roads[255] = (128, 64, 128), 0
    city = read_mask(MaskFile(palette(tmp_path / "city.png", LABELS, roads)))
    np.testing.assert_array_equal(city.void, LABELS == 255)


def test_voc_in_colours(tmp_path: Path) -> None:
    Image.fromarray(COLOURS[LABELS]).save(tmp_path / "rgb.png")
    found = read_mask(MaskFile(tmp_path / "rgb.png"))
    np.testing.assert_array_equal(found.mask, np.isin(LABELS, (2, 15)))
    np.testing.assert_array_equal(found.void, LABELS == 255)
    assert kinds(found) == ["void"]


def test_a_label_can_be_named(tmp_path: Path) -> None:
    file = palette(tmp_path / "voc.png", LABELS)
    found = find_ground_truth(file, Picture((40, 40)), label=2)
    np.testing.assert_array_equal(found.mask, LABELS == 2)
    np.testing.assert_array_equal(found.ignored, LABELS == 255)
    with pytest.raises(VLExplainError, match=r"voc\.png holds no pixel of label 7"):
        find_ground_truth(file, Picture((40, 40)), label=7)
    with pytest.raises(VLExplainError, match="leave it out"):
        find_ground_truth('{"boxes": [[0, 0, 1, 1]]}', Picture((40, 40)), label=7)
