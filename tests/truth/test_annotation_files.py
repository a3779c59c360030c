"""Files of annotation tools as ground truths; expected masks are closed forms of what each tool documents."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage.draw import disk

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.truth.laying import GroundTruth
from napari_vlexplain.truth.picture import Picture
from napari_vlexplain.truth.reading import find_ground_truth, read_ground_truth

SHAPE = (40, 60)
PICTURE = Picture(SHAPE, name="set/one/a.jpg")


def inside(*places: tuple[int, int, int, int], shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Rows from, to, columns from, to."""
    mask = np.zeros(shape, bool)
    for top, bottom, left, right in places:
        mask[top:bottom, left:right] = True
    return mask


def read(folder: Path, name: str, content: Any, prompt: str | None = None, picture: Picture = PICTURE) -> GroundTruth:
    file = folder / name
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return find_ground_truth(file, picture, prompt)


def kinds(found: GroundTruth) -> list[str]:
    return [note.kind for note in found.notes]


# --- LabelMe


def labelme(*shapes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"version": "5.5.0", "shapes": list(shapes), "imageHeight": 40, "imageWidth": 60, **changes}


def shape(kind: str | None, points: list[Any], label: Any = "dog", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, **more}


def png(mask: np.ndarray, **options: Any) -> str:
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, "PNG", **options)
    return base64.b64encode(stream.getvalue()).decode()


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (shape("rectangle", [[10, 5], [40, 15]]), inside((5, 15, 10, 40))),
        (shape("rectangle", [[40, 15], [10, 5]]), inside((5, 15, 10, 40))),
        (shape("rectangle", [[10, 5], [40, 5], [40, 15], [10, 15]]), inside((5, 15, 10, 40))),
        (shape("polygon", [[10, 5], [40, 5], [40, 15], [10, 15]]), inside((5, 15, 10, 40))),
        (shape(None, [[10, 5], [40, 5], [40, 15], [10, 15]]), inside((5, 15, 10, 40))),
        (shape("mask", [[10, 5], [12, 6]], mask=png(np.ones((2, 3), bool))), inside((5, 7, 10, 13))),
        (shape("mask", [[-1, 38], [1, 41]], mask=png(np.ones((4, 3), np.uint8))), inside((38, 40, 0, 2))),
    ],
)
def test_labelme_shapes(tmp_path: Path, one: dict[str, Any], expected: np.ndarray) -> None:
    found = read(tmp_path, "a.json", labelme(one))
    np.testing.assert_array_equal(found.mask, expected)
    assert not found.notes


def test_a_circle_of_labelme(tmp_path: Path) -> None:
    found = read(tmp_path, "a.json", labelme(shape("circle", [[30.5, 20.5], [30.5, 29.9]])))
    expected = np.zeros(SHAPE, bool)
    expected[disk((20, 30), 9.4, shape=SHAPE)] = True  # pixel centres within 9.4 of that of pixel 20, 30
    np.testing.assert_array_equal(found.mask, expected)


def test_what_encloses_nothing_is_left_out_with_a_word(tmp_path: Path) -> None:
    lines = [shape("line", [[0, 0], [9, 9]]), shape("point", [[3, 3]]), shape("point", [[5, 3]])]
    found = read(tmp_path, "a.json", labelme(*lines, shape("rectangle", [[10, 5], [40, 15]])))
    assert kinds(found) == ["left out"] and "1 line, 2 points of a.json" in found.notes[0]
    with pytest.raises(VLExplainError, match="enclose no area"):
        read(tmp_path, "a.json", labelme(*lines))


def test_labels_belong_to_prompts_whose_words_they_are(tmp_path: Path) -> None:
    two = labelme(shape("rectangle", [[0, 0], [5, 5]], "Left_Lung"), shape("rectangle", [[10, 5], [40, 15]], "dog"))
    np.testing.assert_array_equal(read(tmp_path, "a.json", two, "a big dog").mask, inside((5, 15, 10, 40)))
    np.testing.assert_array_equal(read(tmp_path, "a.json", two, "left lung opacity").mask, inside((0, 5, 0, 5)))
    np.testing.assert_array_equal(read(tmp_path, "a.json", two).mask, inside((0, 5, 0, 5), (5, 15, 10, 40)))
    with pytest.raises(VLExplainError, match=r"no box for 'a dogma'; its boxes are for 'Left_Lung', 'dog'"):
        read(tmp_path, "a.json", two, "a dogma")


