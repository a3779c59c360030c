"""An image and how it is to be seen, read once for whoever takes it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_vlexplain import ask, compare, explain, segment
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.io.source import ImageSource, LoadedImage

STACK = np.arange(3 * 24 * 24, dtype=np.uint16).reshape(3, 24, 24)


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "stack.tif", STACK, photometric="minisblack")
    return tmp_path / "stack.tif"


def test_a_plane_of_a_file_is_what_the_same_plane_of_its_array_is(stack: Path) -> None:
    read, given = ImageSource(stack, plane=(1,)).load(), ImageSource(STACK, plane=(1,), name="mine").load()
    assert np.array_equal(read.pixels, STACK[1]) and np.array_equal(given.pixels, STACK[1])
    assert (read.name, given.name) == (str(stack), "mine") and read.plane == given.plane == (1,)
    assert read.contrast_limits == given.contrast_limits and np.array_equal(read.rgb, given.rgb)
    assert read.size == (24, 24)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (ImageSource(STACK[0], window="lung"), "An array names no windows"),
        (ImageSource(STACK[0], plane=(0,)), "has no plane"),
        (ImageSource(ImageSource(STACK[0]).load(), plane=(1,)), "says itself"),
    ],
)
def test_what_an_image_does_not_have_is_refused(source: ImageSource, sentence: str) -> None:
    with pytest.raises(VLExplainError, match=sentence):
        source.load()


@pytest.mark.parametrize(
    "door",
    [
        lambda image, **seen: explain(image, "a dog", method="patch_similarity", **seen).request,
        lambda image, **seen: segment(image, **seen).request,
        lambda image, **seen: ask(image, "is there a dog?", method="raw_attention", **seen).request,
        lambda image, **seen: compare(image, "a dog", ["patch_similarity"], **seen).cells[0][0].explanation.request,
    ],
    ids=["explain", "segment", "ask", "compare"],
)
def test_every_door_takes_a_source_its_fields_or_the_image_read(door: Any, stack: Path) -> None:
    seen = {"contrast_limits": (0.0, 900.0), "plane": (2,), "name": "scan"}
    by_fields = door(stack, **seen)
    assert by_fields.image.plane == (2,) and by_fields.image.contrast_limits == (0.0, 900.0)
    assert by_fields == door(ImageSource(stack, **seen)) == door(ImageSource(stack, **seen).load())


def test_what_a_file_has_to_say_travels_with_the_image() -> None:
    told = LoadedImage(STACK[0], "scan", (0.0, 900.0), told=("It is not shown as its file asks.",))
    assert "It is not shown as its file asks." in explain(told, "a dog", method="patch_similarity").warnings
