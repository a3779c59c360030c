"""The texts that a token may say. No torch here.

A vocabulary knows where its lines are, not the lines themselves: a file of a million lines is read again on every
pass and costs nine bytes a line in memory.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import VLExplainError
from ...models.zoo import RESOURCES

FOLDER = RESOURCES / "vocabularies"
LONGEST = 10_000
"""Characters of a text: far more than any model reads, few enough to tokenise at once."""
Lines = Callable[[], Iterable[str]]


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Texts in a fixed order, stripped, without empty ones and repeats (the first of equals stays).

    Attributes
    ----------
    name : for people.
    lines : each call starts to read all lines from the beginning.
    kept : (lines,) bool, which of them count.
    parts : name and length of the lists it was joined from, in order.
    digest : hex, over the texts and their order.
    empty, repeated : lines that were dropped, by reason.
    """

    name: str
    lines: Lines
    kept: NDArray[np.bool_]
    parts: tuple[tuple[str, int], ...]
    digest: str
    empty: int = 0
    repeated: int = 0

    def __len__(self) -> int:
        return sum(count for _, count in self.parts)

    def __iter__(self) -> Iterator[str]:
        seen = 0
        for line, keep in zip(self.lines(), self.kept, strict=False):
            seen += 1
            if keep:
                yield line.strip()
        if seen != len(self.kept):
            raise VLExplainError(f"The vocabulary {self.name!r} got shorter while it was in use; load it again.")

    def chunks(self, size: int) -> Iterator[tuple[int, list[str]]]:
        """Consecutive texts with the index of the first of them."""
        start, piece = 0, []
        for text in self:
            piece.append(text)
            if len(piece) == size:
                yield start, piece
                start, piece = start + size, []
        if piece:
            yield start, piece

    def texts(self, indices: Iterable[int]) -> dict[int, str]:
        """The texts at some indices, by index, in one pass."""
        wanted = {int(i) for i in indices}
        return {i: text for i, text in enumerate(self if wanted else ()) if i in wanted}

    def find(self, texts: Iterable[str]) -> dict[str, int]:
        """Where texts stand, by text; equality is exact but for case. What is not there is left out."""
        wanted = {text.strip().casefold(): text for text in texts}
        found: dict[str, int] = {}
        for i, text in enumerate(self if wanted else ()):
            key = text.casefold()
            if key in wanted:
                found.setdefault(wanted[key], i)
        return found

    def positions(self, texts: Iterable[str]) -> list[int]:
        """Indices of every entry that equals one of ``texts`` but for case."""
        wanted = {text.strip().casefold() for text in texts}
        return [i for i, text in enumerate(self if wanted else ()) if text.casefold() in wanted]


def from_lines(name: str, lines: Lines, parts: Sequence[tuple[str, int]] | None = None) -> Vocabulary:
    """A vocabulary over lines that can be read again and again; ``parts`` are the lengths before dropping any.

    Raises
    ------
    VLExplainError : no text at all, or one beyond ``LONGEST``, which is no list of texts.
    """
    hashes, marks = array("Q"), array("b")
    for line in lines():
        text = line.strip()
        if len(text) > LONGEST:
            raise VLExplainError(
                f"Line {len(marks) + 1:,} of the vocabulary {name!r} has {len(text):,} characters, but a text has at "
                f"most {LONGEST:,}: give one text a line."
            )
        marks.append(bool(text))
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
        hashes.append(int.from_bytes(digest, "little"))
    kept = np.frombuffer(marks, np.int8).astype(bool) if marks else np.zeros(0, bool)
    if not kept.any():
        raise VLExplainError(f"The vocabulary {name!r} is empty; it needs at least one text, one a line.")
    keys = np.frombuffer(hashes, np.uint64)
    first = kept & _first_of_equals(keys)
    edges = np.cumsum([0, *(count for _, count in parts or ((name, len(kept)),))])
    lengths = [int(first[a:b].sum()) for a, b in pairwise(edges.tolist())]
    return Vocabulary(
        name=name,
        lines=lines,
        kept=first,
        parts=tuple((part, n) for (part, _), n in zip(parts or ((name, 0),), lengths, strict=True)),
        digest=hashlib.sha256(keys[first].tobytes()).hexdigest(),
        empty=int(len(kept) - kept.sum()),
        repeated=int(kept.sum() - first.sum()),
    )


