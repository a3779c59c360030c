"""Loaders on tiny made-up folders in the official layouts: what is right is read, what is broken is told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_vlexplain.datasets.catalogue import dataset_info, list_datasets, open_dataset
from napari_vlexplain.datasets.dataset import Boxes, MaskFile, Segments
from napari_vlexplain.datasets.ms_cxr import PHANTOM_STUDY
from napari_vlexplain.datasets.reading import read_case
from napari_vlexplain.datasets.tables import Broken, inside
from napari_vlexplain.datasets.vqa import soft_score
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.truth.laying import lay
from napari_vlexplain.truth.picture import Picture
from napari_vlexplain.truth.run_lengths import decode_runs

HEADER = "dicom_id,category_name,label_text,path,x,y,w,h,image_width,image_height,split"


def picture(path: Path, height: int = 20, width: int = 30, colour: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), colour, np.uint8)).save(path)
    return path


def mask(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def write_json(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def cxr(root: Path, *rows: str, header: str = HEADER, version: str = "1.1.0") -> Path:
    (root / f"MS_CXR_Local_Alignment_v{version}.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return root


PATH = "files/p10/p10000032/s5/d1.jpg"


# --- MS-CXR


def test_polygons_lie_where_coco_draws_them() -> None:
    """COCO counts from the pixels' edges: a pixel is inside where its centre, a half beyond its number, is."""
    polygon = (2.4, 1.0, 5.4, 1.0, 5.4, 3.6, 2.4, 3.6)
    found = lay(Segments((polygon,), ()), Picture((6, 8)), "it")
    mask, ignored = found.mask, found.ignored
    expected = np.zeros((6, 8), bool)
    expected[1:4, 2:5] = True  # centres 1.5 to 3.5 down, 2.5 to 4.5 across
    assert ignored is None
    np.testing.assert_array_equal(mask, expected)
    boxes = lay(Boxes(((2.4, 1.0, 3.0, 2.6),)), Picture((6, 8)), "it").mask
    np.testing.assert_array_equal(boxes, expected)


def test_boxes_are_grouped_by_image_category_and_text(tmp_path: Path) -> None:
    picture(tmp_path / PATH)
    root = cxr(
        tmp_path,
        f"d1,Edema,haze,{PATH},0,0,5,5,30,20,test",
        f"d1,Edema,haze,{PATH},10,5,5,5,30,20,test",
        f"d1,Edema,other words,{PATH},0,0,5,5,30,20,test",
        f"d1,Pneumonia,haze,{PATH},20,0,5,5,30,20,val",
    )
    found = open_dataset("ms-cxr", root)
    assert [(e.category, e.prompts[0], len(e.truths[0].boxes)) for e in found.entries] == [
        ("Edema", "haze", 2),
        ("Edema", "other words", 1),
        ("Pneumonia", "haze", 1),
    ]
    assert {e.group for e in found.entries} == {"p10000032"}
    case = read_case(found.entries[0])
    assert case.masks[0].sum() == 50 and case.masks[0, :5, :5].all() and case.masks[0, 5:10, 10:15].all()
    assert len(open_dataset("ms-cxr", root, split="val")) == 1
    with pytest.raises(VLExplainError, match="no case in the split"):
        open_dataset("ms-cxr", root, split="dev")


def test_broken_rows_are_told_with_their_line_and_skipped(tmp_path: Path) -> None:
    picture(tmp_path / PATH)
    root = cxr(
        tmp_path,
        f"d1,Edema,fine,{PATH},0,0,5,5,30,20,test",
        f"d1,Edema,no width,{PATH},0,0,0,5,30,20,test",
        f"d1,Edema,words,{PATH},zero,0,5,5,30,20,test",
        f"d1,Edema,beyond,{PATH},40,0,5,5,30,20,test",
        f"d1,Edema,,{PATH},0,0,5,5,30,20,test",
        "d1,Edema,short",
        "d1,Edema,up,../../etc/passwd,0,0,5,5,30,20,test",
        "d1,Edema,root,/etc/passwd,0,0,5,5,30,20,test",
        "d2,Edema,gone,files/p10/p10000032/s5/d2.jpg,0,0,5,5,30,20,test",
        f"d1,Edema,endless,{PATH},0,0,inf,5,30,20,test",
    )
    found = open_dataset("ms-cxr", root)
    assert [e.prompts[0] for e in found.entries] == ["fine"]
    assert sorted(p.line or 0 for p in found.problems) == list(range(3, 12))
    told = " ".join(map(str, found.problems))
    for words in ("no area", "not four numbers", "outside the image", "label_text is empty", "3 cells", "leads out",
                  "no image", "not finite", "line 3"):  # fmt: skip
        assert words in told


