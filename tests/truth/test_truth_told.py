"""What is found in ground truths stands where their figures are: data sets, cases, rows, report, command, exports."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from export_records import masks_of_shape, record
from PIL import Image

from napari_vlexplain.benchmark.plan import MethodChoice, Task
from napari_vlexplain.benchmark.reporting.documents import make_report
from napari_vlexplain.benchmark.rows import Row
from napari_vlexplain.benchmark.store import Store, write_header
from napari_vlexplain.benchmark.work import compute
from napari_vlexplain.choices.explain import Explaining
from napari_vlexplain.cli import main
from napari_vlexplain.datasets.catalogue import open_dataset
from napari_vlexplain.datasets.dataset import Entry
from napari_vlexplain.datasets.reading import read_case
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.metrics.figures import measure
from napari_vlexplain.reading_room.agreement import overlaps
from napari_vlexplain.reading_room.ahead import Preparing
from napari_vlexplain.reading_room.cache import Cache
from napari_vlexplain.reading_room.export import Options, export_study
from napari_vlexplain.reading_room.files.case_figure import case_figure
from napari_vlexplain.reading_room.files.case_files import read_case as read_exported
from napari_vlexplain.reading_room.files.case_files import write_case
from napari_vlexplain.reading_room.opened import read
from napari_vlexplain.reading_room.question import Asked, Question
from napari_vlexplain.reading_room.rows import row_of
from napari_vlexplain.results.reproduce import ComparisonChoices, Origin
from napari_vlexplain.tasks.compare import compare
from napari_vlexplain.truth.laying import GroundTruth
from napari_vlexplain.truth.note import Note

CXR = "dicom_id,category_name,label_text,path,x,y,w,h,image_width,image_height,split"
PLACE = "files/p10/p10000032/s5"


def picture(path: Path, size: tuple[int, int] = (60, 40), **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, **options)
    return path


def cxr(root: Path, *rows: str) -> Any:
    (root / "MS_CXR_Local_Alignment_v1.1.0.csv").write_text("\n".join([CXR, *rows]))
    return open_dataset("ms-cxr", root)


def folder(root: Path, *rows: str, columns: str = "image,prompt") -> Any:
    (root / "prompts.csv").write_text("\n".join([columns, *rows]))
    return open_dataset("folder", root)


def told(entry: Entry) -> list[str]:
    """The kinds of notes, alike for a benchmark and for the reading room."""
    case, opened = read_case(entry), read(entry)
    assert [*case.notes] == [*opened.truth_notes] and case.doubts == opened.doubts
    return [note.kind for note in case.notes]


# --- ways in


def test_a_cropped_copy_is_told_when_opened_and_when_read(tmp_path: Path) -> None:
    picture(tmp_path / PLACE / "d1.jpg", (50, 50))
    found = cxr(tmp_path, f"d1,Edema,haze,{PLACE}/d1.jpg,120,20,20,40,200,100,test")
    assert "200 x 100" in str(found.problems[0]) and not found.problems[0].skipped
    (entry,) = found.entries
    assert told(entry) == ["proportions"]
    opened = read(entry)
    assert opened.truths[0] is not None and opened.measured(0) is None and opened.doubt(0)


def test_a_box_that_was_lost_is_told_with_the_rest(tmp_path: Path) -> None:
    picture(tmp_path / PLACE / "d1.jpg")
    row = f"d1,Edema,haze,{PLACE}/d1.jpg"
    found = cxr(tmp_path, f"{row},5,5,9,9,60,40,test", f"{row},90,5,9,9,60,40,test", f"{row},1,1,0,9,60,40,test")
    assert [problem.line for problem in found.problems] == [3, 4]
    assert told(found.entries[0]) == ["left out"]
    assert "2 of the 3 boxes" in read_case(found.entries[0]).notes[0]
    assert found.facts["boxes"] == "1"


def test_sizes_that_contradict_each_other_are_in_doubt(tmp_path: Path) -> None:
    picture(tmp_path / PLACE / "d1.jpg")
    row = f"d1,Edema,haze,{PLACE}/d1.jpg"
    found = cxr(tmp_path, f"{row},5,5,9,9,60,40,test", f"{row},10,5,9,9,120,80,test")
    assert "different sizes" in read_case(found.entries[0]).doubts[0]


def test_one_box_outside_puts_all_of_a_table_of_corners_in_doubt(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / f"{name}.png", (100, 100))
    rows = ["a.png,mass,5 5 20 30", "b.png,mass,60 50 90 80"]
    found = folder(tmp_path, *rows, columns="image,prompt,boxes")
    assert "60 50 30 30" in str(found.problems[0])
    assert [told(entry) for entry in found.entries] == [["corners"], ["corners"]]
    right = folder(tmp_path, *rows, columns="image,prompt,corners")
    assert not right.problems and not any(told(entry) for entry in right.entries)
    assert read_case(right.entries[1]).masks[0][50:80, 60:90].all() and read_case(right.entries[1]).masks.sum() == 900


def test_a_mask_needs_its_images_own_folder(tmp_path: Path) -> None:
    for name in ("images/p1/v.png", "images/p2/v.png", "v.png"):
        picture(tmp_path / name)
    half = np.zeros((40, 60), np.uint8)
    half[:, :30] = 255
    for name in ("masks/v.png", "masks/p2/v.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(half).save(tmp_path / name)
    found = folder(tmp_path, "images/p1/v.png,mass", "p2/v.png,mass", "v.png,mass")
    assert [entry.has_truth for entry in found.entries] == [False, True, True]
    assert [problem.line for problem in found.problems] == [2]
    assert told(found.entries[0]) == ["unused"] and "masks/p1/v.png" in read_case(found.entries[0]).notes[0]


def test_a_mask_that_two_images_name_is_told(tmp_path: Path) -> None:
    for name in ("p1/v.png", "p2/v.png"):
        picture(tmp_path / name)
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.tri(40, 60, dtype=np.uint8)).save(tmp_path / "masks/v.png")
    found = folder(
        tmp_path, "p1/v.png,mass,v.png", "p2/v.png,mass,v.png", "p2/v.png,node,", columns="image,prompt,mask"
    )
    assert "v.png is the mask of 2 images" in str(found.problems[-1])
    assert [told(entry) for entry in found.entries] == [["image"], ["image"], ["unused"]]


def test_annotations_beside_an_image_are_found(tmp_path: Path) -> None:
    labelme = {"shapes": [{"label": "mass", "points": [[0, 0], [10, 5]], "shape_type": "rectangle"}], "imageWidth": 60,
               "imageHeight": 40}  # fmt: skip
    voc = "<annotation><object><name>mass</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>10</xmax><ymax>5</ymax>\
</bndbox></object></annotation>"
    for name in ("a", "images/b", "images/sub/c", "images/d"):
        picture(tmp_path / f"{name}.png")
    (tmp_path / "a.json").write_text(json.dumps(labelme))
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/b.xml").write_text(voc)
    (tmp_path / "labels/sub").mkdir(parents=True)
    (tmp_path / "labels/classes.txt").write_text("mass\n")
    (tmp_path / "labels/sub/c.txt").write_text(f"0 {5 / 60} {2.5 / 40} {10 / 60} {5 / 40}\n")
    (tmp_path / "images/d.json").write_text('{"patient": "a note about the picture"}')
    (tmp_path / "images/d.txt").write_text("No acute findings.")
    found = folder(tmp_path, "a.png,a mass", "b.png,a mass", "sub/c.png,a mass", "d.png,a mass", "a.png,a nodule")
    for entry in found.entries[:3]:
        case = read_case(entry)
        assert case.masks[0][:5, :10].all() and case.masks.sum() == 50 and not case.notes
    assert not found.entries[3].has_truth
    assert told(found.entries[4]) == ["unread"] and "'mass'" in read_case(found.entries[4]).doubts[0]


def test_a_label_is_named_in_the_table(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    labels = np.zeros((40, 60), np.uint8)
    labels[:5], labels[5:9], labels[9:10] = 1, 2, 255
    (tmp_path / "masks").mkdir()
    Image.fromarray(labels).save(tmp_path / "masks/a.png")
    found = folder(tmp_path, "a.png,mass,", "a.png,node,2", "a.png,else,x", columns="image,prompt,label")
    assert told(found.entries[0]) == ["void", "labels"] and told(found.entries[1]) == ["void"]
    case = read_case(found.entries[1])
    np.testing.assert_array_equal(case.masks[0], labels == 2)
    np.testing.assert_array_equal(case.ignored, labels == 255)
    assert [problem.line for problem in found.problems] == [4]


def test_coco_of_boxes_outlines_and_broken_annotations(tmp_path: Path) -> None:
    picture(tmp_path / "val2017/sub/a.png")
    (tmp_path / "annotations").mkdir()
    box = {"image_id": "1", "category_id": 1, "bbox": [10, 5, 30, 10], "segmentation": []}
    document = {
        "images": [{"id": 1, "file_name": "sub/a.png", "width": 60, "height": 40}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}],
        "annotations": [{**box, "id": 5}, {**box, "id": 6, "bbox": [0, 0, 0, 0]}, {**box, "category_id": 2},
                        {**box, "category_id": 2, "segmentation": [[0, 0, 5, 0, 5, 5, 0, 5]]}],
    }  # fmt: skip
    (tmp_path / "annotations/instances_val2017.json").write_text(json.dumps(document))
    found = open_dataset("coco", tmp_path)
    dog, cat = (read_case(entry) for entry in found.entries)
    assert dog.masks[0][5:15, 10:40].all() and dog.masks.sum() == 300 and [n.kind for n in dog.notes] == ["left out"]
    assert cat.masks.sum() == 300 + 25 and not cat.notes
    assert ["annotation 6" in str(problem) for problem in found.problems] == [True]


# --- ways out


def task(entry: Entry, *metrics: str) -> Task:
    return Task("it", entry, "mini", MethodChoice("floor:centre"), metrics, "similarity", 0)


def test_benchmark_rows_and_report_tell(tmp_path: Path) -> None:
    picture(tmp_path / PLACE / "d1.jpg", (50, 50))
    picture(tmp_path / PLACE / "d2.jpg", (200, 100))
    given = {"d1,Edema,haze": (1, 120, 20), "d2,Edema,haze": (2, 0, 0), "d2,Edema,less": (2, 40, 0)}
    rows = [f"{begin},{PLACE}/d{n}.jpg,{x},{y},20,40,200,100,test" for begin, (n, x, y) in given.items()]
    found: list[Row] = []
    for entry in cxr(tmp_path, *rows).entries:
        found += compute(task(entry, "pointing_game", "complexity"))[0]
    doubted, free, cut, _, part, _ = found
    assert doubted.value is None and "other proportions" in doubted.reason and list(doubted.notes) == ["proportions"]
    assert free.value is not None and not free.notes
    assert cut.value is None and "outside what the model sees" in cut.notes["crop"]
    assert part.value is not None and part.notes["crop"].startswith("50% of the ground truth")
    assert Row.of(json.loads(part.line())) == part
    assert not Row.of({k: v for k, v in json.loads(part.line()).items() if k != "notes"}).notes
    with Store(tmp_path / "out") as store:
        store.append(found, [])
    write_header(tmp_path / "out", {"schema": 1, "title": "T", "told": ["table: a remark"], "starts": []})
    report = make_report(tmp_path / "out")
    assert {kind: len(cases) for kind, cases in report.table.notes.items()} == {"crop": 2, "proportions": 1}
    for suffix in ("md", "html"):
        text = report.files[suffix].read_text()
        assert "Ground truths" in text and "other proportions" in text and "50% of the ground truth" in text
        assert "table: a remark" in text


def test_measuring_tells_what_was_not_seen_and_leaves_out_what_is_void() -> None:
    heatmap = np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10)
    heatmap[:, :4] = np.nan
    mask = np.zeros((10, 10), bool)
    assert "empty" in measure(heatmap, mask).notes[0]
    mask[2, :4] = True
    unseen = measure(heatmap, mask)
    assert "outside what the model sees, so no figure" in unseen.notes[0]
    assert np.isnan([unseen.iou, unseen.dice, unseen.precision, unseen.recall]).all()
    masks = {"model": heatmap == heatmap, "truth": mask, "reader": mask}
    counts = overlaps(masks, ~np.isnan(heatmap))
    assert np.isnan(counts["model", "truth"].iou) and counts["reader", "truth"].iou == 1
    mask[2, 4:8] = True
    assert measure(heatmap, mask).notes[0].startswith("50% of the ground truth")
    void = np.zeros((10, 10), bool)
    void[5:] = True
    kept = np.where(void, np.float32(np.nan), heatmap)
    assert measure(heatmap, mask, ignored=void).as_dict() == pytest.approx(measure(kept, mask).as_dict(), nan_ok=True)


def test_the_command_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = picture(tmp_path / "a.jpg", (120, 60))
    truth = tmp_path / "t.json"
    words = ["explain", str(file), "a dog", "a cat", "--method", "patch_similarity", "--ground-truth", str(truth)]
    entries = [{"box": [0, 0, 10, 10], "label": "dog"}, {"box": [25, 20, 10, 10], "label": "cat"}]
    truth.write_text(json.dumps({"boxes": entries}))
    assert main(words) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "'a dog': The ground truth lies outside what the model sees" in said
    assert "'a cat': 50% of the ground truth lies outside" in said
    truth.write_text(json.dumps({"boxes": entries, "size": [100, 100]}))
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    for one in document["explanations"]:
        assert one["figures"] is None and "other proportions" in one["notes"][0]
    compared = [
        "compare",
        *words[1:4],
        "--methods",
        "patch_similarity",
        "--ground-truth",
        str(truth),
        "--out",
        str(tmp_path),
    ]
    assert main(compared) == 0
    assert "other proportions" in " ".join(capsys.readouterr().out.split())
    (table,) = tmp_path.glob("*.csv")
    for row in csv.DictReader(table.open(encoding="utf-8")):
        assert row["iou"] == "" and "other proportions" in row["notes"]


def test_the_command_turns_what_was_drawn_on_the_stored_picture(tmp_path: Path, capsys: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = picture(tmp_path / "a.jpg", (60, 40), exif=exif.tobytes())
    voc = "<annotation><size><width>60</width><height>40</height></size><object><name>dog</name><bndbox><xmin>1</xmin>\
<ymin>11</ymin><xmax>30</xmax><ymax>30</ymax></bndbox></object></annotation>"
    (tmp_path / "a.xml").write_text(voc)
    words = ["explain", str(file), "a dog", "--method", "patch_similarity", "--ground-truth", str(tmp_path / "a.xml")]
    assert main([*words, "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["explanations"]
    assert "turned with it" in one["notes"][0]
    assert one["figures"]["chance"] == pytest.approx(20 * 20 / (40 * 40))  # rows 0 to 30, of which 10 to 50 are seen
    assert main([*words, "--label", "3"]) == 2
    assert "leave it out" in capsys.readouterr().err


def test_comparisons_carry_the_notes() -> None:
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    mask = np.zeros((24, 32), bool)
    mask[4:12, 8:20] = True
    doubted = GroundTruth(mask, notes=(Note("It is in doubt.", "proportions"),), doubt="It is in doubt.")
    found = compare(
        image, ["a cat", "a dog"], ["saliency"], [toys.transformer()], ground_truth=[doubted, GroundTruth(mask)]
    )
    assert found.truth_notes == (("It is in doubt.",), ())
    assert found.cells[0][0].figures is None and found.cells[1][0].figures is not None
    assert found.records()[0]["notes"] == ["It is in doubt."]
    void = np.zeros((24, 32), bool)
    void[:, :8] = True
    left_out = compare(image, ["a cat"], ["saliency"], [toys.transformer()], ground_truth=GroundTruth(mask, void))
    heatmap = left_out.cells[0][0].explanation.heatmap  # type: ignore[union-attr]
    assert left_out.cells[0][0].figures.chance == pytest.approx(mask.sum() / (~np.isnan(heatmap) & ~void).sum())  # type: ignore[union-attr]


def test_exported_rows_tell_and_count_no_doubtful_truth(tmp_path: Path) -> None:
    masks = masks_of_shape()
    plain = row_of(record(masks=masks))
    doubted = record(masks=masks, doubt="It is in doubt.", notes=("It is in doubt.",))
    row = row_of(doubted)
    assert row["notes"].startswith("It is in doubt.") and row["model_truth_iou"] is None and row["pointing"] is None
    assert row["truth_px"] is None and row["model_reader_iou"] == plain["model_reader_iou"]
    written = write_case(doubted, tmp_path / "one", Options())
    assert written.complete
    again = read_exported(tmp_path / "one")
    assert again.doubt == doubted.doubt and again.notes == doubted.notes
    np.testing.assert_array_equal(again.masks["truth"] != 0, masks["truth"] != 0)
    assert case_figure(doubted).height >= case_figure(record(masks=masks)).height


def test_exported_rows_leave_out_what_is_void(tmp_path: Path) -> None:
    masks = masks_of_shape()
    shape = masks["truth"].shape
    void = np.zeros(shape, bool)
    void[: shape[0] // 2] = True
    one = record(masks=masks, ignored=void)
    row = row_of(one)
    truth, reader = (np.asarray(masks[role]) != 0 for role in ("truth", "reader"))
    both, either = (truth & reader & ~void).sum(), ((truth | reader) & ~void).sum()
    assert row["reader_truth_iou"] == pytest.approx(both / either)
    write_case(one, tmp_path / "one", Options())
    np.testing.assert_array_equal(read_exported(tmp_path / "one").ignored, void)


def test_exports_name_no_file_of_a_ground_truth(tmp_path: Path) -> None:
    study = tmp_path / "DOE_JANE"
    one = record(
        "DOE_JANE/a.png", source=study / "a.png", masks=masks_of_shape(), truth_files=(study / "DOE_JANE_seg.png",),
        notes=(f"There is no file '{study / 'DOE_JANE_seg.png'}'.", "DOE_JANE_seg.png holds 2 labels."),
        doubt="DOE_JANE_seg.png is 3 x 3 pixels.",
    )  # fmt: skip
    out = export_study([one], tmp_path / "out", Options())
    assert not any(b"DOE" in file.read_bytes() for file in out.rglob("*") if file.is_file())
    (case,) = out.rglob("case.json")
    assert json.loads(case.read_text())["doubt"] == "case-0001 is 3 x 3 pixels."


def test_copied_code_leaves_the_border_out_too() -> None:
    mask, void = np.zeros((2, 6, 8), bool)
    mask[1:3, 2:5], void[3] = True, True
    choices = ComparisonChoices(("a cat", "a dog"), ("saliency",), ("mini",), (GroundTruth(mask, void), None))
    program = choices.as_python(Origin("a.png", "image"))
    given: dict[str, Any] = {}
    stand_in = "def compare(*_, ground_truth, **__): return ground_truth"
    exec(program.replace("from napari_vlexplain.tasks.compare import compare", stand_in), given)
    first, second = given["comparison"]
    np.testing.assert_array_equal(first.mask, mask)
    np.testing.assert_array_equal(first.ignored, void)
    assert second is None
    with pytest.raises(VLExplainError, match="copy Python instead"):
        choices.as_command(Origin("a.png", "image"))


def test_cases_say_what_the_model_did_not_see(tmp_path: Path) -> None:
    picture(tmp_path / PLACE / "d1.jpg", (200, 100))
    asked_for = {"haze": "0,0,20,40,200,100", "part": "40,0,20,40,200,100", "else": "0,0,20,40,50,50"}
    data = cxr(tmp_path, *(f"d1,Edema,{phrase},{PLACE}/d1.jpg,{box},test" for phrase, box in asked_for.items()))
    preparing = Preparing(Cache(tmp_path / "cache"))
    asked = Asked(Explaining(model="mini", method="patch_similarity"))
    haze, part, other = (preparing.prepare(Question(entry, entry.prompts, asked)) for entry in data.entries)
    assert "so no figure can be given" in haze.measured_notes(0)[0] and haze.counts[0].truth == 0
    assert part.measured_notes(0)[0].startswith("50% of the ground truth")
    assert other.measured_notes(0) == () and other.counts[0].truth == 0 and other.opened.truths[0] is not None
