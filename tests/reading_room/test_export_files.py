"""Exports and what is read from them again: nothing is lost, nothing foreign is touched, nothing private is written."""

from __future__ import annotations

import csv
import errno
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from export_records import SHAPE, explanation_of, image_of, record, same_records, write_radiograph
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_vlexplain.errors import Cancelled, VLExplainError
from napari_vlexplain.reading_room import export
from napari_vlexplain.reading_room.export import Options, export_case, export_study, notes_of
from napari_vlexplain.reading_room.files import case_files
from napari_vlexplain.reading_room.files.mask_files import read_masks, write_masks
from napari_vlexplain.reading_room.files.nifti import affine_of, read_nifti, write_nifti
from napari_vlexplain.reading_room.files.options import WHAT, options_of
from napari_vlexplain.reading_room.records import NO_PICTURE, CaseRecord
from napari_vlexplain.reading_room.reopen import layers_of, napari_get_reader, read_export, read_layers
from napari_vlexplain.reading_room.rows import COLUMNS
from napari_vlexplain.results.explanation import Explanation

ROOT = Path(__file__).resolve().parents[2]
LIGHT = Options(figure=False, bundle=False)
EVERYTHING = Options(nifti=True, pixels=True, paths=True)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    "image",
    [image_of(), image_of(dtype=np.uint8), image_of((*SHAPE, 3), np.uint8), image_of(dtype=np.int16) - 100,
     image_of(dtype=np.float32) / 7],
    ids=["uint16", "uint8", "rgb", "int16", "float32"],
)  # fmt: skip
def test_a_round_trip_loses_nothing(tmp_path: Path, image: np.ndarray, zipped: bool) -> None:
    given = [record("a/1", image=image), record("a/2", "right lung", image=image, judgement=None, limits=None)]
    out = export_study(given, tmp_path / "out", replace(EVERYTHING, zip=zipped))
    assert out == tmp_path / ("out.zip" if zipped else "out")
    assert not notes_of(out)
    for one, other in zip(given, read_export(out), strict=True):
        same_records(one, other)
        np.testing.assert_array_equal(other.explanation.image, image)


def test_a_bare_record_comes_back_too(tmp_path: Path) -> None:
    bare = record(source=None, category="", group="", limits=None, spacing=None, explanation=None, threshold=None,
                  masks={}, judgement=None)  # fmt: skip
    (again,) = read_export(export_study([bare], tmp_path / "out", EVERYTHING))
    same_records(bare, again)


def test_without_pixels_and_paths_nothing_of_either_is_there(tmp_path: Path) -> None:
    given = record()
    out = export_study([given], tmp_path / "out", Options(nifti=True))
    (again,) = read_export(out)
    assert again.image.shape == SHAPE and not again.image.any()
    assert again.source is None and again.explanation.request.image.name == given.case
    named = replace(given.explanation.request, image=replace(given.explanation.request.image, name=given.case))
    same_records(
        replace(given, source=None, explanation=replace(given.explanation, request=named)), again, pixels=False
    )
    for name, content in tree(out).items():
        assert b"jane-doe" not in content, name
    held = {file.name for file in out.glob("cases/*/explanation.vlexplain/*")}
    assert held == {"manifest.json", "patch_scores.tif"}  # no picture of the image


@pytest.mark.parametrize("what", ["masks", "nifti"])
def test_masks_come_back_from_either_form(tmp_path: Path, what: str) -> None:
    given = record()
    (again,) = read_export(export_study([given], tmp_path / "out", options_of([what])))
    assert again.explanation is None
    for role, mask in given.masks.items():
        np.testing.assert_array_equal(mask, again.masks[role])


def test_the_rows_are_a_table_for_people_and_programs(tmp_path: Path) -> None:
    out = export_study([record("a"), record("=b", "@x", judgement=None)], tmp_path / "out", LIGHT)
    with (out / "rows.csv").open(encoding="utf-8", newline="") as stream:
        first, second = csv.DictReader(stream)
    assert list(first) == list(COLUMNS)
    assert first["comment"].startswith("'=1+2") and second["case"] == "'=b" and second["prompt"] == "'@x"
    assert second["verdict"] == "" and float(first["model_truth_iou"]) > 0
    rows = json.loads((out / "rows.json").read_text(encoding="utf-8"))["rows"]
    assert [row["case"] for row in rows] == ["a", "=b"]
    assert rows[0]["parameters"] == {"start_block": 0, "text_start_block": -1}
    assert rows[0]["comment"] == record().judgement.comment and rows[0]["parts"]
    with (out / "parts.csv").open(encoding="utf-8", newline="") as stream:
        parts = list(csv.DictReader(stream))
    assert sum(int(p["difference_px"]) for p in parts if (p["case"], p["first"], p["second"]) == (
        "a", "reader", "truth")) == rows[0]["reader_truth_difference_px"]  # fmt: skip


