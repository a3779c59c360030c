"""Source images as a model's pixels, with the geometry that leads back."""

from __future__ import annotations

from dataclasses import dataclass
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
    """

    size: Pair
    fit: Literal["crop", "squash", "letterbox"] = "crop"
    shorter: int = 224
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    resample: Image.Resampling = Image.Resampling.BICUBIC
    half_up: bool = False

    def __call__(self, image: NDArray, grid: Pair, patch: Pair) -> tuple[Tensor, Geometry]:
        """(H, W, 3), uint8 or float in [0, 1] -> normalised pixels (1, 3, h, w) float32 and their geometry.

        8-bit images are resized in 8 bits, as the models' own libraries do; others keep their precision.
        """
        import torch

        fit = self._fit((image.shape[0], image.shape[1]))
        resized = resize(image, fit.resized, self.resample)
        framed = np.zeros((*self.size, 3), dtype=np.float32)
        (top, left), (height, width) = fit.offset, fit.resized
        into = tuple(slice(max(o, 0), min(o + n, s)) for o, n, s in
                     ((top, height, self.size[0]), (left, width, self.size[1])))  # fmt: skip
        from_ = tuple(slice(i.start - o, i.stop - o) for i, o in zip(into, fit.offset, strict=True))
        framed[into] = resized[from_]
        normalised = (framed - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        pixels = torch.from_numpy(normalised.transpose(2, 0, 1).copy())[None]
        return pixels, fit.geometry((image.shape[0], image.shape[1]), self.size, grid, patch)

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
    planes = [
        Image.fromarray(np.ascontiguousarray(image[..., channel], dtype=np.float32)).resize((width, height), resample)
        for channel in range(3)
    ]
    return np.clip(np.stack([np.asarray(plane) for plane in planes], axis=-1), 0, 1)
