"""Described boxes in the layouts that people have."""

import base64
import json
import sys

import h5py
import numpy as np
import pytest
from question_models import QUESTION, refused, regions, save_lxmert

from napari_vlexplain import ask
from napari_vlexplain.models.questions.region_files import read_regions, write_regions

SIZE = (50, 80)


def packed(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def tsv(file, entries, columns):
    """Written as the detector's and LXMERT's authors write it."""
    lines = []
    for name, r in entries.items():
        boxes, features = packed(r.boxes.astype(np.float32)), packed(r.features)
        height, width, count = str(r.size[0]), str(r.size[1]), str(len(r))
        numbers = packed(np.arange(len(r), dtype=np.int64)), packed(np.ones(len(r), np.float32))
        layouts = {
            6: [name, width, height, count, boxes, features],
            7: [name, width, height, count, boxes, features, packed(np.zeros((len(r), 3), np.float32))],
            10: [name, height, width, *numbers, *numbers, count, boxes, features],
        }
        lines.append("\t".join(layouts[columns]))
    file.write_text("\n".join(lines) + "\n")
    return file


def same(found, expected):
    assert found.size == expected.size
    assert found.boxes == pytest.approx(expected.boxes, abs=1e-4)
    assert np.array_equal(found.features, expected.features)
    assert found.positions == pytest.approx(expected.positions, abs=1e-6)


@pytest.mark.parametrize("columns", [6, 7, 10])
def test_tsv(tmp_path, columns):
    entries = {"COCO_val2014_000000000042": regions(3, 1), "7": regions(5, 2), "empty": regions(0)}
    file = tsv(tmp_path / "features.tsv", entries, columns)
    same(read_regions(file, "/photos/COCO_val2014_000000000042.jpg", SIZE), entries["COCO_val2014_000000000042"])
    same(read_regions(file, "COCO_val2014_000000000007.jpg", SIZE), entries["7"])
    same(read_regions(f"{file}#7", "whatever.png", SIZE), entries["7"])
    assert len(read_regions(file, "empty.png", SIZE)) == 0
    assert "no regions of 'other.png'" in refused(read_regions, file, "other.png", SIZE)


def test_a_file_of_one_image_is_that_images(tmp_path):
    same(read_regions(tsv(tmp_path / "one.tsv", {"x": regions(4)}, 6), "other.png", SIZE), regions(4))


def test_names_of_objects_where_their_list_lies_beside(tmp_path):
    file = tsv(tmp_path / "one.tsv", {"x": regions(3)}, 10)
    assert read_regions(file, "x", SIZE).labels == ()
    (tmp_path / "objects_vocab.txt").write_text("yolk\ngoal,goals\nbathroom\nmacaroni\n")
    assert read_regions(file, "x", SIZE).labels == ("yolk", "goal", "bathroom")


def test_damaged_tsv(tmp_path):
    file = tmp_path / "bad.tsv"
    file.write_text("x\t80\t50\t3\tAAAA\tAAAA\n")
    assert "is damaged" in refused(read_regions, file, "x", SIZE)
    file.write_text("x\t80\t50\n")
    assert "3 columns" in refused(read_regions, file, "x", SIZE)
    file.write_bytes(b"\xff\xfe\x00")
    assert "is no text" in refused(read_regions, file, "x", SIZE)


def test_npz_as_we_write_it(tmp_path):
    r = regions(4)
    same(read_regions(write_regions(r, tmp_path / "r.npz"), "any", (1, 1)), r)
    assert "kept as .npz" in refused(write_regions, r, tmp_path / "r.tsv")


@pytest.mark.parametrize("transposed", [False, True])
def test_npz_with_padding_and_a_pickle_that_is_left_alone(tmp_path, transposed):
    r = regions(4)
    features = np.concatenate([r.features, np.zeros((3, 10), np.float32)])
    boxes = np.concatenate([r.boxes, np.zeros((3, 4))])
    info = np.array({"image_id": 3, "evil": print}, dtype=object)
    np.savez(tmp_path / "r.npz", x=features.T if transposed else features, bbox=boxes, num_bbox=4, image_h=50,
             image_w=80, info=info)  # fmt: skip
    same(read_regions(tmp_path / "r.npz", "any", (1, 1)), r)


def test_npz_with_normalised_boxes(tmp_path):
    r = regions(4)
    norm = np.concatenate([r.positions, np.zeros((4, 2), np.float32)], 1)
    np.savez(tmp_path / "r.npz", features=r.features, norm_bb=norm)
    same(read_regions(tmp_path / "r.npz", "any", SIZE), r)


def test_bad_npz(tmp_path):
    np.savez(tmp_path / "r.npz", features=np.array([{}], dtype=object), boxes=np.zeros((1, 4)))
    assert "without unpickling" in refused(read_regions, tmp_path / "r.npz", "any", SIZE)
    np.savez(tmp_path / "r.npz", features=np.zeros((2, 3)))
    assert "no boxes" in refused(read_regions, tmp_path / "r.npz", "any", SIZE)
    (tmp_path / "r.npz").write_text("nonsense")
    assert "cannot be read" in refused(read_regions, tmp_path / "r.npz", "any", SIZE)


def test_h5_with_a_group_for_each_image(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as out:
        for name, seed in (("a", 1), ("b", 2)):
            group, r = out.create_group(name), regions(3, seed)
            group["features"], group["bbox"] = r.features, r.boxes
            group.attrs["image_h"], group.attrs["image_w"] = r.size
    same(read_regions(tmp_path / "f.h5", "b.jpg", (1, 1)), regions(3, 2))
    assert "no regions of 'c.jpg'" in refused(read_regions, tmp_path / "f.h5", "c.jpg", SIZE)


def test_h5_with_a_fixed_number_of_boxes(tmp_path):
    several = [regions(3, seed) for seed in range(4)]
    with h5py.File(tmp_path / "f.hdf5", "w") as out:
        out["image_features"] = np.stack([r.features for r in several])
        out["image_bb"] = np.stack([r.boxes for r in several])
    assert "a JSON of id -> row" in refused(read_regions, tmp_path / "f.hdf5", "12.jpg", SIZE)
    (tmp_path / "f.json").write_text(json.dumps({"11": 0, "12": 2}))
    same(read_regions(tmp_path / "f.hdf5", "COCO_train2014_000000000012.jpg", SIZE), several[2])
    with h5py.File(tmp_path / "f.hdf5", "a") as out:
        out["image_id"] = [b"w", b"x", b"y", b"z"]
    same(read_regions(tmp_path / "f.hdf5", "z.jpg", SIZE), several[3])


def test_h5_with_any_number_of_boxes(tmp_path):
    several = [regions(n, n) for n in (3, 5, 2)]
    ends = np.cumsum([len(r) for r in several])
    with h5py.File(tmp_path / "f.hdf5", "w") as out:
        out["image_features"] = np.concatenate([r.features for r in several])
        out["image_bb"] = np.concatenate([r.boxes for r in several])
        out["pos_boxes"] = np.stack([ends - [len(r) for r in several], ends], 1)
    (tmp_path / "f.json").write_text(json.dumps({"a": 0, "b": 1, "c": 2}))
    same(read_regions(tmp_path / "f.hdf5", "b", SIZE), several[1])


def test_h5_without_h5py(tmp_path, monkeypatch):
    (tmp_path / "f.h5").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert "pip install h5py" in refused(read_regions, tmp_path / "f.h5", "x", SIZE)


def test_other_files(tmp_path):
    (tmp_path / "f.h5").write_text("nonsense")
    assert "cannot be read as HDF5" in refused(read_regions, tmp_path / "f.h5", "x", SIZE)
    assert "no file of regions" in refused(read_regions, "f.pkl", "x", SIZE)
    assert "There is no file" in refused(read_regions, tmp_path / "g.npz", "x", SIZE)


def test_asked_with_a_file_as_with_the_regions_themselves(tmp_path):
    save_lxmert(tmp_path / "model")
    image, model = np.zeros(SIZE, np.uint8), str(tmp_path / "model")
    file = tsv(tmp_path / "features.tsv", {"photo": regions(5), "other": regions(6, 3)}, 10)
    by_file = ask(image, QUESTION, model=model, regions=file, name="photo.jpg", device="cpu")
    by_hand = ask(image, QUESTION, model=model, regions=regions(5), device="cpu")
    assert by_file.box_scores == pytest.approx(by_hand.box_scores, abs=1e-5)
    assert by_file.provenance["regions"] == str(file)
