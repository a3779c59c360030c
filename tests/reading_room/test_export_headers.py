"""SEG and SR of files whose headers break the standard, or are written in the letters of other languages."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from export_records import PATIENT, image_of, masks_of_shape, record, write_radiograph
from pydicom.config import IGNORE

from napari_vlexplain.reading_room.export import Options, export_study, notes_of
from napari_vlexplain.reading_room.files.dicom_cleaning import cleaned
from napari_vlexplain.reading_room.reopen import read_export

PLACED = {"FrameOfReferenceUID": "1.2.3.4", "ImagePositionPatient": [1, 2, 3],
          "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}  # fmt: skip


def exported(folder: Path, keep: bool = True, **header: Any) -> tuple[list[pydicom.Dataset], list[str]]:
    """The segmentation, the report, and what is told."""
    image = image_of()
    source = write_radiograph(folder / "x.dcm", image, **header)
    options = Options(
        dicom_seg=True,
        dicom_sr=True,
        deidentify=not keep,
        figure=False,
        bundle=False,
        masks_png=False,
        demonstration=True,
    )
    out = export_study([record(image=image, source=source)], folder / "out", options)
    return [pydicom.dcmread(next(out.rglob(name))) for name in ("segmentation.dcm", "report.dcm")], notes_of(out)


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        ("ISO_IR 6", "Yamada^Tarou"),
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("ISO_IR 126", "Διονυσιος"),
        ("GB18030", "王^小东"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
        ("KLINGON", "Yamada^Tarou"),
        (None, "Yamada^Tarou"),
    ],
)
def test_names_are_kept_in_every_script(tmp_path: Path, charset: Any, name: str) -> None:
    """As pydicom reads them back; and not a letter of them where the patient is left out."""
    files, notes = exported(tmp_path, PatientName=name, SpecificCharacterSet=charset, PatientComments=name)
    assert [str(file.PatientName) for file in files] == [name] * 2 and not notes
    assert files[0].PatientComments == name and files[0].SpecificCharacterSet == "ISO_IR 192"
    for file in exported(tmp_path, False, PatientName=name, SpecificCharacterSet=charset)[0]:
        assert str(file.PatientName).startswith("VLX-") and "PatientComments" not in file


@pytest.mark.parametrize(
    ("keyword", "value", "kept", "told"),
    [
        ("PatientSex", "Unknown", "", "is none of M, F and O, so it is empty"),
        ("PatientSex", "female", "F", "is none of M, F and O"),
        ("PatientBirthDate", "19500000", "", "is no date"),
        ("PatientBirthDate", "unknown", "", "is no date"),
        ("PatientBirthDate", "1950.01.02", "19500102", "as the standard has it"),
        ("StudyTime", "10:11:12", "101112", "as the standard has it"),
        ("StudyDate", "00000000", "", "is no date"),
        ("PatientName", "a^b^c^d^e^f=g=h=i", "a^b^c^d^e f=g=h", "holds what names cannot"),
        ("PatientName", "Doe\tJane", "DoeJane", "holds what names cannot"),
        ("PatientName", "N" * 90, "N" * 64, "holds what names cannot"),
        ("PatientName", "Doe^Jane\\Doe^J", "Doe^Jane", "the first is kept"),
        ("PatientID", "47\\11", "47", "the first is kept"),
        ("ReferringPhysicianName", "R" * 99, "R" * 64, "holds what names cannot"),
        ("AccessionNumber", "A" * 20, "A" * 20, "it is kept"),
        ("PatientID", "7" * 70, "7" * 70, "it is kept"),
        ("PatientAge", "70", None, "is no age"),
        ("StudyDescription", "D" * 99, "D" * 64, "is cut to the 64 letters"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_the_standard_refuses_is_mended_and_told(
    tmp_path: Path, keyword: str, value: str, kept: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pydicom.config.settings, "writing_validation_mode", IGNORE)
    files, notes = exported(tmp_path, **{keyword: value})
    assert len(notes) == 1 and f"its {keyword} " in notes[0] and told in notes[0]
    assert value not in notes[0], "the value may be the patient's"
    for file in files:
        assert str(file.get(keyword, kept) or "") == (kept or "")
    assert exported(tmp_path, False, **{keyword: value})[1] == [], "of a patient who is left out nothing is told"


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ImageOrientationPatient": [0] * 6}, "ImageOrientationPatient makes no sense"),
        ({"ImageOrientationPatient": [1, 0, 0, 0.5, 1, 0]}, "ImageOrientationPatient makes no sense"),
        ({"ImagePositionPatient": [1, 2]}, "ImagePositionPatient makes no sense"),
        ({"PixelSpacing": [0, 0]}, "PixelSpacing makes no sense"),
        ({"PixelSpacing": [0.2]}, "PixelSpacing makes no sense"),
        ({}, "SliceThickness is missing; 1 mm stands there, an assumption"),
        ({"SliceThickness": "0"}, "SliceThickness is missing; 1 mm"),
        ({"SpacingBetweenSlices": "2.5"}, "SliceThickness is missing; 2.5 mm stands there, that between slices"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_half_a_place_is_mended_and_told(tmp_path: Path, changes: dict[str, Any], told: str, keep: bool) -> None:
    files, notes = exported(tmp_path, keep, **{**PLACED, **changes})
    assert any(told in note for note in notes)
    seg = highdicom.seg.segread(tmp_path / "out" / next((tmp_path / "out").rglob("segmentation.dcm")))
    stored = seg.pixel_array.reshape(-1, *image_of().shape)
    np.testing.assert_array_equal(stored, np.stack([m.astype(np.uint8) for m in masks_of_shape().values()]))
    thickness = [e.value for e in files[0].iterall() if e.keyword == "SliceThickness"]
    positions = [list(e.value) for e in files[0].iterall() if e.keyword == "ImagePositionPatient"]
    if "SliceThickness" in told:
        assert thickness == [float(told.split("; ")[1].split(" mm")[0])] and positions == [[1, 2, 3]] * len(positions)
        assert positions
    else:
        assert not positions or "PixelSpacing" in changes


def test_values_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    """Numbers that are none, as no library writes them."""
    path = write_radiograph(tmp_path / "x.dcm", PatientSize="1.75", SliceThickness="2.5")
    path.write_bytes(path.read_bytes().replace(b"1.75", b"1,75").replace(b"2.5 ", b"2,5 "))
    header, told = cleaned(pydicom.dcmread(path, stop_before_pixels=True))
    assert told == {"PatientSize": "cannot be read and is left out", "SliceThickness": "cannot be read and is left out"}
    assert str(header.PatientName) == PATIENT["PatientName"] and "PatientSize" not in header


@pytest.mark.parametrize(
    ("spacing", "method", "said"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.3]}, "AT_DETECTOR", "those at the detector"),
        ({"PixelSpacing": None, "ImagerPixelSpacing": [0.2, 0.3]}, "AT_DETECTOR", "those at the detector"),
        ({"PixelSpacing": None, "NominalScannedPixelSpacing": [0.2, 0.3]}, "ON_FILM", "on the film"),
        ({}, "MAYBE_DETECTOR", "does not say whether"),
        ({"ImagerPixelSpacing": [0.25, 0.4]}, None, None),
        ({"ImagerPixelSpacing": [0.2, 0.3], "PixelSpacingCalibrationType": "GEOMETRY"}, None, None),
    ],
)
@pytest.mark.parametrize("keep", [False, True])
def test_distances_that_are_not_the_patients_are_marked_wherever_they_go(
    tmp_path: Path, spacing: dict[str, Any], method: str | None, said: str | None, keep: bool
) -> None:
    image = image_of()
    source = write_radiograph(tmp_path / "x.dcm", image, **spacing)
    options = Options(dicom_sr=True, deidentify=not keep, demonstration=True)
    out = export_study([record(image=image, source=source)], tmp_path / "out", options)
    groups = highdicom.sr.srread(next(out.rglob("report.dcm"))).content.get_image_measurement_groups()
    areas = [one for group in groups for one in group.get_measurements() if one.unit.value == "mm2"]
    assert len(areas) == 3 and {one.method.value if one.method else None for one in areas} == {method}
    (row,) = csv.DictReader((out / "rows.csv").open(encoding="utf-8"))
    assert (said is None) or said in row["notes"]
    assert ("detector" in row["notes"] or "film" in row["notes"]) is (said is not None)
    (again,) = read_export(out)
    assert any("istances" in note for note in again.notes) is (said is not None)
