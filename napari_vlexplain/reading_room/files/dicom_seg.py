"""A record's masks as a DICOM segmentation: a binary segment for each mask or label, referring to the source image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import VLExplainError
from ...io.dicom.header import groups
from ...models.zoo import known_models
from ..labelled import Mask, joined, parts_of, role_of
from ..records import CaseRecord
from ..rows import masks_of, shape_of
from .dicom_source import (
    MAKER,
    finding,
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

if TYPE_CHECKING:
    from pydicom import Dataset

_PLACE = ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")


def write_seg(record: CaseRecord, file: Path, keep_patient: bool = False) -> list[str]:
    """Write the segmentation of a record whose source is a DICOM file; returns what is told of its header.

    Segments are numbered from 1 in the order of ``parts_of``, labelled by role, with the finding's code; the model's
    says which method and model made it. ``keep_patient``: copy the patient from the source, as the standard demands of
    objects that go back into the archive; else a pseudonym stands there.

    Raises
    ------
    VLExplainError : no DICOM source, see :func:`read_source`; no masks.
    """
    source, told = read_source(record, keep_patient)
    import highdicom as hd

    masks = parts_of(masks_of(record))
    if not masks:
        raise VLExplainError(f"{record.case}: there is no mask to write as a DICOM segmentation.")
    pixels = np.stack(list(masks.values()), axis=-1)[np.newaxis].astype(np.uint8)
    content = _digest(pixels)
    which = [] if record.frame is None else [str(record.frame)]
    made = hd.seg.Segmentation(
        source_images=[_single(source)],
        pixel_array=pixels,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(record, role, number) for number, role in enumerate(masks, start=1)],
        series_instance_uid=uid(source.SeriesInstanceUID, "segmentations"),
        series_number=9100,
        sop_instance_uid=uid(source.SOPInstanceUID, "segmentation", record.case, record.prompt, content, *which),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name=MAKER,
        software_versions=software_version(),
        device_serial_number="0",
        content_label="MASKS",
        content_description=short(record.prompt),
        content_creator_name=person(record.judgement.reader) if record.judgement else None,
    )
    _drop_half_measures(made)
    if any(name not in source for name in ("FrameOfReferenceUID", *_PLACE)):
        made.PatientOrientation = source.get("PatientOrientation")  # may be unknown, but must be said then
    _name_source(made, source.SOPClassUID, record.frame)
    _settle_dimensions(made, uid(made.SOPInstanceUID, "dimensions"))
    settle(made, time_of(record))
    save(made, file)
    return told_of(made, told)


def read_seg(file: Path, record: CaseRecord) -> dict[str, Mask]:
    """The masks by role that :func:`write_seg` wrote; ``record`` says the size.

    Raises VLExplainError for a file that is no segmentation, or one of another size.
    """
    import highdicom as hd

    try:
        found = hd.seg.segread(file)
        if (found.Rows, found.Columns) != shape_of(record):
            raise VLExplainError(f"{file.name} is {(found.Rows, found.Columns)}, but the image is {shape_of(record)}.")
        stored = found.pixel_array.reshape(-1, *shape_of(record))
        planes = {_segment_of(found, number): plane.astype(bool) for number, plane in enumerate(stored)}
        empty = np.zeros(shape_of(record), bool)  # a plane without a pixel need not be there
        named = {str(found.get_segment_description(n).tracking_id): n for n in found.segment_numbers}
        return joined({name: planes.get(number, empty) for name, number in named.items()})
    except VLExplainError:
        raise
    except Exception as error:
        raise VLExplainError(f"{file.name} cannot be read as a DICOM segmentation ({type(error).__name__}).") from None


def tracking_uid(record: CaseRecord, role: str) -> str:
    """By which the segment of a role, or of one of its labels, and its figures in a report belong together."""
    image = "" if record.explanation is None else record.explanation.request.image.sha256
    which = [] if record.frame is None else [str(record.frame)]
    return uid("tracking", image, record.case, record.prompt, role, *which)


def algorithm_facts(record: CaseRecord) -> tuple[str, str, dict[str, str]] | None:
    """(name, version, parameters) of what made the model's mask, None without an explanation."""
    if record.explanation is None:
        return None
    request, weights = record.explanation.request, str(record.explanation.provenance.get("weights_sha256", ""))
    parameters = {**dict(request.parameters), "target": request.target.name, "seed": request.seed}
    if record.threshold is not None:
        parameters["threshold"] = record.threshold
    return (
        short(f"{request.method} on {request.model}"),
        short(f"{MAKER} {software_version()}" + (f", weights {weights[:16]}" if weights else "")),
        {name: str(value).replace(",", ";") for name, value in parameters.items()},  # commas separate them
    )