def test_json_of_both_releases_equals_the_csv(tmp_path: Path) -> None:
    official = open_dataset("phantom-study")
    as_json = open_dataset("ms-cxr", PHANTOM_STUDY / "MS_CXR_Local_Alignment_v1.1.0.json")
    assert as_json.entries == official.entries and as_json.facts["release"] == "1.1.0"
    document = json.loads((PHANTOM_STUDY / "MS_CXR_Local_Alignment_v1.1.0.json").read_text())
    document["info"]["version"] = "1.0.0"
    for item in document["annotations"]:
        del item["split"]
        item.update(width=768, height=768)
    document["annotations"] += [
        {"id": 900, "image_id": 77, "category_id": 1, "bbox": [0, 0, 1, 1], "label_text": "x"},
        {"id": 901, "image_id": 1, "category_id": 99, "bbox": [0, 0, 1, 1], "label_text": "x"},
        {"id": 902, "image_id": 1, "category_id": 1, "bbox": "all", "label_text": "x"},
    ]
    write_json(tmp_path / "MS_CXR_Local_Alignment_v1.0.0.json", document)
    older = open_dataset("ms-cxr", tmp_path, images=PHANTOM_STUDY)
    assert older.entries == official.entries and older.facts["release"] == "1.0.0"
    assert [str(p).partition("annotation ")[2][:3] for p in older.problems] == ["900", "901", "902"]
    with pytest.raises(VLExplainError, match="no splits"):
        open_dataset("ms-cxr", tmp_path, images=PHANTOM_STUDY, split="test")


def test_the_newest_release_wins_and_old_tables_have_no_split(tmp_path: Path) -> None:
    picture(tmp_path / PATH)
    cxr(tmp_path, f"d1,Edema,old,{PATH},0,0,5,5,30,20", header=HEADER.removesuffix(",split"), version="1.0.0")
    assert open_dataset("ms-cxr", tmp_path).entries[0].prompts == ("old",)
    cxr(tmp_path, f"d1,Edema,new,{PATH},0,0,5,5,30,20,test")
    assert open_dataset("ms-cxr", tmp_path).entries[0].prompts == ("new",)
    (tmp_path / "MS_CXR_Local_Alignment_v1.1.0.csv").write_text("a,b\n1,2\n")
    with pytest.raises(VLExplainError, match="lacks the column 'dicom_id'"):
        open_dataset("ms-cxr", tmp_path)


def test_images_of_another_size_scale_their_boxes(tmp_path: Path) -> None:
    picture(tmp_path / PATH, 10, 15)
    root = cxr(tmp_path, f"d1,Edema,haze,{PATH},10,10,10,10,30,20,test")
    case = read_case(open_dataset("ms-cxr", root).entries[0])
    assert case.masks[0].sum() == 25 and case.masks[0, 5:, 5:10].all()


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_images_may_be_dicom(tmp_path: Path, kind: str) -> None:
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian

    pixels = np.arange(600, dtype=np.uint16).reshape(20, 30)
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    file = pydicom.Dataset()
    file.file_meta = meta
    file.Rows, file.Columns = pixels.shape
    file.SamplesPerPixel, file.BitsAllocated, file.BitsStored, file.HighBit = 1, 16, 12, 11
    file.PixelRepresentation, file.PhotometricInterpretation = 0, kind
    file.PixelData = pixels.tobytes()
    (tmp_path / "files/p10/p10000032/s5").mkdir(parents=True)
    file.save_as(tmp_path / "files/p10/p10000032/s5/d1.dcm", enforce_file_format=True)
    root = cxr(tmp_path, f"d1,Edema,haze,{PATH},0,0,5,5,30,20,test")
    image = read_case(open_dataset("ms-cxr", root).entries[0]).image
    assert image.shape == (20, 30) and image.min() == 0 and image.max() == 1
    assert image[0, 0] == (1 if kind == "MONOCHROME1" else 0)
    (tmp_path / "files/p10/p10000032/s5/d1.dcm").write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(VLExplainError, match="cut off"):
        read_case(open_dataset("ms-cxr", root).entries[0])


