"""A case comes into view: the last one is left, the next read on a thread, its image shown, then what lies above it."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Signal

from ...choices.explain import remedy
from ...reading_room.ahead import Prepared
from ...reading_room.question import Question
from ...reading_room.session import Looked, ReadingSession
from ...reading_room.study import Item
from ...results.cautions import beside
from ...results.explanation import Explanation
from ...scale import written
from ..jobs.latest import LatestOnly
from ..jobs.pieces import DRAW, PAUSE, Pieces, Piecewise
from ..parts.threshold_box import ThresholdBox
from ..window_level.text import first_letter
from .explaining import CaseExplaining
from .layers import CaseLayers
from .mask import ReaderMask
from .others import OtherLayers


class CaseShowing(QObject):
    """One case at a time: whatever was under way for another is dropped.

    ``shown`` carries the key of a case that is in view as far as it is known, ``explained`` that of one whose map is.
    ``said`` carries a sentence and whether it is bad, ``sighted`` tells that the session's ``sight`` is another,
    ``changed`` that more is known of the case in view.
    """

    shown = Signal(object)
    explained = Signal(object)
    said = Signal(str, bool)
    sighted = Signal()
    changed = Signal()

    def __init__(self, layers: CaseLayers, own_mask: ReaderMask, threshold: ThresholdBox, work: CaseExplaining) -> None:
        super().__init__(work)
        self.session: ReadingSession | None = None
        self.others = OtherLayers(layers.viewer, layers.belongs, self)
        self._layers, self._own_mask, self._threshold, self._work = layers, own_mask, threshold, work
        self.standing = ""  # what is to be known of the case as long as it is in view
        self._reading, self._recalling = LatestOnly(self), LatestOnly(self)
        self._pieces = Piecewise(threshold)
        self._reading.done.connect(self._on_looked)
        self._recalling.done.connect(self._on_recalled)
        self.others.came.connect(self._on_others)
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
        session.sight.looks = self._layers.looks

    def attach(self) -> None:
        """The dock is there again: so is its case alone, and what was not read to its end is read."""
        self.others.attach()
        session = self.session
        if session is None or session.item is None:
            return
        if session.sight.known:
            self.others.hide()
        else:
            self.show(session.item)

    def show(self, item: Item) -> None:
        """Leave the case in view at once, and bring this one there."""
        session = self.session
        assert session is not None
        turn = session.ask_for(item)
        self._pieces.stop()
        self._layers.leave()
        self.standing = self.others.hide()
        self._threshold.show_counts(None)
        question, reader = session.question(item), session.reader
        prepared = session.preparing.prepared(question)
        if prepared is not None and not session.journal.has_mask(*item.key, reader, item.entry.frame):
            self.said.emit("", False)  # what was said of the case before is not true of this one
            self._pieces.do(self._show(turn, item, question, prepared, None))
        else:
            self.said.emit(f"Reading {item.entry.id}…", False)
            self._pieces.do(first_letter(self._layers.viewer))
            self._reading.submit(lambda: (turn, item, question, *session.look(item, question, reader)))
        self.sighted.emit()

    def ask_again(self) -> None:
        """The question has changed: take the map away, and show the answer where it is known already."""
        session = self.session
        if session is None:
            return
        self._layers.hide_heatmap()
        session.sight.lose_map()
        self._threshold.show_counts(None)
        self.changed.emit()
        item, turn = session.item, session.sight.turn
        if item is not None and item.entry.id not in session.broken:
            question = session.question(item)
            self._recalling.submit(lambda: (turn, item, question, session.preparing.known(question)))

    def show_explanation(self, item: Item, prepared: Prepared) -> None:
        """The map of the case in view, with the threshold's range."""
        assert self.session is not None
        self._pieces.do(self._explanation(item, self.session.question(item), prepared))

    def close(self) -> None:
        """Nothing that is under way is shown any more; what was hidden for the case's sake comes back."""
        if self.session is not None and not self.session.sight.known:
            self.session.sight.leave()
        self._pieces.stop()
        self.others.give_back()
        for thread in (self._reading, self._recalling):
            thread.close()

    def _on_looked(self, found: tuple[int, Item, Question, Looked, Any]) -> None:
        self._pieces.do(self._show(*found))

    def _show(self, turn: int, item: Item, question: Question, looked: Looked, mask: Any) -> Pieces:
        """In pieces; ``mask`` is the reader's, a sentence why it cannot be read, or None."""
        session = self.session
        if session is None or turn != session.sight.turn:
            return
        session.mark_broken(item.entry.id, looked if isinstance(looked, str) else "")
        if isinstance(looked, str):
            session.sight.arrive(turn, looked)
            self.said.emit(f"{looked} What you say of this case is kept; go on with Next.", True)
        else:
            opened = looked.opened if isinstance(looked, Prepared) else looked
            yield DRAW  # the canvas without the last case, before it is held still
            try:
                yield from self._layers.show_case(opened, item)
            except Exception as error:  # napari's, or the graphics card's: nothing is seen, so nothing is judged
                self._layers.leave()
                self.said.emit(f"{item.entry.id} cannot be shown. {remedy(error)}", True)
                return
            yield DRAW
            session.sight.arrive(turn, opened)
            self.sighted.emit()
            unread = mask if isinstance(mask, str) else ""
            self.standing = " ".join(filter(None, (unread, *opened.notes, self.standing)))
            self.said.emit(self.standing, bool(unread))
            if mask is not None and not unread:
                self._own_mask.show(item, mask)
                yield PAUSE
            if isinstance(looked, Prepared):
                yield from self._explanation(item, question, looked)
        yield PAUSE
        self.changed.emit()
        self.shown.emit(item.key)
        self._work.go_on()

    def _explanation(self, item: Item, question: Question, prepared: Prepared) -> Pieces:
        session = self.session
        if session is None or session.sight.opened is None or session.sight.item is None:
            return  # it is shown when its picture is
        sight, opened, asked = session.sight, session.sight.opened, session.sight.item
        if asked.key != item.key or session.question(asked).key != question.key:
            return
        if opened.identity.sha256 != prepared.opened.identity.sha256:
            self.said.emit(f"{item.entry.id} has changed on the disk: go to another case and back to see it.", True)
            return
        if not self._layers.show_heatmap(prepared, item):
            return
        sight.show_map(question.key, prepared)
        yield PAUSE
        if sight.answer is not prepared:
            return
        self._threshold.show_counts(prepared.counts[item.number])
        self.sighted.emit()
        explanation = prepared.explanations[item.number]
        flat = ["The map of this phrase is the same everywhere: it says nothing."] if explanation.degenerate else []
        doubts = [*flat, *explanation.warnings]
        self.said.emit(" ".join(filter(None, (_score(explanation), *doubts, self.standing))), bool(doubts))
        yield DRAW
        self.explained.emit(item.key)

    def _on_recalled(self, found: tuple[int, Item, Question, Prepared | None]) -> None:
        turn, item, question, prepared = found
        session = self.session
        if session is None or turn != session.sight.turn or session.question(item).key != question.key:
            return
        session.refresh(item.entry.id)
        if prepared is not None:
            self.show_explanation(item, prepared)
        elif session.sight.known:
            self.said.emit("Press Run to explain this case so; other cases are explained as you open them.", False)
        self.changed.emit()

    def _on_others(self, told: str) -> None:
        if self.session is not None and self.session.sight.item is not None:
            self.said.emit(told, True)


def _score(explanation: Explanation) -> str:
    """The score, beside that of a prompt that fits every picture."""
    target = explanation.request.target.name
    neutral = beside(explanation.provenance, target)
    said = f"{target.capitalize()} {written(explanation.score)}"
    return f"{said}." if neutral is None else f"{said}, neutral (“{neutral[0]}”) {written(neutral[1])}."
