"""The journal to the disk, on a thread, and again after a while when the disk refuses."""

from __future__ import annotations

from contextlib import suppress

from qtpy.QtCore import QObject, QTimer, Signal

from ...choices.explain import remedy
from ...errors import VLExplainError
from ...reading_room.journal import Journal
from ..jobs.latest import LatestOnly

RETRY_MS = 5_000


class Saving(QObject):
    """``told`` carries a sentence on what became of it, and whether that is bad."""

    told = Signal(str, bool)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.journal: Journal | None = None
        self._work = LatestOnly(self)
        self._retry = QTimer(self)
        self._retry.setSingleShot(True)
        self._retry.setInterval(RETRY_MS)
        self._retry.timeout.connect(self.save)
        self._work.done.connect(self._on_saved)
        self._work.failed.connect(self._on_failed)

    @property
    def busy(self) -> bool:
        """Is something being written?"""
        return self._work.busy

    def follow(self, journal: Journal) -> None:
        """From now on it is this one's turn; what the last one could not write is tried once more."""
        self.finish()
        self.journal = journal

    def save(self) -> None:
        """Write what is unsaved."""
        if self.journal is not None and self.journal.unsaved:
            self._work.submit(self.journal.save)

    def finish(self) -> None:
        """Write what is unsaved before this returns; a disk that still refuses is told in napari's own way."""
        with suppress(RuntimeError):  # Qt's half may have gone with the window
            self._retry.stop()
        self._work.close()
        if self.journal is None or not self.journal.unsaved:
            return
        try:
            self.journal.save()
        except VLExplainError as error:
            from napari.utils.notifications import show_error

            show_error(str(error))

    def _on_saved(self, result: object) -> None:
        self.told.emit("Saved.", False)
        self.save()

    def _on_failed(self, error: Exception) -> None:
        self.told.emit(remedy(error), True)
        self._retry.start()
