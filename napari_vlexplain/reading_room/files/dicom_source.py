"""The DICOM file that a case came from, as far as segmentations and reports must refer to it.

The standard has every object of a study carry that study's patient. Unless it is asked to keep the patient, what goes
into our objects is a short list of attributes about the pixels and the identifiers by which the source is found again
(``KEPT``, nothing else), with a pseudonym for the patient. The identifiers of study, series and instance stay, as a
segmentation without them belongs to nothing; whoever holds the source can find the patient through them.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import VLExplainError
from ...io.dicom.content import is_dicom
from ...io.dicom.header import frames_of, groups, read_header
from ..records import CaseRecord
from ..rows import shape_of
from .dicom_cleaning import UNICODE, Told, cleaned

if TYPE_CHECKING:
    from pydicom import Dataset

MAKER = "napari-vlexplain"
SCHEME = "99VLEXPLAIN"
LONGEST = 64
"""Letters of DICOM's short texts (LO, PN)."""
KEPT = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "ImageType", "SeriesNumber", "InstanceNumber", "Rows", "Columns", "SamplesPerPixel",
    "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelSpacing",
    "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelSpacingCalibrationType",
    "EstimatedRadiographicMagnificationFactor", "ImageOrientationPatient", "ImagePositionPatient", "SliceThickness",
    "SpacingBetweenSlices", "PatientOrientation", "LossyImageCompression", "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)  # fmt: skip
