"""A record's figures and judgement as a DICOM structured report (Comprehensive SR, TID 1500).

A group of measurements (TID 1501) for each pair of masks and one for each mask's area, where masks have labels also for
each label; one for the heatmap, and one for the reading: the verdict and confidence as coded evaluations, the comment
as text. The reader is the person, the method on its model the device that observed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...drawing.colour import ROLES
from ...io.dicom.spacing import AT_DETECTOR, ON_FILM, UNKNOWN, spacing_of
from ..agreement import PAIRS
from ..labelled import parts_of
from ..records import CaseRecord
from ..rows import masks_of, row_of
from .dicom_seg import algorithm_facts, tracking_uid, warning_of
from .dicom_source import (
    MAKER,
    PLACED,
    finding,
    own_code,
    person,
    read_source,
    save,
    settle,
    short,
    software_version,
    time_of,
    told_of,
    uid,
)

FIGURES = {
    "iou": "Intersection over union",
    "dice": "Dice coefficient",
    "precision": "Precision",
    "recall": "Recall",
    "difference_px": "Signed area difference",
    "pointing": "Pointing game",
    "energy": "Energy in ground truth",
    "cnr": "Contrast to noise ratio",
    "threshold": "Threshold on the heatmap",
}
METHODS = (
    (AT_DETECTOR, "AT_DETECTOR", "Distances at the detector, not calibrated"),
    (UNKNOWN, "MAYBE_DETECTOR", "Distances of the patient or at the detector, not said"),
    (ON_FILM, "ON_FILM", "Distances on the film that was scanned"),
)
WARNING = "Research tool, not for clinical decisions."


def write_sr(record: CaseRecord, file: Path, keep_patient: bool = False) -> list[str]:
    """Write the report of a record whose source is a DICOM file; ``keep_patient`` and result as of ``write_seg``.

    Raises VLExplainError where there is no such source, see :func:`read_source`.
    """
    (source, told), row = read_source(record, keep_patient), row_of(record)
    from highdicom import sr
    from pydicom.sr.coding import Code

    which = None if record.frame is None else [record.frame + 1]
    image = sr.SourceImageForMeasurementGroup(source.SOPClassUID, source.SOPInstanceUID, which)
    groups = [*_areas(record, image, spacing_of(source)[1]), *_pairs(record, row, image), _heatmap(record, row, image)]
    report = sr.MeasurementReport(
        _context(record),
        Code("363679005", "SCT", "Imaging procedure"),
        [group for group in (*groups, _reading(record, image)) if group is not None],
    )
    made = sr.ComprehensiveSR(
        evidence=[source],
        content=report,
        series_instance_uid=uid(source.SeriesInstanceUID, "reports"),
        series_number=9101,
        sop_instance_uid=uid(source.SOPInstanceUID, "report", repr(row)),
        instance_number=1,
        manufacturer=MAKER,
        is_complete=True,
        is_final=False,
    )
    settle(made, time_of(record))
    save(made, file)
    return told_of(made, {name: why for name, why in told.items() if name not in PLACED})


def _context(record: CaseRecord) -> Any:
    from highdicom import sr
    from pydicom.sr.codedict import codes

    name, version, _ = algorithm_facts(record) or (MAKER, software_version(), {})
    reader = record.judgement.reader if record.judgement is not None else ""
    return sr.ObservationContext(
        observer_person_context=sr.ObserverContext(
            codes.DCM.Person, sr.PersonObserverIdentifyingAttributes(name=person(reader))
        ),
        observer_device_context=sr.ObserverContext(
            codes.DCM.Device,
            sr.DeviceObserverIdentifyingAttributes(
                uid=uid("device", name, version), name=name, manufacturer_name=MAKER, model_name=version
            ),
        ),
    )


def _areas(record: CaseRecord, image: Any, note: str) -> list[Any]:
    """Of each mask, and of each label of one that has several; ``note``: whose mm these are, if not the patient's."""
    from pydicom.sr.coding import Code

    area, found = Code("42798000", "SCT", "Area"), []
    masks = {role: mask for role, mask in masks_of(record).items() if role in ROLES}
    labelled = {role: mask for role, mask in masks.items() if mask.dtype != bool}
    for part, mask in {**masks, **parts_of(labelled)}.items():
        count, measured = int(np.count_nonzero(mask)), []
        if record.spacing is not None:
            size = count * record.spacing[0] * record.spacing[1]
            measured.append((area, size, Code("mm2", "UCUM", "square millimeter"), _method(note)))
        measured.append((area, count, Code("{pixels}", "UCUM", "pixels"), None))
        found.append(_group(record, f"{part}: area", measured, image, tracking=part))
    return found


