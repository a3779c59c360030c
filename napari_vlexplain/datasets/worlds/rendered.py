"""A drawn scene with its exact masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import VLExplainError
from .canvas import Array


@dataclass(frozen=True, eq=False)
class Rendered:
    """What a world draws.

    image: uint8, (H, W, 3) for stickers and (H, W) for phantoms.
    masks: (n, H, W) float32 in [0, 1], how much of each pixel each object or finding covers and shows.
    names: the n names, in the masks' order.
    label_mask: (H, W) float32, the printed word's plate, or None without one.
    """

    image: NDArray[np.uint8]
    masks: Array
    names: tuple[str, ...]
    label_mask: Array | None = None

    @property
    def truth(self) -> NDArray[np.bool_]:
        """(n, H, W): the pixels that are more than half covered."""
        return self.masks > 0.5

    @property
    def boxes(self) -> tuple[tuple[int, int, int, int], ...]:
        """The n bounding boxes of ``truth``, (x0, y0, x1, y1) in pixel edges."""
        return tuple(bounding_box(mask) for mask in self.truth)


def bounding_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """(x0, y0, x1, y1) around the true pixels of a mask (H, W), in pixel edges: pixel i covers [i, i + 1).

    Raises VLExplainError for an empty mask.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise VLExplainError("An empty mask has no bounding box; it needs at least one true pixel.")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
