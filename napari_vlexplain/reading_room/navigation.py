"""The list of a study: search, filters, order, and the way from one case to the next. Plain values, nothing else."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

Key = tuple[str, str]
SortBy = Literal["study", "id", "prompt", "category", "status", "iou", "dice", "pointing", "confidence"]
UNDECIDED, BROKEN = "undecided", "unreadable"


@dataclass(frozen=True)
class Row:
    """One line of the list.

    verdict : the reader's, "" for none. confidence : 0 for none. iou, dice, pointing : in [0, 1], NaN where unknown.
    problem : why its image cannot be read, "" where it can.
    """

    key: Key
    category: str = ""
    verdict: str = ""
    confidence: int = 0
    iou: float = math.nan
    dice: float = math.nan
    pointing: float = math.nan
    problem: str = ""

    @property
    def status(self) -> str:
        """What the status filter goes by: the verdict, else ``UNDECIDED``, else ``BROKEN``."""
        return self.verdict or (BROKEN if self.problem else UNDECIDED)


@dataclass(frozen=True)
class View:
    """What of the list is shown, and in which order.

    search : words that all occur in id, prompt or category, whatever their case. category, status : "" for all.
    iou : (low, high), both within; rows without an IoU are shown while the range is all of [0, 1].
    """

    search: str = ""
    category: str = ""
    status: str = ""
    iou: tuple[float, float] = (0.0, 1.0)
    sort: SortBy = "study"
    descending: bool = False

    def shows(self, row: Row) -> bool:
        text = " ".join((*row.key, row.category)).casefold()
        low, high = self.iou
        within = low <= row.iou <= high if not math.isnan(row.iou) else low <= 0 and high >= 1
        return (
            within
            and self.category in ("", row.category)
            and self.status in ("", row.status)
            and all(word in text for word in self.search.casefold().split())
        )


def ordered(rows: Sequence[Row], view: View) -> list[Row]:
    """All rows in the view's order, hidden ones too; ties keep the study's order, rows without a value come last."""
    if view.sort == "study":
        return list(reversed(rows)) if view.descending else list(rows)
    known = [row for row in rows if _value(row, view.sort) is not None]
    unknown = [row for row in rows if _value(row, view.sort) is None]
    known.sort(key=lambda row: _value(row, view.sort), reverse=view.descending)  # type: ignore[arg-type, return-value]
    return known + unknown


def shown(rows: Sequence[Row], view: View) -> list[Row]:
    """The rows that the view shows, in its order."""
    return [row for row in ordered(rows, view) if view.shows(row)]


def step(rows: Sequence[Row], view: View, current: Hashable, by: int) -> Key | None:
    """The key ``by`` rows from the current one among those shown, or None at the end.

    A current row that the view hides keeps its place: its verdict may just have hidden it.
    """
    order = ordered(rows, view)
    visible = [place for place, row in enumerate(order) if view.shows(row)]
    here = next((place for place, row in enumerate(order) if row.key == current), -1)
    if by > 0:
        beyond = [place for place in visible if place > here]
        return order[beyond[by - 1]].key if len(beyond) >= by else None
    before = [place for place in visible if place < here]
    return order[before[by]].key if by < 0 and len(before) >= -by else None


def ends(rows: Sequence[Row], view: View) -> tuple[Key, Key] | None:
    """The first and the last key shown; None for an empty list."""
    found = shown(rows, view)
    return (found[0].key, found[-1].key) if found else None


def next_undecided(rows: Sequence[Row], view: View, current: Hashable) -> Key | None:
    """The next shown row without a verdict whose image can be read; from the end it goes on at the beginning."""
    order = ordered(rows, view)
    here = next((place for place, row in enumerate(order) if row.key == current), -1)
    around = [*order[here + 1 :], *order[: max(here, 0)]]
    return next((row.key for row in around if row.status == UNDECIDED and view.shows(row)), None)


def progress(rows: Sequence[Row]) -> tuple[int, int]:
    """(judged, all)."""
    return sum(bool(row.verdict) for row in rows), len(rows)


def categories(rows: Sequence[Row]) -> list[str]:
    """Those that occur, in alphabetical order."""
    return sorted({row.category for row in rows if row.category})


def _value(row: Row, by: SortBy) -> tuple[int, float | str] | None:
    """Something that compares; None where the row has no such value."""
    if by in ("iou", "dice", "pointing"):
        value = float(getattr(row, by))
        return None if math.isnan(value) else (0, value)
    if by == "confidence":
        return (0, row.confidence) if row.confidence else None
    texts = {"id": row.key[0], "prompt": row.key[1], "category": row.category, "status": row.status}
    return (0, texts[by].casefold()) if texts.get(by) else None
