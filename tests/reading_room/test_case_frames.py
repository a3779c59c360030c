"""Cases of DICOM files of several frames: each is reached, explained, drawn on and exported as the frame it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
from dicom_files import placed, write
from highdicom import sr

from napari_vlexplain.datasets.dataset import Boxes, Entry
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.io.dicom import image as module
from napari_vlexplain.methods.targets import Target
from napari_vlexplain.reading_room.ahead import Preparing
from napari_vlexplain.reading_room.cache import Cache
from napari_vlexplain.reading_room.export import export_study, notes_of
from napari_vlexplain.reading_room.files.dicom_source import read_source
from napari_vlexplain.reading_room.files.options import options_of
from napari_vlexplain.reading_room.journal import Journal, open_journal
from napari_vlexplain.reading_room.opened import read
from napari_vlexplain.reading_room.reopen import read_export
from napari_vlexplain.reading_room.session import ReadingSession
from napari_vlexplain.reading_room.study import NOTES, open_study
from napari_vlexplain.results.request import ImageIdentity, Request

SHAPE = (40, 56)
FRAMES = np.random.default_rng(5).integers(0, 4000, (5, *SHAPE)).astype(np.uint16)
ANGIOGRAM = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.12.1", "Modality": "XA"}
CT = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2.1", "Modality": "CT", "FrameOfReferenceUID": "1.2.3"}
PROMPT = "left effusion"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "study"
    place.mkdir()
    write(place / "cine.dcm", FRAMES, 12, **ANGIOGRAM)
    write(place / "stack.dcm", FRAMES, 12, **CT, **placed(5))
    write(place / "one.dcm", FRAMES[0], 12)
    return place


@pytest.fixture
def session(folder: Path, tmp_path: Path) -> ReadingSession:
    study = open_study(folder)
    found = ReadingSession(study, open_journal(study), Preparing(Cache(tmp_path / "cache")), "Ada")
    found.choose_own_prompt(PROMPT)
    return found


def mask(at: int) -> np.ndarray:
    found = np.zeros(SHAPE, bool)
    found[at : at + 5, 10:20] = True
    return found


def test_each_frame_is_read_alone_and_remembered(session: ReadingSession, folder: Path, monkeypatch: Any) -> None:
    decoded: list[int | None] = []
    original = module.stored_pixels
    monkeypatch.setattr(module, "stored_pixels", lambda f, h, frame: decoded.append(frame) or original(f, h, frame))
    key = ("cine.dcm", PROMPT)
    for frame in (0, 3, 4):
        session.choose_frame("cine.dcm", frame)
        opened = session.preparing.open(session.items[key].entry)
        np.testing.assert_array_equal(opened.pixels, FRAMES[frame])
        assert opened.frames == 5 and opened.identity.plane == (frame,)
    assert decoded == [0, 3, 4]
    assert session.items["one.dcm", PROMPT].entry.frame == 0
    assert session.preparing.open(session.items["one.dcm", PROMPT].entry).identity.plane == ()
    session.journal.save()
    again = ReadingSession(session.study, Journal(folder / NOTES), session.preparing)
    again.choose_own_prompt(PROMPT)
    assert again.items[key].entry.frame == 4


def test_questions_about_two_frames_are_two(session: ReadingSession) -> None:
    key = ("cine.dcm", PROMPT)
    first = session.question(session.items[key])
    session.choose_frame("cine.dcm", 2)
    second = session.question(session.items[key])
    assert first.key != second.key
    opened = [session.preparing.open(question.entry) for question in (first, second)]
    requests = [question.request(one) for question, one in zip((first, second), opened, strict=True)]
    assert requests[0].key != requests[1].key
    assert "plane=(2,)" in requests[1].as_python() and "--plane 2" in requests[1].as_command()


def test_copied_code_explains_the_same_frame(session: ReadingSession) -> None:
    session.choose_frame("cine.dcm", 2)
    question = session.question(session.items["cine.dcm", PROMPT])
    prepared = session.preparing.prepare(question)
    (explanation,) = prepared.explanations
    assert explanation.request == question.request(prepared.opened)
    done: dict[str, Any] = {}
    exec(explanation.request.as_python(), done)
    (again,) = done["explanations"]
    assert again.request.key == explanation.request.key
    np.testing.assert_array_equal(again.heatmap, explanation.heatmap)
    known = ReadingSession(session.study, session.journal, Preparing(session.preparing.cache)).preparing.known(question)
    assert known is not None and known.explanations[0].request.image.plane == (2,), "from the cache"


def test_a_request_without_a_plane_is_as_it_was() -> None:
    plain = Request(ImageIdentity("a.png", "0", (1, 1)), ("p",), "mini", "rise", (), Target("similarity"), 0)
    assert "plane" not in plain.to_dict()["image"]
    framed = Request(ImageIdentity("a.dcm", "0", (1, 1), None, (3,)), ("p",), "mini", "rise", (), plain.target, 0)
    assert Request.from_dict(framed.to_dict()) == framed and framed.key != plain.key


def test_a_file_that_has_fewer_frames_by_now_shows_its_last(session: ReadingSession, folder: Path) -> None:
    session.choose_frame("cine.dcm", 4)
    write(folder / "cine.dcm", FRAMES[:2], 12, **ANGIOGRAM)
    opened = session.preparing.open(session.items["cine.dcm", PROMPT].entry)
    np.testing.assert_array_equal(opened.pixels, FRAMES[1])
    assert opened.entry.frame == 1


def test_every_frame_that_was_drawn_on_is_exported_as_itself(session: ReadingSession, folder: Path) -> None:
    session.journal.draw("cine.dcm", PROMPT, "Ada", mask(3), 1)
    session.journal.draw("cine.dcm", PROMPT, "Ada", mask(9), 3)
    session.journal.draw("stack.dcm", PROMPT, "Ada", mask(20), 2)
    session.choose_frame("cine.dcm", 3)
    session.choose_frame("stack.dcm", 2)
    session.journal.save()
    records = session.records()
    assert len(records) == 4
    everything = options_of(["csv", "masks", "nifti", "seg", "sr", "figure", "pixels"], paths=True)
    out = export_study(records, folder.parent / "out", everything)
    assert notes_of(out) == ["one.dcm: there is no mask to write as a DICOM segmentation."]
    again = {(one.case, one.frame): one for one in read_export(out)}
    assert set(again) == {("cine.dcm", 3), ("cine.dcm", 1), ("one.dcm", None), ("stack.dcm", 2)}
    for (case, frame), at in {("cine.dcm", 1): 3, ("cine.dcm", 3): 9, ("stack.dcm", 2): 20}.items():
        np.testing.assert_array_equal(again[case, frame].masks["reader"], mask(at))
        np.testing.assert_array_equal(again[case, frame].image, FRAMES[frame])
    lines = (out / "rows.csv").read_text().splitlines()
    place = lines[0].split(",").index("frame")
    assert sorted(line.split(",")[place] for line in lines[1:]) == ["", "2", "3", "4"]

    for file in out.rglob("segmentation.dcm"):
        seg = highdicom.seg.segread(file)
        source = str(seg.SourceImageSequence[0].ReferencedSOPInstanceUID)
        derived = [group.DerivationImageSequence[0] for group in seg.PerFrameFunctionalGroupsSequence]
        (named,) = {int(item.SourceImageSequence[0].ReferencedFrameNumber) for item in derived}
        pixels = seg.get_pixels_by_source_frame(source, [named])
        wanted = {3: 20} if "stack" in str(file) else {2: 3, 4: 9}
        np.testing.assert_array_equal(pixels[0, ..., 0].astype(bool), mask(wanted[named]))
        report = sr.srread(file.with_name("report.dcm"))
        for group in report.content.get_image_measurement_groups():
            (image,) = group.source_images
            assert image.referenced_frame_numbers == [named]
    (place_of,) = {tuple(nibabel.load(file).affine[:3, 3]) for file in out.rglob("*stack*/reader.nii.gz")}
    assert place_of == (-1, -2, 4)


def test_a_segmentation_lies_where_its_frame_does(session: ReadingSession, folder: Path) -> None:
    session.journal.draw("stack.dcm", PROMPT, "Ada", mask(20), 3)
    session.choose_frame("stack.dcm", 3)
    out = export_study(session.records({("stack.dcm", PROMPT)}), folder.parent / "out", options_of(["seg"]))
    seg = pydicom.dcmread(next(out.rglob("segmentation.dcm")))
    (group,) = seg.PerFrameFunctionalGroupsSequence
    assert list(group.PlanePositionSequence[0].ImagePositionPatient) == [1, 2, 6]
    assert list(seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing) == [0.5, 0.4]
    assert b"20200202" not in next(out.rglob("segmentation.dcm")).read_bytes()


def test_a_record_that_does_not_say_its_frame_is_refused(session: ReadingSession) -> None:
    (record,) = session.records({("cine.dcm", PROMPT)})
    assert record.frame == 0 and "NumberOfFrames" not in read_source(record)
    for frame, words in ((None, "does not say"), (5, "no frame 6")):
        with pytest.raises(VLExplainError, match=words):
            read_source(replace(record, frame=frame))


def test_the_ground_truth_is_that_of_the_first_frame(folder: Path) -> None:
    entry = Entry("a", folder / "cine.dcm", (PROMPT,), (Boxes(((3, 4, 5, 6),)),))
    assert read(entry).truths[0] is not None
    other = read(replace(entry, frame=2))
    assert other.truths == (None,) and "first frame" in " ".join(other.notes)
