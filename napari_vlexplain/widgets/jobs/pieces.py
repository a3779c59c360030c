"""Long work on layers in pieces, one in each turn of the event loop: in one go it would hold the window too long."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from contextlib import suppress
from typing import Any

from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QWidget

PAUSE, DRAW = "pause", "draw"
Pieces = Generator[str, None, None]
"""Work that yields ``PAUSE`` wherever it may rest, ``DRAW`` where the canvas shall show what is there so far."""


class Piecewise(QObject):
    """Does such work, one after the other, and keeps the canvas as it is meanwhile: nobody sees half a picture, and
    what changes is drawn once.
    """

    def __init__(self, widget: QWidget) -> None:
        """``widget`` : any in the window whose canvas it is."""
        super().__init__(widget)
        self._widget = widget
        self._work: Pieces | None = None
        self._waiting: deque[Pieces] = deque()
        self._still: QWidget | None = None
        self._turns = 0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._go_on)

    @property
    def busy(self) -> bool:
        """Is something left to be done or drawn?"""
        return self._work is not None or self._turns > 0 or bool(self._waiting)

    def do(self, work: Pieces) -> None:
        """Begin with the first piece now, or when what is under way has ended."""
        if self._work is None and not self._waiting:
            self._work, self._turns = work, 0
            self._go_on()
        else:
            self._waiting.append(work)

    def finish(self) -> None:
        """All that is left, now."""
        while self.busy:
            self._go_on()

    def stop(self) -> None:
        """Leave the rest undone."""
        work, self._work = self._work, None
        self._waiting.clear()
        self._timer.stop()
        if work is not None:
            with suppress(ValueError):  # it is the work itself that stops
                work.close()
        self._turns = 0
        self._free_canvas()

    def _go_on(self) -> None:
        self._timer.start()
        if self._turns:  # the canvas draws in a turn of its own, and the mouse is heard before the next piece
            self._turns -= 1
            self._free_canvas()
        elif self._work is not None:
            self._do_next(self._work)
        elif self._waiting:
            self._work = self._waiting.popleft()
        else:
            self._timer.stop()

    def _do_next(self, work: Pieces) -> None:
        self._hold_canvas()
        try:
            told = next(work)
        except BaseException as ended:
            if work is self._work:
                self._work, self._turns = None, 2
            if not isinstance(ended, StopIteration):
                raise
        else:
            self._turns = 2 if told == DRAW and work is self._work else 0

    def _hold_canvas(self) -> None:
        if self._still is None:
            window: Any = self._widget.window()
            self._still = window.centralWidget() if hasattr(window, "centralWidget") else None
            if self._still is not None:
                self._still.setUpdatesEnabled(False)

    def _free_canvas(self) -> None:
        still, self._still = self._still, None
        if still is not None:
            with suppress(RuntimeError):  # it went with its window
                still.setUpdatesEnabled(True)