def test_labelme_on_another_picture(tmp_path: Path) -> None:
    found = read(tmp_path, "a.json", labelme(shape("rectangle", [[10, 5], [40, 15]]), imageHeight=80, imageWidth=80))
    assert kinds(found) == ["proportions"] and found.measured is None
    half = read(tmp_path, "a.json", labelme(shape("rectangle", [[20, 10], [80, 30]]), imageHeight=80, imageWidth=120))
    np.testing.assert_array_equal(half.mask, inside((5, 15, 10, 40)))
    assert kinds(half) == ["size"]


@pytest.mark.parametrize(
    "one",
    [
        shape("mask", [[0, 0], [1, 1]], mask="not base64 of a PNG"),
        shape("mask", [[0, 0], [1, 1]], mask=None),
        shape("mask", [[0, 0], [1, 1]], mask=base64.b64encode(b"GIF89a").decode()),
        shape("polygon", [[0, 0], [1, 1]]),
        shape("polygon", [[0, 0], [1, "x"], [2, 2]]),
        shape("polygon", [[0, 0], [1e999, 0], [2, 2]]),
        shape("polygon", []),
        shape("polygon", "points"),
        shape("sphere", [[0, 0], [1, 1], [2, 0]]),
        shape("circle", [[0, 0]]),
        shape("rectangle", [[0, 0], [5, 0]]),
        shape("rectangle", [[0, 0], [5, 5]], label=["dog"]),
    ],
)
def test_broken_shapes_end_in_a_sentence(tmp_path: Path, one: dict[str, Any]) -> None:
    with pytest.raises(VLExplainError, match=r"a\.json"):
        read(tmp_path, "a.json", labelme(one))


def test_hostile_sizes_end_in_a_sentence(tmp_path: Path) -> None:
    one = shape("mask", [[0, 0], [1, 1]], mask=png(np.ones((2, 2), bool)))
    for height, width in ((10**9, 10**9), (-5, 3), ("many", 3), (float("inf"), 2)):
        with pytest.raises(VLExplainError):
            read(tmp_path, "a.json", json.dumps(labelme(one, imageHeight=height, imageWidth=width)))
    far = shape("mask", [[1e300, 1e300], [1e300, 1e300]], mask=png(np.ones((2, 2), bool)))
    assert not read(tmp_path, "a.json", labelme(far)).mask.any()
    with pytest.raises(VLExplainError, match="outlines of"):
        read(tmp_path, "a.json", labelme(shape("polygon", [[i % 60, i % 40] for i in range(600_000)])))


# --- Pascal VOC


def voc(*boxes: tuple[float, float, float, float], name: str = "dog", size: tuple[int, int] | None = (60, 40)) -> str:
    objects = "".join(
        f"<object><name>{name}</name><part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax>"
        f"<ymax>2</ymax></bndbox></part><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox>"
        "</object>"
        for a, b, c, d in boxes
    )
    stated = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<?xml version='1.0'?><annotation><filename>a.jpg</filename>{stated}{objects}</annotation>"


def test_voc_counts_from_one_and_both_ends_are_inside(tmp_path: Path) -> None:
    found = read(tmp_path, "a.xml", voc((11, 6, 40, 15), (1, 1, 1, 1), (60, 40, 60, 40)))
    np.testing.assert_array_equal(found.mask, inside((5, 15, 10, 40), (0, 1, 0, 1), (39, 40, 59, 60)))
    assert not found.notes
    np.testing.assert_array_equal(
        read(tmp_path, "a.xml", voc((11, 6, 40, 15), size=None)).mask, inside((5, 15, 10, 40))
    )


def test_voc_that_counts_from_zero_is_told(tmp_path: Path) -> None:
    found = read(tmp_path, "a.xml", voc((10, 5, 40, 15), (0, 0, 60, 2)))
    np.testing.assert_array_equal(found.mask, inside((5, 15, 10, 40), (0, 2, 0, 60)))
    assert "begin at 0" in found.notes[0]


@pytest.mark.parametrize(
    "content",
    [
        '<!DOCTYPE a [<!ENTITY x "y">]><annotation>&x;</annotation>',
        '<!DOCTYPE annotation SYSTEM "file:///etc/passwd"><annotation/>',
        '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a [<!ENTITY x "y">]><annotation>&x;</annotation>'.encode(
            "utf-16"
        ),
        "<annotation>" + "<a>" * 5000,
        "<annotation><object></object></annotation>",
        "<html></html>",
        "no xml",
        "",
        b"\xff\x00",
        voc((40, 5, 10, 15)),
        voc((float("nan"), 5, 10, 15)),
    ],
    ids=["entity", "external", "utf-16", "deep", "no box", "html", "text", "empty", "bytes", "turned round", "nan"],
)
def test_other_xml_ends_in_a_sentence(tmp_path: Path, content: Any) -> None:
    with pytest.raises(VLExplainError, match=r"a\.xml"):
        read(tmp_path, "a.xml", content)


