"""Masks and grey images as NIfTI, placed in millimetres as ITK-SNAP, 3D Slicer and dcm2niix place a single image.

NIfTI counts x first and points to the patient's right, anterior and superior (RAS); DICOM and arrays count rows first
and point to left, posterior and superior (LPS). So an (H, W) array becomes (W, H, 1), and with rows and columns of
``spacing`` (mm) the affine is ``diag(-column, -row, 1, 1)`` where the source says no more.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import VLExplainError
from ...io.dicom.header import numbers
from ...io.images import LARGEST

if TYPE_CHECKING:
    from pydicom import Dataset

Spacing = tuple[float, float]


def write_nifti(file: Path, pixels: NDArray[Any], spacing: Spacing | None, affine: NDArray[Any] | None = None) -> None:
    """Write (H, W) bool, integers or floats as ``.nii.gz``; bool as uint8.

    ``spacing``: (row, column) in mm; None is written as 1, with no unit. ``affine``: (4, 4) RAS, see
    :func:`affine_of`; by default that of the spacing alone.

    Raises VLExplainError where nibabel is missing, or for pixels that NIfTI cannot hold.
    """
    nibabel = _nibabel()
    values = np.asarray(pixels)
    values = values.astype(np.uint8) if values.dtype == bool else values
    if values.ndim != 2 or values.dtype.kind not in "uif" or values.dtype.itemsize > 8:
        raise VLExplainError(f"NIfTI takes grey images; this one is {values.dtype} {values.shape}.")
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    placed = spacing_affine(spacing) if affine is None else affine
    image = nibabel.Nifti1Image(np.ascontiguousarray(values.T[..., np.newaxis]), placed, dtype=values.dtype)
    image.header.set_xyzt_units("mm" if spacing is not None or affine is not None else "unknown")
    image.set_sform(placed, code="scanner" if affine is not None else "aligned")
    image.set_qform(placed, code="scanner" if affine is not None else "aligned")
    file.write_bytes(gzip.compress(image.to_bytes(), compresslevel=6, mtime=0))


def read_nifti(file: Path, shape: tuple[int, int]) -> NDArray[Any]:
    """The (H, W) array that :func:`write_nifti` wrote, in its dtype (bool as uint8).

    Raises VLExplainError for a file that is none, or of another size than ``shape``.
    """
    nibabel = _nibabel()
    try:
        image = nibabel.Nifti1Image.from_filename(file)
        size = image.shape
        if size != (shape[1], shape[0], 1) or shape[0] * shape[1] > LARGEST:
            raise VLExplainError(f"{file.name} is {size}, but {(shape[1], shape[0], 1)} is needed.")
        return np.asarray(image.dataobj)[..., 0].T
    except VLExplainError:
        raise
    except Exception as error:
        raise VLExplainError(f"{file.name} cannot be read as NIfTI ({type(error).__name__}).") from None


def spacing_affine(spacing: Spacing | None) -> NDArray[np.float64]:
    """(4, 4) from (column, row, 0, 1) to RAS millimetres, the first pixel at the origin."""
    row, column = spacing or (1.0, 1.0)
    return np.diag([-column, -row, 1.0, 1.0])


def affine_of(header: Dataset, spacing: Spacing | None) -> NDArray[np.float64] | None:
    """(4, 4) RAS of a DICOM image with position and orientation in the patient, else None.

    Source: DICOM PS3.3, equation C.7.6.2.1-1, and the turn from LPS to RAS.
    """
    position, turn = numbers(header, "ImagePositionPatient"), numbers(header, "ImageOrientationPatient")
    if spacing is None or len(position) != 3 or len(turn) != 6:
        return None
    along_row, along_column = (np.array(turn[k : k + 3]) for k in (0, 3))
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = along_row * spacing[1], along_column * spacing[0]
    lps[:3, 2] = np.cross(along_row, along_column) * (next(iter(numbers(header, "SliceThickness")), 0.0) or 1.0)
    lps[:3, 3] = position
    found = np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps
    return found if abs(np.linalg.det(found)) > 1e-9 else None


def _nibabel() -> Any:
    try:
        import nibabel
    except ImportError:
        raise VLExplainError(
            "NIfTI files need nibabel; install it with: pip install 'napari-vlexplain[dicom]'"
        ) from None
    return nibabel
