"""What is asked for and what is in view: one state, so that name, picture, map and figures are one case's, or none's.

A case is left before another is asked for; from then on nothing is in view until its picture is. No Qt.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from .ahead import Prepared
from .opened import Opened
from .records import Seen
from .study import Item
from .threshold import Threshold


@dataclass(frozen=True)
class Looks:
    """The canvas as it is at this moment, told by whoever owns the layers.

    picture : is the layer there, visible, and does it hold the pixels of the case that was shown last?
    window : (low, high), the values shown black and white; None for colours.
    heatmap : is it visible? others : visible layers that are no part of the case. covering : the name of one of them
    that hides the picture, "" for none.
    """

    picture: bool = False
    window: tuple[float, float] | None = None
    heatmap: bool = False
    others: int = 0
    covering: str = ""


class Sight:
    """The one state of what a reader sees.

    looks : asked whenever something is said, so that it is the canvas that counts.
    item, reader : what is asked for. opened, answer : its picture and its map, as far as they are in view.
    question : key of the question that the map answers. problem : why the picture cannot be read.
    """

    def __init__(self, looks: Callable[[], Looks] = Looks) -> None:
        self.looks = looks
        self.item: Item | None = None
        self.reader = ""
        self.opened: Opened | None = None
        self.answer: Prepared | None = None
        self.question: Hashable = None
        self.problem = ""
        self._turn = 0

    @property
    def turn(self) -> int:
        """A number that is another one as soon as something else is asked for."""
        return self._turn

    @property
    def known(self) -> bool:
        """Is the picture there, or why there is none?"""
        return self.opened is not None or bool(self.problem)

    def leave(self, item: Item | None = None, reader: str = "") -> int:
        """Ask for an item, or for none; nothing is in view from now on. Returns the turn in which it may arrive."""
        self._turn += 1
        self.item, self.reader = item, reader
        self.opened, self.problem = None, ""
        self.lose_map()
        return self._turn

    def arrive(self, turn: int, opened: Opened | str) -> bool:
        """The picture is in view, or why there is none; False where something else is asked for by now."""
        if turn != self._turn:
            return False
        if isinstance(opened, str):
            self.problem = opened
        else:
            self.opened = opened
        return True

    def show_map(self, question: Hashable, answer: Prepared) -> None:
        """The answer to a question lies over the picture."""
        self.question, self.answer = question, answer

    def lose_map(self) -> None:
        """No map is in view."""
        self.question = self.answer = None

    def refusal(self) -> str:
        """Why nothing can be said of the case now; "" where it can.

        Of a case whose picture cannot be read something can be said, as it is told and no other picture is in view.
        """
        if self.item is None:
            return "No case is in view: open a study first."
        if self.problem:
            return ""
        if self.opened is None:
            return "Not yet: the picture of this case is not in view. Nothing was kept; say it again when it is."
        looks = self.looks()
        if looks.covering:
            return f"“{looks.covering}” lies over the picture of this case: hide it first. Nothing was kept."
        if not looks.picture:
            return (
                "The picture of this case is hidden, changed or taken away: show it, or go to another case and back. "
                "Nothing was kept."
            )
        return ""

    def seen(self, threshold: Threshold) -> Seen:
        """The record of what is in view now; ask ``refusal`` first."""
        looks, opened, answer = self.looks(), self.opened, self.answer
        if opened is None or self.item is None:
            return Seen()
        one = None if answer is None else answer.explanations[self.item.number]
        return Seen(
            image_sha256=opened.identity.sha256,
            frame=opened.entry.frame if opened.frames > 1 else None,
            window=looks.window,
            map="none" if one is None else "visible" if looks.heatmap else "hidden",
            request="" if one is None else one.request.key,
            weights_sha256="" if one is None else str(one.provenance.get("weights_sha256") or ""),
            threshold=None if answer is None else threshold.of(answer.counts[self.item.number]),
            others=looks.others,
        )
