"""YOLO's text: a line for each object, ``class x y width height``, or ``class x0 y0 x1 y1 x2 y2 ...`` of an outline.

x and y of a box are its centre; all numbers are shares of the picture's width and height (Ultralytics, Darknet). The
names of the classes, a line each from 0, stand in ``classes.txt`` (or ``obj.names``) beside the file or in the folder
above, or under ``names`` in the ``data.yaml`` of the data set, up to three folders above. An empty file says that there
is nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import VLExplainError
from ..note import Note
from .objects import Annotated, Object, numbers, text_of_file

NAMES = ("classes.txt", "obj.names")
SETS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_MOST = 1.5
"""Larger numbers are no shares, not even of a box that reaches outside."""


def read(file: Path) -> Annotated:
    """Raises VLExplainError for what is none of this form."""
    rows = [
        (number, line.split()) for number, line in enumerate(text_of_file(file, "YOLO's lines").splitlines(), start=1)
    ]
    rows = [(number, words) for number, words in rows if words]
    named = _names(file)
    objects = tuple(_object(words, f"{file.name}, line {number}", named) for number, words in rows)
    notes: tuple[Note, ...] = ()
    if named is None and objects:
        told = f"No classes.txt or data.yaml says what the classes of {file.name} are called, so all count."
        notes = (Note(told, "labels"),)
    return Annotated(file.name, objects, shares=True, notes=notes)


def has_names(file: Path) -> bool:
    """Do the names of classes stand beside a file, or in a folder above? So it is no text about the picture."""
    return _lines_file(file) is not None or _set_file(file) is not None


def _lines_file(file: Path) -> Path | None:
    places = (folder / name for folder in (file.parent, file.parent.parent) for name in NAMES)
    return next((place for place in places if place.is_file()), None)


def _set_file(file: Path) -> Path | None:
    places = (folder / name for folder in (file.parent, *list(file.parents)[1:4]) for name in SETS)
    return next((place for place in places if place.is_file()), None)


def _names(file: Path) -> tuple[Mapping[int, str], str] | None:
    """Number -> name, and the file that says so; None where none does."""
    if (lines := _lines_file(file)) is not None:
        listed = [line.strip() for line in text_of_file(lines, "the names of classes").splitlines()]
        return dict(enumerate(listed)), lines.name
    if (place := _set_file(file)) is None:
        return None
    named = _yaml(place)
    return None if named is None else (named, place.name)


def _yaml(file: Path) -> Mapping[int, str] | None:
    """The names in Ultralytics' description of a data set: a list, or number -> name."""
    import yaml

    try:
        data: Any = yaml.safe_load(text_of_file(file, "a data set's description"))
        listed = data.get("names") if isinstance(data, dict) else None
        pairs = dict(enumerate(listed)) if isinstance(listed, list) else listed
        return None if pairs is None else {int(number): str(name).strip() for number, name in pairs.items()}
    except (yaml.YAMLError, AttributeError, TypeError, ValueError, RecursionError):
        raise VLExplainError(f"{file.name} should name its classes: names, a list or number: name.") from None


def _object(words: list[str], where: str, named: tuple[Mapping[int, str], str] | None) -> Object:
    if not words[0].isdecimal() or not (len(words) == 5 or (len(words) >= 7 and len(words) % 2)):
        raise VLExplainError(
            f"{where} should be a class's number and x y width height as shares of the picture, or the points of an "
            "outline."
        )
    found = numbers(words[1:], where)
    if max(found) > _MOST or min(found) < 1 - _MOST:
        raise VLExplainError(
            f"{where} holds {max(found, key=abs):g}, but YOLO's numbers are shares of width and height."
        )
    number = int(words[0])
    label = None if named is None else named[0].get(number)
    if named is not None and not label:
        raise VLExplainError(f"{where} is of class {number}, which {named[1]} does not name.")
    if len(found) > 4:
        return Object(label, polygons=(found,))
    x, y, width, height = found
    if width <= 0 or height <= 0:
        raise VLExplainError(f"{where} is a box without area.")
    return Object(label, boxes=((x - width / 2, y - height / 2, width, height),))
