"""Source images as a model's pixels, with the geometry that leads back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import VLExplainError
from ...geometry import Fit, Geometry, Pair, centred
from .resampling import resized_part
from .resizing import Resizing, Sides, grown

if TYPE_CHECKING:
    from torch import Tensor

Colour = tuple[float, float, float]

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Preprocess:
    """Resize, crop or pad, normalise.

    Attributes
    ----------
    size : (h, w) of the model's input.
    resize : to which size a picture is resized first.
    place : where the resized picture lies in the input: in the ``centre``, cropped or padded; in the upper left
        ``corner``, padded; or ``exact``, where it must have the input's size.
    fill : colour in [0, 1] of what is padded.
    mean, std : per channel, for values in [0, 1]. Zero and one scale for a model without normalisation; another scale
        of pixels than 1 / 255 is contained in them.
    resample : a Pillow filter.
    half_up : rounding of an odd margin, see :func:`napari_vlexplain.geometry.centred`.
    canvas : (h, w) of a black canvas onto which the image is letterboxed first, with a Lanczos filter, and which is
        then resized to ``size``: the two steps of CheXzero.
    share : of the sides of ``resize`` those of ``size``, where the library says it and rounds (timm's ``crop_pct``).
    scaled_first : are 8-bit images scaled to [0, 1] and resized in floats, as DINOv3's are?
    own : of one for another input the model's own.
    """

    size: Pair
    resize: Resizing
    place: Literal["centre", "corner", "exact"] = "centre"
    fill: Colour = (0.0, 0.0, 0.0)
    mean: Colour = CLIP_MEAN
    std: Colour = CLIP_STD
    resample: Image.Resampling = Image.Resampling.BICUBIC
    half_up: bool = False
    canvas: Pair | None = None
    share: float | None = None
    scaled_first: bool = False
    own: Preprocess | None = None

    def __call__(self, image: NDArray, grid: Pair, patch: Pair) -> tuple[Tensor, Geometry]:
        """(H, W, 3), uint8 or float in [0, 1] -> normalised pixels (1, 3, h, w) float32 and their geometry.

        8-bit images are resized in 8 bits, as the models' own libraries do unless ``scaled_first``; others keep their
        precision.

        Raises
        ------
        VLExplainError : a picture of another size or other proportions, where neither crop nor padding mends that.
        """
        source = (image.shape[0], image.shape[1])
        if self.scaled_first and image.dtype == np.uint8:
            image = image / np.float32(255)
        if self.canvas is None:
            fit = self._fit(source)
            framed = drawn(image, fit, self.size, self.resample, self.fill)
            geometry = fit.geometry(source, self.size, grid, patch)
        else:
            fit = onto_canvas(source, self.canvas)
            canvas = drawn(image, fit, self.canvas, Image.Resampling.LANCZOS)
            # Floats here, whatever came, over- and undershoot of the filter kept.
            framed = resized_part(canvas, self.size, self.resample, (0, self.size[0]), (0, self.size[1]))
            geometry = shrunk(fit.geometry(source, self.canvas, grid, patch), self.size)
        return normalised(framed, self.mean, self.std), geometry

    def at(self, size: Pair) -> Preprocess:
        """The same for another input (h, w): it shows the same part of a picture in more or fewer pixels."""
        own = self.own or self
        if size == own.size:
            return own

        def side(length: int, axis: int) -> int:
            if own.share is not None:
                return math.floor(size[axis] / own.share)
            return max(1, length * size[axis] // own.size[axis])

        # A canvas that is smaller than the input would take away what the input is large for.
        canvas = None if own.canvas is None else (max(own.canvas[0], size[0]), max(own.canvas[1], size[1]))
        return replace(own, size=size, resize=grown(own.resize, side), canvas=canvas, own=own)

    def whole(self, size: Pair) -> Preprocess:
        """The same for another input (h, w), to which the whole picture is resized."""
        return replace(self, size=size, resize=Sides(*size), place="exact", canvas=None, own=self.own or self)

    def squashed(self) -> Preprocess:
        """The same with the whole picture squashed to the input's size."""
        return replace(self, resize=Sides(*self.size), place="exact", canvas=None)

    def _fit(self, source: Pair) -> Fit:
        resized = self.resize(source)
        if self.place == "centre":
            return centred(resized, self.size, self.half_up)
        if self.place == "corner" and all(side <= size for side, size in zip(resized, self.size, strict=True)):
            return Fit(resized, (0, 0))
        if self.place == "exact" and resized == self.size:
            return Fit(resized, (0, 0))
        raise VLExplainError(
            f"The picture of {_by(source)} pixels comes out of this model's preprocessing with {_by(resized)}, but the "
            f"model takes {_by(self.size)} and neither crops nor pads it to that: crop it to the proportions of the "
            "model's input first."
        )


def normalised(image: NDArray[np.float32], mean: Colour, std: Colour) -> Tensor:
    """(h, w, 3) in [0, 1] -> (1, 3, h, w)."""
    import torch

    values = (image - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return torch.from_numpy(values.transpose(2, 0, 1).copy())[None]


def drawn(
    image: NDArray, fit: Fit, size: Pair, resample: Image.Resampling, fill: Colour = (0.0, 0.0, 0.0)
) -> NDArray[np.float32]:
    """(H, W, 3) uint8 or float -> what a fit shows of it in a frame (h, w, 3), float32 in [0, 1]."""
    kept = [
        (min(max(-offset, 0), length), min(max(side - offset, 0), length))
        for offset, length, side in zip(fit.offset, fit.resized, size, strict=True)
    ]
    rows, columns = kept
    part = _unit(resized_part(image, fit.resized, resample, rows, columns), image)
    if part.shape[:2] == size:
        return part
    framed = np.full((*size, 3), fill, dtype=np.float32)
    top, left = (first + offset for (first, _), offset in zip(kept, fit.offset, strict=True))
    framed[top : top + part.shape[0], left : left + part.shape[1]] = part
    return framed


def resize(image: NDArray, size: Pair, resample: Image.Resampling) -> NDArray[np.float32]:
    """(H, W, 3) uint8 or float -> (h, w, 3) float32 in [0, 1]."""
    return _unit(resized_part(image, size, resample, (0, size[0]), (0, size[1])), image)


def _unit(resized: NDArray[np.float32], image: NDArray) -> NDArray[np.float32]:
    return resized / np.float32(255) if image.dtype == np.uint8 else np.clip(resized, 0, 1)


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


def _by(size: Pair) -> str:
    return f"{size[0]} x {size[1]}"
