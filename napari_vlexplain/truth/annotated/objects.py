"""What all forms of annotation files have in common: objects with labels, and which of them belong to a prompt."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import VLExplainError
from ..described import Box, Runs, Segments
from ..note import Note

MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Object:
    """One object: ``label`` is words that occur in its prompts, ``prompt`` a prompt in full; without both, of all.

    ``nothing``: it says that its prompt has no ground truth.
    """

    label: str | None = None
    prompt: str | None = None
    polygons: tuple[tuple[float, ...], ...] = ()
    runs: tuple[Runs, ...] = ()
    boxes: tuple[Box, ...] = ()
    nothing: bool = False


@dataclass(frozen=True)
class Annotated:
    """A file, read: its name, its objects, and (width, height) of the picture as the file states it."""

    where: str
    objects: tuple[Object, ...]
    size: tuple[int, int] | None = None
    shares: bool = False
    notes: tuple[Note, ...] = ()


def chosen(found: Annotated, prompt: str | None) -> tuple[list[Object] | None, tuple[Note, ...]]:
    """The objects that belong to a prompt (None: all); None where the file says that there is nothing.

    Raises VLExplainError where there are objects, but none for the prompt.
    """
    if not found.objects:
        return None, (*found.notes, Note(f"{found.where} marks nothing on this picture.", "empty"))
    mine = [one for one in found.objects if prompt is None or belongs(prompt, one.prompt, one.label)]
    if not mine:
        names = sorted({name for one in found.objects for name in (one.prompt, one.label) if name is not None})
        listed = ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
        raise VLExplainError(f"{found.where} has no box for {prompt!r}; its boxes are for {listed}.")
    if len(mine) == 1 and mine[0].nothing:
        return None, found.notes
    return mine, found.notes


def united(objects: Iterable[Object], found: Annotated) -> Segments:
    """Objects as one ground truth."""
    members = list(objects)
    return Segments(
        tuple(polygon for one in members for polygon in one.polygons),
        tuple(runs for one in members for runs in one.runs),
        found.size,
        tuple(box for one in members for box in one.boxes),
        found.shares,
    )


def belongs(prompt: str, whose: str | None, label: str | None) -> bool:
    """Does an object of this ``label``, or made for the prompt ``whose``, belong to a prompt?"""
    asked = words_of(prompt)
    if whose is not None:
        return words_of(whose) == asked
    return label is None or f" {words_of(label)} " in f" {asked} "


def words_of(text: str) -> str:
    """What of a prompt or label counts when they are compared."""
    return " ".join(re.findall(r"\w+", text.casefold().replace("_", " ")))


def numbers(values: Any, where: str, count: int | None = None) -> tuple[float, ...]:
    """Finite numbers; raises VLExplainError that names ``where`` for others, or for another ``count``."""
    try:
        found = tuple(float(value) for value in values)
        if not all(map(math.isfinite, found)) or isinstance(values, str) or (count is not None and len(found) != count):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        wanted = "finite numbers" if count is None else f"{count} finite numbers"
        raise VLExplainError(f"{where} is {str(values)[:60]}, but it must be {wanted}.") from None
    return found


def size_stated(width: Any, height: Any, where: str) -> tuple[int, int] | None:
    """(width, height) where both are positive; None where they are left out or 0, as some tools write."""
    if width in (None, "", 0, "0") or height in (None, "", 0, "0"):
        return None
    across, down = numbers((width, height), f"The size that {where} states", 2)
    if across < 1 or down < 1:
        raise VLExplainError(f"The size that {where} states is {across:g} x {down:g}, but no picture has that.")
    return round(across), round(down)


def left_out(what: dict[str, int], where: str) -> tuple[Note, ...]:
    """A sentence on the objects of a file that enclose no area; ``what``: kind -> how many."""
    if not what:
        return ()
    listed = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in sorted(what.items()))
    return (Note(f"{listed} of {where} enclose no area and are left out.", "left out"),)


def text_of_file(file: Path, wanted: str) -> str:
    """The text of a file that should hold what is ``wanted``.

    Raises VLExplainError where it is missing, too large or no text.
    """
    try:
        if file.stat().st_size > MOST_BYTES:
            raise VLExplainError(f"{file.name} is larger than {MOST_BYTES >> 20} MB; a file of boxes is not.")
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise VLExplainError(f"There is no file {str(file)!r}.") from None
    except IsADirectoryError:
        raise VLExplainError(f"{str(file)!r} is a folder, but a file of boxes or a mask is needed.") from None
    except (OSError, ValueError) as error:
        if isinstance(error, VLExplainError):
            raise
        raise VLExplainError(f"{file.name} cannot be read as text; it should hold {wanted}.") from None
