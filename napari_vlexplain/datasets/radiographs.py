"""Radiographs in DICOM files as the picture that a reader sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError


def is_dicom(path: Path) -> bool:
    """By its suffix, or by the mark at byte 128 where it has none."""
    if path.suffix.lower() in (".dcm", ".dicom"):
        return True
    if path.suffix:
        return False
    try:
        with path.open("rb") as stream:
            stream.seek(128)
            return stream.read(4) == b"DICM"
    except OSError:
        return False


def read_dicom(path: Path) -> NDArray[Any]:
    """One frame as (H, W) float32 in [0, 1], or (H, W, 3) uint8: rescaled, windowed, MONOCHROME1 turned over.

    Raises
    ------
    VLExplainError : pydicom is missing, the file is broken, its compression needs a codec that is not installed.
    """
    try:
        import pydicom
        from pydicom.pixels import apply_modality_lut, apply_voi_lut
    except ImportError:
        raise VLExplainError(
            "DICOM files need pydicom; install it with: pip install 'napari-vlexplain[dicom]'"
        ) from None
    if not path.is_file():
        raise VLExplainError(f"There is no file {str(path)!r}.")
    try:
        file = pydicom.dcmread(path)
        pixels = file.pixel_array
    except Exception as error:
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise VLExplainError(f"{path.name} cannot be read as DICOM: {first[:200]}") from None
    kind = str(file.get("PhotometricInterpretation", "MONOCHROME2"))
    if not kind.startswith("MONOCHROME"):
        return np.asarray(pixels if pixels.ndim == 3 else pixels[0])
    frame = pixels if pixels.ndim == 2 else pixels[0]
    values = np.asarray(apply_voi_lut(apply_modality_lut(frame, file), file, index=0), dtype=np.float32)
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) / np.float32(high - low) if high > low else np.zeros_like(values)
    return 1 - scaled if kind == "MONOCHROME1" else scaled
