"""Long work on layers in pieces, one in each turn of the event loop: in one go it would hold the window too long."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from typing import Any

from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QWidget

PAUSE, DRAW = "pause", "draw"
Pieces = Generator[str, None, None]
"""Work that yields ``PAUSE`` wherever it may rest, ``DRAW`` where the canvas shall show what is there so far."""


class Piecewise(QObject):
    """Does such work, one at a time, and keeps the canvas as it is meanwhile: nobody sees half a picture, and what
    changes is drawn once.
    """

    def __init__(self, widget: QWidget) -> None:
        """``widget`` : any in the window whose canvas it is."""
        super().__init__(widget)
        self._widget = widget
        self._work: Pieces | None = None
        self._still: QWidget | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._go_on)

    @property
    def busy(self) -> bool:
        """Is something left to be done or drawn?"""
        return self._work is not None

    def do(self, work: Pieces) -> None:
        """Begin with the first piece now; what was under way is done to its end before."""
        self.finish()
        self._work = work
        self._go_on()

    def finish(self) -> None:
        """All that is left, now."""
        while self._work is not None:
            self._go_on()

    def stop(self) -> None:
        """Leave the rest undone."""
        self._end()

    def _go_on(self) -> None:
        work = self._work
        if work is None:
            return
        self._hold_canvas()
        try:
            told = next(work)
        except BaseException as ended:
            if work is self._work:
                self._end()
            if not isinstance(ended, StopIteration):
                raise
            return
        if work is not self._work:  # it was replaced or stopped from within
            return
        if told == DRAW:
            self._free_canvas()
        self._timer.start()

    def _end(self) -> None:
        work, self._work = self._work, None
        self._timer.stop()
        if work is not None:
            with suppress(ValueError):  # it is the work itself that stops
                work.close()
        self._free_canvas()

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
