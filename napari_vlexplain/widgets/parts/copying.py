"""*Copy Python* and *Copy command*: code onto the clipboard, once a thread has seen where the image can be found."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QApplication, QHBoxLayout, QPushButton, QWidget

from ...choices.explain import remedy
from ...errors import VLExplainError
from ...results.reproduce import Origin, Reproducible, verified
from ..jobs.latest import LatestOnly
from ..viewer.picture import Picture

PYTHON, COMMAND = "Python", "command line"


class CopyButtons(QWidget):
    """Both buttons in a row; ``pressed`` carries which."""

    pressed = Signal(str)

    def __init__(self, computes: str) -> None:
        """``computes`` : what the code does, behind "a program that"."""
        super().__init__()
        self.python, self.command = QPushButton("Copy Python"), QPushButton("Copy command")
        self.python.setToolTip(f"Put a program that {computes} onto the clipboard: for napari's console, or a file.")
        self.command.setToolTip("Put the same as a command line onto the clipboard.")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for button, what in ((self.python, PYTHON), (self.command, COMMAND)):
            layout.addWidget(button)
            button.clicked.connect(lambda _=False, what=what: self.pressed.emit(what))


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

    def copy(self, what: str, choices: Callable[[], tuple[Picture, Reproducible]]) -> None:
        """Write what is asked of a picture as PYTHON or as COMMAND, and put that onto the clipboard.

        ``choices`` is called at once; a VLExplainError of it is said.
        """
        try:
            picture, asked = choices()
        except VLExplainError as error:
            self.said.emit(str(error), True)
            return
        make = asked.as_python if what == PYTHON else asked.as_command

        def work() -> tuple[str, str, Origin, bool]:
            source = verified(picture.source, picture.pixels)
            return what, make(source), source, picture.source.path is not None

        self._latest.submit(work)

    def close(self) -> None:
        """Forget what is under way."""
        self._latest.close()

    def _on_done(self, found: tuple[str, str, Origin, bool]) -> None:
        what, code, source, had_file = found
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(code)
        lost = ""
        if source.path is None:
            lost = " Its file, read alone, gives other pixels than this layer has." if had_file else ""
            lost += (
                " It runs in napari's console."
                if what == PYTHON
                else " Save the layer as a TIFF file, and put that in the place of IMAGE."
            )
        self.said.emit(f"Copied as {what}.{lost}", False)
