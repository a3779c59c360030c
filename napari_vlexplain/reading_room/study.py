"""A study: the cases that a reader goes through, from a data set's folder or from any folder of images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from ..datasets.catalogue import list_datasets, open_dataset
from ..datasets.dataset import DataSet, Entry, Problem, digest
from ..datasets.ms_cxr import PHANTOM_STUDY, open_ms_cxr
from ..datasets.plain_folder import open_folder
from ..datasets.tables import Broken, inside
from ..errors import VLExplainError
from ..io.dicom.content import DIRECTORY, is_dicom, is_picture
from ..io.files import slug

PACKAGED = "phantom-study"
NOTES = "vlexplain-reading"
"""The folder beside a study's images where its journal and the readers' masks lie."""
MOST_CASES = 100_000
PICTURES = frozenset((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"))
WHAT_IS_A_STUDY = "a folder with MS-CXR's table, with a prompts.csv, or with images (PNG, JPEG, TIFF, DICOM)"


@dataclass(frozen=True)
class Item:
    """One thing to judge: a phrase of a case; an empty prompt waits for one of the reader's."""

    entry: Entry
    number: int
    prompt: str

    @property
    def key(self) -> tuple[str, str]:
        """(case, prompt), as in judgements."""
        return self.entry.id, self.prompt


@dataclass(frozen=True)
class Study:
    """A study, opened.

    title : for people. identity : the same whenever the same folder is opened, fit for a file name.
    folder : where notes may be kept; None for one that is drawn or on board.
    entries : the cases in the order of the table or of the file names.
    problems : what the loader skipped, and why.
    broken : case id -> why its image cannot be read, as far as is known before trying.
    """

    title: str
    identity: str
    folder: Path | None
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...] = ()
    broken: dict[str, str] = field(default_factory=dict, hash=False)

    def items(self, own_prompt: str = "") -> tuple[Item, ...]:
        """Every phrase of every case; ``own_prompt`` is asked where a case brings none."""
        return tuple(
            Item(entry, number, prompt)
            for entry in self.entries
            for number, prompt in enumerate(entry.prompts or (own_prompt,))
        )


def open_study(where: str | Path) -> Study:
    """Open a study by its folder (or MS-CXR's table in it), or by the name of a data set that needs no folder.

    Raises
    ------
    VLExplainError : no such folder, one that may not be read, or one without a case.
    """
    if str(where) in (info.name for info in list_datasets() if not info.needs_root):
        found = open_dataset(str(where))
        return Study(found.title, slug(found.name), None, found.entries, found.problems)
    place = Path(where).expanduser()
    if not place.exists():
        raise VLExplainError(f"There is no folder {str(where)!r}; a study is {WHAT_IS_A_STUDY}.")
    place = place.resolve()
    base = place if place.is_dir() else place.parent
    if base == PHANTOM_STUDY.resolve():
        return open_study(PACKAGED)
    try:
        found = _data_set(place)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise VLExplainError(f"{place} cannot be read: {reason}; choose {WHAT_IS_A_STUDY}.") from None
    broken = {entry.id: f"There is no file {str(entry.image)!r}." for entry in found.missing}
    entries = (*found.entries, *(entry for entry in found.missing if found.entry(entry.id) is None))
    if not entries:
        first = f" The first problem: {found.problems[0]}" if found.problems else ""
        raise VLExplainError(f"{place} holds no case; choose {WHAT_IS_A_STUDY}.{first}")
    identity = f"{slug(base.name, 40)}-{digest(str(base), 12)}"
    title = base.name if found.title == base.name else f"{found.title}: {base.name}"
    return Study(title, identity, base, entries, found.problems, broken)


def is_study(where: str | Path) -> bool:
    """Is this a folder with a table of ours, or with an image somewhere below?"""
    place = Path(where).expanduser()
    try:
        return place.is_dir() and (any(_is_table(name) for name in os.listdir(place)) or any(_images(place, [])))
    except OSError:
        return False


def holds_several(folder: Path) -> bool:
    """Has it a table of ours, or more than one image?"""
    return any(_is_table(name) for name in os.listdir(folder)) or len(list(islice(_images(folder, []), 2))) > 1


def _is_table(name: str) -> bool:
    return name == "prompts.csv" or (name.startswith("MS_CXR_Local_Alignment") and name.endswith((".csv", ".json")))


def _data_set(place: Path) -> DataSet:
    if place.is_file():
        if not _is_table(place.name):
            raise VLExplainError(f"{place} is no study; choose {WHAT_IS_A_STUDY}.")
        return open_folder(place.parent) if place.name == "prompts.csv" else open_ms_cxr(place)
    names = os.listdir(place)
    if "prompts.csv" in names:
        return open_folder(place)
    if any(_is_table(name) for name in names):
        return open_ms_cxr(place)
    problems: list[Problem] = []
    entries = tuple(_images(place, problems))
    return DataSet("images", "Images", entries, tuple(problems))


def _images(base: Path, problems: list[Problem]) -> Iterator[Entry]:
    """A case for each image file below the folder, without a phrase; links that lead out of it are problems."""

    def refuse(error: OSError) -> None:
        problems.append(Problem(str(error.filename), None, f"the folder cannot be read ({error.strerror})."))

    count = 0
    for folder, below, files in os.walk(base, onerror=refuse):
        below[:] = sorted(name for name in below if name != NOTES and not name.startswith("."))
        for name in sorted(files, key=_natural):
            path = Path(folder, name)
            if name.startswith(".") or name.upper() == DIRECTORY:
                continue
            if path.suffix.lower() not in PICTURES and not is_dicom(path) and not is_picture(path):
                continue
            relative = path.relative_to(base).as_posix()
            if count == MOST_CASES:
                problems.append(Problem(base.name, None, f"it holds more than {MOST_CASES} images; the rest is left."))
                return
            try:
                real = inside(base, relative)
            except Broken as error:
                problems.append(Problem(relative, None, f"{error}."))
                continue
            count += 1
            yield Entry(relative, real, (), group=relative)


def _natural(name: str) -> list[tuple[int, str]]:
    """So that image-2 comes before image-10."""
    parts, digits = [], ""
    for character in [*name.casefold(), ""]:
        if character.isascii() and character.isdigit():
            digits += character
            continue
        if digits:
            parts.append((int(digits[:18]), ""))
            digits = ""
        parts.append((-1, character))
    return parts
