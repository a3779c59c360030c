"""What the reader says, between the panel, the session and the disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

from ...reading_room.navigation import progress
from ...reading_room.session import ReadingSession
from .judging import Judging
from .saving import Saving


class Verdicts(QObject):
    """``changed`` tells that something was said, ``moved`` carries the key of another case where it was unsaid.

    Nothing is said of a picture that is not in view: ``refused`` carries why.
    """

    changed = Signal()
    refused = Signal(str)
    moved = Signal(object)

    def __init__(self, panel: Judging) -> None:
        super().__init__(panel)
        self.session: ReadingSession | None = None
        self.saving = Saving(self)
        self._panel = panel
        panel.said.connect(lambda said: self.judge(**said))
        panel.undo_button.clicked.connect(lambda: self.undo())
        self.saving.told.connect(self._on_told)

    def follow(self, session: ReadingSession) -> None:
        """It is about this study now."""
        self.session = session
        self.saving.follow(session.journal)
        self._panel.offer_readers(session.journal.readers)
        self._panel.show_saved("")

    def judge(self, **said: Any) -> None:
        """Say something of the case in view; it is saved at once."""
        session = self._ready()
        if session is not None and session.current is not None:
            session.judge(session.current, session.sight.seen(session.threshold), **said)
            self._tell()
        else:
            self.show()  # a button that was pressed stays as it was

    def toggle(self, verdict: str) -> None:
        """Say this, or take it back."""
        session = self._ready()
        if session is not None and session.current is not None:
            again = session.judgement(session.current).verdict == verdict
            self.judge(verdict="" if again else verdict)

    def rate(self, confidence: int) -> None:
        """Be so certain, or take it back."""
        session = self._ready()
        if session is not None and session.current is not None:
            again = session.judgement(session.current).confidence == confidence
            self.judge(confidence=0 if again else confidence)

    def undo(self) -> None:
        """Take the last change back, and go to where it was said."""
        session = self._ready()
        key = None if session is None else session.undo()
        if session is not None and key is not None:
            self._tell()
            if key != session.current:
                self.moved.emit(key)

    def where_seen(self, action: Callable[[], object]) -> Callable[[], None]:
        """What a key does only while a case is in view."""

        def act() -> None:
            if self._ready() is not None:
                action()

        return act

    def _ready(self) -> ReadingSession | None:
        """The session, where something can be said; else it is told why not."""
        session = self.session
        why = "Open a study first." if session is None else session.sight.refusal()
        if why:
            self.refused.emit(why)
        return None if why else session

    def show(self) -> None:
        """The panel as it is for the case in view."""
        session, panel = self.session, self._panel
        current = None if session is None or not session.sight.known else session.current
        panel.show_judgement(None if session is None or current is None else session.judgement(current))
        panel.show_progress(*progress([] if session is None else session.rows))
        panel.undo_button.setEnabled(session is not None and session.sight.known and session.can_undo)

    def _on_told(self, text: str, bad: bool) -> None:
        nameless = self.session is not None and not self.session.reader and not bad
        self._panel.show_saved("Saved without a name: write yours as Reader." if nameless else text, bad)

    def _tell(self) -> None:
        self.show()
        self.saving.save()
        self.changed.emit()
