"""The sticker artwork: 403 everyday objects in three styles, and each object's name as a rendered word."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import VLExplainError
from ...shipped import RESOURCES
from .canvas import Array

FOLDER = RESOURCES / "stickers"
STYLES = ("noto", "twemoji", "fluent")

# The captions' articles, as the embedded model learned them: by letter, not by sound.
_SINGULAR_IN_S = frozenset({"bus", "cactus", "octopus", "rhinoceros", "hippopotamus", "hourglass"})


def article(name: str) -> str:
    """The name as a caption says it: "a dog", "an owl", "scissors"."""
    if name.endswith("s") and name not in _SINGULAR_IN_S:
        return name
    return ("an " if name[0] in "aeio" else "a ") + name


def plural(name: str) -> str:
    """More than one of them: "dogs", "scissors"."""
    return name if name.endswith("s") else name + "s"


@dataclass(frozen=True)
class Index:
    """What is drawn where: class names, the class of each picture, where each style's pictures begin."""

    names: tuple[str, ...]
    number_of: dict[str, int]
    class_of_picture: NDArray[np.int64]
    first_picture: tuple[int, ...]
    cell: int
    columns: int
    word_cell: tuple[int, int]
    word_columns: int


@lru_cache(maxsize=1)
def index() -> Index:
    """The contents of ``index.json``; pictures are numbered through the styles in the order of STYLES."""
    facts = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))
    names = tuple(facts["names"])
    cells = [facts["sheets"][style]["class_of_cell"] for style in STYLES]
    starts = np.concatenate([[0], np.cumsum([len(c) for c in cells])])
    return Index(
        names=names,
        number_of={name: k for k, name in enumerate(names)},
        class_of_picture=np.concatenate([np.asarray(c, np.int64) for c in cells]),
        first_picture=tuple(int(s) for s in starts),
        cell=facts["cell"],
        columns=facts["columns"],
        word_cell=tuple(facts["words"]["cell"]),
        word_columns=facts["words"]["columns"],
    )


def class_names() -> tuple[str, ...]:
    """The names of the 403 objects, in the order of the class numbers."""
    return index().names


def class_number(name: str) -> int:
    """The object's class number; raises VLExplainError for a name that is not among the 403."""
    try:
        return index().number_of[name]
    except (KeyError, TypeError):
        raise VLExplainError(
            f"There is no sticker {name!r}; class_names() lists the {len(class_names())} there are."
        ) from None


@lru_cache(maxsize=1024)
def pictures_of(name: str) -> tuple[int, ...]:
    """The numbers of all pictures of one object, over the three styles."""
    return tuple(int(p) for p in np.flatnonzero(index().class_of_picture == class_number(name)))


@lru_cache(maxsize=len(STYLES))
def _sheet(style: str) -> NDArray[np.uint8]:
    with Image.open(FOLDER / f"{style}.webp") as picture:
        return np.asarray(picture.convert("RGBA"))


@lru_cache(maxsize=1)
def _words() -> NDArray[np.uint8]:
    with Image.open(FOLDER / "words.png") as picture:
        return np.asarray(picture.convert("L"))


def cutout(picture: int) -> Array:
    """One picture: (80, 80, 4) float32 in [0, 1], colours premultiplied by alpha."""
    facts = index()
    style = int(np.searchsorted(facts.first_picture, picture, side="right")) - 1
    row, column = divmod(picture - facts.first_picture[style], facts.columns)
    n = facts.cell
    cell = _sheet(STYLES[style])[row * n : (row + 1) * n, column * n : (column + 1) * n]
    rgba = cell.astype(np.float32) / 255
    rgba[..., :3] *= rgba[..., 3:]
    return rgba


def glyphs(word: str) -> Array:
    """A name in print: coverage (40, 160) float32 in [0, 1]."""
    facts = index()
    height, width = facts.word_cell
    row, column = divmod(class_number(word), facts.word_columns)
    cell = _words()[row * height : (row + 1) * height, column * width : (column + 1) * width]
    return cell.astype(np.float32) / 255
