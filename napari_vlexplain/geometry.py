"""Where a model's patches lie on the source image.

Every preprocessing in use (shorter side + centre crop, squash, letterbox) is an axis-aligned affine map followed by
a crop or a pad, so one small record carries scores, boxes and masks both ways.

Coordinates are continuous pixel edges: pixel ``i`` covers ``[i, i + 1)`` and has its centre at ``i + 0.5``.
Pairs are ``(rows, columns)``; boxes are ``(x0, y0, x1, y1)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import VLExplainError

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """``model = source * scale + offset``, per axis.

    Attributes
    ----------
    source : (H, W) of the source image in pixels.
    model : (h, w) of the model's input in pixels.
    scale, offset : per axis, rows first; pixels of the model's input.
    grid : (gh, gw), number of patches.
    patch : (ph, pw) in pixels of the model's input. Pixels behind the last whole patch carry no score.
    """

    source: Pair
    model: Pair
    scale: tuple[float, float]
    offset: tuple[float, float]
    grid: Pair
    patch: Pair

    def scores_to_source(self, scores: ArrayLike, nearest: bool = False) -> NDArray[np.float32]:
        """Patch scores (gh, gw) on the source's own pixels: (H, W) float32, NaN where the model does not look.

        Bilinear between patch centres, constant beyond the outermost ones (``align_corners=False``);
        ``nearest`` gives every pixel the score of its patch.
        """
        values = np.asarray(scores, dtype=np.float32)
        if values.shape != self.grid:
            raise VLExplainError(f"Patch scores have shape {values.shape}, but the model's grid is {self.grid}.")
        rows, columns = (self._weights(axis, nearest) for axis in (0, 1))
        full: NDArray[np.float32] = (rows @ values @ columns.T).astype(np.float32, copy=False)
        full[~self._seen(0)] = np.nan
        full[:, ~self._seen(1)] = np.nan
        return full

    def seen(self) -> NDArray[np.bool_]:
        """(H, W) bool: source pixels that lie under a patch."""
        return np.logical_and.outer(self._seen(0), self._seen(1))

    def boxes_to_model(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Boxes (n, 4) from source to model pixels, not clipped."""
        scale, offset = self._xyxy()
        return np.asarray(boxes, dtype=np.float64).reshape(-1, 4) * scale + offset

    def boxes_to_source(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Boxes (n, 4) from model to source pixels, not clipped."""
        scale, offset = self._xyxy()
        return (np.asarray(boxes, dtype=np.float64).reshape(-1, 4) - offset) / scale

    def mask_to_model(self, mask: ArrayLike) -> NDArray[np.bool_]:
        """A source mask (H, W) at the model's input (h, w), nearest; padding is False."""
        values = self._checked(mask, self.source)
        inside, index = zip(*(self._nearest(axis, forward=False) for axis in (0, 1)), strict=True)
        return values[np.ix_(*index)] & np.logical_and.outer(*inside)

    def mask_to_source(self, mask: ArrayLike) -> NDArray[np.bool_]:
        """A mask of the model's input (h, w) on source pixels (H, W), nearest; False outside the crop."""
        values = self._checked(mask, self.model)
        inside, index = zip(*(self._nearest(axis, forward=True) for axis in (0, 1)), strict=True)
        return values[np.ix_(*index)] & np.logical_and.outer(*inside)

    def _centres(self, axis: int) -> NDArray[np.float64]:
        """Centres of the source's pixels in model pixels."""
        return np.asarray((np.arange(self.source[axis]) + 0.5) * self.scale[axis] + self.offset[axis])

    def _seen(self, axis: int) -> NDArray[np.bool_]:
        centres = self._centres(axis)
        return (centres >= 0) & (centres < self.grid[axis] * self.patch[axis])

    def _weights(self, axis: int, nearest: bool) -> NDArray[np.float32]:
        """(source, grid) interpolation matrix of one axis."""
        size = self.grid[axis]
        position = np.clip(self._centres(axis) / self.patch[axis] - 0.5, 0, size - 1)
        if nearest:
            position = np.floor(position + 0.5)
        low = np.minimum(position.astype(int), size - 1)
        high = np.minimum(low + 1, size - 1)
        share = (position - low).astype(np.float32)
        weights = np.zeros((len(position), size), dtype=np.float32)
        at = np.arange(len(position))
        weights[at, low] += 1 - share
        weights[at, high] += share
        return weights

    def _nearest(self, axis: int, forward: bool) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
        """For each target pixel: is its origin inside, and which pixel is it (clipped)."""
        if forward:
            origin, size = self._centres(axis), self.model[axis]
        else:
            origin = np.asarray((np.arange(self.model[axis]) + 0.5 - self.offset[axis]) / self.scale[axis])
            size = self.source[axis]
        index = np.floor(origin).astype(np.intp)
        return (index >= 0) & (index < size), np.clip(index, 0, size - 1)

    def _xyxy(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        (sy, sx), (oy, ox) = self.scale, self.offset
        return np.array([sx, sy, sx, sy]), np.array([ox, oy, ox, oy])

    @staticmethod
    def _checked(mask: ArrayLike, shape: Pair) -> NDArray[np.bool_]:
        values = np.asarray(mask, dtype=bool)
        if values.shape != shape:
            raise VLExplainError(f"The mask has shape {values.shape}, but {shape} is needed.")
        return values


@dataclass(frozen=True)
class Fit:
    """How a source image is brought to a model's input: resize to ``resized``, then shift by ``offset``.

    A negative offset crops, a positive one pads.
    """

    resized: Pair
    offset: Pair

    def geometry(self, source: Pair, model: Pair, grid: Pair, patch: Pair) -> Geometry:
        scale = (self.resized[0] / source[0], self.resized[1] / source[1])
        return Geometry(source, model, scale, (float(self.offset[0]), float(self.offset[1])), grid, patch)


def centred(resized: Pair, model: Pair, half_up: bool = False) -> Fit:
    """The middle (h, w) of a resized image; where the image is smaller, it lies in the middle.

    Of an odd margin torchvision (``half_up``) crops ``round`` and pads the floor on the first side; transformers
    crops the floor and pads the rest.
    """
    top, left = (_first(resized[axis] - model[axis], half_up) for axis in (0, 1))
    return Fit(resized, (-top, -left))


def _first(margin: int, half_up: bool) -> int:
    """What of a margin is cut off on the first side; a negative one is padded."""
    if not half_up:
        return margin // 2
    return round(margin / 2) if margin >= 0 else -(-margin // 2)


def centre_crop(source: Pair, model: Pair, shorter: int, half_up: bool = False) -> Fit:
    """Shorter side to ``shorter`` (aspect kept, the longer side truncated), then the centre (h, w)."""
    return centred(shorter_side(source, shorter), model, half_up)


def shorter_side(source: Pair, edge: int, longest: int | None = None) -> Pair:
    """The size whose shorter side is ``edge``, unless the longer one would exceed ``longest``; aspect kept, the longer
    side truncated: torchvision's and transformers' rule."""
    height, width = source
    exact: float = edge
    if longest is not None and max(source) / min(source) * edge > longest:
        exact = longest * float(min(source)) / float(max(source))
        edge = round(exact)
    if min(source) == edge:
        return source
    if width < height:
        return max(1, int(exact * height / width)), max(1, edge)
    return max(1, edge), max(1, int(exact * width / height))


def squash(source: Pair, model: Pair) -> Fit:
    """Both sides to the model's input, aspect not kept."""
    return Fit(model, (0, 0))
