"""What the *Cases* dock holds: a study, its list, what readers say, and how the cases are explained. No Qt.

The list's rows are one a phrase: a case with three phrases is judged three times.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from ..choices.explain import Explaining, remedy
from ..errors import Cancelled, VLExplainError
from ..running.run import ProgressCallback, Run
from .ahead import Prepared, Preparing
from .journal import Journal, Mask
from .navigation import Key, Row, View, next_undecided, step
from .opened import Opened
from .question import Asked, Question, question_of
from .recorded import Records
from .records import Judgement, Seen
from .sight import Sight
from .study import Item, Study
from .threshold import Threshold

MOST_UNDONE = 1000
Looked = Prepared | Opened | str
"""What became of looking at a case: all of it, its image alone, or why it cannot be read."""


class ReadingSession:
    """One study being read by one reader at a time.

    Change ``reader``, ``threshold``, ``own_prompt`` and ``asked`` by their ``choose_`` methods: the rows follow.
    ``view`` may be set freely. ``ask_for`` asks for an item; ``sight`` says what of it is in view. What takes long
    (``prepare``, ``explain_all``, ``records``) may run on any thread.
    """

    def __init__(self, study: Study, journal: Journal, preparing: Preparing, reader: str = "") -> None:
        self.study, self.journal, self.preparing = study, journal, preparing
        self.reader = reader
        self.threshold = journal.threshold(reader)
        self.sight = Sight()
        self.view = View()
        self.current: Key | None = None
        self.broken = dict(study.broken)
        self._asked = Asked(Explaining())
        self._own_prompt = ""
        self._undo: list[tuple[Judgement, tuple[str, ...]]] = []

    @cached_property
    def items(self) -> dict[Key, Item]:
        """Every phrase of every case, in the study's order, on the frame that was looked at last."""
        found = self.study.items(self._own_prompt)
        return {item.key: _on_frame(item, self.journal.frame(item.entry.id)) for item in found}

    @cached_property
    def _rows(self) -> dict[Key, Row]:
        with self.preparing.one_look():
            return {key: self._row(item) for key, item in self.items.items()}

    @property
    def rows(self) -> list[Row]:
        """The list, in the study's order."""
        return list(self._rows.values())

    @property
    def row(self) -> Row | None:
        """The current one."""
        return None if self.current is None else self._rows.get(self.current)

    @property
    def own_prompt(self) -> str:
        """What is asked of cases that come without a phrase."""
        return self._own_prompt

    @property
    def item(self) -> Item | None:
        """The current one."""
        return None if self.current is None else self.items.get(self.current)

    @property
    def wants_prompt(self) -> bool:
        """Is there a case without a phrase?"""
        return any(not entry.prompts for entry in self.study.entries)

    def ask_for(self, item: Item) -> int:
        """Make an item the current one, not in view yet; returns the turn in which its picture may arrive."""
        self.current = item.key
        return self.sight.leave(item, self.reader)

    def choose_reader(self, reader: str) -> None:
        """Go on as another reader, at that one's threshold; what each said is kept apart."""
        self.sight.leave()
        self.reader = reader.strip()
        self.threshold = self.journal.threshold(self.reader)
        self._undo.clear()
        self.forget_rows()

    def choose_threshold(self, threshold: Threshold) -> None:
        """Cut heatmaps elsewhere from now on; the journal keeps it. Figures of the list are look-ups."""
        if threshold != self.threshold:
            self.journal.choose_threshold(self.reader, threshold)
        self.threshold = threshold
        self.forget_rows()

    def choose_asked(self, asked: Explaining) -> None:
        """Explain by another model, method or parameters; ``asked`` is copied."""
        self._asked = Asked(asked)
        self.forget_rows()

    def choose_own_prompt(self, prompt: str) -> None:
        """Ask this of the cases that come without a phrase; a current one stays current."""
        item = self.item
        self.sight.leave()
        self._own_prompt = prompt.strip()
        self.__dict__.pop("items", None)
        self.forget_rows()
        if item is not None and not item.entry.prompts:
            self.current = item.entry.id, self._own_prompt

    def choose_frame(self, case: str, frame: int) -> None:
        """Look at this frame (from 0) of a case from now on; the journal keeps it."""
        self.sight.leave()
        self.journal.choose_frame(case, frame)
        for key, item in self.items.items():
            if key[0] == case:
                self.items[key] = _on_frame(item, frame)
        self.refresh(case)

    def forget_rows(self) -> None:
        """Everything in the list is to be looked up again."""
        self.__dict__.pop("_rows", None)

    def refresh(self, case: str) -> None:
        """What is known of one case has changed."""
        for key, item in self.items.items():
            if key[0] == case and "_rows" in self.__dict__:
                self._rows[key] = self._row(item)

    def question(self, item: Item) -> Question:
        """What is asked of an item's case now."""
        return question_of(item, self._asked)

    def questions(self) -> list[Question]:
        """What is asked now of every case that has a phrase, in the study's order."""
        return list({item.entry.id: self.question(item) for item in self.items.values() if item.prompt}.values())

    def is_explained(self, key: Key) -> bool:
        """Was the item explained so, as far as is known without looking at the disk?"""
        item = self.items[key]
        return bool(item.prompt) and self.preparing.counts(self.question(item))[item.number] is not None

    def next_item(self, by: int = 1) -> Item | None:
        """The item so many rows from the current one, by the view; None at the end."""
        key = step(self.rows, self.view, self.current, by)
        return None if key is None else self.items[key]

    def next_case(self) -> Item | None:
        """The next item of another case whose image can be read, as far as is known."""
        passed = {*self.broken, *(self.current or ())[:1]}
        item, by = self.next_item(), 1
        while item is not None and item.entry.id in passed:
            by += 1
            item = self.next_item(by)
        return item

    def next_undecided(self) -> Item | None:
        """The next item without a verdict."""
        key = next_undecided(self.rows, self.view, self.current)
        return None if key is None else self.items[key]

    def mark_broken(self, case: str, problem: str) -> None:
        """The case cannot be read; "" takes that back."""
        if self.broken.get(case, "") != problem:
            self.broken[case] = problem
            if not problem:
                del self.broken[case]
        self.refresh(case)

    # What the reader says

    def judgement(self, key: Key) -> Judgement:
        """The reader's, empty where nothing was said yet."""
        return self.journal.judgement(*key, self.reader)

    def judge(self, key: Key, seen: Seen | None = None, **said: Any) -> Judgement:
        """Change verdict, confidence or comment; in memory at once, on the disk with the journal's ``save``.

        ``seen`` : what is in view. It is kept with the verdict, or while there is none with whatever is said.

        Raises
        ------
        VLExplainError : what cannot be said.
        """
        before = self.judgement(key)
        after = replace(before, **said)
        if after == before:
            return before
        if after.verdict != before.verdict or not before.verdict:
            after = replace(after, seen=seen)
        told = self.journal.judge(after)
        typing = tuple(said) == ("comment",) and bool(self._undo) and self._undo[-1][1] == ("comment",)
        if not (typing and (self._undo[-1][0].case, self._undo[-1][0].prompt) == key):  # a comment is undone whole
            self._undo.append((before, tuple(said)))
            del self._undo[:-MOST_UNDONE]
        self.refresh(key[0])
        return told

    @property
    def can_undo(self) -> bool:
        """Was anything said since this reader began?"""
        return bool(self._undo)

    def undo(self) -> Key | None:
        """Take the last change back; returns where it was, or None."""
        if not self._undo:
            return None
        before, _ = self._undo.pop()
        self.journal.judge(before)
        self.refresh(before.case)
        return before.case, before.prompt

    def starting_mask(self, item: Item, start: str) -> Mask | None:
        """A mask for the reader to edit: "nothing", the "truth", or the "model"'s; None where that is not in view."""
        opened, answer = self.sight.opened, self.sight.answer
        if opened is None:
            return None
        if start == "truth":
            truth = opened.truths[item.number]
            return None if truth is None else truth.view(np.bool_).copy()
        if start == "model":
            number = item.number
            return None if answer is None else self.threshold.cut(answer.explanations[number], answer.counts[number])[1]
        return np.zeros(opened.shape, bool)

    # What takes long

    def look(self, item: Item, question: Question, reader: str) -> tuple[Looked, Mask | str | None]:
        """A case with what is known of it, and the reader's mask, or why that cannot be read."""
        mask: Mask | str | None
        try:
            mask = self.journal.mask(*item.key, reader, item.entry.frame)
        except VLExplainError as error:
            mask = str(error)
        try:
            found = self.preparing.known(question) or self.preparing.open(item.entry)
            (found.opened if isinstance(found, Prepared) else found).identity  # noqa: B018 - its hash takes a while
            return found, mask
        except Exception as error:  # whatever it is, the reader goes on to the next case
            return remedy(error), mask

    def explain_all(self, progress: ProgressCallback | None, cancel: Callable[[], bool] | None) -> list[str]:
        """Explain every case of the view that can be read; returns what went wrong, a sentence for each.

        Raises
        ------
        Cancelled : ``cancel`` returned True; what was explained is kept.
        """
        shown = [self.items[row.key] for row in self.rows if self.view.shows(row) and not row.problem]
        questions = {item.entry.id: self.question(item) for item in shown}
        run, problems = Run(progress, cancel), []
        for number, question in enumerate(questions.values()):
            what = f"Case {number + 1} of {len(questions)}"
            run.step(number / len(questions), what)
            if not any(count is None for count in self.preparing.counts(question)):
                continue
            try:
                self.preparing.prepare(question, None, cancel, hold=False)
            except Cancelled:
                raise
            except Exception as error:  # one case must not end the others
                problems.append(f"{question.entry.id}: {remedy(error)}")
        run.step(1.0, "Done")
        return problems

    def records(self, keys: Collection[Key] | None = None, problems: list[str] | None = None) -> Records:
        """Everything that is known, one record a phrase, with what this reader said; for exports.

        Of a file of several frames the one that was looked at last, and every other on which this reader drew a mask.
        Explanations are those of memory and cache; none is computed. Records of a case that cannot be read say why, and
        what was said of it. What is chosen in the session later does not change the records any more.
        ``problems`` : gets what else is missing, a sentence for each.
        """
        chosen = [item for key, item in self.items.items() if keys is None or key in keys]
        items = [one for item in chosen for one in (item, *self._drawn_elsewhere(item))]
        return Records(copy.copy(self), tuple(items), [] if problems is None else problems)

    def _drawn_elsewhere(self, item: Item) -> list[Item]:
        frames = self.journal.frames_drawn(*item.key, self.reader)
        return [_on_frame(item, frame) for frame in frames if frame != item.entry.frame]

    def _row(self, item: Item) -> Row:
        said = self.judgement(item.key)
        counts = self.preparing.counts(self.question(item))[item.number] if item.prompt else None
        row = Row(
            item.key, item.entry.category, said.verdict, said.confidence, problem=self.broken.get(item.entry.id, "")
        )
        if counts is None or not counts.truth:
            return row
        figures = self.threshold.figures(counts)
        return replace(row, iou=figures.iou, dice=figures.dice, pointing=figures.pointing)


def _on_frame(item: Item, frame: int) -> Item:
    return item if item.entry.frame == frame else replace(item, entry=replace(item.entry, frame=frame))