# --- YOLO


def test_yolo_boxes_and_outlines(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("cat\nbig_dog\n")
    text = f"1 {25 / 60} {10 / 40} {30 / 60} {10 / 40}\n\n0 0 0 0.5 0 0.5 0.5 0 0.5\n"
    np.testing.assert_array_equal(read(tmp_path, "a.txt", text, "a big dog").mask, inside((5, 15, 10, 40)))
    np.testing.assert_array_equal(read(tmp_path, "a.txt", text, "a cat").mask, inside((0, 20, 0, 30)))
    tall = read(tmp_path, "a.txt", text, "a cat", Picture((10, 8)))
    np.testing.assert_array_equal(tall.mask, inside((0, 5, 0, 4), shape=(10, 8)))
    np.testing.assert_allclose(read(tmp_path, "a.txt", text, "a big dog").boxes, [[10, 5, 30, 10]])


@pytest.mark.parametrize("names", ["names: ['cat', 'big dog']", "names:\n  1: big_dog\n  0: cat\nnc: 2"])
@pytest.mark.parametrize("place", ["labels/train", "train/labels", "."])
def test_yolo_names_of_a_data_set(tmp_path: Path, place: str, names: str) -> None:
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    (tmp_path / "data.yaml").write_text(f"train: images\n{names}\n")
    found = read(folder, "a.txt", f"1 {25 / 60} 0.25 0.5 0.25\n0 0.5 0.5 0.1 0.1\n", "a big dog")
    np.testing.assert_array_equal(found.mask, inside((5, 15, 10, 40)))
    assert not found.notes
    with pytest.raises(VLExplainError, match=r"class 7, which data\.yaml does not name"):
        read(folder, "a.txt", "7 0.5 0.5 0.1 0.1\n")
    (tmp_path / "data.yaml").write_text("names: 3\n")
    with pytest.raises(VLExplainError, match=r"data\.yaml should name its classes"):
        read(folder, "a.txt", "0 0.5 0.5 0.1 0.1\n")


def test_yolo_without_names_or_objects(tmp_path: Path) -> None:
    found = read(tmp_path, "a.txt", "3 0.5 0.5 0.5 0.5\n", "a cat")
    assert kinds(found) == ["labels"] and found.mask is not None and found.mask.sum() == 20 * 30
    nothing = read(tmp_path, "a.txt", "\n")
    assert nothing.mask is None and kinds(nothing) == ["empty"] and not nothing.doubt


def test_yolo_that_reaches_outside(tmp_path: Path) -> None:
    assert not read(tmp_path, "a.txt", f"0 {58.5 / 60} 0.5 {4 / 60} 0.5\n").notes[1:]  # half a pixel
    assert kinds(read(tmp_path, "a.txt", f"0 {55 / 60} 0.5 {20 / 60} 0.5\n")) == ["outside", "labels"]


@pytest.mark.parametrize(
    "line",
    ["0 30 20 10 10", "dog 0.5 0.5 0.1 0.1", "0 0.5 0.5 0.1", "0 0.5 0.5 0.1 0.1 0.9", "0 0.5 0.5 0 0.1",
     "-1 0.5 0.5 0.1 0.1", "0 nan 0.5 0.1 0.1", "9 0.5 0.5 0.1 0.1"],
)  # fmt: skip
def test_other_lines_are_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "classes.txt").write_text("cat\n")
    with pytest.raises(VLExplainError, match=r"a\.txt, line 2"):
        read(tmp_path, "a.txt", f"0 0.5 0.5 0.1 0.1\n{line}\n")


# --- COCO


def coco(*annotations: dict[str, Any], images: list[Any] | None = None) -> dict[str, Any]:
    one = [{"id": 1, "file_name": "a.jpg", "width": 60, "height": 40}]
    return {
        "images": one if images is None else images,
        "categories": [{"id": 7, "name": "dog"}, {"id": "8", "name": "kite"}],
        "annotations": [{"image_id": 1, "category_id": 7, **given} for given in annotations],
    }


BOX = [10, 5, 30, 10]
OUTLINE = [[0, 0, 5, 0, 5, 5, 0, 5]]


