"""A case comes into view: read on a thread, the image first, then what lies above it and what is said beside it."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Signal

from ..explaining import remedy
from ..reading_room.ahead import Prepared, Question
from ..reading_room.session import Looked, ReadingSession
from ..reading_room.study import Item
from ._cases_explaining import CaseExplaining
from ._cases_layers import CaseLayers
from ._cases_mask import ReaderMask
from ._latest import LatestOnly
from ._pieces import DRAW, PAUSE, Pieces, Piecewise
from ._threshold_box import ThresholdBox
from ._window_text import first_letter


class CaseShowing(QObject):
    """One case at a time: whatever was under way for another is dropped.

    ``shown`` carries the key of a case that is in view as far as it is known, ``explained`` that of one whose map is.
    ``said`` carries a sentence and whether it is bad, ``changed`` tells that more is known of the case in view.
    """

    shown = Signal(object)
    explained = Signal(object)
    said = Signal(str, bool)
    changed = Signal()

    def __init__(self, layers: CaseLayers, own_mask: ReaderMask, threshold: ThresholdBox, work: CaseExplaining) -> None:
        super().__init__(work)
        self.session: ReadingSession | None = None
        self._layers, self._own_mask, self._threshold, self._work = layers, own_mask, threshold, work
        self._turn = 0
        self._reading, self._recalling = LatestOnly(self), LatestOnly(self)
        self._pieces = Piecewise(threshold)
        self._reading.done.connect(self._on_looked)
        self._recalling.done.connect(self._on_recalled)
        for thread in (self._reading, self._recalling):
            thread.failed.connect(lambda error: self.said.emit(remedy(error), True))

    @property
    def reading(self) -> bool:
        """Is the case in view still being read from its file?"""
        return self._reading.busy

    @property
    def busy(self) -> bool:
        """Is something still to be read or shown?"""
        return self._pieces.busy or self._reading.busy or self._recalling.busy

    def follow(self, session: ReadingSession) -> None:
        """It is about this study now."""
        self.session = session

    def show(self, item: Item) -> None:
        """Bring the session's current item into view."""
        session = self.session
        assert session is not None
        self._turn += 1
        self._pieces.stop()
        question = session.question(item)
        prepared = session.preparing.prepared(question)
        if prepared is not None and not session.journal.has_mask(*item.key, session.reader, item.entry.frame):
            self._pieces.do(self._show(item, question, prepared, None))
        else:
            turn, reader = self._turn, session.reader
            self.said.emit("", False)  # what was said of the case before is not true of this one
            self._pieces.do(first_letter(self._layers.viewer))
            self._reading.submit(lambda: (turn, item, question, *session.look(item, question, reader)))

    def ask_again(self) -> None:
        """The question has changed: take the map away, and show the answer where it is known already."""
        self._layers.hide_heatmap()
        self._work.in_view = None
        self._threshold.show_counts(None)
        self.changed.emit()
        session, turn = self.session, self._turn
        item = None if session is None else session.item
        if session is not None and item is not None and item.entry.id not in session.broken:
            question = session.question(item)
            self._recalling.submit(lambda: (turn, item, question, session.preparing.known(question)))

    def show_explanation(self, item: Item, prepared: Prepared) -> None:
        """The map of the case in view, with the threshold's range."""
        assert self.session is not None
        self._work.in_view = self.session.question(item).key
        self._pieces.do(self._explanation(item, prepared))

    def _explanation(self, item: Item, prepared: Prepared) -> Pieces:
        assert self.session is not None
        self._work.in_view = self.session.question(item).key
        self._layers.show_heatmap(prepared, item)
        yield PAUSE
        self._threshold.show_counts(prepared.counts[item.number])
        if prepared.explanations[item.number].degenerate:
            self.said.emit("The map of this phrase is the same everywhere: it says nothing.", True)
        yield DRAW
        self.explained.emit(item.key)

    def close(self) -> None:
        """Nothing that is under way is shown any more."""
        self._turn += 1
        self._pieces.stop()
        for thread in (self._reading, self._recalling):
            thread.close()

    def _on_looked(self, found: tuple[int, Item, Question, Looked, Any]) -> None:
        turn, *rest = found
        if turn == self._turn:
            self._pieces.do(self._show(*rest))

    def _show(self, item: Item, question: Question, looked: Looked, mask: Any) -> Pieces:
        """In pieces; ``mask`` is the reader's, a sentence why it cannot be read, or None."""
        assert self.session is not None
        self.session.mark_broken(item.entry.id, looked if isinstance(looked, str) else "")
        self._threshold.show_counts(None)
        self._work.in_view = None
        if isinstance(looked, str):
            self._layers.show_nothing()
            self.said.emit(f"{looked} What you say of this case is kept; go on with Next.", True)
        else:
            opened = looked.opened if isinstance(looked, Prepared) else looked
            yield from self._layers.show_case(opened, item)
            self.said.emit(mask if isinstance(mask, str) else " ".join(opened.notes), isinstance(mask, str))
            yield DRAW
            if mask is not None and not isinstance(mask, str):
                self._own_mask.show(item, mask)
                yield PAUSE
            if isinstance(looked, Prepared) and self.session.question(item).key == question.key:
                yield from self._explanation(item, looked)
        yield PAUSE
        self.changed.emit()
        self.shown.emit(item.key)
        self._work.go_on()

    def _on_recalled(self, found: tuple[int, Item, Question, Prepared | None]) -> None:
        turn, item, question, prepared = found
        session = self.session
        if session is None or turn != self._turn or session.question(item).key != question.key:
            return
        session.refresh(item.entry.id)
        if prepared is None:
            self.said.emit("Press Run to explain this case so; other cases are explained as you open them.", False)
        else:
            self.show_explanation(item, prepared)
        self.changed.emit()
