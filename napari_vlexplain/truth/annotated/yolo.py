"""YOLO's text: a line for each object, ``class x y width height``, or ``class x0 y0 x1 y1 x2 y2 ...`` of an outline.

x and y of a box are its centre; all numbers are shares of the picture's width and height (Ultralytics, Darknet). The
names of the classes, a line each from 0, stand in ``classes.txt`` (or ``obj.names``) beside the file or in the folder
above. An empty file says that there is nothing.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import VLExplainError
from ..note import Note
from .objects import Annotated, Object, numbers, text_of_file

NAMES = ("classes.txt", "obj.names")
_MOST = 1.5
"""Larger numbers are no shares, not even of a box that reaches outside."""


def read(file: Path) -> Annotated:
    """Raises VLExplainError for what is none of this form."""
    rows = [
        (number, line.split()) for number, line in enumerate(text_of_file(file, "YOLO's lines").splitlines(), start=1)
    ]
    rows = [(number, words) for number, words in rows if words]
    names = _names(file)
    objects = tuple(_object(words, f"{file.name}, line {number}", names) for number, words in rows)
    notes: tuple[Note, ...] = ()
    if names is None and objects:
        told = f"There is no classes.txt beside {file.name}: what its classes are called is not known, so all count."
        notes = (Note(told, "labels"),)
    return Annotated(file.name, objects, shares=True, notes=notes)


def has_names(file: Path) -> bool:
    """Do the names of classes stand beside a file, or in the folder above? So it is no text about the picture."""
    return any((folder / name).is_file() for folder in (file.parent, file.parent.parent) for name in NAMES)


def _names(file: Path) -> list[str] | None:
    for folder in (file.parent, file.parent.parent):
        for name in NAMES:
            if (folder / name).is_file():
                return [line.strip() for line in text_of_file(folder / name, "the names of classes").splitlines()]
    return None


def _object(words: list[str], where: str, names: list[str] | None) -> Object:
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
    if names is not None and not (number < len(names) and names[number]):
        raise VLExplainError(f"{where} is of class {number}, which classes.txt does not name.")
    label = None if names is None else names[number]
    if len(found) > 4:
        return Object(label, polygons=(found,))
    x, y, width, height = found
    if width <= 0 or height <= 0:
        raise VLExplainError(f"{where} is a box without area.")
    return Object(label, boxes=((x - width / 2, y - height / 2, width, height),))
