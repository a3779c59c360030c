"""What a ground truth is laid on: a picture's size as it is shown, and how it was turned when it was read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..io.picture_header import orientation_of

Size = tuple[int, int]
"""(width, height) in pixels."""
T = TypeVar("T", bound=np.generic)

TURNS = {
    2: "mirrored left to right",
    3: "turned upside down",
    4: "mirrored top to bottom",
    5: "mirrored along its diagonal",
    6: "turned a quarter to the right",
    7: "mirrored along its other diagonal",
    8: "turned a quarter to the left",
}
"""What is done to a stored picture so that it is upright, by the number in its EXIF or TIFF tag 274."""


@dataclass(frozen=True)
class Picture:
    """A picture as it is shown: ``shape`` (H, W), the tag by which it was turned (1 for none), and its file's name."""

    shape: tuple[int, int]
    orientation: int = 1
    name: str = ""

    @classmethod
    def of(cls, pixels: NDArray[Any], path: str | Path | None = None) -> Picture:
        """Of pixels (H, W, ...) as they were read from a file, if from any."""
        shape = (pixels.shape[0], pixels.shape[1])
        return cls(shape) if path is None else cls(shape, orientation_of(path), str(path))

    @property
    def size(self) -> Size:
        """As it is shown."""
        return self.shape[1], self.shape[0]

    @property
    def on_its_side(self) -> bool:
        """Were width and height exchanged?"""
        return self.orientation > 4

    @property
    def stored(self) -> Size:
        """As its file has it."""
        return self.size[::-1] if self.on_its_side else self.size


def turned(pixels: NDArray[T], orientation: int) -> NDArray[T]:
    """(H, W) of a stored picture as it is shown, by its tag; any other number leaves it as it is."""
    if orientation > 4:
        pixels = pixels.T
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def turned_boxes(boxes: NDArray[np.float64], stored: Size, orientation: int) -> NDArray[np.float64]:
    """(n, 4) x, y, width, height on a stored picture as they lie on the shown one."""
    x, y, width, height = boxes.T
    across, down = float(stored[0]), float(stored[1])
    if orientation > 4:
        x, y, width, height = y, x, height, width
        across, down = down, across
    if orientation in (2, 3, 6, 7):
        x = across - x - width
    if orientation in (3, 4, 7, 8):
        y = down - y - height
    return np.stack([x, y, width, height], axis=1).reshape(-1, 4)
