"""Records of small drawn cases, with all that an export can hold, and a radiograph file to refer to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_vlexplain.geometry import centre_crop
from napari_vlexplain.methods.targets import Target
from napari_vlexplain.reading_room.records import CaseRecord, Judgement
from napari_vlexplain.results.explanation import Explanation
from napari_vlexplain.results.request import ImageIdentity, Request

SHAPE = (40, 56)
COMMENT = "=1+2, größer\nals “gedacht”"
PATIENT = {"PatientName": "Doe^Jane", "PatientID": "MRN-4711", "PatientBirthDate": "19500102", "PatientSex": "F",
           "StudyDate": "20200203", "StudyTime": "101112", "StudyID": "S77", "AccessionNumber": "ACC99",
           "ReferringPhysicianName": "House^Gregory", "InstitutionName": "Sunny Clinic",
           "StudyDescription": "Thorax Doe", "PatientAge": "070Y", "OtherPatientIDs": "ALT-1"}  # fmt: skip


def image_of(shape: tuple[int, ...] = SHAPE, dtype: Any = np.uint16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)


def explanation_of(image: np.ndarray, prompt: str, name: str = "/home/jane-doe/x.dcm", seed: int = 0) -> Explanation:
    shape = (image.shape[0], image.shape[1])
    rng = np.random.default_rng(seed)
    return Explanation(
        request=Request(
            image=ImageIdentity.of(image, name, (10.0, 200.0)),
            prompts=(prompt, "another"),
            model="mini",
            method="relevance",
            parameters=(("start_block", 0), ("text_start_block", -1)),
            target=Target("margin", ("a cat",)),
            seed=7,
        ),
        prompt=prompt,
        patch_scores=rng.normal(size=(4, 4)).astype(np.float32),
        tokens=("left", "effu", "sion"),
        token_scores=np.array([0.1, -0.25, 1 / 3], dtype=np.float32),
        words=(0, 1, 1),
        score=0.1 + 0.2,
        geometry=centre_crop(shape, (32, 32), 32).geometry(shape, (32, 32), (4, 4), (8, 8)),
        provenance={
            "model": "mini",
            "weights_sha256": "ab" * 32,
            "created": "2026-11-20T08:00:00+00:00",
            "device": "cpu",
            "versions": {"torch": "2", "napari-vlexplain": "0.1.0"},
        },
        image=image,
    )


def masks_of_shape(shape: tuple[int, int] = SHAPE, seed: int = 0) -> dict[str, np.ndarray]:
    """Three that overlap, none empty."""
    rng = np.random.default_rng(seed)
    found = {role: rng.random(shape) < 0.1 for role in ("truth", "model", "reader")}
    for k, mask in enumerate(found.values()):
        mask[8 + k : 20 + 2 * k, 10 + k : 30] = True
    return found


def record(case: str = "p1/s2", prompt: str = "left effusion", **changes: Any) -> CaseRecord:
    image = changes.pop("image", image_of())
    shape = image.shape[:2]
    facts: dict[str, Any] = {
        "source": Path("/home/jane-doe/x.png"),
        "category": "Pleural Effusion",
        "group": "patient 1",
        "limits": (10.0, 200.0),
        "spacing": (0.2, 0.3),
        "explanation": explanation_of(image, prompt),
        "threshold": 0.625,
        "masks": masks_of_shape((shape[0], shape[1])),
        "judgement": Judgement(case, prompt, "Ana Nás", "partly", 4, COMMENT, "2026-11-20T09:10:11+00:00"),
    }
    return CaseRecord(case=case, prompt=prompt, image=image, **{**facts, **changes})


def write_radiograph(file: Path, image: np.ndarray | None = None, **changes: Any) -> Path:
    """A computed radiograph (CR) of a patient with a name; ``changes`` by keyword, None takes one away."""
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    pixels = image_of() if image is None else image
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    made.SOPInstanceUID = generate_uid(entropy_srcs=[str(file), "image"])
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
    made.SeriesInstanceUID = generate_uid(entropy_srcs=["series"])
    made.Modality, made.Manufacturer, made.SeriesNumber, made.InstanceNumber = "CR", "Maker", 1, 1
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    made.PixelSpacing = [0.2, 0.3]
    made.PixelData = pixels.astype("<u2").tobytes()
    for name, value in {**PATIENT, **changes}.items():
        if value is not None:
            setattr(made, name, value)
        elif name in made:
            del made[name]
    made.save_as(file, enforce_file_format=True)
    return file


def same_records(one: CaseRecord, other: CaseRecord, *, pixels: bool = True) -> None:
    """Every field equal, arrays to the bit."""
    for name in ("case", "prompt", "source", "category", "group", "limits", "spacing", "threshold", "judgement"):
        assert getattr(one, name) == getattr(other, name), name
    assert list(one.masks) == list(other.masks)
    for role, mask in one.masks.items():
        assert other.masks[role].dtype == bool
        np.testing.assert_array_equal(mask, other.masks[role])
    assert np.shape(one.image) == np.shape(other.image) or not pixels
    if pixels:
        assert one.image.dtype == other.image.dtype
        np.testing.assert_array_equal(one.image, other.image)
    assert (one.explanation is None) == (other.explanation is None)
    if one.explanation is not None and other.explanation is not None:
        left, right = one.explanation, other.explanation
        for name in ("request", "prompt", "tokens", "words", "score", "geometry", "provenance"):
            assert getattr(left, name) == getattr(right, name), name
        for name in ("patch_scores", "token_scores", "heatmap"):
            np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