def test_coco_takes_outlines_runs_and_boxes(tmp_path: Path) -> None:
    runs = {"size": [40, 60], "counts": [1190, 1, 1209]}  # column by column: pixel 1190 is row 30, column 29
    document = coco(
        {"bbox": BOX, "segmentation": []}, {"bbox": [0, 0, 60, 40], "segmentation": OUTLINE}, {"segmentation": runs},
        {"bbox": [50, 30, 2, 2]}, {"bbox": [20, 20, 3, 3], "category_id": "8"},
        {"segmentation": [*OUTLINE, runs], "iscrowd": 1},
    )  # fmt: skip
    found = read(tmp_path, "a.json", document, "a dog")
    expected = inside((5, 15, 10, 40), (0, 5, 0, 5), (30, 31, 29, 30), (30, 32, 50, 52))
    np.testing.assert_array_equal(found.mask, expected)
    np.testing.assert_array_equal(read(tmp_path, "a.json", document, "a kite").mask, inside((20, 23, 20, 23)))


def test_coco_of_many_images_is_asked_by_name_and_folder(tmp_path: Path) -> None:
    images = [
        {"id": "x", "file_name": "b.jpg", "width": 60, "height": 40},
        {"id": 2, "file_name": "set/one/a.jpg", "width": 60, "height": 40},
        {"id": 3, "file_name": "set/two/a.jpg", "width": 60, "height": 40},
    ]
    document = coco({"bbox": BOX, "image_id": "2"}, {"bbox": [0, 0, 2, 2], "image_id": 3}, images=images)
    np.testing.assert_array_equal(read(tmp_path, "a.json", document).mask, inside((5, 15, 10, 40)))
    other = read(tmp_path, "a.json", document, None, Picture(SHAPE, name="C:\\set\\two\\a.jpg"))
    np.testing.assert_array_equal(other.mask, inside((0, 2, 0, 2)))
    with pytest.raises(VLExplainError, match=r"2 images of the name 'a\.jpg'"):
        read(tmp_path, "a.json", document, None, Picture(SHAPE, name="a.jpg"))
    with pytest.raises(VLExplainError, match=r"none is called 'c\.jpg'; its first are 'b\.jpg'"):
        read(tmp_path, "a.json", document, None, Picture(SHAPE, name="c.jpg"))
    nothing = read(tmp_path, "a.json", document, None, Picture(SHAPE, name="b.jpg"))
    assert nothing.mask is None and kinds(nothing) == ["empty"]


def test_coco_of_one_other_image_is_told(tmp_path: Path) -> None:
    found = read(tmp_path, "a.json", coco({"bbox": BOX}), None, Picture(SHAPE, name="resized.png"))
    assert kinds(found) == ["image"] and "another name" in found.notes[0]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"bbox": [1, 2, 3]},
        {"bbox": [1, 2, 0, 4]},
        {"segmentation": "x"},
        {"segmentation": [[1, 2, 3, 4]]},
        {"segmentation": [["a"] * 6]},
        {"segmentation": {"size": [40, 60]}},
        {"segmentation": {"size": [40, 60], "counts": [1, -1, 2400]}},
        {"segmentation": {"size": [4, 6], "counts": [24]}},
        {"segmentation": {"size": [10**9, 10**9], "counts": [10**18]}},
    ],
)
def test_broken_annotations_end_in_a_sentence(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(VLExplainError):
        read(tmp_path, "a.json", coco(given))


# --- all of them


def test_our_boxes_may_state_their_picture(tmp_path: Path) -> None:
    content = {"boxes": [[20, 10, 60, 20]], "size": [120, 80]}
    np.testing.assert_array_equal(read(tmp_path, "a.json", content).mask, inside((5, 15, 10, 40)))
    assert read(tmp_path, "a.json", {**content, "size": [200, 80]}).doubt
    with pytest.raises(VLExplainError, match="size"):
        read(tmp_path, "a.json", {**content, "size": "large"})


def test_the_plain_door_raises_what_no_figure_may_count_and_warns_of_the_rest(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(labelme(shape("rectangle", [[0, 0], [5, 5]]))))
    with pytest.raises(VLExplainError, match="other proportions"):
        read_ground_truth(tmp_path / "a.json", (40, 40))
    with pytest.warns(UserWarning, match="scaled"):
        mask = read_ground_truth(tmp_path / "a.json", (20, 30))
    assert mask is not None and mask.sum() == 4


@pytest.mark.parametrize("name", ["a.json", "a.xml", "a.txt"])
def test_files_that_are_missing_or_too_large(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VLExplainError, match="There is no file"):
        find_ground_truth(tmp_path / name, PICTURE)
    (tmp_path / name).write_text("x" * 100)
    for module in ("objects", "voc"):
        monkeypatch.setattr(f"napari_vlexplain.truth.annotated.{module}.MOST_BYTES", 10)
    with pytest.raises(VLExplainError, match="larger than"):
        find_ground_truth(tmp_path / name, PICTURE)
