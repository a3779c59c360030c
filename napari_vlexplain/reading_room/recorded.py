"""The records of a session, made one by one as an export asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ..choices.explain import remedy
from ..errors import VLExplainError
from ..truth.described import file_of
from .ahead import Preparing
from .journal import Journal
from .labelled import Mask
from .navigation import Key
from .question import Question
from .records import NO_PICTURE, CaseRecord, Judgement, without_folder
from .study import Item
from .threshold import Threshold


class Sitting(Protocol):
    """What records need of a session."""

    preparing: Preparing
    threshold: Threshold
    journal: Journal
    reader: str

    def question(self, item: Item) -> Question: ...
    def judgement(self, key: Key) -> Judgement: ...


@dataclass(frozen=True)
class Records:
    """The records of some items. ``problems`` gets what is missing, a sentence for each."""

    session: Sitting
    items: tuple[Item, ...]
    problems: list[str]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[CaseRecord]:
        by_case: dict[tuple[str, int], list[Item]] = {}
        for item in self.items:
            by_case.setdefault((item.entry.id, item.entry.frame), []).append(item)
        for items in by_case.values():
            yield from _records_of(self.session, items, self.problems)


def _records_of(session: Sitting, items: list[Item], problems: list[str]) -> Iterator[CaseRecord]:
    """Those of one case, whose picture is read once."""
    question = session.question(items[0])
    entry = question.entry
    said = {item.key: found if (found := session.judgement(item.key)).time else None for item in items}
    problem = ""
    try:
        known = session.preparing.known(question, hold=False)
        opened = session.preparing.peek(entry) if known is None else known.opened
    except Exception as error:  # whatever it is, what was said of the case is not lost, nor are the other cases
        problem = remedy(error)
    if problem:
        source = entry.image if isinstance(entry.image, Path) else None
        problem = problem if source is None else without_folder(problem, source)
        for key, judgement in said.items():
            yield CaseRecord(*key, NO_PICTURE, source, entry.category, entry.group, judgement=judgement,
                             problem=problem)  # fmt: skip
        return
    for item in items:
        explanation = None if known is None else known.explanations[item.number]
        masks: dict[str, Mask] = {}
        threshold = None
        truth = opened.truths[item.number]
        if truth is not None:
            masks["truth"] = truth.view(np.bool_)
        if known is not None and explanation is not None:
            threshold, masks["model"] = session.threshold.cut(explanation, known.counts[item.number])
        try:
            drawn = session.journal.mask(*item.key, session.reader, entry.frame)
            if drawn is not None:
                masks["reader"] = drawn
        except VLExplainError as error:
            problems.append(f"{entry.id}: {error}")
        yield CaseRecord(
            case=entry.id,
            prompt=item.prompt,
            image=opened.pixels,
            source=opened.source,
            category=entry.category,
            group=entry.group,
            limits=opened.limits,
            spacing=opened.spacing,
            explanation=explanation,
            threshold=threshold,
            masks=masks,
            judgement=said[item.key],
            frame=opened.entry.frame if opened.frames > 1 else None,
            notes=opened.truth_notes,
            doubt=opened.doubt(item.number),
            ignored=opened.ignored,
            truth_files=tuple(file for file in map(file_of, entry.truths) if file is not None),
        )
