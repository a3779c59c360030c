"""Model, reader and ground truth of the case in view against each other, with every stroke, undo and threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from ...choices.explain import remedy
from ...metrics.overlap import Confusion
from ...reading_room.agreement import overlaps
from ...reading_room.ahead import Prepared
from ...reading_room.session import ReadingSession
from ...reading_room.threshold import Threshold
from ..jobs.latest import Job, LatestAfterPause
from .layers import CaseLayers

Found = dict[tuple[str, str], Confusion]


class CaseFigures(QObject):
    """``changed`` carries the text of the figures: "-" for whatever is not in view, and what is told of the truth.

    The reader's mask is measured on a thread, newest first; the model's figures are look-ups.
    """

    changed = Signal(str)
    said = Signal(str, bool)

    def __init__(self, layers: CaseLayers, parent: QObject) -> None:
        super().__init__(parent)
        self._layers = layers
        self._session: ReadingSession | None = None
        self._found: Found = {}
        self._by: tuple[Any, ...] = ()
        self._cut: tuple[Any, ...] = ()
        self._measuring = LatestAfterPause(self, self._prepared)
        self._measuring.done.connect(self._on_measured)
        self._measuring.failed.connect(lambda error: self.said.emit(remedy(error), True))

    @property
    def busy(self) -> bool:
        """Is a stroke still to be measured?"""
        return self._measuring.busy

    def follow(self, session: ReadingSession) -> None:
        """It is about this study now."""
        self._session = session

    def show(self) -> None:
        """The figures of what is in view now; those of the reader's mask follow."""
        if self._layers.reader is None or self._session is None or self._session.sight.opened is None:
            self._found = {}
        else:
            self.touch()
            if self._by != (self._session.sight.turn, self._session.sight.answer, self._session.threshold):
                self._found = {}
        self._tell()

    def touch(self) -> None:
        """Measure the reader's mask anew."""
        self._measuring.touch()

    def close(self) -> None:
        """Measure no more."""
        self._measuring.close()

    def _prepared(self) -> Job | None:
        session, layer = self._session, self._layers.reader
        if session is None or layer is None or session.sight.opened is None or session.sight.item is None:
            self.show()
            return None
        sight, number = session.sight, session.sight.item.number
        turn, answer, threshold = sight.turn, sight.answer, session.threshold
        reader, opened = layer.data, session.sight.opened

        def work() -> tuple[Any, ...]:
            masks = {"reader": np.asarray(reader)}
            truth = opened.measured(number)
            if truth is not None:
                masks["truth"] = truth
            seen = None
            if answer is not None:
                masks["model"], seen = self._model(answer, number, threshold)
            return turn, answer, threshold, reader, overlaps(masks, seen, opened.ignored)

        return work

    def _model(self, answer: Prepared, number: int, threshold: Threshold) -> tuple[Any, Any]:
        """The model's mask and where it looked, kept from stroke to stroke; on the thread."""
        known = (answer, number, threshold)
        if self._cut[:3] != known:
            one = answer.explanations[number]
            self._cut = (*known, threshold.cut(one, answer.counts[number])[1], one.geometry.seen())
        return self._cut[3], self._cut[4]

    def _on_measured(self, result: tuple[Any, ...]) -> None:
        turn, answer, threshold, reader, found = result
        session, layer = self._session, self._layers.reader
        if session is None or layer is None or turn != session.sight.turn or layer.data is not reader:
            return
        if answer is not session.sight.answer or threshold != session.threshold:
            return  # measured anew already
        self._found, self._by = found, (turn, answer, threshold)
        self._tell()

    def _tell(self) -> None:
        session = self._session
        sight = None if session is None else session.sight
        model: list[str] = ["-", "-", "-"]
        told: tuple[str, ...] = ()
        if sight is not None and sight.opened is not None and sight.item is not None:
            told = tuple(filter(None, [sight.opened.doubt(sight.item.number)]))
        if session is not None and sight is not None and sight.answer is not None and sight.item is not None:
            counts = sight.answer.counts[sight.item.number]
            told += sight.answer.measured_notes(sight.item.number)
            if counts.truth:
                figures = session.threshold.figures(counts)
                model = [_written(one) for one in (figures.iou, figures.dice, figures.pointing)]
        reader, both = (_pair(self._found.get(pair)) for pair in (("reader", "truth"), ("model", "reader")))
        figures_of_model = f"Model/truth: IoU {model[0]} Dice {model[1]} point {model[2]}"
        self.changed.emit("\n".join((figures_of_model, f"You/truth: {reader}", f"You/model: {both}", *told)))


def _pair(found: Confusion | None) -> str:
    return "IoU - Dice -" if found is None else f"IoU {_written(found.iou)} Dice {_written(found.dice)}"


def _written(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"
