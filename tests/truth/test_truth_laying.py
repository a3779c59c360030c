"""A ground truth on its picture: turned, scaled, cut or refused, and what is said of it.

Turned masks are compared with what Pillow makes of the drawn ones by the same tag; the rest are closed forms.
"""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.io.picture_header import PictureHeader, header_of
from napari_vlexplain.truth.box_checks import corners_among
from napari_vlexplain.truth.described import Boxes, MaskFile, Segments
from napari_vlexplain.truth.laying import lay
from napari_vlexplain.truth.note import MEANINGS, Note
from napari_vlexplain.truth.picture import Picture, turned
from napari_vlexplain.truth.placing import alike
from napari_vlexplain.truth.run_lengths import decode_runs, encode_runs

STORED = (40, 100)
BOX = (10.0, 5.0, 30.0, 10.0)


def drawn(shape: tuple[int, int] = STORED) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[5:15, 10:40] = True
    return mask


def tagged(mask: np.ndarray, orientation: int) -> Image.Image:
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    image.getexif()[0x0112] = orientation
    return image


def upright(mask: np.ndarray, orientation: int) -> np.ndarray:
    return np.asarray(ImageOps.exif_transpose(tagged(mask, orientation))) > 0


def kinds(found: object) -> list[str]:
    return [note.kind for note in found.notes]  # type: ignore[attr-defined]


def picture_of(orientation: int, shape: tuple[int, int] = STORED) -> Picture:
    return Picture(shape[::-1] if orientation > 4 else shape, orientation, "a.jpg")


# --- turned pictures


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_is_pillows(orientation: int) -> None:
    rng = np.random.default_rng(orientation)
    mask = rng.random((7, 11)) < 0.5
    np.testing.assert_array_equal(turned(mask, orientation), upright(mask, orientation))


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize(
    "truth",
    [
        Boxes((BOX,), (100, 40)),
        Segments(((10, 5, 40, 5, 40, 15, 10, 15),), size=(100, 40)),
        Segments(runs=((40, 100, encode_runs(drawn())),)),
        Segments(boxes=(BOX,), polygons=((10, 5, 40, 5, 40, 15, 10, 15),), size=(100, 40)),
        Boxes((BOX, (60.0, 5.0, 35.0, 30.0)), None),
    ],
    ids=["boxes", "outline", "runs", "both", "a box that fits the stored picture alone"],
)
def test_what_is_drawn_on_the_stored_picture_is_turned_with_it(truth: Boxes | Segments, orientation: int) -> None:
    expected = drawn()
    if isinstance(truth, Boxes) and len(truth.boxes) == 2:
        expected[5:35, 60:95] = True
    found = lay(truth, picture_of(orientation), "it")
    np.testing.assert_array_equal(found.mask, upright(expected, orientation))
    assert kinds(found) == ["orientation"] and "turned with it" in found.notes[0] and not found.doubt
    if isinstance(truth, Boxes):
        again = lay(Boxes(tuple(map(tuple, found.boxes.tolist()))), Picture(found.mask.shape), "it")
        np.testing.assert_array_equal(again.mask, found.mask)


def test_a_smaller_copy_of_the_stored_picture_is_turned_and_scaled() -> None:
    found = lay(Boxes((BOX,), (100, 40)), Picture((200, 80), 6), "it")
    expected = np.zeros((80, 200), bool)
    expected[10:30, 20:80] = True
    np.testing.assert_array_equal(found.mask, upright(expected, 6))
    assert set(kinds(found)) == {"orientation", "size"}


def test_what_is_drawn_on_the_turned_picture_stays() -> None:
    found = lay(Boxes(((4.0, 12.0, 12.0, 25.0),), (40, 100)), Picture((100, 40), 6), "it")
    assert found.mask is not None and found.mask[12:37, 4:16].all() and found.mask.sum() == 12 * 25 and not found.notes


def test_numbers_outside_the_stored_size_are_of_the_turned_picture() -> None:
    """Label Studio's COCO states the stored size beside boxes of the turned picture."""
    found = lay(Boxes(((4.0, 60.0, 12.0, 25.0),), (100, 40)), Picture((100, 40), 6), "it")
    assert found.mask is not None and found.mask[60:85, 4:16].all() and found.mask.sum() == 12 * 25
    assert kinds(found) == ["orientation"] and "taken as drawn on the turned picture" in found.notes[0]


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_where_sizes_cannot_tell_it_is_said(orientation: int) -> None:
    square = picture_of(orientation, (50, 50))
    for truth in (Boxes((BOX,), (50, 50)), Boxes((BOX,)), Segments(boxes=((0.2, 0.1, 0.6, 0.2),), shares=True)):
        found = lay(truth, square, "it")
        np.testing.assert_array_equal(found.mask, drawn((50, 50)))
        assert kinds(found) == ["orientation"] and "no size tells" in found.notes[0] and not found.doubt


