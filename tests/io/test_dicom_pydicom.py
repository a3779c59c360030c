"""Every file that pydicom ships: our values, colours and first window are those of pydicom's own pixel pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.data.data_manager import DATA_ROOT
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.uid import JPEGTransferSyntaxes

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.io.dicom.content import is_dicom
from napari_vlexplain.io.dicom.image import read_dicom_image
from napari_vlexplain.io.images import default_limits

OTHERS = (".py", ".pyc", ".json", ".icc", ".dump", ".txt", ".gz", ".md", ".xml", ".html")
SHIPPED = sorted(
    path
    for folder in ("test_files", "charset_files")  # globbed here: pydicom's own list would ask the network for more
    for path in Path(DATA_ROOT, folder).rglob("*")
    if path.is_file() and path.suffix not in OTHERS and not path.name.startswith(("DICOMDIR", "README"))
)


def decoded(path: Path) -> tuple[pydicom.Dataset, NDArray[Any]] | None:
    """pydicom's header and stored numbers; None where it cannot decode the file."""
    try:
        header = pydicom.dcmread(path, force=True)
        return header, header.pixel_array
    except Exception:
        return None


def in_full(header: pydicom.Dataset) -> tuple[float, float]:
    """The range that pydicom's window is stretched to: of the values that the bits can hold."""
    bits, signed = header.BitsStored, header.PixelRepresentation
    ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1], float)
    slope, intercept = float(header.get("RescaleSlope", 1)), float(header.get("RescaleIntercept", 0))
    low, high = ends * slope + intercept
    return low, high


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.relative_to(DATA_ROOT).as_posix())
def test_ours_is_pydicoms(path: Path) -> None:
    theirs = decoded(path)
    if theirs is None:
        with pytest.raises(VLExplainError) as refusal:
            read_dicom_image(path)
        sentence = str(refusal.value)
        assert sentence.startswith(path.name) and sentence.endswith(".") and "Error" not in sentence
        return
    header, stored = theirs
    assert is_dicom(path)
    if header.get("Modality") == "SEG":  # masks, no picture
        with pytest.raises(VLExplainError, match="is a segmentation"):
            read_dicom_image(path)
        return
    image = read_dicom_image(path)
    if header.SamplesPerPixel == 3 or header.PhotometricInterpretation == "PALETTE COLOR":
        palette = header.PhotometricInterpretation == "PALETTE COLOR"
        colours = apply_color_lut(stored, header) if palette else stored
        depth = colours.dtype.itemsize * 8 if palette else header.BitsStored
        rounded = 2 if header.file_meta.TransferSyntaxUID in JPEGTransferSyntaxes else 0  # as codecs' sums differ
        assert image.pixels.dtype == np.uint8 and image.limits is None
        np.testing.assert_allclose(image.pixels.astype(int), (colours >> (depth - 8)).astype(int), atol=rounded)
        return
    values = apply_modality_lut(stored, header).astype(np.float64)
    low, high = in_full(header)
    negative = header.PhotometricInterpretation == "MONOCHROME1"
    np.testing.assert_allclose(image.pixels, low + high - values if negative else values, rtol=1e-6)
    if "WindowCenter" in header or "VOILUTSequence" in header:
        shown = (apply_voi_lut(values, header) - low) / (high - low)
        if np.ptp(shown) == 0 < np.ptp(values):  # a window beside all values
            assert image.limits == default_limits(image.pixels, measured=True) and "one even tone" in image.warnings[-1]
            return
        np.testing.assert_allclose(image.presented(), 1 - shown if negative else shown, atol=2e-5)
    else:
        assert image.windows == () and image.curve is None


def test_there_is_enough_to_compare() -> None:
    kinds = {found[0].file_meta.TransferSyntaxUID for path in SHIPPED if (found := decoded(path)) is not None}
    assert len(SHIPPED) > 150 and len(kinds) >= 11


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("JPGExtended.dcm", "no codec for JPEG Extended (Process 2 and 4) (1.2.840.10008.1.2.4.51)"),
        ("MR_truncated.dcm", "damaged or cut off"),
        ("ExplVR_LitEndNoMeta.dcm", "a treatment plan"),
        ("no_meta.dcm", "is not a DICOM file"),
        ("rtplan.dcm", "a treatment plan"),
        ("test-SR.dcm", "a structured report"),
    ],
)
def test_what_is_wrong_is_said(name: str, said: str) -> None:
    with pytest.raises(VLExplainError, match=name) as refusal:
        read_dicom_image(Path(DATA_ROOT, "test_files", name))
    assert said in str(refusal.value)
