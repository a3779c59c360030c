"""What a question model sees of an image: boxes, each with a feature vector. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import VLExplainError


@dataclass(frozen=True, eq=False)
class Regions:
    """The N described boxes of one image.

    Attributes
    ----------
    boxes : (N, 4) float64, (x0, y0, x1, y1) in pixels of an image of ``size``.
    features : (N, F) float32.
    size : (H, W) of the image the boxes were found on.
    positions : (N, 4) float32, the boxes as the model is given them, in [0, 1].
    labels : what a detector takes each box for; empty where nothing says.
    """

    boxes: NDArray[np.float64]
    features: NDArray[np.float32]
    size: tuple[int, int]
    positions: NDArray[np.float32]
    labels: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.boxes)

    def on(self, size: tuple[int, int]) -> NDArray[np.float64]:
        """The boxes (N, 4) in pixels of the same image at another ``size`` (H, W)."""
        (height, width), (own_height, own_width) = size, self.size
        sx, sy = width / own_width, height / own_height
        return self.boxes * np.array([sx, sy, sx, sy])

    def keep(self, which: ArrayLike) -> Regions:
        """Some of the boxes: a mask (N,) or indices."""
        chosen = np.asarray(which)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.intp)
        return Regions(
            self.boxes[chosen],
            self.features[chosen],
            self.size,
            self.positions[chosen],
            tuple(self.labels[i] for i in chosen) if self.labels else (),
        )


def regions_of(boxes: ArrayLike, features: ArrayLike, size: tuple[int, int], labels: tuple[str, ...] = ()) -> Regions:
    """Regions from pixel boxes; the model is given them divided by the image's width and height.

    Raises
    ------
    VLExplainError : counts or shapes that do not fit, values that are not finite, boxes far outside the image.
    """
    corners = np.asarray(boxes, dtype=np.float64)
    described = np.asarray(features, dtype=np.float32)
    height, width = int(size[0]), int(size[1])
    if height < 1 or width < 1:
        raise VLExplainError(f"The image's size is {size}, but rows and columns must be at least 1.")
    if corners.size == 0:
        corners, described = corners.reshape(0, 4), described.reshape(0, described.shape[-1])
    if corners.ndim != 2 or corners.shape[1] != 4:
        raise VLExplainError(f"The boxes have shape {corners.shape}, but (N, 4) is needed: x0, y0, x1, y1 in pixels.")
    if described.ndim != 2 or len(described) != len(corners):
        raise VLExplainError(f"There are {len(corners)} boxes, but features of shape {described.shape}; (N, F) fits.")
    if labels and len(labels) != len(corners):
        raise VLExplainError(f"There are {len(corners)} boxes, but {len(labels)} labels.")
    if not (np.isfinite(corners).all() and np.isfinite(described).all()):
        raise VLExplainError("Boxes or features hold values that are not finite; extract the features again.")
    sides = np.array([width, height, width, height], dtype=np.float64)
    positions = corners / sides
    if len(corners) and (positions.min() < -0.05 or positions.max() > 1.05):
        raise VLExplainError(
            f"The boxes reach to {corners.max():g}, outside the image of {height} x {width} pixels: "
            "they belong to another image, or to a resized one."
        )
    return Regions(corners, described, (height, width), positions.astype(np.float32), labels)
