"""Which files are DICOM; moved to :mod:`napari_vlexplain.io.dicom`."""

from __future__ import annotations

from ..io.dicom_header import is_dicom

__all__ = ["is_dicom"]
