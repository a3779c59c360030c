"""What a picture's header says before its pixels are read: its size, and how it is to be turned."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from .dicom.content import is_dicom
from .dicom.header import read_header

ORIENTATION = 0x0112
"""The tag of EXIF and TIFF."""


@dataclass(frozen=True)
class PictureHeader:
    """``stored``: (width, height) as the file has it; ``orientation``: 1 for none, up to 8, see EXIF 2.3, 4.6.4 A."""

    stored: tuple[int, int]
    orientation: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as the picture is shown."""
        return self.stored[::-1] if self.orientation > 4 else self.stored


def header_of(path: str | Path) -> PictureHeader | None:
    """What the header says; None where it cannot be read, which reading the pixels tells in our words."""
    file = Path(path).expanduser()
    try:
        if is_dicom(file):
            header = read_header(file)
            return PictureHeader((int(header.Columns), int(header.Rows)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _of_tiff(file) if file.suffix.lower() in (".tif", ".tiff") else _of_others(file)
    except Exception:  # whatever is wrong with it
        return None


def orientation_of(path: str | Path) -> int:
    """The tag by which :func:`~napari_vlexplain.io.images.read_image` turns a picture upright, 1 to 8; 1 for none."""
    found = header_of(path)
    return 1 if found is None else found.orientation


def _of_others(file: Path) -> PictureHeader:
    from PIL import Image

    with Image.open(file) as image:
        return PictureHeader(image.size, _orientation(image.getexif().get(ORIENTATION)))


def _of_tiff(file: Path) -> PictureHeader:
    import tifffile

    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        return PictureHeader(
            (int(page.imagewidth), int(page.imagelength)), _orientation(page.tags.valueof(ORIENTATION))
        )


def _orientation(value: object) -> int:
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