def test_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    secret = picture(tmp_path / "secret.jpg")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link.jpg").symlink_to(secret)
    for bad in ("link.jpg", "..\\secret.jpg", "C:\\x.jpg", "\\\\host\\x", "~/x", "", "a/../../secret.jpg", "x\0.jpg"):
        with pytest.raises(Broken):
            inside(root, bad)
    assert inside(root, "a/b.jpg") == (root / "a/b.jpg").resolve()


def test_the_packaged_study_is_what_its_tool_draws(tmp_path: Path) -> None:
    found = open_dataset("phantom-study")
    assert len(found) == 24 and not found.problems
    assert len({e.category for e in found.entries}) == 8 and len({e.group for e in found.entries}) == 20
    size = sum(file.stat().st_size for file in PHANTOM_STUDY.rglob("*") if file.is_file())
    assert size <= 3 << 20
    tool = Path(__file__).parents[2] / "tools" / "make_phantom_study.py"
    here = {**os.environ, "PYTHONPATH": str(tool.parent.parent)}
    subprocess.run([sys.executable, str(tool), str(tmp_path)], check=True, env=here)
    for name in ("MS_CXR_Local_Alignment_v1.1.0.csv", "MS_CXR_Local_Alignment_v1.1.0.json", "README.md"):
        assert (tmp_path / name).read_bytes() == (PHANTOM_STUDY / name).read_bytes()
    case = read_case(found.entries[0])
    drawn = np.asarray(Image.open(next((tmp_path / "files").rglob(found.entries[0].image.name))))
    assert np.abs(drawn.astype(int) - case.image).mean() < 2


# --- COCO


def coco(root: Path, segmentation: Any) -> Path:
    picture(root / "val2017/000000000007.jpg", 6, 8)
    write_json(
        root / "annotations/instances_val2017.json",
        {
            "images": [{"id": 7, "file_name": "000000000007.jpg", "width": 8, "height": 6}],
            "categories": [{"id": 1, "name": "owl"}, {"id": 2, "name": "dog"}],
            "annotations": [
                {"id": 1, "image_id": 7, "category_id": 1, "segmentation": segmentation},
                {"id": 2, "image_id": 7, "category_id": 1, "segmentation": [[6, 4, 8, 4, 8, 6, 6, 6]]},
                {"id": 3, "image_id": 8, "category_id": 1, "segmentation": [[0, 0, 1, 0, 1, 1]]},
                {"id": 4, "image_id": 7, "category_id": 2, "segmentation": [[0, 0]]},
            ],
        },
    )
    write_json(
        root / "annotations/captions_val2017.json",
        {
            "images": [{"id": 7, "file_name": "000000000007.jpg"}],
            "annotations": [
                {"id": 1, "image_id": 7, "caption": "an owl "},
                {"id": 2, "image_id": 7, "caption": "a bird"},
                {"id": 3, "image_id": 7, "caption": " "},
            ],
        },
    )
    return root


STRIPE = np.zeros((6, 8), bool)
STRIPE[1:3, 2:5] = True


def encode(mask_: np.ndarray) -> list[int]:
    flat = mask_.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat]).astype(int))) if flat.any() else []
    return np.diff(np.concatenate([[0], edges, [flat.size]])).astype(int).tolist()


def encode_string(counts: list[int]) -> str:
    """Written again from the description of the format."""
    text = ""
    for k, count in enumerate(counts):
        value = count - (counts[k - 2] if k > 2 else 0)
        while True:
            bits, value = value & 0x1F, value >> 5
            more = value != (-1 if bits & 0x10 else 0)
            text += chr((bits | (0x20 if more else 0)) + 48)
            if not more:
                break
    return text


