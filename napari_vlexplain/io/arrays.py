"""Arrays as pictures: which shapes and values they may have, and how they become what a model's preprocessing takes."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from .voi import full_range, sample_of

if TYPE_CHECKING:
    from PIL import Image

Limits = tuple[float, float]


LARGEST = 2**28
"""Pixels that an image may have; a model sees a few hundred rows of them anyway."""


REACH = 0.1
"""How far black and white may lie beyond the 1st and 99th percentile, as a share of the distance between them."""


_TOO_FAR = "The image's pixels run from {:g} to {:g}; give contrast_limits that mean something."


SINGLE = "{} holds a single image, but a plane is given; leave it out."
ALLOWED = f"images of up to {LARGEST // 10**6} million pixels can be read, so crop it or shrink it"


def as_array(image: Any) -> NDArray:
    """Anything array-like as an array; a Pillow image as its colours, never as palette numbers.

    A tensor of torch may be on any device and part of a graph.

    Raises
    ------
    VLExplainError : what cannot become an array of numbers.
    """
    try:
        if "torch" in sys.modules and isinstance(image, sys.modules["torch"].Tensor):
            plain = image.detach().cpu().resolve_conj().resolve_neg()
            return (plain.float() if plain.dtype == sys.modules["torch"].bfloat16 else plain).numpy()
        return colours_of(image) if hasattr(image, "getpixel") else np.asarray(image)
    except (ValueError, TypeError, OSError, RuntimeError):
        raise VLExplainError("The image is no array; its rows must have one length and hold numbers.") from None


def plane_of(stack: NDArray, plane: tuple[int, ...], colours: bool, name: str) -> NDArray:
    """One image of a stack; ``colours`` says whether the last axis holds them."""
    lead = stack.shape[: stack.ndim - (3 if colours else 2)]
    if len(plane) != len(lead) or any(not 0 <= at < size for at, size in zip(plane, lead, strict=True)):
        if not lead:
            raise VLExplainError(SINGLE.format(name))
        raise VLExplainError(
            f"{name} holds a stack of shape {stack.shape}, but one image is needed; give its plane, "
            f"{len(lead)} number{'s' if len(lead) > 1 else ''} from 0."
        )
    return stack[plane] if plane else stack


def colours_of(image: Image.Image) -> NDArray:
    """The pixels of a Pillow image as grey, RGB or RGBA."""
    keyed = "transparency" in image.info and image.mode in ("1", "L", "P", "RGB")
    if image.mode == "La":
        image = image.convert("LA")
    if keyed or image.mode in ("LA", "PA", "RGBa"):
        return np.asarray(image.convert("RGBA"))
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    if image.mode in ("P", "CMYK", "YCbCr", "HSV", "RGBX", "LAB"):
        return np.asarray(image.convert("RGB"))
    pixels = np.asarray(image)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def refuse_huge(file: Path, pixels: int) -> None:
    if pixels > LARGEST:
        raise VLExplainError(f"{file.name} is too large: {ALLOWED}.")


def default_limits(pixels: NDArray, padding: Limits | None = None, *, measured: bool = False) -> Limits | None:
    """Which values become black and white where neither a file nor the user says so; the same at every door.

    Parameters
    ----------
    pixels : (H, W) grey, (H, W, 1, 3 or 4).
    padding : (lowest, highest) value that stands for "outside the image" and does not count.
    measured : may floats in [0, 1] mean something else than brightness? They are, otherwise, taken as they are.

    Returns
    -------
    (low, high), or None for 8 bits and colours, which are shown as they are. Other grey values run from the lowest to
    the highest, but no further than ``REACH`` beyond the 1st and 99th percentile: a marker that outshines a radiograph
    leaves it its contrast. Where these two are equal, nearly all is background, and the whole range counts.

    Raises
    ------
    VLExplainError : floats that are too far apart for a difference.
    """
    grey = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    if grey.ndim != 2 or not grey.size or grey.dtype == np.uint8 or grey.dtype.kind not in "uif":
        return None
    low, high = full_range(grey, padding)
    if grey.dtype.kind == "f" and low >= 0 and high <= 1 and not measured:
        return 0.0, 1.0
    if not np.isfinite(high - low):
        raise VLExplainError(_TOO_FAR.format(low, high))
    sample = sample_of(grey, padding).astype(np.float64)
    if not sample.size:
        return low, high
    first, last = np.percentile(sample, (1, 99))
    reach = REACH * (last - first)
    if reach > 0:
        inner, outer = float(first - reach), float(last + reach)
        if grey.dtype.kind in "ui":
            inner, outer = float(np.floor(inner)), float(np.ceil(outer))
        low, high = max(low, inner), min(high, outer)
    return low, high


def as_rgb(image: Any, contrast_limits: Limits | None = None) -> NDArray:
    """Any image as (H, W, 3): uint8 where it is 8-bit and no limits are given, else float32 in [0, 1].

    Parameters
    ----------
    image : (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA (composed on black, as napari shows it); bool, integer or
        float; a Pillow image. Grey values of more than 8 bits, and floats beyond [0, 1], are stretched between
        :func:`default_limits`. Colours are taken as viewers show them: integers as shares of the 8 or 16 bits that
        hold them, floats in [0, 1] as they are, other numbers from their lowest to their highest.
    contrast_limits : (low, high) that become 0 and 1 instead.

    Raises
    ------
    VLExplainError : another shape, no pixels, NaN or infinite pixels, limits in the wrong order.
    """
    pixels = _checked(image)
    if pixels.dtype == np.uint8 and contrast_limits in (None, (0, 255)):
        return np.ascontiguousarray(_composed(pixels))
    low, high = _limits(pixels, contrast_limits)
    colours, alpha = (pixels[..., :3], pixels[..., 3:]) if pixels.shape[2] == 4 else (pixels, None)
    values = stretched(colours, low, high)
    if alpha is not None:
        top = 1 if pixels.dtype.kind == "f" else int(np.iinfo(pixels.dtype).max)
        values = values * stretched(alpha, 0, top)
    return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3)), dtype=np.float32)


def stretched(pixels: NDArray, low: Any, high: Any) -> NDArray:
    """``low`` becomes 0 and ``high`` 1, in float64 or wider; all becomes 0 where both are the only value.

    Cut first, so nothing overflows; 64-bit integers count from ``low``, so no digit that differs is dropped.
    """
    if pixels.dtype.kind in "iu" and pixels.dtype.itemsize > 4:
        pixels, low, high = _counted(pixels, low, high)
    kind = np.result_type(pixels.dtype, np.float64).type
    low, high = kind(low), kind(high)
    if not low < high:
        return (pixels > low).astype(kind)
    half = kind(0.5 if max(-low, high) > np.finfo(kind).max / 2 else 1)
    values = np.clip(pixels.astype(kind), low, high)
    values *= half
    values -= low * half
    values /= high * half - low * half
    return values


def _counted(pixels: NDArray, low: float, high: float) -> tuple[NDArray, float, float]:
    """64-bit integers and limits as distances from the whole number below ``low``, as far as the dtype goes."""
    info = np.iinfo(pixels.dtype)
    base = min(max(math.floor(low), int(info.min)), int(info.max))
    above = np.maximum(pixels, base).astype(np.uint64) - np.uint64(base % 2**64)
    return above, float(Fraction(low) - base), float(Fraction(high) - base)


def _checked(image: Any) -> NDArray:
    pixels = as_array(image)
    shape = pixels.shape
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4):
        hint = " (channels go last)" if pixels.ndim == 3 and pixels.shape[0] in (1, 3, 4) else ""
        raise VLExplainError(
            f"The image has shape {shape}, but it must be (rows, columns), (rows, columns, 3) or "
            f"(rows, columns, 4){hint}."
        )
    if 0 in pixels.shape:
        raise VLExplainError(f"The image has shape {shape}: it holds no pixels.")
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype.kind not in "uif":
        raise VLExplainError(f"The image's pixels are {pixels.dtype}, but they must be integers or floats.")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        what = "NaN" if np.isnan(pixels).any() else "infinite"
        count = int((~np.isfinite(pixels)).any(axis=2).sum())
        raise VLExplainError(f"The image holds {count} {what} pixels; replace them, for instance by 0, and try again.")
    return pixels


def _limits(pixels: NDArray, given: Limits | None) -> Limits:
    if given is not None:
        if not (all(map(math.isfinite, given)) and given[0] < given[1]):
            raise VLExplainError(f"contrast_limits are {tuple(given)}, but the first must be below the second.")
        low, high = (edge if isinstance(edge, int) else float(edge) for edge in given)
        return low, high
    if pixels.dtype == np.uint8:
        return 0.0, 255.0
    if pixels.shape[2] == 1:
        return default_limits(pixels) or (0.0, 1.0)
    low, high = full_range(pixels[..., :3])
    if low >= 0 and pixels.dtype.kind == "f" and high <= 1:
        return 0.0, 1.0
    if low >= 0 and pixels.dtype.kind in "ui" and high <= 65535:
        return 0.0, 255.0 if high <= 255 else 65535.0
    if not np.isfinite(high - low):
        raise VLExplainError(_TOO_FAR.format(low, high))
    return low, high


def _composed(pixels: NDArray) -> NDArray:
    """uint8 (H, W, 1, 3 or 4) -> (H, W, 3)."""
    if pixels.shape[2] == 4:
        return (pixels[..., :3].astype(np.uint16) * pixels[..., 3:] // 255).astype(np.uint8)
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3)) if pixels.shape[2] == 1 else pixels
