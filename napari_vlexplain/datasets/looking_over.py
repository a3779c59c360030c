"""A look over a data set when it is opened: do its ground truths fit its pictures?

Pictures are not read for it, only the headers of some of them. What is found is told among the problems of the data
set; each case says it again beside its figures when it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..errors import VLExplainError
from ..io.picture_header import PictureHeader, header_of
from ..truth.box_checks import misread
from ..truth.described import AnnotationFile, Box, Boxes, MaskFile, Truth
from ..truth.laying import foreseen, mask_doubt
from ..truth.note import Kind, Note
from ..truth.picture import Picture
from .dataset import DataSet, Entry, Problem

LOOKED_AT = 200
"""Pictures whose headers are read, spread evenly: a data set of any size opens in a second."""
TOLD: tuple[Kind, ...] = ("proportions", "outside", "orientation")


def looked_over(data: DataSet) -> DataSet:
    """The data set with what was found: boxes in doubt where those of the table look like no pixels, and problems."""
    headers = dict(_headers(data.entries))
    data, problems = _misread(data, headers)
    data, shared = _shared(data)
    problems += shared
    problems += list(_seen(data, headers))
    return replace(data, problems=(*data.problems, *problems))


def missing_parts(missing: int, count: int, what: str) -> tuple[Note, ...]:
    """What is said of a case of whose ``count`` boxes or outlines some could not be used."""
    if not missing:
        return ()
    told = f"{missing} of the {count} {what} of this ground truth cannot be used and are left out."
    return (Note(told, "left out"),)


def _headers(entries: tuple[Entry, ...]) -> Iterator[tuple[Path, PictureHeader]]:
    paths = list(dict.fromkeys(entry.image for entry in entries if entry.truths and isinstance(entry.image, Path)))
    step = max(1, -(-len(paths) // LOOKED_AT))
    for path in paths[::step]:
        header = header_of(path)
        if header is not None:
            yield path, header


def _misread(data: DataSet, headers: dict[Path, PictureHeader]) -> tuple[DataSet, list[Problem]]:
    doubt = misread(list(_boxes(data.entries, headers)))
    if doubt is None:
        return data, []
    entries = tuple(replace(entry, truths=tuple(_doubted(truth, doubt) for truth in entry.truths))
                    for entry in data.entries)  # fmt: skip
    return replace(data, entries=entries), [Problem(_table(data), None, doubt, skipped=False)]


def _shared(data: DataSet) -> tuple[DataSet, list[Problem]]:
    """Masks that several images name: right for copies of one picture, and wrong for two patients."""
    images: dict[Path, set[object]] = {}
    for entry in data.entries:
        for truth in entry.truths:
            if isinstance(truth, MaskFile):
                images.setdefault(truth.path, set()).add(entry.image)
    several = {path: len(found) for path, found in images.items() if len(found) > 1}
    if not several:
        return data, []

    def told(entry: Entry) -> Entry:
        paths = [truth.path for truth in entry.truths if isinstance(truth, MaskFile) and truth.path in several]
        notes = tuple(
            Note(f"The mask is named for {several[path]} images, this one among them.", "image") for path in paths
        )
        return replace(entry, notes=(*entry.notes, *notes)) if notes else entry

    problems = [Problem(_table(data), None, f"{path.name} is the mask of {count} images.", skipped=False)
                for path, count in several.items()]  # fmt: skip
    return replace(data, entries=tuple(map(told, data.entries))), problems


def _boxes(entries: tuple[Entry, ...], headers: dict[Path, PictureHeader]) -> Iterator[tuple[Box, tuple[int, int]]]:
    """Every box of the table with the size of its picture, as far as that is known."""
    for entry in entries:
        header = headers.get(entry.image) if isinstance(entry.image, Path) else None
        for truth in entry.truths:
            size = (truth.size or (header.size if header else None)) if isinstance(truth, Boxes) else None
            if isinstance(truth, Boxes) and size is not None:
                yield from ((box, size) for box in truth.boxes)


def _doubted(truth: Truth, doubt: Note) -> Truth:
    return replace(truth, doubt=doubt) if isinstance(truth, Boxes) and not truth.doubt else truth


def _seen(data: DataSet, headers: dict[Path, PictureHeader]) -> Iterator[Problem]:
    """A problem for each kind of thing, with its first case."""
    found: dict[str, list[tuple[str, Note]]] = {}
    for entry in data.entries:
        header = headers.get(entry.image) if isinstance(entry.image, Path) else None
        if header is None:
            continue
        picture = Picture(header.size[::-1], header.orientation, str(entry.image))
        for kind, note in {note.kind: note for truth in entry.truths for note in _notes(truth, picture)}.items():
            if kind in TOLD:
                found.setdefault(kind, []).append((entry.id, note))
    for cases in found.values():
        case, note = cases[0]
        more = f" {len(cases) - 1} more of {len(headers)} pictures that were looked at." if len(cases) > 1 else ""
        yield Problem(_table(data), None, f"{case}: {note}{more}", skipped=False)


def _notes(truth: Truth, picture: Picture) -> tuple[Note, ...]:
    if isinstance(truth, AnnotationFile):
        return ()  # read with its case
    try:
        if not isinstance(truth, MaskFile):
            return foreseen(truth, picture)
        header = header_of(truth.path)
        return () if header is None else mask_doubt(truth.path.name, header.size, picture)
    except VLExplainError:
        return ()  # told with its case


def _table(data: DataSet) -> str:
    return data.facts.get("table", data.name)
