"""Source images as a model's pixels, with the geometry that leads back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..geometry import Fit, Geometry, Pair, centre_crop, letterbox, squash

if TYPE_CHECKING:
    from torch import Tensor

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Preprocess:
    """Resize, crop or pad, normalise.

    Attributes
    ----------
    size : (h, w) of the model's input.
    fit : ``crop`` (shorter side + centre crop), ``squash`` or ``letterbox``.
    shorter : target of the shorter side for ``crop``.
    mean, std : per channel, for values in [0, 1].
    resample : a Pillow filter.
    half_up : rounding of an odd margin, see :func:`napari_vlexplain.geometry.centre_crop`.
    canvas : (h, w) of a black canvas onto which the image is letterboxed first, with a Lanczos filter, and which is
        then resized to ``size``: the two steps of CheXzero.
    """

    size: Pair
    fit: Literal["crop", "squash", "letterbox"] = "crop"
    shorter: int = 224
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    resample: Image.Resampling = Image.Resampling.BICUBIC
    half_up: bool = False
    canvas: Pair | None = None

    def __call__(self, image: NDArray, grid: Pair, patch: Pair) -> tuple[Tensor, Geometry]:
        """(H, W, 3), uint8 or float in [0, 1] -> normalised pixels (1, 3, h, w) float32 and their geometry.

        8-bit images are resized in 8 bits, as the models' own libraries do; others keep their precision.
        """
        import torch

        source = (image.shape[0], image.shape[1])
        if self.canvas is None:
            fit = self._fit(source)
            framed = frame(resize(image, fit.resized, self.resample), fit.offset, self.size)
            geometry = fit.geometry(source, self.size, grid, patch)
        else:
            fit = onto_canvas(source, self.canvas)
            drawn = frame(resize(image, fit.resized, Image.Resampling.LANCZOS), fit.offset, self.canvas)
            framed = _planes(drawn, self.size, self.resample)
            geometry = shrunk(fit.geometry(source, self.canvas, grid, patch), self.size)
        normalised = (framed - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        pixels = torch.from_numpy(normalised.transpose(2, 0, 1).copy())[None]
        return pixels, geometry

    def _fit(self, source: Pair) -> Fit:
        if self.fit == "crop":
            return centre_crop(source, self.size, self.shorter, self.half_up)
        return squash(source, self.size) if self.fit == "squash" else letterbox(source, self.size)


def resize(image: NDArray, size: Pair, resample: Image.Resampling) -> NDArray[np.float32]:
    """(H, W, 3) uint8 or float -> (h, w, 3) float32 in [0, 1]."""
    height, width = size
    if image.dtype == np.uint8:
        small = Image.fromarray(image).resize((width, height), resample)
        return np.asarray(small, dtype=np.float32) / np.float32(255)
    return np.clip(_planes(image, size, resample), 0, 1)


def _planes(image: NDArray, size: Pair, resample: Image.Resampling) -> NDArray[np.float32]:
    """Channel by channel in floats, over- and undershoot of the filter kept."""
    planes = [
        Image.fromarray(np.ascontiguousarray(image[..., channel], dtype=np.float32)).resize(size[::-1], resample)
        for channel in range(3)
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def frame(image: NDArray[np.float32], offset: Pair, size: Pair) -> NDArray[np.float32]:
    """An image (h, w, 3) shifted by ``offset`` into a black frame of another size: cropped or padded."""
    framed = np.zeros((*size, 3), dtype=np.float32)
    into = tuple(slice(max(o, 0), min(o + n, s)) for o, n, s in zip(offset, image.shape, size, strict=False))
    from_ = tuple(slice(i.start - o, i.stop - o) for i, o in zip(into, offset, strict=True))
    framed[into] = image[from_]
    return framed


def onto_canvas(source: Pair, canvas: Pair) -> Fit:
    """CheXzero's letterbox: the sides are truncated, not rounded."""
    factor = max(canvas) / max(source)
    height, width = (max(1, int(side * factor)) for side in source)
    return Fit((height, width), ((canvas[0] - height) // 2, (canvas[1] - width) // 2))


def shrunk(geometry: Geometry, size: Pair) -> Geometry:
    """The geometry after the model's input was resized once more."""
    (sy, sx), (oy, ox) = geometry.scale, geometry.offset
    fy, fx = size[0] / geometry.model[0], size[1] / geometry.model[1]
    return replace(geometry, model=size, scale=(sy * fy, sx * fx), offset=(oy * fy, ox * fx))