def test_the_same_records_make_the_same_zip(tmp_path: Path) -> None:
    given = [record("a"), record("b")]
    one = export_study(given, tmp_path / "one.zip", replace(EVERYTHING, zip=True))
    other = export_study(iter(given), tmp_path / "two.zip", replace(EVERYTHING, zip=True))
    assert one.read_bytes() == other.read_bytes()
    with zipfile.ZipFile(one) as archive:
        assert archive.testzip() is None and archive.namelist()[-1] == "manifest.json"


def test_one_case_gives_its_files(tmp_path: Path) -> None:
    files = export_case(record(), tmp_path / "case")
    assert all(file.is_file() for file in files)
    assert {"manifest.json", "rows.csv", "rows.json", "figure.png", "masks.png"} <= {file.name for file in files}


def test_an_earlier_export_is_replaced_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_study([record("a"), record("b")], out, LIGHT)
    (out / "cases" / ".DS_Store").write_text("what a file manager leaves")
    export_study([record("c")], out, LIGHT)
    assert [one.case for one in read_export(out)] == ["c"]
    assert [place.name for place in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("zipped", [False, True])
def test_what_is_not_ours_is_never_touched(tmp_path: Path, zipped: bool) -> None:
    options = replace(LIGHT, zip=zipped)
    out = tmp_path / ("out.zip" if zipped else "out")
    if zipped:
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("thesis.txt", "all of it")
    else:
        export_study([record()], out, LIGHT)
        (out / "cases" / "thesis.txt").write_text("all of it")
    before = out.read_bytes() if zipped else tree(out)
    with pytest.raises(VLExplainError, match=r"no export of ours|thesis\.txt"):
        export_study([record()], out, options)
    assert (out.read_bytes() if zipped else tree(out)) == before
    (tmp_path / "file").write_text("x")
    with pytest.raises(VLExplainError, match="is a file"):
        export_study([record()], tmp_path / "file")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "a.txt").write_text("x")
    with pytest.raises(VLExplainError, match="no export of ours"):
        export_study([record()], tmp_path / "plain")


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("where", ["figure", "bundle", "masks", "rows", "manifest"])
def test_a_full_disk_leaves_the_earlier_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool, where: str
) -> None:
    options = Options(zip=zipped, figure=where == "figure", bundle=where == "bundle")
    out = export_study([record("old")], tmp_path / "out", options)
    before = out.read_bytes() if zipped else tree(out)

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    targets = {"figure": (Image.Image, "save"), "masks": (case_files, "write_masks"), "rows": (export, "csv_line"),
               "manifest": (export, "write_manifest")}  # fmt: skip
    if where == "bundle":
        import tifffile

        monkeypatch.setattr(tifffile, "imwrite", full)
    else:
        monkeypatch.setattr(*targets[where], full)
    with pytest.raises(VLExplainError, match=r"No space left on device.*as it was"):
        export_study([record("new")], out, options)
    assert (out.read_bytes() if zipped else tree(out)) == before
    assert [place.name for place in tmp_path.iterdir()] == [out.name]
    with pytest.raises(VLExplainError, match="nothing is left behind"):
        export_study([record("new")], tmp_path / "other", options)
    assert [place.name for place in tmp_path.iterdir()] == [out.name]


def test_a_really_full_device_is_said_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_archive", lambda folder: zipfile.ZipFile("/dev/full", "w"))
    with pytest.raises(VLExplainError, match="No space left on device"):
        export_study([record()], tmp_path / "out", Options(zip=True))
    assert not list(tmp_path.iterdir())


def test_cancelling_keeps_nothing_of_the_new_and_all_of_the_old(tmp_path: Path) -> None:
    out = export_study([record("old")], tmp_path / "out", LIGHT)
    before, told = tree(out), []
    with pytest.raises(Cancelled):
        export_study([record(str(n)) for n in range(5)], out, LIGHT, lambda *news: told.append(news),
                     lambda: len(told) >= 2)  # fmt: skip
    assert tree(out) == before and [place.name for place in tmp_path.iterdir()] == ["out"]
    assert "of 5" in told[0][1] and 0 < told[0][0] < told[1][0] < 1


def test_records_are_taken_one_by_one(tmp_path: Path) -> None:
    written: list[int] = []

    def several() -> Iterator[Any]:
        for number in range(3):
            assert len(list(tmp_path.glob(".*/cases/*/case.json"))) == number
            written.append(number)
            yield record(str(number))

    export_study(several(), tmp_path / "out", LIGHT)
    assert written == [0, 1, 2]


