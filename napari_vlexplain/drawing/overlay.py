"""A heatmap on its image, and the outline of a mask."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import VLExplainError
from ..io.images import Limits, as_rgb
from .colour import RIM, colour_of, sequential

# Luma of ITU-R BT.601.
_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def overlay(
    image: Any,
    heatmap: NDArray[np.floating],
    strength: float = 0.85,
    fade: float = 0.75,
    contrast_limits: Limits | None = None,
) -> NDArray[np.uint8]:
    """A heatmap over an image, (H, W, 3) uint8.

    Parameters
    ----------
    image : (H, W) or (H, W, 3 or 4), see :func:`napari_vlexplain.io.images.as_rgb`.
    heatmap : (H, W) in [0, 1]; low values are see-through, and NaN leaves the image as it is.
    strength : opacity of the value 1, in [0, 1].
    fade : how far the image's own colours give way to grey, in [0, 1], so that warm ones are not taken for heat.

    Raises
    ------
    VLExplainError : image and heatmap differ in size.
    """
    base: NDArray[Any] = as_uint8(image, contrast_limits)
    if base.shape[:2] != heatmap.shape:
        raise VLExplainError(f"The heatmap has shape {heatmap.shape}, but the image is {base.shape[:2]}.")
    base = base + ((base @ _GREY)[..., None] - base) * np.float32(fade)
    value = np.clip(np.nan_to_num(heatmap, nan=0.0), 0, 1).astype(np.float32)
    opacity = (strength * _rise(value))[..., None]
    mixed = base + (sequential(value).astype(np.float32) - base) * opacity
    return np.rint(mixed).astype(np.uint8)


def as_uint8(image: Any, contrast_limits: Limits | None = None) -> NDArray[np.uint8]:
    """Any image as (H, W, 3) uint8, for display."""
    rgb = as_rgb(image, contrast_limits)
    return rgb if rgb.dtype == np.uint8 else np.rint(rgb * 255).astype(np.uint8)


def under(image: Any, contrast_limits: Limits | None, size: tuple[int, ...]) -> tuple[Any, Limits | None]:
    """What a picture is drawn on: the image with its limits, or black (H, W) where the image was not kept."""
    return (np.zeros(size, dtype=np.uint8), None) if image is None else (image, contrast_limits)


def as_source(picture: NDArray[np.uint8], longest: int) -> str:
    """A picture (H, W, 3) as the source of an <img>: a JPEG whose longer side has at most ``longest`` pixels."""
    from PIL import Image

    small = Image.fromarray(picture)
    small.thumbnail((longest, longest))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def outline(mask: NDArray[np.bool_], width: int = 2) -> NDArray[np.bool_]:
    """The rim of a mask (H, W), ``width`` pixels, inside of it; where the mask touches the border the border too."""
    inside = np.pad(mask, width)
    core = ndimage.binary_erosion(inside, ndimage.generate_binary_structure(2, 1), iterations=width)
    return (inside & ~core)[width:-width, width:-width]


def draw_outline(picture: NDArray[np.uint8], mask: NDArray[np.bool_], role: str, width: int = 2) -> None:
    """Draw a mask (H, W) into a picture (H, W, 3) as the outline of a role, with a dark rim around it."""
    picture[ndimage.binary_dilation(mask) & ~mask] = RIM
    picture[outline(mask, width)] = colour_of(role)


def _rise(value: NDArray[np.float32]) -> NDArray[np.float32]:
    """Opacity in [0, 1] of a value in [0, 1]: nothing up to 0.05, then smoothly up, full from 0.65."""
    share = np.clip((value - 0.05) / 0.6, 0, 1)
    return share * share * (3 - 2 * share)
