"""What leaves the house by default: no name of a folder, and no DICOM object of a demonstration model."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from export_records import image_of, record, write_radiograph
from qtpy.QtWidgets import QLabel

from napari_vlexplain.datasets.ms_cxr import PHANTOM_STUDY
from napari_vlexplain.io.images import read_image
from napari_vlexplain.reading_room.export import Options, export_study, notes_of
from napari_vlexplain.reading_room.ours import is_ours
from napari_vlexplain.reading_room.records import NO_PICTURE, CaseRecord
from napari_vlexplain.reading_room.reopen import read_export
from napari_vlexplain.widgets.cases.export import ExportDialog

NAME = "DOE_JANE_1950"
DICOM = Options(dicom_seg=True, dicom_sr=True)


def of_path(tmp_path: Path, name: str, group: str = "") -> CaseRecord:
    given = record(name, source=tmp_path / "study" / name, group=group or name)
    request = replace(given.explanation.request, image=replace(given.explanation.request.image, name=str(given.source)))
    return replace(given, explanation=replace(given.explanation, request=request))


def everything(out: Path) -> bytes:
    """The names of all files and folders, and what they hold."""
    return b"\n".join(
        f"{file.relative_to(out)}".encode() + (file.read_bytes() if file.is_file() else b"") for file in out.rglob("*")
    )


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "rows.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_ids_that_come_from_paths_are_numbered(tmp_path: Path) -> None:
    broken = replace(
        of_path(tmp_path, f"{NAME}/b.png"), image=NO_PICTURE, explanation=None, masks={}, threshold=None, limits=None,
        spacing=None, problem=f"{NAME}/b.png is cut short; {tmp_path / 'study' / NAME} may hold another.",
    )  # fmt: skip
    given = [of_path(tmp_path, f"{NAME}/a.png", NAME), of_path(tmp_path, f"{NAME}.png"), broken,
             record("s-17", source=Path("/data") / NAME / "x.png", group="p-3")]  # fmt: skip
    out = export_study(given, tmp_path / "out", Options(key=True, nifti=True))
    assert NAME.encode() not in everything(out) and NAME.lower().encode() not in everything(out).lower()
    assert [(row["case"], row["group"]) for row in rows(out)] == [
        ("case-0001", "group-0001"), ("case-0002", "group-0002"), ("case-0003", "group-0003"), ("s-17", "p-3"),
    ]  # fmt: skip
    listed = json.loads((out / "manifest.json").read_text())["cases"]
    assert all(one["case"] in one["folder"] for one in listed), "figures stay joinable"
    assert [again.case for again in read_export(out)] == ["case-0001", "case-0002", "case-0003", "s-17"]
    key = tmp_path / "out-key.csv"
    with key.open(encoding="utf-8", newline="") as stream:
        first, *_ = csv.DictReader(stream)
    assert first == {"case": "case-0001", "id": f"{NAME}/a.png", "group": "group-0001", "group_id": NAME,
                     "source": str(given[0].source)}  # fmt: skip

    named = export_study(given, tmp_path / "named", Options(paths=True))
    assert [row["case"] for row in rows(named)][:2] == [f"{NAME}/a.png", f"{NAME}.png"]
    assert not (tmp_path / "named-key.csv").exists()


@pytest.mark.parametrize("allowed", [False, True])
def test_a_demonstration_model_writes_no_dicom_object_unasked(tmp_path: Path, allowed: bool) -> None:
    image = image_of()
    given = record(image=image, source=write_radiograph(tmp_path / "x.dcm", image))
    silent = replace(given, masks={"truth": given.masks["truth"]}, judgement=None)
    out = export_study([given, silent], tmp_path / "out", replace(DICOM, demonstration=allowed))
    first, second = sorted((out / "cases").iterdir())
    assert (first / "segmentation.dcm").exists() and (second / "segmentation.dcm").exists() == allowed
    assert (second / "report.dcm").exists() == allowed
    segments = list(pydicom.dcmread(first / "segmentation.dcm").SegmentSequence)
    assert any("model" in one.SegmentLabel for one in segments) == allowed
    said = (first / "report.dcm").read_bytes()
    assert (b"relevance on mini" in said) == (b"Demonstration model" in said) == allowed
    told = [note for note in notes_of(out) if "demonstration model, trained on drawings" in note]
    assert len(told) == (0 if allowed else 2)
    if allowed:
        described = [one.get("SegmentDescription", "") for one in segments]
        assert described[1].startswith("Demonstration model") and not described[0]


def test_the_packaged_pictures_are_ours_whatever_their_file(tmp_path: Path) -> None:
    file = next(PHANTOM_STUDY.rglob("*.jpg"))
    pixels = read_image(file)
    assert is_ours(pixels) and is_ours(np.stack([pixels] * 3, axis=-1) if pixels.ndim == 2 else pixels)
    other = pixels.copy()
    other[0, 0] += 1
    assert not is_ours(other) and not is_ours(image_of())
    grey = pixels if pixels.ndim == 2 else pixels[..., 0]
    given = record(image=grey, source=write_radiograph(tmp_path / "x.dcm", grey.astype(np.uint16)))
    out = export_study([given], tmp_path / "out", DICOM)
    assert list(out.rglob("segmentation.dcm")) and not any("demonstration" in note for note in notes_of(out))


def test_the_dialog_asks_for_it_with_the_reason(qtbot: Any, tmp_path: Path) -> None:
    dialog = ExportDialog(None, 1, 1, tmp_path)
    qtbot.addWidget(dialog)
    assert not dialog.options.demonstration and not dialog.options.key
    assert any("trained on drawings" in label.text() for label in dialog.findChildren(QLabel))
    dialog.boxes["demonstration"].setChecked(True)
    assert dialog.options.demonstration