def test_a_case_that_does_not_fit_is_left_out_and_said(tmp_path: Path) -> None:
    bad = record("bad", masks={"truth": np.ones((3, 3), bool)})
    out = export_study([record("good"), bad], tmp_path / "out", LIGHT)
    assert [one.case for one in read_export(out)] == ["good"]
    (note,) = notes_of(out)
    assert note.startswith("bad: the mask 'truth' has shape (3, 3)")
    assert len(list((out / "cases").iterdir())) == 1


UNSEEN = "'jane-doe/x.png' cannot be read: x.png is cut short."


def without_picture(case: str = "jane-doe/x.png", **changes: Any) -> CaseRecord:
    """What a case leaves behind whose file is damaged."""
    facts = {"image": NO_PICTURE, "source": Path("/data/jane-doe/x.png"), "problem": UNSEEN, "explanation": None,
             "threshold": None, "limits": None, "spacing": None, "masks": {}}  # fmt: skip
    return replace(record(case), **(facts | changes))


@pytest.mark.parametrize("zipped", [True, False])
def test_what_was_said_of_a_case_without_a_picture_is_exported(tmp_path: Path, zipped: bool) -> None:
    everything = Options(**dict.fromkeys(WHAT.values(), True) | {"zip": zipped, "paths": True})
    given = [record("good"), without_picture()]
    out = export_study(given, tmp_path / "out", everything)
    good, blind = read_export(out)
    assert blind.problem == UNSEEN and blind.image.shape == (0, 0) and blind.masks == {}
    assert blind.judgement == given[1].judgement and good.problem == ""
    assert notes_of(out)[0] == "1 of 2 cases had no picture that can be read; the rows say why."
    assert len(read_layers(out)) == len(layers_of(good)) > 0
    if not zipped:
        with (out / "rows.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        (one, two) = json.loads((out / "rows.json").read_text(encoding="utf-8"))["rows"]
        assert rows[0]["status"] == "" and rows[1]["status"].lstrip("'") == UNSEEN.lstrip("'") and one["status"] is None
        told = {"case", "prompt", "category", "group", "status", "reader", "verdict", "confidence", "comment", "judged",
                "source"}  # fmt: skip
        assert {name for name, value in rows[1].items() if value} == told
        assert two["status"] == UNSEEN and two["model_truth_iou"] is None and two["parts"] == []
        (place,) = (out / "cases").glob("*jane*")
        assert [file.name for file in place.iterdir()] == ["case.json"]


def test_a_study_without_any_picture_can_be_exported_and_says_why_it_cannot_be_shown(tmp_path: Path) -> None:
    out = export_study([without_picture()], tmp_path / "out", LIGHT)
    with pytest.raises(VLExplainError, match="cut short"):
        read_layers(out)


def test_anonymous_exports_name_nobody(tmp_path: Path) -> None:
    given = [record("jane-doe/1", "p"), record("jane-doe/1", "q"), record("john/2", "p", group="patient 2"),
             without_picture(group="")]  # fmt: skip
    out = export_study(given, tmp_path / "out", Options(anonymise=True, nifti=True))
    again = read_export(out)
    assert [one.case for one in again] == ["case-0001", "case-0001", "case-0002", "case-0003"]
    assert [one.group for one in again] == ["group-0001", "group-0001", "group-0002", ""]
    assert again[3].problem == "'case-0003' cannot be read: case-0003 is cut short."
    assert all(one.judgement.case == one.case for one in again)
    for name, content in tree(out).items():
        assert "jane" not in name and b"jane" not in content and b"patient 1" not in content, name


def test_letters_burnt_into_the_pixels_are_not_written_unless_asked(tmp_path: Path) -> None:
    image = image_of()
    source = write_radiograph(tmp_path / "x.dcm", image, BurnedInAnnotation="YES")
    given = record(image=image, source=source, masks={}, explanation=None, threshold=None)
    hidden = export_study([given], tmp_path / "hidden")
    assert "burnt into the pixels" in notes_of(hidden)[0]
    shown = export_study([given], tmp_path / "shown", Options(pixels=True))
    assert "may show the patient" in notes_of(shown)[0]
    pictures = [np.asarray(Image.open(next(out.glob("cases/*/figure.png")))) for out in (hidden, shown)]
    panel = [picture[44:100, 18:100] for picture in pictures]
    assert panel[0].std() < 1 < panel[1].std()


def test_words_of_the_command_line_are_checked() -> None:
    assert options_of(["csv", "zip"]) == Options(json=False, masks_png=False, figure=False, bundle=False, zip=True)
    with pytest.raises(VLExplainError, match="'pdf' cannot be exported"):
        options_of(["pdf"])


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 8), st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_any_masks_survive_one_picture(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, count: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    masks = {f"role {k}": rng.random((height, width)) < 0.5 for k in range(count)}
    if not masks:
        return
    folder = tmp_path_factory.mktemp("masks")
    write_masks(folder, masks)
    again = read_masks(folder, (height, width))
    assert list(again) == list(masks)
    for role in masks:
        np.testing.assert_array_equal(masks[role], again[role])
    legend = json.loads((folder / "masks.json").read_text())
    labels = np.asarray(Image.open(folder / "masks.png"))
    assert legend["labels"]["0"] == "outside" and legend["labels"]["1"] == "role 0"
    assert set(np.unique(labels)) <= {int(k) for k in legend["labels"]}


@pytest.mark.parametrize("spacing", [(0.2, 0.3), None])
def test_nifti_lies_where_others_expect_it(tmp_path: Path, spacing: tuple[float, float] | None) -> None:
    pixels = image_of((5, 7), np.int16)
    write_nifti(tmp_path / "a.nii.gz", pixels, spacing)
    image = nibabel.load(tmp_path / "a.nii.gz")
    assert image.shape == (7, 5, 1) and image.get_data_dtype() == np.int16
    row, column = spacing or (1, 1)
    np.testing.assert_allclose(image.affine, np.diag([-column, -row, 1, 1]), rtol=1e-6)
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    assert image.header.get_xyzt_units()[0] == ("mm" if spacing else "unknown")
    np.testing.assert_allclose(image.header.get_zooms()[:2], (column, row), rtol=1e-6)
    assert np.asarray(image.dataobj)[6, 2, 0] == pixels[2, 6]
    np.testing.assert_array_equal(read_nifti(tmp_path / "a.nii.gz", (5, 7)), pixels)
    with pytest.raises(VLExplainError, match="is needed"):
        read_nifti(tmp_path / "a.nii.gz", (7, 5))


def test_nifti_takes_place_and_turn_from_dicom(tmp_path: Path) -> None:
    import pydicom

    file = write_radiograph(
        tmp_path / "x.dcm", ImagePositionPatient=[-10, 20, 30], ImageOrientationPatient=[0, 1, 0, 0, 0, -1]
    )
    affine = affine_of(pydicom.dcmread(file), (0.2, 0.3))
    # column 1, row 2: 0.3 mm along +y (posterior), 0.4 mm down; LPS (-10, 20.3, 29.6) is RAS (10, -20.3, 29.6)
    np.testing.assert_allclose(affine @ [1, 2, 0, 1], [10, -20.3, 29.6, 1])
    assert affine_of(pydicom.dcmread(write_radiograph(tmp_path / "y.dcm")), (0.2, 0.3)) is None


def test_napari_finds_the_reader(tmp_path: Path) -> None:
    from napari.components import ViewerModel
    from npe2 import PluginManager, PluginManifest

    manager, manifest = PluginManager.instance(), PluginManifest.from_file(ROOT / "napari.yaml")
    if fresh := manifest.name not in manager:
        manager.register(manifest)
    try:
        folder = export_study([record()], tmp_path / "out", replace(EVERYTHING, figure=False))
        packed = export_study([record()], tmp_path / "out", replace(EVERYTHING, figure=False, zip=True))
        for place in (folder, packed, folder / "manifest.json", next((folder / "cases").iterdir())):
            assert len(ViewerModel().open(str(place), plugin=manifest.name)) == 5, place
    finally:
        if fresh:
            manager.unregister(manifest.name)


@pytest.mark.parametrize("zipped", [False, True])
def test_napari_opens_an_export(tmp_path: Path, zipped: bool) -> None:
    from napari.components import ViewerModel

    out = export_study([record(image=image_of())], tmp_path / "out", replace(EVERYTHING, zip=zipped))
    reader = napari_get_reader(str(out))
    assert reader is not None and napari_get_reader(str(tmp_path)) is None
    viewer = ViewerModel()
    for data, options, kind in reader(str(out)):
        getattr(viewer, f"add_{kind}")(data, **options)
    assert [type(layer).__name__ for layer in viewer.layers] == ["Image", "Image", "Labels", "Labels", "Labels"]
    np.testing.assert_allclose(viewer.layers[0].scale, (0.2, 0.3))
    np.testing.assert_array_equal(viewer.layers[2].data.astype(bool), record().masks["truth"])


def test_one_case_of_many_is_opened_by_its_folder(tmp_path: Path) -> None:
    out = export_study([record(str(n)) for n in range(14)], tmp_path / "out", options_of(["masks"]))
    with pytest.raises(VLExplainError, match="14 cases"):
        read_layers(str(out))
    place = sorted((out / "cases").iterdir())[3]
    assert [one.case for one in read_export(place)] == ["3"]
    assert len(napari_get_reader(str(place))(str(place))) == 3
    bundle = export_study([record()], tmp_path / "b")
    assert Explanation.load(next(bundle.glob("cases/*/explanation.vlexplain"))).prompt == "left effusion"
    assert explanation_of(image_of(), "x").prompt == "x"
