"""Image files of any usual kind as arrays; what becomes of arrays is in :mod:`.arrays`, and to be had here too."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from .arrays import (
    ALLOWED,
    LARGEST,
    REACH,
    SINGLE,
    Limits,
    as_array,
    as_rgb,
    colours_of,
    default_limits,
    refuse_huge,
    stretched,
)
from .dicom.content import is_dicom

__all__ = [
    "LARGEST",
    "REACH",
    "Limits",
    "as_array",
    "as_rgb",
    "default_limits",
    "orientation_of",
    "read_image",
    "read_shown",
]


def read_image(path: str | Path) -> NDArray:
    """An image file as an array (H, W) or (H, W, 3 or 4) in its own dtype: PNG, JPEG, WebP, BMP, GIF, TIFF.

    Photographs are turned upright as their EXIF or TIFF tag says; of an animation the first frame counts. A DICOM
    file comes as float32 in [0, 1], through its own window; :func:`read_shown` gives its values and the window apart.

    Raises
    ------
    VLExplainError : no such file, not an image, more than ``LARGEST`` pixels, a stack of several images.
    """
    pixels, limits = read_shown(path)
    return pixels if limits is None else stretched(pixels, *limits).astype(np.float32, copy=False)


def read_shown(
    path: str | Path,
    contrast_limits: Limits | None = None,
    plane: tuple[int, ...] = (),
    window: str | None = None,
    told: list[str] | None = None,
) -> tuple[NDArray, Limits | None]:
    """An image file, and the contrast limits to see it through: those given, else a DICOM file's own, else None.

    So the command sees what napari's viewer shows. ``plane`` is where the image lies in a stack: an index for each
    leading axis of a TIFF, the frame of a DICOM file. ``window`` is one of a DICOM file's, by its name or its number
    from 1; of a curve the pixels come as it draws them. To ``told`` is added what must be said where a picture is not
    shown as its file asks. Raises VLExplainError as :func:`read_image`.
    """
    file = Path(path).expanduser()
    if window is not None and contrast_limits is not None:
        raise VLExplainError("A window and contrast limits are given, but one of them says it all; leave one out.")
    if is_dicom(file):
        return _read_dicom(file, contrast_limits, plane, window, [] if told is None else told)
    if window is not None:
        raise VLExplainError(f"{file.name} is no DICOM file and names no windows; give contrast limits instead.")
    return _read_plain(file, path, plane), contrast_limits


def _read_dicom(
    file: Path, given: Limits | None, plane: tuple[int, ...], window: str | None, told: list[str]
) -> tuple[NDArray, Limits | None]:
    from .dicom.header import frames_of, read_header
    from .dicom.image import read_dicom_image

    if (frames := frames_of(read_header(file))) > 1 and len(plane) != 1:
        raise VLExplainError(
            f"{file.name} holds {frames} frames, but one image is needed; open it in napari, or give one as the plane."
        )
    if plane and frames == 1:
        raise VLExplainError(SINGLE.format(file.name))
    found = read_dicom_image(file, plane[0] if plane else None, window)
    if found.otherwise and given is None:
        told.append(found.otherwise)
    all_of_8_bits = found.pixels.dtype == np.uint8 and found.limits == (0.0, 255.0)
    return found.pixels, given or (None if all_of_8_bits else found.limits)


def _read_plain(file: Path, path: str | Path, plane: tuple[int, ...]) -> NDArray:
    if file.is_dir():
        raise VLExplainError(f"{str(path)!r} is a folder, but one image is needed.")
    if not file.is_file():
        raise VLExplainError(f"There is no file {str(path)!r}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if _is_tiff(file):
                from .tiff import read_tiff

                return read_tiff(file, plane)
            if plane:
                raise VLExplainError(SINGLE.format(file.name))
            return _read_pillow(file)
    except VLExplainError:
        raise
    except MemoryError:
        raise VLExplainError(f"{file.name} does not fit into memory; crop it or shrink it.") from None
    except Exception as error:
        if type(error).__name__ == "DecompressionBombError":
            raise VLExplainError(f"{file.name} is too large: {ALLOWED}.") from None
        raise VLExplainError(
            f"{file.name} cannot be read as an image; PNG, JPEG and TIFF files of grey, RGB or RGBA pixels can."
        ) from None


def orientation_of(path: str | Path) -> int:
    """How the stored rows and columns of an image file are turned before it is shown: EXIF's or TIFF's tag, 1 to 8.

    1 is "as stored", also of files that say nothing or cannot be read. From 5 on rows have become columns.
    """
    from PIL import Image

    file = Path(path).expanduser()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file) as image:
                found = image.getexif().get(274, 1)
    except Exception:
        if not _is_tiff(file):
            return 1
        from .tiff import orientation_of_file

        return orientation_of_file(file)
    return int(found) if isinstance(found, int) and 1 <= found <= 8 else 1


def _is_tiff(file: Path) -> bool:
    """By its first bytes: names say little."""
    try:
        with file.open("rb") as stream:
            return stream.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    except OSError:
        return False


def _read_pillow(file: Path) -> NDArray:
    from PIL import Image, ImageOps

    with Image.open(file) as image:
        refuse_huge(file, image.width * image.height)
        return colours_of(ImageOps.exif_transpose(image))
