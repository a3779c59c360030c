"""What benchmarks of the window work with: a drawn radiograph, masks on it, and a hand that paints."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

SHAPE = (4000, 3000)


class Mouse:
    """A hand on the canvas: events as the window system would send them, with the button held while it moves."""

    def __init__(self, surface: Any) -> None:
        self.surface = surface
        self.place: Any = None

    def press(self, place: Any) -> None:
        self._send("MouseButtonPress", place)

    def move(self, x: int, y: int) -> None:
        self._send("MouseMove", QPoint(x, y))

    def release(self) -> None:
        self._send("MouseButtonRelease", self.place, held=False)

    def _send(self, kind: str, place: Any, held: bool = True) -> None:
        self.place = place
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        event = QMouseEvent(
            getattr(QEvent.Type, kind), QPointF(place), QPointF(self.surface.mapToGlobal(place)),
            none if kind == "MouseMove" else left, left if held else none, Qt.KeyboardModifier.NoModifier,
        )  # fmt: skip
        QApplication.sendEvent(self.surface, event)


def canvas() -> Any:
    """What napari draws on."""
    main = next(w for w in QApplication.topLevelWidgets() if w.isVisible() and hasattr(w, "centralWidget"))
    central = main.centralWidget()
    return central.childAt(central.rect().center()) or central


def scene(seed: int) -> np.ndarray:
    """A smooth map in [0, 1], (H, W) float32."""
    rng = np.random.default_rng(seed)
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    found = np.zeros(SHAPE, np.float32)
    for row, column, spread in rng.uniform((0.1, 0.1, 0.05), (0.9, 0.9, 0.12), (9, 3)):
        apart = ((rows / SHAPE[0] - row) ** 2 + (columns / SHAPE[1] - column) ** 2) / (2 * spread**2)
        found += np.exp(-apart.astype(np.float32))
    return (found / found.max()).astype(np.float32)


def disc(by: int = 0) -> np.ndarray:
    """A round mask, (H, W) uint8."""
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return ((rows - 2000 - by) ** 2 + (columns - 1500 + by) ** 2 < 900**2).astype(np.uint8)


def holed() -> np.ndarray:
    """One with holes and a rough edge."""
    mask = disc()
    mask[1400:1700, 1300:1500] = 0
    rng = np.random.default_rng(0)
    for row, column in rng.integers((1200, 700), (2800, 2300), (300, 2)):
        mask[row : row + 12, column : column + 12] ^= 1
    return mask
