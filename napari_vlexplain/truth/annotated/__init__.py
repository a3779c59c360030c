"""Files of annotation tools: LabelMe JSON, Pascal VOC XML, COCO JSON, YOLO text, and our own JSON of boxes.

The form is told by the contents of a JSON file, and by the ending of the others. Of a file the objects are taken whose
label's words occur in the prompt, whatever the case, as of our own boxes; objects without a label belong to every
prompt.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import VLExplainError
from ..described import AnnotationFile, Segments
from ..note import Note
from ..picture import Picture
from . import coco, labelme, own_boxes, voc, yolo
from .objects import Annotated, chosen, text_of_file, united

SUFFIXES = (".json", ".xml", ".txt")
FORMS = "boxes of ours, LabelMe JSON, COCO JSON, Pascal VOC XML or YOLO text"
_MOST_POINTS = 1 << 20
_START = 1 << 16
_JSON = (b'"boxes"', b'"shapes"', b'"annotations"', b'"images"')
_XML = (b"<annotation",)


@dataclass(frozen=True)
class Regions:
    """What belongs to a prompt; ``segments`` is None where the file says that there is nothing."""

    segments: Segments | None
    notes: tuple[Note, ...] = ()


def is_annotation(path: str | Path) -> bool:
    """Does a file's ending say that it holds annotations, and no picture?"""
    return Path(path).suffix.lower() in SUFFIXES


def looks_annotated(file: Path) -> bool:
    """Does a file that lies beside a picture hold annotations, and not something else about it?"""
    if file.suffix.lower() == ".txt":
        return yolo.has_names(file)
    try:
        with file.open("rb") as stream:
            start = stream.read(_START)
    except OSError:
        return False
    keys = _XML if file.suffix.lower() == ".xml" else _JSON
    return any(key in start for key in keys)


def regions_of(given: AnnotationFile, picture: Picture) -> Regions:
    """Read a file, and take what belongs to the prompt and the picture.

    Raises VLExplainError for a file that is missing, too large, damaged or of no form that is known, or that holds
    nothing for the prompt or the image.
    """
    return _regions(_read(given.path, given.image or picture.name), given.prompt)


def regions_of_text(text: str, prompt: str | None) -> Regions:
    """The same of a text in place of a JSON file."""
    where = "The ground truth"
    return _regions(_of_json(_parsed(text, where), where, ""), prompt)


def _regions(found: Annotated, prompt: str | None) -> Regions:
    objects, notes = chosen(found, prompt)
    if objects is None:
        return Regions(None, notes)
    segments = united(objects, found)
    points = sum(len(polygon) for polygon in segments.polygons) + 4 * len(segments.boxes)
    if points > _MOST_POINTS:
        raise VLExplainError(f"{found.where} holds outlines of {points} numbers; up to {_MOST_POINTS} can be drawn.")
    return Regions(segments, notes)


def _read(file: Path, image: str) -> Annotated:
    suffix = file.suffix.lower()
    if suffix == ".xml":
        return voc.read(file)
    if suffix == ".txt":
        return yolo.read(file)
    return _of_json(_parsed(text_of_file(file, own_boxes.FORM), file.name), file.name, image)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise VLExplainError(f"{where} cannot be read as JSON; it should hold {own_boxes.FORM}.") from None


def _of_json(data: Any, where: str, image: str) -> Annotated:
    keys = set(data) if isinstance(data, dict) else set()
    if "boxes" in keys:
        return own_boxes.read(data, where)
    if "shapes" in keys:
        return labelme.read(data, where)
    if {"images", "annotations"} <= keys:
        return coco.read(data, where, image)
    raise VLExplainError(f"{where} lists no boxes; it should hold {own_boxes.FORM}, or be LabelMe's or COCO's.")
