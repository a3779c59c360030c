"""Folders and enhanced files as stacks: order, step, gaps, phases; each told where it is not what one expects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_files import dataset, placed, save, write
from napari.utils.notifications import notification_manager
from pydicom import DataElement, Dataset
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, generate_uid

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.layers.dicom import KEY, frame_at, read_dicom_layers

FLAT = {"PixelSpacing": [0.5, 0.5], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}


def slices(folder: Path, places: list[float], first: int = 0, **tags: Any) -> None:
    """Planes of one series; the pixels of each are its number."""
    series = tags.pop("SeriesInstanceUID", None) or generate_uid(entropy_srcs=[str(folder)])
    folder.mkdir(exist_ok=True)
    for number, place in enumerate(places, start=first):
        write(
            folder / f"{number:03}.dcm", np.full((4, 6), number, np.int16), Modality="CT", SOPClassUID=CTImageStorage,
            SeriesInstanceUID=series, InstanceNumber=number, ImagePositionPatient=[3, 4, place], **{**FLAT, **tags},
        )  # fmt: skip


def opened(path: Path) -> list[tuple[np.ndarray, dict[str, Any], tuple[str, ...]]]:
    """(number of each plane, options, warnings) of every layer."""
    layers = read_dicom_layers(path)
    return [
        (np.asarray(data)[..., 0, 0], options, tuple(options["metadata"][KEY]["dicom"]["warnings"]))
        for data, options, _ in layers
    ]


def test_even_planes_lie_at_their_step(tmp_path: Path) -> None:
    slices(tmp_path / "s", [7.5, 5.0, 2.502, 0.0])
    ((order, options, told),) = opened(tmp_path / "s")
    assert order.tolist() == [3, 2, 1, 0] and not told
    assert options["scale"] == (2.5, 0.5, 0.5) and options["units"] == ("mm", "mm", "mm")
    assert options["metadata"][KEY]["dicom"]["places"] == [0.0, 2.502, 5.0, 7.5]


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([0, 5, 10, 15, 35, 40], "20 mm after plane 4. 3 planes seem to be missing."),
        ([0, 5, 10, 16.5, 21.5], "6.5 mm after plane 3. No distance"),
        ([0, 5, 10, 20, 25, 35, 40, 50, 55, 65, 70], "10 mm after plane 5, 10 mm after plane 7 and 1 more"),
    ],
)  # fmt: skip
def test_gaps_are_told_and_no_step_is_made_up(tmp_path: Path, places: list[float], said: str) -> None:
    slices(tmp_path / "s", places)
    ((order, options, told),) = opened(tmp_path / "s")
    assert len(order) == len(places) and options["scale"][0] == 1 and options["units"][0] == "pixel"
    assert said in told[0] and said in notification_manager.records[-1].message
    assert options["metadata"][KEY]["dicom"]["places"] == places


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("TemporalPositionIdentifier", [1, 2, 3]),
        ("EchoTime", ["100", "9.5", "20"]),
        ("TriggerTime", ["0", "330.5", "660"]),
        ("AcquisitionTime", ["101500", "101700", "101600"]),
        ("ImageType", [["DERIVED", "PRIMARY", "W"], ["DERIVED", "PRIMARY", "F"], ["DERIVED", "PRIMARY", "A"]]),
    ],
)
def test_phases_of_one_place_are_told_apart(tmp_path: Path, keyword: str, values: list[Any]) -> None:
    uid = generate_uid()
    for phase, value in enumerate(values):
        slices(tmp_path / "s", [0, 4, 8, 12], 10 * phase, SeriesInstanceUID=uid, **{keyword: value})
    ((order, options, told),) = opened(tmp_path / "s")
    right = np.argsort([float(v) if not isinstance(v, list) else ord(v[2]) for v in values])
    assert order.tolist() == [[10 * phase + k for k in range(4)] for phase in right]
    assert options["scale"] == (1, 4, 0.5, 0.5) and options["units"] == ("pixel", "mm", "mm", "mm")
    assert f"12 planes lie in 4 places: 3 phases, told apart by {keyword}." in told


def test_phases_that_nothing_tells_apart_go_by_number(tmp_path: Path) -> None:
    slices(tmp_path / "s", [0, 0, 4, 4, 8, 8])
    ((order, options, told),) = opened(tmp_path / "s")
    assert order.tolist() == [[0, 2, 4], [1, 3, 5]] and options["scale"][1] == 4 and "their numbers" in told[0]


def test_incomplete_phases_are_layers_of_their_own(tmp_path: Path) -> None:
    uid = generate_uid()
    slices(tmp_path / "s", [0, 4, 8, 12], 0, SeriesInstanceUID=uid, EchoTime="1")
    slices(tmp_path / "s", [0, 4, 8], 10, SeriesInstanceUID=uid, EchoTime="2")
    found = opened(tmp_path / "s")
    assert [order.tolist() for order, _, _ in found] == [[0, 1, 2, 3], [10, 11, 12]]
    assert all(options["scale"][0] == 4 and "some lack planes" in told[0] for _, options, told in found)


def test_a_film_of_one_place_is_in_the_order_of_time(tmp_path: Path) -> None:
    uid = generate_uid()
    for number, time in enumerate(["500", "20", "100"]):
        slices(tmp_path / "s", [7], number, SeriesInstanceUID=uid, TriggerTime=time)
    ((order, options, told),) = opened(tmp_path / "s")
    assert order.tolist() == [1, 2, 0] and options["units"][0] == "pixel" and "the order of TriggerTime" in told[0]


def test_a_file_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    slices(tmp_path / "s", [0, 4, 8])
    (tmp_path / "s" / "copy.dcm").write_bytes((tmp_path / "s" / "001.dcm").read_bytes())
    ((order, options, told),) = opened(tmp_path / "s")
    assert order.tolist() == [0, 1, 2] and options["scale"][0] == 4 and not told


def test_planes_without_a_place_and_a_tilt_are_told(tmp_path: Path) -> None:
    slices(tmp_path / "s", [0, 4, 8])
    found = dataset(np.zeros((4, 6), np.int16), Modality="CT", **FLAT, InstanceNumber=1)
    found.SeriesInstanceUID = generate_uid(entropy_srcs=[str(tmp_path / "s")])
    save(found, tmp_path / "s" / "lost.dcm")
    ((_, options, told),) = opened(tmp_path / "s")
    assert "1 of 4 planes do not say where they lie" in told[0] and options["units"][0] == "pixel"
    uid = generate_uid()
    for number in range(3):
        slices(tmp_path / "t", [5.0 * number], number, SeriesInstanceUID=uid)
        file = tmp_path / "t" / f"{number:03}.dcm"
        made = dataset(np.zeros((4, 6), np.int16), Modality="CT", InstanceNumber=number, SeriesInstanceUID=uid, **FLAT)
        made.ImagePositionPatient = [0, 2.0 * number, 5.0 * number]
        save(made, file)
    ((_, options, told),) = opened(tmp_path / "t")
    assert options["scale"][0] == 5 and "shifted against each other by up to 4 mm" in told[0]


# --- Enhanced files


def enhanced(path: Path, frames: list[dict[str, Any]], shared: dict[str, Any] | None = None) -> Path:
    """Frames with functional groups; the pixels of each are its number in the file."""
    pixels = np.stack([np.full((4, 6), number, np.uint16) for number in range(len(frames))])
    made = dataset(pixels, 16, Modality="MR", SOPClassUID=EnhancedMRImageStorage)
    every = Dataset()
    measures, turn = Dataset(), Dataset()
    measures.PixelSpacing, turn.ImageOrientationPatient = [0.5, 0.5], [1, 0, 0, 0, 1, 0]
    every.PixelMeasuresSequence, every.PlaneOrientationSequence = [measures], [turn]
    made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence = [every], []
    for values in frames:
        group, content, plane = Dataset(), Dataset(), Dataset()
        if "place" in values:
            plane.ImagePositionPatient = [0, 0, values["place"]]
            group.PlanePositionSequence = [plane]
        for name in ("TemporalPositionIndex", "DimensionIndexValues", "InStackPositionNumber"):
            if name in values:
                setattr(content, name, values[name])
        group.FrameContentSequence = [content]
        made.PerFrameFunctionalGroupsSequence.append(group)
    return save(made, path)


def test_frames_go_by_their_place(tmp_path: Path) -> None:
    path = enhanced(tmp_path / "a.dcm", [{"place": 10.0}, {"place": 0.0}, {"place": 5.0}])
    ((order, options, told),) = opened(path)
    assert order.tolist() == [1, 2, 0] and options["scale"] == (5, 0.5, 0.5) and not told
    assert options["units"] == ("mm", "mm", "mm")
    known = options["metadata"][KEY]["dicom"]
    assert [frame_at(known, (k,)) for k in range(3)] == [(1,), (2,), (0,)], "where copied code finds the plane"
    assert frame_at(known, (7,)) == (7,) and frame_at({}, (2,)) == (2,) and frame_at(known, ()) == ()
    gap = enhanced(tmp_path / "b.dcm", [{"place": place} for place in (0.0, 5.0, 10.0, 25.0)])
    ((_, options, told),) = opened(gap)
    assert options["units"][0] == "pixel" and "2 planes seem to be missing" in told[0]


def test_frames_of_several_times_are_phases(tmp_path: Path) -> None:
    frames = [{"place": 3.0 * k, "TemporalPositionIndex": t} for k in range(3) for t in (2, 1)]
    ((order, options, told),) = opened(enhanced(tmp_path / "a.dcm", frames))
    assert order.tolist() == [[1, 3, 5], [0, 2, 4]] and options["scale"] == (1, 3, 0.5, 0.5)
    assert "told apart by TemporalPositionIndex" in told[0]


def test_frames_without_a_place_go_by_their_dimensions(tmp_path: Path) -> None:
    path = enhanced(tmp_path / "a.dcm", [{"DimensionIndexValues": [1, k]} for k in (3, 1, 2)])
    ((order, options, _),) = opened(path)
    assert order.tolist() == [1, 2, 0] and options["units"][0] == "pixel"
    cine = write(tmp_path / "cine.dcm", np.stack([np.full((4, 6), k, np.uint8) for k in range(3)]), 8, Modality="US")
    ((order, options, told),) = opened(cine)
    assert order.tolist() == [0, 1, 2] and not told


def test_frames_with_a_number_and_a_distance_have_a_step(tmp_path: Path) -> None:
    """InStackPositionNumber and SpacingBetweenSlices, no position; times on top."""
    frames = [{"InStackPositionNumber": k, "TemporalPositionIndex": t} for t in (2, 1) for k in (3, 1, 2)]
    made = pydicom.dcmread(enhanced(tmp_path / "a.dcm", frames))
    made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices = 2.5
    ((order, options, told),) = opened(save(made, tmp_path / "a.dcm"))
    assert order.tolist() == [[4, 5, 3], [1, 2, 0]] and options["scale"] == (1, 2.5, 0.5, 0.5)
    assert "told apart by TemporalPositionIndex" in told[0]
    ((order, options, _),) = opened(enhanced(tmp_path / "b.dcm", frames[:3]))
    assert order.tolist() == [1, 2, 0] and options["units"][0] == "pixel"


def test_the_window_of_frames_in_groups_is_still_found(tmp_path: Path) -> None:
    made = dataset(np.zeros((3, 4, 6), np.uint16) + np.arange(3, dtype=np.uint16)[:, None, None], 12, **placed(3))
    ((order, options, _),) = opened(save(made, tmp_path / "a.dcm"))
    assert order.tolist() == [0, 1, 2] and options["scale"] == (2, 0.5, 0.4)


def test_headers_that_make_no_sense_are_files_in_their_own_order(tmp_path: Path) -> None:
    """Sequences that are none, values that are none, more frames than anybody has."""
    frames = np.zeros((3, 4, 6), np.uint16) + np.arange(3, dtype=np.uint16)[:, None, None]
    made = dataset(frames, 12, **placed(3))
    for name in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        made[name] = DataElement(name, "UT", "no sequence")
    ((order, options, _),) = opened(save(made, tmp_path / "a.dcm"))
    assert order.tolist() == [0, 1, 2] and "scale" not in options
    many = dataset(frames, 12, NumberOfFrames=2_000_000_000)
    with pytest.raises(VLExplainError, match="says that it has 2000000000 frames"):
        read_dicom_layers(save(many, tmp_path / "b.dcm"))
