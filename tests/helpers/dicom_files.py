"""Writes real DICOM files for tests, in every shape that readers meet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

SECRET = "SECRET^PATIENT"


def dataset(
    pixels: NDArray[Any], stored: int | None = None, syntax: str = ExplicitVRLittleEndian, **tags: Any
) -> Dataset:
    """An image of a chest with a patient's name, of (H, W), (N, H, W) or, with ``SamplesPerPixel=3``, colours."""
    found = Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = syntax
    found.SOPClassUID = DigitalXRayImageStorageForPresentation
    found.SOPInstanceUID = generate_uid()
    found.StudyInstanceUID, found.SeriesInstanceUID = generate_uid(), generate_uid()
    found.PatientName, found.PatientID, found.PatientBirthDate = SECRET, "SECRET-17", "19500101"
    found.StudyDate, found.AccessionNumber, found.InstitutionName = "20200202", "SECRET-ACC", "SECRET HOSPITAL"
    found.SeriesDescription = "SECRET SERIES"
    found.Modality, found.ViewPosition = "DX", "PA"
    colours = tags.get("SamplesPerPixel", 1) == 3
    shape = pixels.shape[:-1] if colours else pixels.shape
    if len(shape) == 3:
        found.NumberOfFrames = shape[0]
    found.Rows, found.Columns = shape[-2:]
    found.SamplesPerPixel = 1
    found.PhotometricInterpretation = "RGB" if colours else "MONOCHROME2"
    if colours:
        found.PlanarConfiguration = 0
    bits = pixels.dtype.itemsize * 8
    found.BitsAllocated, found.BitsStored = bits, stored or bits
    found.HighBit = found.BitsStored - 1
    found.PixelRepresentation = int(pixels.dtype.kind == "i")
    found.PixelData = np.ascontiguousarray(pixels).tobytes()
    found["PixelData"].VR = "OW" if bits > 8 else "OB"
    for name, value in tags.items():
        if value is None:
            delattr(found, name)
        else:
            setattr(found, name, value)
    return found


def write(path: Path, pixels: NDArray[Any], stored: int | None = None, **tags: Any) -> Path:
    """:func:`dataset`, on disk."""
    return save(dataset(pixels, stored, **tags), path)


def save(found: Dataset, path: Path) -> Path:
    found.save_as(path, enforce_file_format=True)
    return path


def lut(values: list[int], first: int, bits: int, name: str = "") -> Sequence:
    """A sequence of one lookup table."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(values), first, bits])
    item.add_new("LUTData", "US", values)
    if name:
        item.LUTExplanation = name
    return Sequence([item])


def bare(found: Dataset, path: Path, implicit: bool = True) -> Path:
    """Without preamble and meta information, as files of old are."""
    del found.file_meta
    pydicom.dcmwrite(path, found, implicit_vr=implicit, little_endian=True)
    return path


def placed(count: int) -> dict[str, Any]:
    """Functional groups of planes 2 mm apart, with the patient's dates between."""
    per_frame, shared = [], Dataset()
    for number in range(count):
        position, content, group = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient, content.FrameAcquisitionDateTime = [1, 2, 2.0 * number], "20200202"
        group.PlanePositionSequence, group.FrameContentSequence = [position], [content]
        per_frame.append(group)
    measures, turn = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.4], 2
    turn.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [turn]
    return {"PerFrameFunctionalGroupsSequence": per_frame, "SharedFunctionalGroupsSequence": [shared]}