def _first_of_equals(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    order = np.argsort(keys, kind="stable")
    in_order = keys[order]
    first = np.ones(len(keys), bool)
    first[order[1:][in_order[1:] == in_order[:-1]]] = False
    return first


def from_texts(texts: Iterable[str], name: str = "pasted list") -> Vocabulary:
    """A vocabulary of texts in memory."""
    given = (texts,) if isinstance(texts, str) else tuple(texts)
    for text in given:
        if not isinstance(text, str):
            raise VLExplainError(f"A vocabulary holds {text!r}, but its entries must be text.")
    return from_lines(name, lambda: given)


def from_pasted(text: str, name: str = "pasted list") -> Vocabulary:
    """One text a line; a single line is split at its commas."""
    lines = text.splitlines()
    return from_texts(lines if len(lines) > 1 else text.split(","), name)


def from_file(path: str | Path) -> Vocabulary:
    """A text file with one text a line, or a JSON file: a list, or {name: [descriptions]}, each name before its own.

    Raises
    ------
    VLExplainError : no such file, not UTF-8 text, JSON of another form, no text in it.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise VLExplainError(
            f"There is no vocabulary {str(path)!r}; give a text file with one text a line, "
            f"or one of {', '.join(packaged_vocabularies())}."
        )
    if file.suffix.lower() == ".json":
        return from_texts(_flat(file), file.name)
    try:
        return from_lines(file.name, lambda: _lines_of(file))
    except UnicodeDecodeError:
        raise VLExplainError(
            f"{file.name} is no UTF-8 text; a vocabulary is a text file with one text a line."
        ) from None


def join(*vocabularies: Vocabulary, name: str | None = None) -> Vocabulary:
    """One after the other, without repeats; each stays a part of its own."""
    if len(vocabularies) == 1:
        return vocabularies[0]
    parts = [part for vocabulary in vocabularies for part in vocabulary.parts]
    return from_lines(
        name or " + ".join(v.name for v in vocabularies),
        lambda: (text for vocabulary in vocabularies for text in vocabulary),
        parts,
    )


def packaged_vocabularies() -> dict[str, str]:
    """Name -> what it holds, of the lists that ship with the package."""
    return {name: says for name, (says, _) in _PACKAGED.items()}


def vocabulary(*given: str | Path | Vocabulary | Sequence[str]) -> Vocabulary:
    """A packaged list by name, a file by path, texts, or several of them joined.

    Raises
    ------
    VLExplainError : what is given is none of these, or is empty.
    """
    if not given:
        raise VLExplainError(f"There is no vocabulary; give a file, texts, or one of {', '.join(_PACKAGED)}.")
    return join(*(_one(entry) for entry in given))


def _one(given: str | Path | Vocabulary | Sequence[str]) -> Vocabulary:
    if isinstance(given, Vocabulary):
        return given
    if isinstance(given, str) and given in _PACKAGED:
        lists = _PACKAGED[given][1]
        return join(*(from_lines(part, lines) for part, lines in lists), name=given)
    if isinstance(given, str | Path):
        return from_file(given)
    return from_texts(given)


def _objects() -> list[str]:
    from ...datasets.worlds.artwork import article, class_names

    return [article(name) for name in class_names()]


def _words() -> list[str]:
    from ...datasets.worlds.artwork import class_names

    return [f"the word {name}" for name in class_names()]


def _packaged_file(name: str) -> Lines:
    return lambda: _lines_of(FOLDER / f"{name}.txt")


_OBJECTS = ("objects", _objects)
_WORDS = ("words", _words)
_BACKGROUNDS, _FINDINGS, _DESCRIPTORS, _ANATOMY, _RADIOLOGY = (
    (name, _packaged_file(name)) for name in ("backgrounds", "findings", "descriptors", "anatomy", "radiology")
)
_PACKAGED: dict[str, tuple[str, tuple[tuple[str, Lines], ...]]] = {
    "stickers": (
        "what the sticker scenes hold: 403 objects, their names in print, ten backgrounds",
        (_OBJECTS, _WORDS, _BACKGROUNDS),
    ),
    "demo": (
        "all that the demonstration model was taught to say: stickers and findings",
        (_OBJECTS, _WORDS, _BACKGROUNDS, _FINDINGS),
    ),
    "objects": ("403 everyday objects", (_OBJECTS,)),
    "words": ('"the word ..." for each of the 403 objects: what printed text reads as', (_WORDS,)),
    "backgrounds": ("ten backgrounds of the sticker scenes", (_BACKGROUNDS,)),
    "findings": ("findings on chest radiographs", (_FINDINGS,)),
    "descriptors": ("parts, materials, colours, shapes and places of everyday pictures", (_DESCRIPTORS,)),
    "anatomy": ("anatomy of the chest", (_ANATOMY,)),
    "radiology": ("views, signs, densities and devices of chest radiography", (_RADIOLOGY,)),
    "chest": ("findings, anatomy and radiology together", (_FINDINGS, _ANATOMY, _RADIOLOGY)),
}


def _lines_of(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8-sig") as stream:
        yield from stream


def _flat(file: Path) -> list[str]:
    try:
        data = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        raise VLExplainError(f"{file.name} cannot be read as JSON.") from None
    if isinstance(data, dict):
        if not all(isinstance(phrases, list) for phrases in data.values()):
            raise VLExplainError(f"{file.name} must map names to lists of texts, or be one list of texts.")
        data = [text for name, phrases in data.items() for text in (name, *phrases)]
    if not isinstance(data, list):
        raise VLExplainError(f"{file.name} must be a list of texts, or map names to lists of texts.")
    return data
