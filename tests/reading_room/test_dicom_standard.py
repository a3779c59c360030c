"""Exports held against the standard by other people's programs: dciodvfy, dcentvfy (dicom3tools), dsrdump (dcmtk)."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_files import dataset, placed, save, write
from export_records import image_of, masks_of_shape, record, write_radiograph
from pydicom.sr._concepts_dict import concepts
from pydicom.uid import JPEGLossless, JPEGLosslessSV1

from napari_vlexplain.io.dicom.image import read_dicom_image
from napari_vlexplain.reading_room.export import export_study, notes_of
from napari_vlexplain.reading_room.files.dicom_source import _FINDINGS
from napari_vlexplain.reading_room.files.options import options_of
from napari_vlexplain.reading_room.labelled import parts_of
from napari_vlexplain.reading_room.records import CaseRecord

pytestmark = pytest.mark.gl
EXPLAINED = ("Coding Scheme Designator", "build DICOMDIR", "AccessionNumber")
"""What the warnings that are left are about; docs/exports.md says why."""
DX, SC, US = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.6.1"
XA, US_FRAMES, CT = "1.2.840.10008.5.1.4.1.1.12.1", "1.2.840.10008.5.1.4.1.1.3.1", "1.2.840.10008.5.1.4.1.1.2.1"


def said_by(program: str, *files: Path | str) -> list[str]:
    """What a program says of files, line by line."""
    if shutil.which(program) is None:
        pytest.fail(f"There is no {program}; get it with: tools/system-packages.sh test")
    done = subprocess.run([program, *map(str, files)], capture_output=True, text=True, errors="replace", check=False)
    return (done.stdout + done.stderr).splitlines()


def problems_of(*files: Path) -> list[str]:
    """Errors, and warnings that nobody explained, of the files on their own and together."""
    lines = [line for file in files for line in said_by("dciodvfy", file)] + said_by("dcentvfy", *files)
    warnings = [one for one in lines if one.startswith("Warning") and not any(known in one for known in EXPLAINED)]
    return [one for one in lines if one.startswith("Error")] + warnings


def colours(path: Path, photometric: str) -> Path:
    """A secondary capture in RGB or YBR_FULL, or one of numbers of a palette."""
    if photometric != "PALETTE COLOR":
        pixels = np.random.default_rng(2).integers(0, 256, (40, 56, 3), dtype=np.uint8)
        made = dataset(pixels, SamplesPerPixel=3, PhotometricInterpretation=photometric, SOPClassUID=SC, Modality="OT")
        return save(made, path)
    made = dataset(image_of(dtype=np.uint8), PhotometricInterpretation=photometric, SOPClassUID=US, Modality="US")
    for colour in ("Red", "Green", "Blue"):
        made.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
        made.add_new(f"{colour}PaletteColorLookupTableData", "OW", np.arange(256, dtype="<u2").tobytes())
    return save(made, path)


def source(path: Path, kind: str) -> Path:
    if kind in ("RGB", "YBR_FULL", "PALETTE COLOR"):
        return colours(path, kind)
    pixels = np.random.default_rng(3).integers(0, 4000, (4, 40, 56)).astype(np.uint16)
    if kind == "XA":  # a kind that may have frames, with one
        return write(path, pixels[0], 12, SOPClassUID=XA, Modality="XA")
    if kind == "US frames":
        return write(path, (pixels >> 4).astype(np.uint8), SOPClassUID=US_FRAMES, Modality="US")
    if kind == "CT frames":
        return write(path, pixels, 12, SOPClassUID=CT, Modality="CT", FrameOfReferenceUID="1.2.3", **placed(4))
    headers: dict[str, dict[str, Any]] = {
        "CR": {},
        "labels": {},
        "uncalibrated": {"ImagerPixelSpacing": [0.2, 0.3]},
        "MONOCHROME1": {"PhotometricInterpretation": "MONOCHROME1", "PatientOrientation": ["L", "F"]},
        "DX": {"SOPClassUID": DX, "Modality": "DX", "PixelSpacing": None, "ImagerPixelSpacing": [0.1, 0.1]},
        "placed": {"FrameOfReferenceUID": "1.2.3.4", "ImagePositionPatient": [1, 2, 3], "SliceThickness": 2,
                   "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
        "stripped": dict.fromkeys(("PatientBirthDate", "PatientSex", "StudyID", "StudyTime", "AccessionNumber")),
    }  # fmt: skip
    return write_radiograph(path, **headers[kind])


def case_of(file: Path) -> CaseRecord:
    """A record of what our reader sees in the file."""
    image = read_dicom_image(file, 0)
    frame = None
    if image.frames > 1:
        image, frame = read_dicom_image(file, 2), 2
    return record(image=image.pixels, source=file, masks=masks_of_shape(image.pixels.shape[:2]), frame=frame)


def exported(case: CaseRecord, out: Path, keep: bool) -> tuple[Path, Path]:
    """The segmentation and the report of a record, as an export has them."""
    options = replace(options_of(["seg", "sr"]), deidentify=not keep, demonstration=True)
    folder = export_study([case], out, options)
    assert not notes_of(folder)
    return next(folder.rglob("segmentation.dcm")), next(folder.rglob("report.dcm"))


@pytest.mark.parametrize("keep", [False, True], ids=["pseudonym", "patient"])
@pytest.mark.parametrize(
    "kind",
    ["CR", "MONOCHROME1", "DX", "placed", "stripped", "RGB", "YBR_FULL", "PALETTE COLOR", "uncalibrated"],
)
def test_segmentation_and_report_are_as_the_standard_has_them(tmp_path: Path, kind: str, keep: bool) -> None:
    case = case_of(source(tmp_path / "source.dcm", kind))
    if kind == "labels":
        case.masks["reader"] = case.masks["reader"] * np.uint8(1) + (case.masks["reader"] & case.masks["truth"])
    seg, sr = exported(case, tmp_path / "out", keep)
    assert not problems_of(seg, sr)
    if keep:  # all three are the same patient's
        assert not [line for line in said_by("dcentvfy", case.source, seg, sr) if line.startswith("Error")]
    read = highdicom.seg.segread(seg)
    assert read.pixel_array.dtype == np.uint8
    np.testing.assert_array_equal(read.pixel_array, [part.astype(np.uint8) for part in parts_of(case.masks).values()])
    tree = said_by("dsrdump", sr)
    assert any("TID" in line or "Imaging Measurement Report" in line for line in tree)
    assert not [line for line in tree if line.startswith(("E:", "F:"))]


def test_a_header_that_was_mended_is_as_the_standard_has_it(tmp_path: Path) -> None:
    """A Japanese one, with a sex and dates that are none, and a place without a thickness."""
    letters = {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada^Tarou=山田^太郎"}
    wrong = {"PatientSex": "Unknown", "PatientBirthDate": "19500000", "StudyTime": "10:11:12"}
    place = {
        "FrameOfReferenceUID": "1.2.3",
        "ImagePositionPatient": [1, 2, 3],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    }
    case = case_of(write_radiograph(tmp_path / "x.dcm", **letters, **wrong, **place))
    options = replace(options_of(["seg", "sr"], demonstration=True), deidentify=False)
    folder = export_study([case], tmp_path / "out", options)
    assert len(notes_of(folder)) == 4
    assert not problems_of(next(folder.rglob("segmentation.dcm")), next(folder.rglob("report.dcm")))


def test_what_the_validators_find_wrong_is_seen(tmp_path: Path) -> None:
    seg, _ = exported(case_of(source(tmp_path / "source.dcm", "CR")), tmp_path / "out", False)
    broken = pydicom.dcmread(seg)
    del broken.SegmentSequence
    assert any("SegmentSequence" in line for line in problems_of(save(broken, tmp_path / "broken.dcm")))


def test_findings_are_called_as_the_standard_calls_them() -> None:
    bundled = {code: meaning for names in concepts["SCT"].values() for code, (meaning, _) in names.items()}
    known = {code: meaning for code, meaning in _FINDINGS.values() if code in bundled}
    assert known == {code: bundled[code] for code in known} and len(known) >= 3


@pytest.mark.parametrize(
    ("pixels", "stored"),
    [
        (np.arange(12_000, dtype=np.uint16).reshape(100, 120) % 4096, 12),
        (np.arange(12_000, dtype=np.uint16).reshape(100, 120) * 5, 16),
        (np.arange(12_000, dtype=np.uint16).reshape(4, 50, 60) % 4096, 12),
        ((np.arange(12_000).reshape(100, 120) % 256).astype(np.uint8), 8),
        ((np.arange(12_000).reshape(100, 120) - 6000).astype(np.int16), 16),
    ],
    ids=["12 bits", "16 bits", "frames", "8 bits", "signed"],
)
@pytest.mark.parametrize("process", ["+e1", "+el"])
def test_jpeg_lossless_is_read_to_the_bit(tmp_path: Path, pixels: np.ndarray, stored: int, process: str) -> None:
    kind = {"SOPClassUID": XA, "Modality": "XA"} if pixels.ndim == 3 else {}
    plain = write(tmp_path / "plain.dcm", pixels, stored, PhotometricInterpretation="MONOCHROME1", **kind)
    said_by("dcmcjpeg", process, plain, tmp_path / "packed.dcm")
    assert pydicom.dcmread(tmp_path / "packed.dcm").file_meta.TransferSyntaxUID in (JPEGLossless, JPEGLosslessSV1)
    found, wanted = read_dicom_image(tmp_path / "packed.dcm"), read_dicom_image(plain)
    assert found.pixels.dtype == wanted.pixels.dtype
    np.testing.assert_array_equal(found.pixels, wanted.pixels)
    if pixels.ndim == 3:
        np.testing.assert_array_equal(read_dicom_image(tmp_path / "packed.dcm", 2).pixels, wanted.pixels[2])