def warning_of(record: CaseRecord) -> str:
    """What must be said of the model wherever its results go."""
    if record.explanation is None:
        return ""
    known = known_models().get(record.explanation.request.model)
    return str(record.explanation.provenance.get("warning") or (known.warning if known is not None else ""))


def _segment(record: CaseRecord, role: str, number: int) -> Any:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    facts, algorithm = algorithm_facts(record), None
    if role_of(role) == "model" and facts is not None:
        name, version, parameters = facts
        algorithm = hd.AlgorithmIdentificationSequence(
            name, codes.cid7162.ArtificialIntelligence, version, parameters=parameters
        )
    kinds = hd.seg.SegmentAlgorithmTypeValues
    made = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=short(f"{role}: {record.prompt}"),
        segmented_property_category=codes.cid7150.MorphologicallyAbnormalStructure,
        segmented_property_type=finding(record.category, record.prompt),
        algorithm_type=kinds.AUTOMATIC if algorithm is not None else kinds.MANUAL,
        algorithm_identification=algorithm,
        tracking_uid=tracking_uid(record, role),
        tracking_id=role,
    )
    if algorithm is not None and (warning := warning_of(record)):
        made.SegmentDescription = warning
    return made


def _drop_half_measures(made: Any) -> None:
    """highdicom copies a radiograph's pixel spacing, then asks for a slice thickness when it reads; a projection has
    none. Spacing is optional here, and stands in the source image."""
    shared = made.SharedFunctionalGroupsSequence[0]
    if "PixelMeasuresSequence" in shared and "SliceThickness" not in shared.PixelMeasuresSequence[0]:
        del shared.PixelMeasuresSequence


def _single(source: Dataset) -> Dataset:
    """The source as an image of a kind that needs nothing: highdicom asks for more by the kind than it then uses."""
    from pydicom import DataElement, Dataset
    from pydicom.uid import SecondaryCaptureImageStorage

    found = Dataset()
    found.update(source)
    found.file_meta = source.file_meta
    found["SOPClassUID"] = DataElement("SOPClassUID", "UI", SecondaryCaptureImageStorage)
    if any(name not in source for name in _PLACE):  # half a place is none
        for name in _PLACE[1:]:
            found.pop(name, None)
    return found


def _name_source(made: Any, kind: str, frame: int | None) -> None:
    """Say of what kind the source is, and of which of its frames the masks are, wherever it is named."""
    every = (*made.PerFrameFunctionalGroupsSequence, *made.SharedFunctionalGroupsSequence)
    derived = [item for group in every for item in group.get("DerivationImageSequence", [])]
    named = [source for item in derived for source in item.SourceImageSequence]
    if frame is not None:
        for source in named:
            source.ReferencedFrameNumber = frame + 1
    series = [source for one in made.ReferencedSeriesSequence for source in one.ReferencedInstanceSequence]
    for source in (*named, *series, *made.get("SourceImageSequence", [])):
        source.ReferencedSOPClassUID = kind


def _segment_of(found: Any, plane: int) -> int:
    return int(next(groups(found, "SegmentIdentificationSequence", plane)).ReferencedSegmentNumber)


def _settle_dimensions(made: Any, identifier: str) -> None:
    """highdicom draws this identifier by chance; ours belongs to the content."""
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = identifier


def _digest(pixels: NDArray[np.uint8]) -> str:
    import hashlib

    return hashlib.sha256(np.packbits(pixels).tobytes()).hexdigest()