def _method(note: str) -> Any:
    """How a length came about, as a coded method of its measurement; None for the patient's own."""
    for beginning, code, meaning in METHODS:
        if note.startswith(beginning):
            return own_code(code, meaning)
    return None


def _pairs(record: CaseRecord, row: dict[str, Any], image: Any) -> list[Any]:
    """Of each two masks, and of each label where one of them has several."""
    found = []
    for first, second in PAIRS:
        name, pair = f"{first} against {second}", f"{first}_{second}"
        measured = _named(row, {name: f"{pair}_{name}" for name in ("iou", "dice", "precision", "recall")})
        measured += _named(row, {"difference_px": f"{pair}_difference_px"}, "{pixels}", "pixels")
        found.append(_group(record, name, measured, image))
        for part in row["parts"]:
            if (part["first"], part["second"]) == (first, second) and part["part"].startswith("label "):
                measured = _named(part, {"iou": "iou"})
                measured += _named(part, {"difference_px": "difference_px"}, "{pixels}", "pixels")
                found.append(_group(record, f"{name}: {part['part']}", measured, image))
    return found


def _heatmap(record: CaseRecord, row: dict[str, Any], image: Any) -> Any:
    names = ("threshold", "pointing", "energy", "cnr")
    return _group(record, "heatmap", _named(row, {name: name for name in names}), image)


def _reading(record: CaseRecord, image: Any) -> Any:
    from highdicom import sr
    from pydicom.sr.codedict import codes

    said, judged = record.judgement, []
    if said is not None and said.verdict:
        judged.append(
            sr.QualitativeEvaluation(own_code("VERDICT", "Verdict of the reader on the model"), own_code(
                said.verdict.upper(), said.verdict
            ))
        )  # fmt: skip
    if said is not None and said.confidence:
        grade = own_code(f"CONFIDENCE{said.confidence}", f"{said.confidence} of 5")
        judged.append(sr.QualitativeEvaluation(own_code("CONFIDENCE", "Confidence of the reader"), grade))
    found = sr.MeasurementsAndQualitativeEvaluations(
        _tracking(record, "reading"), finding_type=finding(record.category, record.prompt),
        qualitative_evaluations=judged, source_images=[image],
    )  # fmt: skip
    facts = algorithm_facts(record)
    texts = [
        ("PROMPT", "Prompt", record.prompt),
        ("NOTICE", "Notice", " ".join(dict.fromkeys((warning_of(record), WARNING))).strip()),
    ]
    if facts is not None:
        parameters = ", ".join(f"{name}={value}" for name, value in facts[2].items())
        texts.insert(1, ("ALGORITHM", "Algorithm", f"{facts[0]}; {facts[1]}; {parameters}"))
    texts += [("NOTE", "Note", note) for note in record.notes]
    content = found[0].ContentSequence
    for code, meaning, text in texts:
        if text:
            content.append(sr.TextContentItem(own_code(code, meaning), _text(text), "CONTAINS"))
    if said is not None and said.comment.strip():
        content.append(sr.TextContentItem(codes.DCM.Comment, _text(said.comment), "CONTAINS"))
    return found


def _named(row: dict[str, Any], names: dict[str, str], unit: str = "1", meaning: str = "no units") -> list[Any]:
    """(concept, value, unit, no method) of the row's figures that are defined."""
    from pydicom.sr.coding import Code

    return [
        (own_code(name.upper()[:16], FIGURES[name]), row[column], Code(unit, "UCUM", meaning), None)
        for name, column in names.items()
        if row[column] is not None
    ]


def _group(record: CaseRecord, name: str, measured: list[Any], image: Any, tracking: str | None = None) -> Any:
    from highdicom import sr

    if not measured:
        return None
    facts = algorithm_facts(record)
    algorithm = None
    if facts is not None and ("model" in name or name == "heatmap"):
        algorithm = sr.AlgorithmIdentification(facts[0], facts[1], [short(f"{k}={v}") for k, v in facts[2].items()])
    return sr.MeasurementsAndQualitativeEvaluations(
        _tracking(record, tracking or name, name),
        finding_type=finding(record.category, record.prompt),
        algorithm_id=algorithm,
        measurements=[sr.Measurement(concept, value, unit, method=method) for concept, value, unit, method in measured],
        source_images=[image],
    )


def _tracking(record: CaseRecord, role: str, name: str | None = None) -> Any:
    from highdicom import sr

    return sr.TrackingIdentifier(tracking_uid(record, role), name or role)


def _text(text: str) -> str:
    """Without control characters but line ends, as DICOM's long texts take it."""
    return "".join(c if c.isprintable() or c in "\n" else " " for c in text).replace("\n", "\r\n")
