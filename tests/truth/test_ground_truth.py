"""Ground truth from masks and from boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.truth.reading import boxes_of, mask_of_boxes, read_ground_truth

SHAPE = (20, 30)


def inside(rows: slice, columns: slice) -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[rows, columns] = True
    return mask


SQUARE = inside(slice(4, 12), slice(5, 20))


def boxes(path: Path, *entries: Any) -> Path:
    file = path / "boxes.json"
    file.write_text(json.dumps({"boxes": list(entries)}))
    return file


@pytest.mark.parametrize("value", [1, 2, 255])
def test_what_is_not_zero_is_inside(tmp_path: Path, value: int) -> None:
    Image.fromarray(SQUARE * np.uint8(value)).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_ground_truth(tmp_path / "m.png", SHAPE), SQUARE)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.uint8])
def test_tiff_masks(tmp_path: Path, dtype: type) -> None:
    tifffile.imwrite(tmp_path / "m.tif", SQUARE.astype(dtype))
    np.testing.assert_array_equal(read_ground_truth(tmp_path / "m.tif", SHAPE), SQUARE)


def test_black_and_white_and_coloured_masks(tmp_path: Path) -> None:
    Image.fromarray(SQUARE).save(tmp_path / "bits.png")
    colour = np.zeros((*SHAPE, 3), dtype=np.uint8)
    colour[SQUARE] = (0, 0, 128)
    Image.fromarray(colour).save(tmp_path / "colour.png")
    Image.fromarray(colour).quantize(4).save(tmp_path / "palette.png")
    for name in ("bits", "colour", "palette"):
        np.testing.assert_array_equal(read_ground_truth(tmp_path / f"{name}.png", SHAPE), SQUARE)


def test_transparent_pixels_are_outside(tmp_path: Path) -> None:
    white = np.full((*SHAPE, 4), 255, dtype=np.uint8)
    white[~SQUARE, 3] = 0
    black = white * np.array([0, 0, 0, 1], dtype=np.uint8)
    opaque = np.dstack([np.repeat(SQUARE[..., None] * np.uint8(9), 3, axis=2), np.full(SHAPE, 255, np.uint8)])
    for pixels in (white, black, opaque):
        Image.fromarray(pixels).save(tmp_path / "m.png")
        np.testing.assert_array_equal(read_ground_truth(tmp_path / "m.png", SHAPE), SQUARE)


def test_a_mask_without_a_zero_is_told(tmp_path: Path) -> None:
    white = np.full((*SHAPE, 3), 255, dtype=np.uint8)
    white[SQUARE] = (200, 0, 0)
    Image.fromarray(white).save(tmp_path / "m.png")
    with pytest.warns(Warning, match="covers the whole picture"):
        mask = read_ground_truth(tmp_path / "m.png", SHAPE)
    assert mask is not None and mask.all()


def test_of_a_jpeg_the_noise_does_not_count(tmp_path: Path) -> None:
    Image.fromarray(SQUARE * np.uint8(255)).save(tmp_path / "m.jpg", quality=60)
    np.testing.assert_array_equal(read_ground_truth(tmp_path / "m.jpg", SHAPE), SQUARE)


def test_an_empty_mask_is_an_answer_too(tmp_path: Path) -> None:
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tmp_path / "m.png")
    with pytest.warns(UserWarning, match="is empty"):
        assert not read_ground_truth(tmp_path / "m.png", SHAPE).any()


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    Image.fromarray(SQUARE).save(tmp_path / "m.png")
    with pytest.raises(VLExplainError, match=r"^m\.png is 30 x 20 pixels, but the image is 20 x 30\.$"):
        read_ground_truth(tmp_path / "m.png", (30, 20))


def test_a_mask_with_nan_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", np.where(SQUARE, np.nan, 0).astype(np.float32))
    with pytest.raises(VLExplainError, match="holds NaN"):
        read_ground_truth(tmp_path / "m.tif", SHAPE)


def test_boxes_are_united(tmp_path: Path) -> None:
    file = boxes(tmp_path, [5, 4, 10, 8], [15, 4, 5, 8])
    np.testing.assert_array_equal(read_ground_truth(file, SHAPE), SQUARE)


def test_boxes_are_clipped_at_the_border(tmp_path: Path) -> None:
    file = boxes(tmp_path, [-5, -5, 10, 10], [25, 15, 1000, 1000])
    expected = inside(slice(0, 5), slice(0, 5)) | inside(slice(15, 20), slice(25, 30))
    with pytest.warns(UserWarning, match="reaches 995 pixels outside"):
        np.testing.assert_array_equal(read_ground_truth(file, SHAPE), expected)


def test_a_pixel_is_inside_when_its_centre_is() -> None:
    np.testing.assert_array_equal(mask_of_boxes([[5.4, 4.5, 4.2, 3]], SHAPE), inside(slice(4, 7), slice(5, 10)))
    np.testing.assert_array_equal(mask_of_boxes([[5.6, 4.6, 0.1, 0.1]], SHAPE), inside(slice(4, 5), slice(5, 6)))


def test_one_file_serves_several_prompts(tmp_path: Path) -> None:
    dog, kite, both = [0, 0, 5, 5], [10, 0, 5, 5], [20, 0, 5, 5]
    file = boxes(tmp_path, {"box": dog, "prompt": "A photo of a dog."}, {"box": kite, "label": "red Kite"}, both)
    left, middle, right = (inside(slice(0, 5), slice(x, x + 5)) for x in (0, 10, 20))
    np.testing.assert_array_equal(read_ground_truth(file, SHAPE, "a photo of a dog"), left | right)
    np.testing.assert_array_equal(read_ground_truth(file, SHAPE, "the red kite up there"), middle | right)
    np.testing.assert_array_equal(read_ground_truth(file, SHAPE, "a red kitesurfer"), right)
    np.testing.assert_array_equal(read_ground_truth(file, SHAPE), left | middle | right)


def test_a_prompt_without_a_box_is_refused(tmp_path: Path) -> None:
    file = boxes(tmp_path, {"box": [0, 0, 5, 5], "label": "dog"}, {"box": [0, 0, 5, 5], "prompt": "a kite"})
    with pytest.raises(VLExplainError, match=r"has no box for 'a cat'; its boxes are for 'a kite', 'dog'"):
        read_ground_truth(file, SHAPE, "a cat")


@pytest.mark.parametrize(
    ("box", "sentence"),
    [
        ([1, 1, 0, 5], "boxes.json: box 2 is 0 wide and 5 high; both must be above 0"),
        ([1, 1, 5, -2], "box 2 is 5 wide and -2 high"),
        ([1, 1, 5], "box 2 is [1, 1, 5], but it must be four numbers"),
        ([1, 1, 5, "5"], "must be four numbers"),
        ([1, 1, 5, True], "must be four numbers"),
        ([1, 1, 5, None], "must be four numbers"),
        ([1, 1, 5, float("nan")], "numbers must be finite"),
        ([1, 1, 10**400, 5], "numbers must be finite"),
        ([30, 1, 5, 5], "box 2 [30, 1, 5, 5] lies outside the image of 30 x 20 pixels"),
        ([1, -9, 5, 5], "lies outside the image"),
        (7, "box 2 is 7, but it must be four numbers"),
        ({"prompt": "a dog"}, "box 2 should be [x, y, width, height], or"),
        ({"box": [1, 1, 5, 5], "label": 3}, "box 2 should be"),
        ({"box": 3}, "box 2 is 3"),
    ],
)
def test_a_wrong_box_is_named(tmp_path: Path, box: Any, sentence: str) -> None:
    with pytest.raises(VLExplainError) as error:
        read_ground_truth(boxes(tmp_path, [1, 1, 2, 2], box), SHAPE)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2]", "{}", '{"boxes": []}', '{"boxes": 3}', "null", "[" * 100_000, "\xff"]
)
def test_what_is_no_list_of_boxes_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "boxes.json").write_text(text, encoding="latin-1")
    with pytest.raises(VLExplainError, match=r'it should hold \{"boxes": \[\[x, y, width, height\]'):
        read_ground_truth(tmp_path / "boxes.json", SHAPE)


def test_no_file_is_refused(tmp_path: Path) -> None:
    for name in ("none.json", "none.png"):
        with pytest.raises(VLExplainError, match="There is no file"):
            read_ground_truth(tmp_path / name, SHAPE)


numbers = st.floats(-40, 40, allow_subnormal=False)


@settings(max_examples=200, deadline=None)
@given(numbers, numbers, st.floats(0.001, 60), st.floats(0.001, 60))
def test_a_box_covers_the_centres_that_lie_in_it(x: float, y: float, width: float, height: float) -> None:
    try:
        mask = mask_of_boxes([[x, y, width, height]], SHAPE)
    except VLExplainError:
        assert x >= SHAPE[1] or y >= SHAPE[0] or x + width <= 0 or y + height <= 0
        return
    rows, columns = np.arange(SHAPE[0]) + 0.5, np.arange(SHAPE[1]) + 0.5
    expected = np.logical_and.outer((rows >= y) & (rows < y + height), (columns >= x) & (columns < x + width))
    if expected.any():
        np.testing.assert_array_equal(mask, expected)
    else:
        assert mask.any()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 1), min_size=12, max_size=12))
def test_a_mask_is_written_as_boxes_and_read_again(pixels: list[int]) -> None:
    mask = np.array(pixels, dtype=bool).reshape(3, 4)
    np.testing.assert_array_equal(mask_of_boxes(boxes_of(mask), (3, 4)), mask)


def test_a_rectangle_is_one_box() -> None:
    assert boxes_of(SQUARE) == [[5, 4, 15, 8]]


def test_the_text_of_a_file_serves_as_the_file() -> None:
    text = json.dumps({"boxes": [{"prompt": "a dog", "box": [5, 4, 15, 8]}, {"prompt": "a cat", "box": None}]})
    np.testing.assert_array_equal(read_ground_truth(text, SHAPE, "a dog"), SQUARE)
    assert read_ground_truth(text, SHAPE, "a cat") is None
    with pytest.raises(VLExplainError, match="no box for 'a bird'"):
        read_ground_truth(text, SHAPE, "a bird")
    with pytest.raises(VLExplainError, match="ground truth cannot be read as JSON"):
        read_ground_truth("{boxes", SHAPE)
    with pytest.raises(VLExplainError, match="box 1 is None"):
        read_ground_truth('{"boxes": [null]}', SHAPE)
