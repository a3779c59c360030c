"""DICOM: what files hold, as arrays and facts without the patient's data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .image import DicomImage, read_dicom_image

__all__ = ["DicomImage", "read_dicom_image"]
__getattr__ = lazy(__name__, {"DicomImage": "image", "read_dicom_image": "image"})
