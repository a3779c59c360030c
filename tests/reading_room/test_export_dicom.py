"""DICOM segmentations and reports: opened by other libraries, compared bit for bit, without the patient."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from export_records import PATIENT, image_of, record, write_radiograph
from highdicom import sr

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.reading_room.export import Options, export_study, notes_of
from napari_vlexplain.reading_room.files.dicom_seg import read_seg, write_seg
from napari_vlexplain.reading_room.files.dicom_source import pseudonym, short
from napari_vlexplain.reading_room.files.dicom_sr import write_sr
from napari_vlexplain.reading_room.files.options import options_of
from napari_vlexplain.reading_room.records import CaseRecord
from napari_vlexplain.reading_room.reopen import read_export
from napari_vlexplain.reading_room.rows import masks_of, row_of


@pytest.fixture
def case(tmp_path: Path) -> CaseRecord:
    image = image_of()
    return record(image=image, source=write_radiograph(tmp_path / "x.dcm", image))


def secrets() -> list[bytes]:
    return [value.encode() for value in PATIENT.values() if len(value) > 2]


def test_a_segmentation_is_the_masks_to_the_bit(case: CaseRecord, tmp_path: Path) -> None:
    write_seg(case, tmp_path / "seg.dcm")
    source = pydicom.dcmread(case.source)
    plain = pydicom.dcmread(tmp_path / "seg.dcm")
    assert plain.SOPClassUID == pydicom.uid.SegmentationStorage
    np.testing.assert_array_equal(plain.pixel_array, np.stack([mask.astype(np.uint8) for mask in case.masks.values()]))
    assert plain.StudyInstanceUID == source.StudyInstanceUID
    assert plain.SeriesInstanceUID != source.SeriesInstanceUID
    (series,) = plain.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    assert series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID

    found = highdicom.seg.segread(tmp_path / "seg.dcm")
    pixels = found.get_pixels_by_source_instance([source.SOPInstanceUID])
    for k, mask in enumerate(case.masks.values()):
        np.testing.assert_array_equal(pixels[0, ..., k].astype(bool), mask)
    described = [found.get_segment_description(number) for number in found.segment_numbers]
    assert [one.tracking_id for one in described] == ["truth", "model", "reader"]
    assert len({one.tracking_uid for one in described}) == 3
    assert [one.algorithm_type.value for one in described] == ["MANUAL", "AUTOMATIC", "MANUAL"]
    assert {
        (one.segmented_property_type.value, one.segmented_property_type.scheme_designator) for one in described
    } == {("60046008", "SCT")}
    (algorithm,) = described[1].algorithm_identification
    assert algorithm.AlgorithmName == "relevance on mini" and "weights abab" in algorithm.AlgorithmVersion
    assert "threshold=0.625" in algorithm.AlgorithmParameters
    again = read_seg(tmp_path / "seg.dcm", case)
    for role, mask in case.masks.items():
        np.testing.assert_array_equal(again[role], mask)


@pytest.mark.parametrize(
    "header",
    [
        {"PixelSpacing": None},
        {"FrameOfReferenceUID": "1.2.3.4", "ImagerPixelSpacing": [0.1, 0.1]},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1", "Modality": "DX", "PatientOrientation": ["L", "F"]},
        {"FrameOfReferenceUID": "1.2.3.4", "ImagePositionPatient": [1, 2, 3],
         "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "SliceThickness": 2},
        {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Jürgen"},
    ],
    ids=["no spacing", "frame of reference", "DX", "placed", "Latin-1"],
)  # fmt: skip
def test_radiographs_of_all_kinds(tmp_path: Path, header: dict[str, Any]) -> None:
    keep = "SpecificCharacterSet" in header
    image = image_of()
    case = record(image=image, source=write_radiograph(tmp_path / "x.dcm", image, **header))
    write_seg(case, tmp_path / "seg.dcm", keep)
    write_sr(case, tmp_path / "sr.dcm", keep)
    for role, mask in read_seg(tmp_path / "seg.dcm", case).items():
        np.testing.assert_array_equal(mask, case.masks[role])
    wanted = header.get("PatientName", PATIENT["PatientName"])
    for file in ("seg.dcm", "sr.dcm"):
        found = pydicom.dcmread(tmp_path / file)
        assert (str(found.PatientName) == wanted) is keep
        assert (found.PatientID == PATIENT["PatientID"]) is keep
    sr.srread(tmp_path / "sr.dcm")


@pytest.mark.parametrize("empty", [("reader",), ("truth", "model", "reader")])
def test_empty_masks_are_masks(case: CaseRecord, tmp_path: Path, empty: tuple[str, ...]) -> None:
    masks = {role: mask & (role not in empty) for role, mask in case.masks.items()}
    given = replace(case, masks=masks)
    write_seg(given, tmp_path / "seg.dcm")
    again = read_seg(tmp_path / "seg.dcm", given)
    for role, mask in masks.items():
        np.testing.assert_array_equal(again[role], mask)


def test_the_report_says_all_figures_and_the_judgement(case: CaseRecord, tmp_path: Path) -> None:
    write_sr(case, tmp_path / "sr.dcm")
    row = row_of(case)
    report = sr.srread(tmp_path / "sr.dcm")
    assert isinstance(report, sr.ComprehensiveSR)
    groups = {group.tracking_identifier: group for group in report.content.get_image_measurement_groups()}
    assert set(groups) == {
        "truth: area", "model: area", "reader: area", "model against truth", "reader against truth",
        "model against reader", "heatmap", "reading",
    }  # fmt: skip
    for group in groups.values():
        (referred,) = group.source_images
        assert referred.referenced_sop_instance_uid == pydicom.dcmread(case.source).SOPInstanceUID
        assert group.finding_type.meaning == "Pleural effusion"
    said = {m.name.meaning: m.value for m in groups["reader against truth"].get_measurements()}
    assert said["Intersection over union"] == pytest.approx(row["reader_truth_iou"])
    assert said["Dice coefficient"] == pytest.approx(row["reader_truth_dice"])
    assert said["Signed area difference"] == row["reader_truth_difference_px"]
    areas = {m.unit.value: m.value for m in groups["truth: area"].get_measurements()}
    assert areas == {"mm2": pytest.approx(row["truth_mm2"]), "{pixels}": row["truth_px"]}
    judged = {e.name.meaning: e.value.meaning for e in groups["reading"].get_qualitative_evaluations()}
    assert judged == {"Verdict of the reader on the model": "partly", "Confidence of the reader": "4 of 5"}
    texts = [item.TextValue for item in _items(pydicom.dcmread(tmp_path / "sr.dcm")) if "TextValue" in item]
    assert any("größer" in text and "als “gedacht”" in text for text in texts)
    assert any("not for clinical decisions" in text for text in texts)
    assert any(text.startswith("relevance on mini") and "threshold=0.625" in text for text in texts)
    person = next(c for c in report.content.get_observer_contexts() if c.observer_type.meaning == "Person")
    assert person.observer_identifying_attributes.name == "Ana Nás^"


def _items(item: Any) -> Any:
    yield item
    for below in item.get("ContentSequence", []):
        yield from _items(below)


def test_segments_and_areas_are_tied_by_their_tracking(case: CaseRecord, tmp_path: Path) -> None:
    write_seg(case, tmp_path / "seg.dcm")
    write_sr(case, tmp_path / "sr.dcm")
    seg = highdicom.seg.segread(tmp_path / "seg.dcm")
    segments = {seg.get_segment_description(n).tracking_uid for n in seg.segment_numbers}
    groups = sr.srread(tmp_path / "sr.dcm").content.get_image_measurement_groups()
    assert segments <= {group.tracking_uid for group in groups}


def test_the_patient_is_left_out_unless_asked(case: CaseRecord, tmp_path: Path) -> None:
    options = options_of(["seg", "sr", "csv", "json", "figure", "explanation", "masks"], demonstration=True)
    out = export_study([case], tmp_path / "out", options)
    assert not notes_of(out)
    files = [file for file in out.rglob("*") if file.is_file()]
    assert {"segmentation.dcm", "report.dcm"} <= {file.name for file in files}
    for file in files:
        content = file.read_bytes()
        assert not [secret for secret in secrets() if secret in content], file.name
        assert not [part for part in (b"Jane", b"Gregory", b"Sunny") if part in content], file.name
    found = pydicom.dcmread(next(out.rglob("segmentation.dcm")))
    assert found.PatientID == pseudonym(pydicom.dcmread(case.source).StudyInstanceUID)
    assert found.PatientIdentityRemoved == "YES"

    kept = export_study([case], tmp_path / "kept", replace(options, deidentify=False))
    for name in ("segmentation.dcm", "report.dcm"):
        found = pydicom.dcmread(next(kept.rglob(name)))
        assert (found.PatientName, found.PatientID, found.AccessionNumber) == ("Doe^Jane", "MRN-4711", "ACC99")


def test_the_same_record_makes_the_same_files(case: CaseRecord, tmp_path: Path) -> None:
    for write in (write_seg, write_sr):
        write(case, tmp_path / "1.dcm")
        write(case, tmp_path / "2.dcm")
        assert (tmp_path / "1.dcm").read_bytes() == (tmp_path / "2.dcm").read_bytes()
    other = replace(case, masks={**case.masks, "reader": ~case.masks["reader"]})
    write_seg(case, tmp_path / "1.dcm")
    write_seg(other, tmp_path / "2.dcm")
    assert pydicom.dcmread(tmp_path / "1.dcm").SOPInstanceUID != pydicom.dcmread(tmp_path / "2.dcm").SOPInstanceUID


def test_masks_come_back_from_the_segmentation_alone(case: CaseRecord, tmp_path: Path) -> None:
    (again,) = read_export(export_study([case], tmp_path / "out", options_of(["seg"], demonstration=True)))
    for role, mask in case.masks.items():
        np.testing.assert_array_equal(again.masks[role], mask)


def test_what_cannot_be_referred_to_is_noted(tmp_path: Path) -> None:
    image = image_of()
    stack = write_radiograph(tmp_path / "stack.dcm", image, NumberOfFrames=3)
    other = write_radiograph(tmp_path / "other.dcm", image_of((8, 9)))
    anonymous = write_radiograph(tmp_path / "anonymous.dcm", image, StudyInstanceUID=None)
    (tmp_path / "cut.dcm").write_bytes(other.read_bytes()[:300])
    given = [
        record("png"),
        record("drawn", source=None),
        record("stack", source=stack),
        record("other", source=other),
        record("anonymous", source=anonymous),
        record("cut", source=tmp_path / "cut.dcm"),
        record("gone", source=tmp_path / "gone.dcm"),
    ]
    out = export_study(given, tmp_path / "out", Options(dicom_seg=True, figure=False, demonstration=True))
    notes = notes_of(out)
    assert len(notes) == len(given) == len(read_export(out))
    expected = ("no DICOM file", "no DICOM file", "3 frames", "(8, 9)", "StudyInstanceUID", "cut.dcm", "no file")
    for note, words in zip(notes, expected, strict=True):
        assert words in note, note
    with pytest.raises(VLExplainError, match="no mask"):
        write_seg(record(source=write_radiograph(tmp_path / "y.dcm"), masks={}, threshold=None), tmp_path / "z.dcm")


def test_without_highdicom_the_remedy_is_said(case: CaseRecord, tmp_path: Path, monkeypatch: Any) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "highdicom", None)
    (note,) = notes_of(export_study([case], tmp_path / "out", options_of(["seg"], demonstration=True)))
    assert "pip install" in note


def test_headers_that_the_library_cannot_take_are_noted(case: CaseRecord, tmp_path: Path, monkeypatch: Any) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("no such thing\nin this header")

    monkeypatch.setattr(highdicom.seg, "Segmentation", refuse)
    out = export_study([case, record("other")], tmp_path / "out", options_of(["seg", "masks"], demonstration=True))
    notes = notes_of(out)
    assert notes[0].startswith("p1/s2: no segmentation.dcm") and "no such thing in this header" in notes[0]
    assert len(read_export(out)) == 2 and not list(out.rglob("*.dcm"))


def test_letters_that_no_file_can_hold_do_no_harm(tmp_path: Path) -> None:
    image = image_of()
    odd = record("a\udc80b", "left \udcff lung\x00", image=image, category="",
                 source=write_radiograph(tmp_path / "x.dcm", image))  # fmt: skip
    out = export_study([odd], tmp_path / "out", Options(dicom_seg=True, dicom_sr=True, paths=True, demonstration=True))
    assert not notes_of(out)
    (again,) = read_export(out)
    assert (again.case, again.prompt) == (odd.case, odd.prompt)


def test_long_texts_are_cut_to_what_dicom_holds() -> None:
    assert len(short("x" * 200)) == 64
    assert short("a\\b\nc\0d") == "a b c d"


def test_a_model_mask_cut_from_the_heatmap_is_a_segment(case: CaseRecord, tmp_path: Path) -> None:
    given = replace(case, masks={}, category="", prompt="x" * 300)
    given = replace(given, explanation=replace(given.explanation, prompt=given.prompt))
    write_seg(given, tmp_path / "seg.dcm")
    (role,) = read_seg(tmp_path / "seg.dcm", given)
    assert role == "model"
    np.testing.assert_array_equal(read_seg(tmp_path / "seg.dcm", given)["model"], masks_of(given)["model"])
    kind = highdicom.seg.segread(tmp_path / "seg.dcm").get_segment_description(1).segmented_property_type
    assert kind.scheme_designator == "99VLEXPLAIN" and len(kind.meaning) <= 64
