"""The header of a DICOM file: what it is, whether it can be read, and what it says without the patient's data."""

from __future__ import annotations

import logging
import math
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import VLExplainError

if TYPE_CHECKING:
    from pydicom import Dataset

_MOST_INFLATED = 2**31
_HEAD = 4096  # bytes in which the transfer syntax must stand
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_NOT_IMAGES = {
    "SR": "a structured report",
    "SEG": "a segmentation",
    "PR": "a presentation state",
    "KO": "a list of key images",
    "DOC": "a document",
    "RTSTRUCT": "a set of contours",
    "RTPLAN": "a treatment plan",
    "REG": "a registration",
    "ECG": "an electrocardiogram",
}
_PATIENT = re.findall(
    r"\w+",
    """
    PatientName PatientID OtherPatientIDs OtherPatientNames PatientBirthDate PatientBirthName PatientSex PatientAge
    PatientAddress PatientTelephoneNumbers PatientMotherBirthName EthnicGroup PatientComments IssuerOfPatientID
    AccessionNumber StudyID StudyDate SeriesDate AcquisitionDate ContentDate InstitutionName InstitutionAddress
    ReferringPhysicianName PerformingPhysicianName OperatorsName RequestingPhysician NameOfPhysiciansReadingStudy
    AdmissionID StationName
    """,
)


@dataclass(frozen=True)
class Identity:
    """Which image: unique identifiers and how it was taken, nothing about whom. "" where the file does not say."""

    sop_class: str = ""
    sop: str = ""
    study: str = ""
    series: str = ""
    modality: str = ""
    laterality: str = ""
    view: str = ""


def read_header(file: Path) -> Dataset:
    """Everything before the pixels.

    Raises
    ------
    VLExplainError : no pydicom, no such file, no DICOM, cut off, or an object that holds no picture.
    """
    try:
        import pydicom
        from pydicom.errors import InvalidDicomError
    except ImportError:
        raise VLExplainError(
            "DICOM files need pydicom; install it with: pip install 'napari-vlexplain[dicom]'"
        ) from None
    if not file.is_file():
        raise VLExplainError(f"There is no file {str(file)!r}.")
    try:
        with quiet():
            _refuse_inflating(file)
            try:
                header: Dataset = pydicom.dcmread(file, stop_before_pixels=True)
            except InvalidDicomError:  # without preamble, as of old, or something else altogether
                header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
                if not _is_known(header):
                    header = pydicom.Dataset()
            _refuse_other(file, header)
    except VLExplainError:
        raise
    except OSError as error:
        raise VLExplainError(f"{file.name} cannot be read: {error.strerror or type(error).__name__}.") from None
    except Exception:
        raise VLExplainError(f"{file.name} is damaged or cut off: its header cannot be read as DICOM.") from None
    return header


def frames_of(header: Dataset) -> int:
    """How many a file says it has, 1 at least."""
    return max(1, int(next(iter(numbers(header, "NumberOfFrames")), 1)))


def is_colour(header: Dataset) -> bool:
    """Colours, from a palette or not?"""
    palette = _text(header, "PhotometricInterpretation") == "PALETTE COLOR"
    return palette or next(iter(numbers(header, "SamplesPerPixel")), 1) > 1


def identity_of(header: Dataset) -> Identity:
    """From a header."""
    return Identity(
        sop_class=_text(header, "SOPClassUID"),
        sop=_text(header, "SOPInstanceUID"),
        study=_text(header, "StudyInstanceUID"),
        series=_text(header, "SeriesInstanceUID"),
        modality=_text(header, "Modality"),
        laterality=_text(header, "ImageLaterality") or _text(header, "Laterality"),
        view=_text(header, "ViewPosition"),
    )


def patient_data(path: str | Path) -> tuple[str, ...]:
    """The names (never the values) of the attributes by which the file tells of a person, ``BurnedInAnnotation`` among
    them where letters may stand in the pixels; empty for a file that tells nothing.

    Raises VLExplainError as :func:`read_header`.
    """
    header = read_header(Path(path).expanduser())
    found = [name for name in _PATIENT if _text(header, name)]
    return (*found, *(["BurnedInAnnotation"] if burnt_in(header) else []))


