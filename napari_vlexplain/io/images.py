"""Images of any usual kind as what a model's preprocessing takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError

Limits = tuple[float, float]


def read_image(path: str | Path) -> NDArray:
    """An image file as an array (H, W) or (H, W, 3 or 4) in its own dtype: PNG, JPEG, WebP, BMP, GIF, TIFF.

    Raises
    ------
    VLExplainError : no such file, or not an image.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise VLExplainError(f"There is no file {str(path)!r}.")
    try:
        if file.suffix.lower() in (".tif", ".tiff"):
            import tifffile

            return tifffile.imread(file)
        from PIL import Image

        with Image.open(file) as image:
            if image.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV"):
                return np.asarray(image.convert("RGBA" if "transparency" in image.info else "RGB"))
            if image.mode in ("1", "LA", "PA", "La", "RGBa"):
                return np.asarray(image.convert("L" if image.mode == "1" else "RGBA"))
            return np.asarray(image)
    except Exception:
        raise VLExplainError(
            f"{file.name} cannot be read as an image; PNG, JPEG and TIFF files of grey, RGB or RGBA pixels can."
        ) from None


def as_rgb(image: Any, contrast_limits: Limits | None = None) -> NDArray:
    """Any image as (H, W, 3): uint8 where it is 8-bit and no limits are given, else float32 in [0, 1].

    Parameters
    ----------
    image : (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA (composed on black, as napari shows it); bool, integer or
        float; a Pillow image. Floats in [0, 1] are taken as they are, other floats and integers of more than 8 bits
        are stretched from their minimum to their maximum.
    contrast_limits : (low, high) that become 0 and 1 instead.

    Raises
    ------
    VLExplainError : another shape, no pixels, NaN or infinite pixels, limits in the wrong order.
    """
    pixels = _checked(image)
    if pixels.dtype == np.uint8 and contrast_limits is None:
        return np.ascontiguousarray(_composed(pixels, 255))
    low, high = _limits(pixels, contrast_limits)
    colours, alpha = (pixels[..., :3], pixels[..., 3:]) if pixels.shape[2] == 4 else (pixels, None)
    values = np.clip((colours.astype(np.float32) - low) / (high - low), 0, 1)
    if alpha is not None:
        top = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
        values = values * (alpha.astype(np.float32) / top)
    return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3)), dtype=np.float32)


def _checked(image: Any) -> NDArray:
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4):
        hint = " (channels go last)" if pixels.ndim == 3 and pixels.shape[0] in (1, 3, 4) else ""
        raise VLExplainError(
            f"The image has shape {np.shape(image)}, but it must be (rows, columns), (rows, columns, 3) or "
            f"(rows, columns, 4){hint}."
        )
    if 0 in pixels.shape:
        raise VLExplainError(f"The image has shape {np.shape(image)}: it holds no pixels.")
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * 255
    if pixels.dtype.kind not in "uif":
        raise VLExplainError(f"The image's pixels are {pixels.dtype}, but they must be integers or floats.")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        what = "NaN" if np.isnan(pixels).any() else "infinite"
        count = int((~np.isfinite(pixels)).any(axis=2).sum())
        raise VLExplainError(f"The image holds {count} {what} pixels; replace them, for instance by 0, and try again.")
    return pixels


def _limits(pixels: NDArray, given: Limits | None) -> Limits:
    if given is not None:
        low, high = float(given[0]), float(given[1])
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise VLExplainError(f"contrast_limits are {tuple(given)}, but the first must be below the second.")
        return low, high
    colours = pixels[..., :3]
    low, high = float(colours.min()), float(colours.max())
    if pixels.dtype.kind == "f" and low >= 0 and high <= 1:
        return 0.0, 1.0
    return (low, high) if low < high else (low, low + 1)


def _composed(pixels: NDArray, top: int) -> NDArray:
    if pixels.shape[2] == 4:
        return (pixels[..., :3].astype(np.uint16) * pixels[..., 3:] // top).astype(np.uint8)
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3)) if pixels.shape[2] == 1 else pixels
