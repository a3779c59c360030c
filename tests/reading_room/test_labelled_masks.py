"""Masks of several labels, such as left and right: kept by the journal, every export and every figure."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pytest
from export_records import SHAPE, image_of, masks_of_shape, record, write_radiograph
from highdicom import sr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.reading_room.agreement import compare
from napari_vlexplain.reading_room.export import Options, export_study, notes_of
from napari_vlexplain.reading_room.files.archive import digest_of
from napari_vlexplain.reading_room.files.dicom_seg import write_seg
from napari_vlexplain.reading_room.files.dicom_sr import write_sr
from napari_vlexplain.reading_room.files.options import options_of
from napari_vlexplain.reading_room.journal import Journal
from napari_vlexplain.reading_room.labelled import as_mask, joined, parts_of
from napari_vlexplain.reading_room.records import CaseRecord
from napari_vlexplain.reading_room.reopen import layers_of, read_export
from napari_vlexplain.reading_room.rows import row_of

some = settings(max_examples=30, deadline=None)
any_labels = arrays(np.uint8, (4, 6), elements=st.sampled_from([0, 1, 2, 7, 255]))


def sides() -> np.ndarray:
    """A reader's mask, left and right apart."""
    found = np.zeros(SHAPE, np.uint8)
    found[8:20, 10:18], found[8:22, 30:44] = 1, 2
    return found


@pytest.fixture
def case(tmp_path: Path) -> CaseRecord:
    image = image_of()
    masks = {**masks_of_shape(), "reader": sides()}
    return record(image=image, source=write_radiograph(tmp_path / "x.dcm", image), masks=masks)


@given(any_labels)
@some
def test_labels_are_kept_and_plain_masks_are_plain(labels: np.ndarray) -> None:
    mask = as_mask(labels)
    np.testing.assert_array_equal(mask != 0, labels != 0)
    if set(np.unique(labels)) <= {0, 1} or set(np.unique(labels)) <= {0, 255}:
        assert mask.dtype == bool
    else:
        np.testing.assert_array_equal(mask, labels)
        assert mask.dtype == np.uint8
    (again,) = joined(parts_of({"reader": mask})).values()
    assert again.dtype == mask.dtype
    np.testing.assert_array_equal(again, mask)


def test_labels_that_no_file_holds_are_refused() -> None:
    for wrong in (300, -1):
        with pytest.raises(VLExplainError, match=f"label {wrong}"):
            as_mask(np.array([[0, wrong]], np.int32), "reader's mask")


def test_the_journal_keeps_labels_and_reads_masks_of_old(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.draw("a", "p", "Ada", sides())
    journal.draw("b", "p", "Ada", sides() != 0)
    journal.save()
    again = Journal(tmp_path)
    np.testing.assert_array_equal(again.mask("a", "p", "Ada"), sides())
    old = again.mask("b", "p", "Ada")
    assert old is not None and old.dtype == bool
    np.testing.assert_array_equal(old, sides() != 0)


@pytest.mark.parametrize("what", ["masks", "nifti", "seg"])
def test_labels_come_back_from_every_form(case: CaseRecord, tmp_path: Path, what: str) -> None:
    out = export_study([case], tmp_path / "out", options_of([what, "figure"], demonstration=True))
    assert not notes_of(out)
    (again,) = read_export(out)
    for role, mask in case.masks.items():
        assert again.masks[role].dtype == mask.dtype
        np.testing.assert_array_equal(again.masks[role], mask)
    shown = {layer[1]["name"].rsplit(" ", 1)[-1]: layer for layer in layers_of(again)}
    np.testing.assert_array_equal(shown["reader"][0], sides())
    assert "colormap" in shown["truth"][1] and "colormap" not in shown["reader"][1]


def test_a_picture_of_labels_is_one_for_any_program(case: CaseRecord, tmp_path: Path) -> None:
    out = export_study([case], tmp_path / "out", options_of(["masks"]))
    np.testing.assert_array_equal(np.asarray(Image.open(next(out.rglob("reader-labels.png")))), sides())
    together = np.asarray(Image.open(next(out.rglob("masks.png"))))
    np.testing.assert_array_equal((together & 4) != 0, sides() != 0)


def test_a_legend_may_not_lead_elsewhere(case: CaseRecord, tmp_path: Path) -> None:
    out = export_study([case], tmp_path / "out", Options(figure=False, bundle=False))
    legend = next(out.rglob("masks.json"))
    found = json.loads(legend.read_text())
    for wrong in ({"reader": "../../reader-labels.png"}, {"nobody": "reader-labels.png"}, {"reader": 1}):
        legend.write_text(json.dumps({**found, "labelled": wrong}))
        manifest = json.loads((out / "manifest.json").read_text())
        digest, size = digest_of(legend)
        manifest["files"][legend.relative_to(out).as_posix()] = {"sha256": digest, "bytes": size}
        (out / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(VLExplainError, match="cannot be read as masks"):
            read_export(out)


def test_each_label_is_a_segment_and_has_its_figures(case: CaseRecord, tmp_path: Path) -> None:
    write_seg(case, tmp_path / "seg.dcm")
    write_sr(case, tmp_path / "sr.dcm")
    seg = highdicom.seg.segread(tmp_path / "seg.dcm")
    described = {seg.get_segment_description(n).tracking_id: n for n in seg.segment_numbers}
    assert list(described) == ["truth", "model", "reader label 1", "reader label 2"]
    stored = seg.pixel_array[described["reader label 2"] - 1]
    np.testing.assert_array_equal(stored.astype(bool), sides() == 2)

    groups = {g.tracking_identifier: g for g in sr.srread(tmp_path / "sr.dcm").content.get_image_measurement_groups()}
    wanted = seg.get_segment_description(described["reader label 2"]).tracking_uid
    assert groups["reader label 2: area"].tracking_uid == wanted
    areas = {m.unit.value: m.value for m in groups["reader label 2: area"].get_measurements()}
    assert areas == {"mm2": pytest.approx(14 * 14 * 0.06), "{pixels}": 14 * 14}
    parts = {part["part"]: part for part in row_of(case)["parts"] if part["first"] == "reader"}
    said = {m.name.meaning: m.value for m in groups["reader against truth: label 1"].get_measurements()}
    assert said["Signed area difference"] == parts["label 1"]["difference_px"]
    assert said["Intersection over union"] == pytest.approx(parts["label 1"]["iou"])


def test_a_plain_mask_is_compared_with_each_label_near_it() -> None:
    truth = np.zeros(SHAPE, bool)
    truth[8:20, 10:20] = truth[10:22, 30:44] = True
    for first, second in ((sides(), truth), (truth, sides())):
        parts = compare(first, second).parts
        assert [part.name for part in parts] == ["label 1", "label 2"]
        assert [part.both for part in parts] == [12 * 8, 12 * 14]
        assert [abs(part.difference) for part in parts] == [24, 28]
    whole, split = (row_of(record(masks={"truth": truth, "reader": mask})) for mask in (sides() != 0, sides()))
    for name in ("reader_truth_iou", "reader_truth_difference_px", "reader_px", "reader_mm2"):
        assert whole[name] == split[name], "the figures of the whole do not hang on labels"


def test_a_label_of_the_ground_truth_is_inside_too() -> None:
    case = record()
    numbered = replace(case, masks={**case.masks, "truth": case.masks["truth"] * np.uint8(3)})
    for name in ("pointing", "energy", "cnr", "chance", "lost", "truth_px"):
        assert row_of(numbered)[name] == row_of(case)[name]