@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_mask_files_follow_the_same_rule(tmp_path: Path, orientation: int) -> None:
    Image.fromarray(drawn()).save(tmp_path / "m.png")
    found = lay(MaskFile(tmp_path / "m.png"), picture_of(orientation), "it")
    np.testing.assert_array_equal(found.mask, upright(drawn(), orientation))
    assert bool(found.notes) == (orientation != 1)


@pytest.mark.parametrize(
    ("name", "orientation"), [("a.jpg", 6), ("a.png", 8), ("a.tif", 3), ("b.tif", 6), ("c.png", 1), ("d.png", 9)]
)
def test_headers_tell_size_and_turn(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("L", (30, 20)).save(tmp_path / name, exif=exif.tobytes() if name.endswith("g") else exif)
    expected = orientation if orientation < 9 else 1
    found = header_of(tmp_path / name)
    assert found == PictureHeader((30, 20), expected)
    assert found.size == ((20, 30) if expected > 4 else (30, 20))
    assert header_of(tmp_path / "none.png") is None


# --- sizes


@pytest.mark.parametrize(
    ("own", "other", "fits"),
    [
        ((2544, 3056), (426, 512), True),
        ((2544, 3056), (427, 512), True),
        ((426, 512), (2544, 3056), True),
        ((100, 40), (50, 20), True),
        ((2544, 3056), (512, 512), False),
        ((200, 100), (50, 50), False),
        ((1000, 1200), (500, 300), False),
        ((100, 100), (100, 104), False),
    ],
)
def test_proportions(own: tuple[int, int], other: tuple[int, int], fits: bool) -> None:
    assert alike(own, other) is fits and alike(other, own) is fits


def test_a_truth_of_another_size_is_scaled_with_a_word() -> None:
    found = lay(Boxes((BOX,), (100, 40)), Picture((20, 50)), "it")
    expected = np.zeros((20, 50), bool)
    expected[2:7, 5:20] = True  # rows 2.5 to 7.5: those whose centres lie within
    np.testing.assert_array_equal(found.mask, expected)
    assert kinds(found) == ["size"] and "100 x 40" in found.notes[0] and "50 x 20" in found.notes[0]


@pytest.mark.parametrize("factor", [2, 3])
def test_a_finer_mask_is_thinned_with_a_word(tmp_path: Path, factor: int) -> None:
    fine = np.kron(drawn(), np.ones((factor, factor), bool))
    Image.fromarray(fine).save(tmp_path / "m.png")
    found = lay(MaskFile(tmp_path / "m.png"), Picture(STORED), "it")
    np.testing.assert_array_equal(found.mask, drawn())
    assert kinds(found) == ["size"]
    coarse = lay(Segments(runs=((40, 100, encode_runs(drawn())),)), Picture((80, 200)), "it")
    np.testing.assert_array_equal(coarse.mask, np.kron(drawn(), np.ones((2, 2), bool)))


def test_other_proportions_are_in_doubt_and_masks_of_them_refused(tmp_path: Path) -> None:
    found = lay(Boxes(((120.0, 20.0, 20.0, 40.0),), (200, 100)), Picture((50, 50)), "it")
    assert "200 x 100" in found.doubt and "50 x 50" in found.doubt and found.notes[0] == found.doubt
    assert found.measured is None and found.mask is not None and found.mask[10:30, 30:35].all()
    assert kinds(found) == ["proportions"]
    Image.fromarray(drawn()).save(tmp_path / "m.png")
    with pytest.raises(VLExplainError, match=r"m\.png is 100 x 40 pixels, but the image is 100 x 30"):
        lay(MaskFile(tmp_path / "m.png"), Picture((30, 100)), "it")


# --- boxes that reach outside


@pytest.mark.parametrize("over", [0.0, 0.5, 1.0])
def test_a_pixel_over_the_border_is_no_alarm(over: float) -> None:
    found = lay(Boxes(((60.0, 20.0, 40 + over, 20 + over),), (100, 40)), Picture(STORED), "it")
    assert not found.notes and found.mask is not None and found.mask.sum() == 40 * 20
    outline = (60.0, 20.0, 100 + over, 20.0, 100 + over, 40 + over, 60.0, 40 + over)
    assert not lay(Segments((outline,), size=(100, 40)), Picture(STORED), "it").notes


def test_what_lies_outside_is_cut_off_and_told() -> None:
    found = lay(Boxes(((80.0, 10.0, 50.0, 5.0), (0.0, 0.0, 5.0, 5.0)), (100, 40)), Picture(STORED), "it")
    assert kinds(found) == ["outside"] and "30 pixels outside the picture of 100 x 40" in found.notes[0]
    assert not found.doubt and found.mask is not None and found.mask.sum() == 20 * 5 + 25
    left = lay(Segments(((-9.0, 0.0, 5.0, 0.0, 5.0, 5.0, -9.0, 5.0),), size=(100, 40)), Picture(STORED), "it")
    assert kinds(left) == ["outside"] and "9 pixels" in left.notes[0]


def test_corners_in_place_of_width_and_height_are_named() -> None:
    found = lay(Boxes(((60.0, 50.0, 90.0, 80.0),)), Picture((100, 100)), "it")
    assert kinds(found) == ["corners"] and found.measured is None
    assert "60 50 90 80 would reach to 150, 130" in found.doubt and "This one would be 60 50 30 30" in found.doubt


def test_one_box_outside_tells_of_all_in_its_table() -> None:
    size = (100.0, 100.0)
    corners = [((5.0, 5.0, 20.0, 30.0), size), ((60.0, 50.0, 90.0, 80.0), size), ((1.0, 2.0, 99.0, 100.0), size)]
    assert corners_among(corners) == ((60.0, 50.0, 90.0, 80.0), size)
    assert corners_among(corners[:1]) is None  # nothing lies outside
    real = ((40.0, 50.0, 20.0, 10.0), size)  # ends before it begins if these are corners
    assert corners_among([*corners, real]) is None
    assert corners_among([((60.0, 50.0, 70.0, 60.0), (100.0, 100.0)), *[real] * 9]) is None


def test_shares_in_place_of_pixels_are_named() -> None:
    found = lay(Boxes(((0.1, 0.25, 0.5, 0.25), (0.0, 0.0, 1.0, 1.0))), Picture((40, 100)), "it")
    assert kinds(found) == ["shares"] and found.measured is None and "would be 10 10 50 10 on 100 x 40" in found.doubt
    for boxes in (
        ((0.0, 0.0, 1.0, 1.0),),
        ((0.2, 0.2, 0.5, 0.5), (3.0, 0.0, 2.0, 2.0)),
    ):  # a pixel; a spot beside a box
        assert not lay(Boxes(boxes), Picture((40, 100)), "it").doubt
    assert not lay(Boxes(((0.1, 0.1, 0.5, 0.5),)), Picture((1, 1)), "it").doubt


@pytest.mark.parametrize("box", [(100.0, 0.0, 5.0, 5.0), (0.0, -7.0, 5.0, 7.0)])
def test_a_box_wholly_outside_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(VLExplainError, match="lies outside the image of 100 x 40"):
        lay(Boxes((box,), (100, 40)), Picture(STORED), "it")


# --- codes and notes


COCOS = [  # written by pycocotools 2.0 of the masks below
    ((7, 9), "01f02^ONM03200004N"),
]


def test_run_lengths_are_those_of_pycocotools() -> None:
    mask = np.zeros((7, 9), bool)
    mask[2:5, 3:8], mask[0, 0], mask[6, 8], mask[3, 4] = True, True, True, False
    for shape, text in COCOS:
        np.testing.assert_array_equal(decode_runs(text, shape), mask)
    np.testing.assert_array_equal(decode_runs(encode_runs(mask), mask.shape), mask)
    for plain in (np.zeros((3, 4), bool), np.ones((3, 4), bool)):
        np.testing.assert_array_equal(decode_runs(encode_runs(plain), (3, 4)), plain)


@pytest.mark.parametrize(
    ("text", "shape"), [("\x7f", (2, 2)), ("o" * 50, (2, 2)), ("4", (0, 4)), ("4", (2**20, 2**20))]
)
def test_hostile_run_lengths_end_in_a_sentence(text: str, shape: tuple[int, int]) -> None:
    with pytest.raises(VLExplainError, match="run-length"):
        decode_runs(text, shape)


def test_notes_keep_their_kind() -> None:
    note = Note("A sentence.", "void")
    for again in (pickle.loads(pickle.dumps(note)), copy.deepcopy(note)):
        assert again == "A sentence." and again.kind == "void" and again.kind in MEANINGS