PLACED = ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "SliceThickness")
_EMPTIED = (
    "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
_ACQUISITION = "109101"
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")

# Findings of chest radiographs by their SNOMED CT code; all others get one of our own with the study's word. Where each
# was looked up: docs/exports.md.
_FINDINGS = {
    "atelectasis": ("46621007", "Atelectasis"),
    "cardiomegaly": ("8186001", "Cardiomegaly"),
    "consolidation": ("95436008", "Lung consolidation"),
    "edema": ("19242006", "Pulmonary edema"),
    "pleural effusion": ("60046008", "Pleural effusion"),
    "pneumonia": ("233604007", "Pneumonia"),
    "pneumothorax": ("36118008", "Pneumothorax"),
}


def read_source(record: CaseRecord, keep_patient: bool = False) -> tuple[Dataset, Told]:
    """The header of a record's DICOM file, without pixels, the patient replaced unless asked otherwise; and what of it
    is not taken over as it stands, see :func:`~napari_vlexplain.reading_room.files.dicom_cleaning.cleaned`.

    Of a file of several frames it is that of the record's frame, as if the file held no other, see :func:`of_frame`.

    Raises
    ------
    VLExplainError : the source is no DICOM file, is gone or broken, has another size or no such frame; pydicom or
        highdicom is missing.
    """
    try:
        import highdicom  # noqa: F401 - a better sentence here than later
    except ImportError:
        raise VLExplainError(
            "DICOM segmentations and reports need pydicom and highdicom; install them with: "
            "pip install 'napari-vlexplain[dicom]'"
        ) from None
    if record.source is None or not is_dicom(record.source):
        raise VLExplainError(f"{record.case}: its image is no DICOM file, so no DICOM object can refer to it.")
    header = read_header(record.source)
    missing = [name for name in _NEEDED if not header.get(name)]
    if missing:
        raise VLExplainError(f"{record.case}: its DICOM file has no {missing[0]}, so nothing can refer to it.")
    frames = frames_of(header)
    if frames > 1 and record.frame is None:
        raise VLExplainError(
            f"{record.case}: its DICOM file has {frames} frames; the record does not say which it is of."
        )
    if record.frame is not None and record.frame >= frames:
        which = record.frame + 1
        raise VLExplainError(f"{record.case}: its DICOM file has {frames} frames; there is no frame {which}.")
    size = (header.get("Rows"), header.get("Columns"))
    if size != shape_of(record):
        raise VLExplainError(f"{record.case}: its DICOM file is {size}, but the case's image is {shape_of(record)}.")
    header, told = cleaned(of_frame(header, record.frame or 0))
    if not keep_patient:
        return without_patient(header), {name: why for name, why in told.items() if name in KEPT}
    for name in ("PatientName", "PatientID", *_EMPTIED):  # may be empty, but not missing
        if name not in header:
            setattr(header, name, None)
    return header, told


def told_of(made: Dataset, told: Told) -> list[str]:
    """What is to be said of a header that ``made`` refers to: of its place, and of all that ``made`` carries."""
    return [f"its {name} {why}." for name, why in told.items() if name in made or name in PLACED]


def of_frame(header: Dataset, frame: int) -> Dataset:
    """The header of one frame (from 0), as of a file that holds no other: where it lies stands as of single images.

    Its transfer syntax is a plain one, whatever the pixels' is: nobody needs these, and highdicom takes few.
    """
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    found = Dataset()
    found.update(header)
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for sequence in ("PixelMeasuresSequence", "PlanePositionSequence", "PlaneOrientationSequence"):
        for group in (*groups(header, sequence, frame),)[:-1][:1]:  # the last is the header itself
            for element in group:
                found[element.tag] = element
    for name in ("NumberOfFrames", "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        if name in found:
            del found[name]
    return found


def without_patient(header: Dataset) -> Dataset:
    """Of a header only ``KEPT``, with a pseudonym for the patient, the same for all images of the study."""
    from pydicom import Dataset

    found = Dataset()
    for name in KEPT:
        if name in header:
            found[name] = header[name]
    found.PatientID = pseudonym(str(header.StudyInstanceUID))
    found.PatientName = person(found.PatientID)
    for name in _EMPTIED:
        setattr(found, name, None)
    found.PatientIdentityRemoved = "YES"
    found.SpecificCharacterSet = UNICODE
    found.DeidentificationMethod = "napari-vlexplain: all but identifiers and geometry left out"
    found.file_meta = header.file_meta
    return found


def pseudonym(study: str) -> str:
    """A name for a patient, made of the study's identifier, which the file tells anyway, and of nothing else."""
    return f"VLX-{hashlib.sha256(study.encode()).hexdigest()[:12].upper()}"


def uid(*parts: str) -> str:
    """A DICOM identifier that belongs to these texts: the same export again gets the same."""
    from pydicom.uid import generate_uid

    plain = [part.encode("utf-8", "backslashreplace").decode() for part in parts]
    return str(generate_uid(entropy_srcs=[MAKER, *plain]))


def finding(category: str, prompt: str) -> Any:
    """What a record is about as a coded concept of highdicom's."""
    from highdicom.sr import CodedConcept

    known = _FINDINGS.get(category.casefold().strip())
    if known is not None:
        return CodedConcept(known[0], "SCT", known[1])
    text = category or prompt or "finding"
    return own_code(f"F{hashlib.sha256(text.encode('utf-8', 'backslashreplace')).hexdigest()[:12].upper()}", text)


def own_code(value: str, meaning: str) -> Any:
    """A concept of our own scheme."""
    from highdicom.sr import CodedConcept

    return CodedConcept(value, SCHEME, short(meaning))


def short(text: str, longest: int = LONGEST) -> str:
    """As DICOM's short texts take it: one line, no backslash (which separates values), at most ``longest``."""
    line = " ".join("".join(c if c.isprintable() and c != "\\" else " " for c in text).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def person(name: str) -> str:
    """A name as DICOM takes it, whole in its first component."""
    return f"{short(name.replace('^', ' ').replace('=', ' ')) or 'Unknown'}^"


def software_version() -> str:
    """Of this package."""
    try:
        return version(MAKER)
    except PackageNotFoundError:
        return "unknown"


def settle(dataset: Any, time: str) -> None:
    """Texts as UTF-8; dates and times of making those of the record, so that the same record gives the same file; and
    what ``SCHEME`` is, for whoever does not know it (PS3.3, C.12.1.1.3)."""
    from datetime import UTC, datetime

    from pydicom import Dataset
    from pydicom.sequence import Sequence

    dataset.SpecificCharacterSet = UNICODE
    if any(one.keyword == "CodingSchemeDesignator" and one.value == SCHEME for one in dataset.iterall()):
        scheme = Dataset()
        scheme.CodingSchemeDesignator = SCHEME
        scheme.CodingSchemeName = "Figures, judgements and findings without a standard code"
        scheme.CodingSchemeResponsibleOrganization = MAKER
        dataset.CodingSchemeIdentificationSequence = Sequence([scheme])
    try:
        made = datetime.fromisoformat(time).astimezone(UTC)
    except ValueError:
        return
    for name in ("InstanceCreation", "Content"):
        setattr(dataset, f"{name}Date", made.strftime("%Y%m%d"))
        setattr(dataset, f"{name}Time", made.strftime("%H%M%S"))
    for item in dataset.get("ContributingEquipmentSequence", []):
        if item.PurposeOfReferenceCodeSequence[0].CodeValue != _ACQUISITION:  # highdicom's own entry: the time of now
            item.ContributionDateTime = made.strftime("%Y%m%d%H%M%S+0000")
    dataset.TimezoneOffsetFromUTC = "+0000"


def time_of(record: CaseRecord) -> str:
    """When the record came about: the judgement, else the explanation; "" where nobody knows."""
    if record.judgement is not None and record.judgement.time:
        return record.judgement.time
    return str(record.explanation.provenance.get("created", "")) if record.explanation is not None else ""


def save(dataset: Dataset, file: Path) -> None:
    """Write a DICOM file, whole or not at all as far as the caller sees to its folder."""
    dataset.save_as(file, enforce_file_format=True)
