"""*Copy Python* and *Copy command*: code onto the clipboard, once a thread has seen where the image can be found."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QApplication

from ..explaining import ImageSource, remedy
from ..reproducing import verified
from ._latest import LatestOnly
from ._picture import Picture


class Copier(QObject):
    """``said`` carries a sentence for the status line, and whether it tells of a failure."""

    said = Signal(str, bool)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._latest = LatestOnly(self)
        self._latest.done.connect(self._on_done)
        self._latest.failed.connect(lambda error: self.said.emit(remedy(error), True))

    @property
    def busy(self) -> bool:
        """Is code being made?"""
        return self._latest.busy

    def copy(self, what: str, picture: Picture, make: Callable[[ImageSource], str]) -> None:
        """Make code for a picture and put it onto the clipboard; ``what`` is what the code is, for people."""

        def work() -> tuple[str, str, ImageSource, bool]:
            source = verified(picture.source, picture.pixels)
            return what, make(source), source, picture.source.path is not None

        self._latest.submit(work)

    def close(self) -> None:
        """Forget what is under way."""
        self._latest.close()

    def _on_done(self, found: tuple[str, str, ImageSource, bool]) -> None:
        what, code, source, had_file = found
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(code)
        lost = ""
        if source.path is None:
            lost = " Its file, read alone, gives other pixels than this layer has." if had_file else ""
            lost += (
                " It runs in napari's console."
                if what == "Python"
                else " Save the layer as a TIFF file, and put that in the place of IMAGE."
            )
        self.said.emit(f"Copied as {what}.{lost}", False)
