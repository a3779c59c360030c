"""What every loader gives: entries as plain data, to be sent to workers and read there, and the rows it skipped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..truth.described import AnnotationFile, Box, Boxes, MaskFile, Segments, Truth
from ..truth.note import Note

__all__ = [
    "AnnotationFile", "Box", "Boxes", "DataSet", "Drawn", "Entry", "MaskFile", "Problem", "Segments", "Truth", "digest",
    "unique",
]  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """Scene ``index`` of a world, drawn when it is read, with its masks."""

    world: str
    seed: int
    index: int
    size: int = 224


@dataclass(frozen=True)
class Entry:
    """One case before it is read.

    id: unique within its data set, the same in every release and form of it where that can be.
    image: a file, or a scene to draw.
    prompts: at least one.
    truths: one for each prompt; empty where no ground truth is known (a drawn scene brings its own).
    category: for figures by class; "" where there are none.
    group: the patient, or whatever else makes cases depend on each other; "" means on its own.
    answers: of a question, all that people gave.
    frame: of a DICOM file of several, from 0. The ground truth is that of the first.
    notes: what the table says of the ground truth, such as that a part of it could not be read.
    """

    id: str
    image: Path | Drawn
    prompts: tuple[str, ...]
    truths: tuple[Truth, ...] = ()
    category: str = ""
    group: str = ""
    answers: tuple[str, ...] = ()
    frame: int = 0
    notes: tuple[Note, ...] = ()

    @property
    def has_truth(self) -> bool:
        return bool(self.truths) or isinstance(self.image, Drawn)


@dataclass(frozen=True)
class Problem:
    """The file, its line (None where lines say nothing) and one sentence; ``skipped``: is the row left out for it?"""

    file: str
    line: int | None
    what: str
    skipped: bool = True

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f"{place}: {self.what}"


@dataclass(frozen=True)
class DataSet:
    """A data set, opened.

    name: as in the catalogue. title: for people. entries: what can be read. problems: what was skipped,
    and why, and what else is to be told of the ground truths.
    missing: entries whose image is not where it should be, for reading lists; each is among the problems too.
    classes: a prompt for every class, where each case is one of them: contrasts of a softmax target.
    facts: release, files and counts, for the provenance. source: keyword arguments that open it again.
    """

    name: str
    title: str
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...] = ()
    classes: tuple[str, ...] = ()
    facts: dict[str, str] = field(default_factory=dict, hash=False)
    source: dict[str, Any] = field(default_factory=dict, hash=False)
    missing: tuple[Entry, ...] = ()

    def __len__(self) -> int:
        return len(self.entries)

    def entry(self, id: str) -> Entry | None:
        """The entry of that id, or None."""
        return next((entry for entry in self.entries if entry.id == id), None)

    @property
    def has_truth(self) -> bool:
        """Does any case have a ground truth?"""
        return any(entry.has_truth for entry in self.entries)

    def sample(self, limit: int | None, seed: int = 0) -> DataSet:
        """At most ``limit`` entries, in their order: a random choice that belongs to the seed.

        Choices of one seed are nested: the 50 of ``limit=50`` are among the 100 of ``limit=100``.
        """
        if limit is None or limit >= len(self.entries):
            return self
        ranked = sorted((entry.id for entry in self.entries), key=lambda each: _rank(seed, each))
        chosen = set(ranked[: max(0, limit)])
        return replace(self, entries=tuple(entry for entry in self.entries if entry.id in chosen))


def unique(entries: Iterable[Entry], problems: list[Problem], file: str) -> tuple[Entry, ...]:
    """Entries without those whose id came before; each such one is a problem."""
    found: dict[str, Entry] = {}
    for entry in entries:
        if entry.id in found:
            problems.append(Problem(file, None, f"{entry.id!r} occurs twice; the first counts."))
        else:
            found[entry.id] = entry
    return tuple(found.values())


def digest(text: str, length: int = 8) -> str:
    """A short name for a text, for ids."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _rank(seed: int, id: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{id}".encode()).digest()


def photo_of(name: str) -> str:
    """``a photo of a dog``, ``a photo of an owl``; names in the plural are left to be ungrammatical, as everywhere."""
    article = "an" if name[:1].lower() in "aeiou" else "a"
    return f"a photo of {article} {name}"