def burnt_in(header: Dataset) -> bool:
    """Does the file say that its pixels carry letters?"""
    return _text(header, "BurnedInAnnotation").upper() == "YES"


def numbers(header: Dataset, keyword: str) -> list[float]:
    """The finite numbers of an element; none where it is missing, empty or no number."""
    try:
        value = header.get(keyword)
        values = [value] if value is None or isinstance(value, str | int | float) else list(value)
        found = [float(one) for one in values if one is not None]
    except Exception:  # pydicom looks at a value when it is asked for, and may not make sense of it
        return []
    return found if all(math.isfinite(one) for one in found) else []


def groups(header: Dataset, sequence: str, frame: int = 0) -> Iterator[Dataset]:
    """Where an attribute of a frame may stand: the functional groups of enhanced objects, then the top."""
    for name, index in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        try:
            items = header.get(name) or []
            found = list(items[index].get(sequence) or []) if len(items) > index else []
        except Exception:  # what should be a sequence is none
            continue
        yield from (group for group in found if hasattr(group, "keys"))
    yield header


@contextmanager
def quiet() -> Iterator[None]:
    """pydicom's advice on how a file breaks the standard, and on codecs, is not for the user."""
    log = logging.getLogger("pydicom")
    before, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = before


def _is_known(header: Dataset) -> bool:
    """Of a file without a mark: does it say of which of DICOM's kinds it is?"""
    named = header.get("SOPClassUID")
    return isinstance(named, str) and getattr(named, "name", named) != str(named)


def _text(header: Dataset, keyword: str) -> str:
    try:
        value: Any = header.get(keyword)
    except Exception:
        return ""
    return "" if value is None else str(value).strip()


def _refuse_inflating(file: Path) -> None:
    """A deflated file may be a bomb; pydicom would inflate it to the end."""
    with file.open("rb") as stream:
        head = stream.read(_HEAD)
        if _DEFLATED not in head:
            return
        if head[128:132] != b"DICM" or head[132:140] != b"\x02\0\0\0UL\x04\0":
            raise VLExplainError(f"{file.name} is damaged: it says that it is deflated, without a proper beginning.")
        stream.seek(144 + int.from_bytes(head[140:144], "little"))  # the meta information says how long it is
        inflate, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
        while (block := inflate.unconsumed_tail or stream.read(1 << 20)) and not inflate.eof:
            total += len(inflate.decompress(block, 1 << 24))
            if total > _MOST_INFLATED:
                raise VLExplainError(f"{file.name} is too large: it inflates to more than 2 GiB.")


def _refuse_other(file: Path, header: Dataset) -> None:
    """Refuse what is no picture, and say what it is."""
    sop_class = header.get("SOPClassUID") or getattr(header, "file_meta", {}).get("MediaStorageSOPClassUID")
    modality = _text(header, "Modality").upper()
    if sop_class is None and "Rows" not in header:
        if file.stat().st_size == 0:
            raise VLExplainError(f"{file.name} is empty.")
        with file.open("rb") as stream:
            marked = stream.read(132)[128:] == b"DICM"
        what = "is cut off: its header ends early" if marked else "is not a DICOM file, whatever its name says"
        raise VLExplainError(f"{file.name} {what}.")
    named = getattr(sop_class, "name", "")
    if modality in _NOT_IMAGES or "Rows" not in header or "Columns" not in header:
        what = _NOT_IMAGES.get(modality, "an object")
        kind = f" ({named})" if named and named != str(sop_class) else ""
        if "Image" in named and modality not in _NOT_IMAGES:
            raise VLExplainError(f"{file.name}{kind} has no size; it is cut off or damaged.")
        directory = " Open the images that it lists." if "Directory" in named else ""
        raise VLExplainError(f"{file.name} is {what}{kind} and holds no image; open the image itself.{directory}")