@pytest.mark.parametrize(
    "segmentation",
    [
        [[2, 1, 5, 1, 5, 3, 2, 3]],
        {"size": [6, 8], "counts": encode(STRIPE)},
        {"size": [6, 8], "counts": encode_string(encode(STRIPE))},
    ],
    ids=["polygon", "runs", "string"],
)
def test_coco_objects(tmp_path: Path, segmentation: Any) -> None:
    found = open_dataset("coco", coco(tmp_path, segmentation))
    (entry,) = found.entries
    assert entry.prompts == ("a photo of an owl",) and found.classes == ("a photo of an owl", "a photo of a dog")
    expected = STRIPE.copy()
    expected[4:, 6:] = True
    np.testing.assert_array_equal(read_case(entry).masks[0], expected)
    assert [p.what[:12] for p in found.problems] == ["annotation 3", "annotation 4"]


def test_coco_captions(tmp_path: Path) -> None:
    found = open_dataset("coco-captions", coco(tmp_path, [[2, 1, 5, 1, 5, 3]]))
    assert found.entries[0].prompts == ("an owl", "a bird") and not found.has_truth
    assert len(found.problems) == 1
    case = read_case(found.entries[0])
    assert case.masks.shape == (2, 6, 8) and not case.masks.any()


def test_run_lengths_of_random_masks_and_of_nonsense() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        one = rng.random((13, 70)) < 0.3
        for counts in (tuple(encode(one)), encode_string(encode(one))):
            np.testing.assert_array_equal(decode_runs(counts, one.shape), one)
    with pytest.raises(VLExplainError, match="covers"):
        decode_runs((3, 4), (2, 2))
    assert "2 x 2 pixels" in lay(Segments((), ((2, 2, (4,)),)), Picture((3, 50)), "x").doubt
    with pytest.raises(VLExplainError, match="run-length"):
        lay(Segments((), ((2, 2, (4,)),), (5, 3)), Picture((3, 5)), "x")


# --- the others


def test_cub(tmp_path: Path) -> None:
    root = tmp_path / "CUB_200_2011"
    picture(root / "images/001.Black_footed_Albatross/a_1.jpg")
    picture(root / "images/002.Owl/b_2.jpg")
    (root / "images.txt").write_text("1 001.Black_footed_Albatross/a_1.jpg\n2 002.Owl/b_2.jpg\n3 ../x.jpg\nfour\n")
    (root / "classes.txt").write_text("1 001.Black_footed_Albatross\n2 002.Owl\n")
    (root / "image_class_labels.txt").write_text("1 1\n2 2\n3 1\n")
    (root / "train_test_split.txt").write_text("1 0\n2 1\n3 0\n")
    (root / "bounding_boxes.txt").write_text("1 2.0 3.0 4.0 5.0\n2 0 0 1 1\n3 0 0 1 1\n")
    boxed = open_dataset("cub", root)
    assert [e.prompts[0] for e in boxed.entries] == ["a photo of a Black footed Albatross"]
    assert boxed.entries[0].truths == (Boxes(((2.0, 3.0, 4.0, 5.0),)),)
    assert len(boxed.problems) == 2 and "leads out" in " ".join(map(str, boxed.problems))
    assert len(open_dataset("cub", root, split="all")) == 2 and len(open_dataset("cub", root, split="train")) == 1
    votes = np.zeros((20, 30), np.uint8)
    votes[2, 2:6] = [51, 102, 153, 255]
    mask(tmp_path / "segmentations/001.Black_footed_Albatross/a_1.png", votes)
    outlined = open_dataset("cub", root)
    assert read_case(outlined.entries[0]).masks[0].sum() == 2 and outlined.facts["truth"] == "segmentations"


def test_imagenet_s(tmp_path: Path) -> None:
    synsets = ["n01440764", "n01514668"]
    label = np.zeros((20, 30, 3), np.uint8)
    label[0, 0] = (2, 0, 0)
    label[0, 1] = (1, 0, 0)
    label[1, 0] = (1000 % 256, 1000 // 256, 0)
    for synset in synsets:
        picture(tmp_path / f"validation/{synset}/x.JPEG")
        mask(tmp_path / f"validation-segmentation/{synset}/x.png", label)
    (tmp_path / "LOC_synset_mapping.txt").write_text("n01440764 tench, Tinca tinca\nn01514668 cock\nnonsense\n")
    with pytest.raises(VLExplainError, match="50, 300 or 919"):
        open_dataset("imagenet-s", tmp_path)
    (tmp_path / "ImageNetS_categories_im50.txt").write_text("\n".join(reversed(synsets)))
    found = open_dataset("imagenet-s", tmp_path)
    assert found.classes == ("a photo of a tench", "a photo of a cock") and len(found.problems) == 1
    case = read_case(found.entries[1])
    assert np.argwhere(case.masks[0]).tolist() == [[0, 0]]
    assert case.ignored is not None and np.argwhere(case.ignored).tolist() == [[1, 0]]


def test_vqa(tmp_path: Path) -> None:
    picture(tmp_path / "val2014/COCO_val2014_000000000042.jpg")
    questions = [
        {"question_id": 1, "image_id": 42, "question": "Is it red?"},
        {"question_id": 2, "image_id": 43, "question": "What?"},
        {"question_id": 3, "image_id": 42, "question": "Why?"},
    ]
    answers = [{"answer": "yes"}] * 2 + [{"answer": "No"}] * 8
    write_json(tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json", {"questions": questions})
    write_json(
        tmp_path / "v2_mscoco_val2014_annotations.json",
        {"annotations": [{"question_id": n, "answer_type": "yes/no", "answers": answers} for n in (1, 2)]},
    )
    found = open_dataset("vqa", tmp_path)
    (entry,) = found.entries
    assert entry.prompts == ("Is it red?",) and entry.category == "yes/no" and entry.group == "42"
    assert len(found.problems) == 2
    assert soft_score("Yes", entry.answers) == pytest.approx(2 / 3)
    assert soft_score("no", entry.answers) == 1 and soft_score("red", entry.answers) == 0


def test_conceptual_captions(tmp_path: Path) -> None:
    picture(tmp_path / "images/0.jpg")
    picture(tmp_path / "images/mine.png")
    rows = ["a cat\thttp://x", "a dog\thttp://y", "only words", 'an "owl\thttp://z\timages/mine.png', "a\tb\t../../x"]
    (tmp_path / "Validation_GCC-1.1.0-Validation.tsv").write_text("\n".join(rows), encoding="utf-8")
    found = open_dataset("conceptual-captions", tmp_path)
    assert [e.prompts[0] for e in found.entries] == ["a cat", 'an "owl']
    assert [p.line for p in found.problems] == [2, 3, 5]


def test_roco_of_both_years(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    picture(old / "data/test/radiology/images/ROCO_00001.jpg")
    (old / "data/test/radiology/captions.txt").write_text("ROCO_00001\tCT of a chest\nROCO_00002\tgone\nno tab\n")
    picture(new / "test/ROCOv2_2023_test_000001.jpg")
    (new / "test_captions.csv").write_text('ID,Caption\nROCOv2_2023_test_000001,"X-ray, lateral"\n')
    first, second = open_dataset("roco", old), open_dataset("roco", new)
    assert [e.prompts[0] for e in (*first.entries, *second.entries)] == ["CT of a chest", "X-ray, lateral"]
    assert sorted(p.line for p in first.problems) == [2, 3]


def test_rsicd(tmp_path: Path) -> None:
    picture(tmp_path / "RSICD_images/airport_1.jpg")
    write_json(
        tmp_path / "dataset_rsicd.json",
        {
            "images": [
                {"filename": "airport_1.jpg", "split": "test", "sentences": [{"raw": "planes"}, {"raw": "planes"}]},
                {"filename": "../x.jpg", "split": "test", "sentences": [{"raw": "planes"}]},
                {"filename": "airport_3.jpg", "split": "train", "sentences": [{"raw": "planes"}]},
            ]
        },
    )
    found = open_dataset("rsicd", tmp_path)
    assert [(e.prompts, e.category) for e in found.entries] == [(("planes",), "airport")]
    assert len(found.problems) == 1


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / f"images/{name}.png")
    half = np.zeros((20, 30), np.uint8)
    half[:, :15] = 255
    mask(tmp_path / "masks/a.png", half)
    mask(tmp_path / "masks/other.png", half[:5])
    rows = [
        "image;prompt;mask;boxes;group",
        "a.png;a cat;;;one",
        "images/b.png;a dog;;0 0 2 2; 4 4 1 1;two",
        'b.png;a dog;;"0 0 2 2; 4 4 1 1";two',
        "c.png;a bird;other.png;;",
        "c.png;a bird;;;",
        "d.png;a bird;;;",
    ]
    (tmp_path / "prompts.csv").write_text("\n".join(rows), encoding="utf-8")
    found = open_dataset("folder", tmp_path)
    assert [e.id for e in found.entries] == ["a.png/a cat", "images/b.png/a dog", "b.png/a dog", "c.png/a bird",
                                             "c.png/a bird (2)"]  # fmt: skip
    assert read_case(found.entries[0]).masks[0].sum() == 300
    assert read_case(found.entries[2]).masks[0].sum() == 5
    assert not found.entries[4].has_truth
    assert isinstance(found.entries[3].truths[0], MaskFile)
    unfit = read_case(found.entries[3])
    assert "other.png is 30 x 5" in unfit.doubts[0] and unfit.doubts[0] in unfit.notes and not unfit.masks.any()
    assert [p.line for p in found.problems if p.skipped] == [7]


@pytest.mark.parametrize("world", ["stickers", "phantom"])
def test_worlds_are_data_sets_with_masks(world: str) -> None:
    found = open_dataset(world, limit=2, seed=3)
    case = read_case(found.entries[1])
    assert case.masks.any() and case.prompts == found.entries[1].prompts and found.has_truth
    assert not found.classes or found.entries[0].prompts[0] in found.classes
    with pytest.raises(VLExplainError, match="drawn on the spot"):
        open_dataset(world, "/tmp")


def test_samples_are_nested_and_belong_to_the_seed() -> None:
    few, more, other = (open_dataset("phantom-study", limit=n, seed=s) for n, s in ((5, 0), (9, 0), (5, 1)))
    ids = [[e.id for e in each.entries] for each in (few, more, other)]
    assert len(ids[0]) == 5 and set(ids[0]) < set(ids[1]) and ids[0] != ids[2]
    whole = [e.id for e in open_dataset("phantom-study").entries]
    assert ids[0] == [each for each in whole if each in ids[0]]


@pytest.mark.parametrize("info", [i for i in list_datasets() if i.needs_root], ids=lambda i: i.name)
def test_every_loader_says_what_it_expects(info, tmp_path: Path) -> None:
    assert info.layout
    for root in (None, tmp_path, tmp_path / "nowhere"):
        with pytest.raises(VLExplainError, match=r"[Ee]xpected"):
            open_dataset(info.name, root)
    assert dataset_info(info.name) is info


def test_nonsense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VLExplainError, match="no data set 'nope'"):
        open_dataset("nope")
    with pytest.raises(VLExplainError, match="limit"):
        open_dataset("stickers", limit=0)
    shutil.copy(PHANTOM_STUDY / "MS_CXR_Local_Alignment_v1.1.0.csv", tmp_path)
    with pytest.raises(VLExplainError, match="no case that can be read"):
        open_dataset("ms-cxr", tmp_path)
    (tmp_path / "MS_CXR_Local_Alignment_v1.1.0.csv").write_bytes(b"\xff\xfe\x00broken")
    with pytest.raises(VLExplainError, match=r"cannot be read as a table|lacks the column"):
        open_dataset("ms-cxr", tmp_path)
    write_json(tmp_path / "MS_CXR_Local_Alignment_v1.2.0.json", [1])
    with pytest.raises(VLExplainError, match="no list"):
        open_dataset("ms-cxr", tmp_path)
