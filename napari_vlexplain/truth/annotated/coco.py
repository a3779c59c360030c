"""COCO's JSON (Lin et al. 2014; CVAT, Roboflow, Label Studio): outlines, run-length masks, else boxes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from ...errors import VLExplainError
from ..described import Runs, Segments
from ..note import Note
from .objects import Annotated, Object, numbers, size_stated


def read(data: dict[str, Any], where: str, image: str) -> Annotated:
    """Of a file of one image or many the objects on ``image``, a file's name with or without folders.

    Raises VLExplainError for what is none of this form, and where it is not clear which image is meant.
    """
    pictures = list(_listed(data, "images", where))
    names = {str(one.get("id")): str(one.get("name")) for one in _listed(data, "categories", where)}
    picture, notes = _picture(pictures, image, where)
    own = str(picture.get("id"))
    objects = []
    for number, one in enumerate(_listed(data, "annotations", where), start=1):
        if str(one.get("image_id")) == own:
            which = f"{where}: annotation {one.get('id', number)}"
            shape = shape_of(one, which)
            label = names.get(str(one.get("category_id")))
            objects.append(Object(label, None, shape.polygons, shape.runs, shape.boxes))
    return Annotated(
        where, tuple(objects), size_stated(picture.get("width"), picture.get("height"), where), notes=notes
    )


def shape_of(one: dict[str, Any], which: str) -> Segments:
    """One annotation: its outline, else its box. Raises VLExplainError, ``which`` naming it."""
    given = one.get("segmentation")
    if isinstance(given, dict):
        return Segments(runs=(_runs(given, which),))
    if given is not None and not isinstance(given, list):
        raise VLExplainError(f"{which}: its segmentation is neither polygons nor a run-length code.")
    if given and not isinstance(given[0], list | dict):
        given = [given]  # one polygon, not in a list of its own
    polygons, runs = [], []
    for part in given or []:
        if isinstance(part, dict):
            runs.append(_runs(part, which))
        elif part:
            polygons.append(_polygon(part, which))
    if polygons or runs:
        return Segments(tuple(polygons), tuple(runs))
    if one.get("bbox") in (None, []):
        raise VLExplainError(f"{which}: it has neither a segmentation nor a bbox.")
    x, y, width, height = numbers(one["bbox"], f"{which}: bbox", 4)
    if width <= 0 or height <= 0:
        raise VLExplainError(f"{which}: its bbox is {width:g} wide and {height:g} high; both must be above 0.")
    return Segments(boxes=((x, y, width, height),))


def _runs(given: dict[str, Any], which: str) -> Runs:
    try:
        height, width = (int(n) for n in given["size"])
        counts = given["counts"]
        coded: tuple[int, ...] | str = counts if isinstance(counts, str) else tuple(int(n) for n in counts)
    except (TypeError, ValueError, KeyError, OverflowError):
        raise VLExplainError(f"{which}: its segmentation is neither polygons nor a run-length code.") from None
    return height, width, coded


def _polygon(given: Any, which: str) -> tuple[float, ...]:
    found = numbers(given, f"{which}: a polygon")
    if len(found) < 6 or len(found) % 2:
        raise VLExplainError(f"{which}: its segmentation has no polygon of three points or more.")
    return found


def _listed(data: dict[str, Any], key: str, where: str) -> Iterator[dict[str, Any]]:
    found = data.get(key)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise VLExplainError(f"{where} has no list {key!r} of objects, as COCO has.")
    yield from found


def _picture(pictures: list[dict[str, Any]], image: str, where: str) -> tuple[dict[str, Any], tuple[Note, ...]]:
    """The one that is asked for: the one whose name and folders agree longest with it."""
    if not pictures:
        raise VLExplainError(f"{where} names no image.")
    asked = _parts(image)
    ranked = [(_common(asked, _parts(str(one.get("file_name") or ""))), one) for one in pictures]
    best = max(rank for rank, _ in ranked)
    winners = [one for rank, one in ranked if rank == best]
    if best and len(winners) == 1:
        return winners[0], ()
    if best:
        named = ", ".join(repr(str(one.get("file_name"))) for one in winners[:3])
        raise VLExplainError(
            f"{where} holds {len(winners)} images of the name {asked[-1]!r}, such as {named}; give one of its own."
        )
    if len(pictures) == 1:
        name = str(pictures[0].get("file_name") or "")
        told = f"{where} speaks of one image, of another name than this picture's: it is taken as this one."
        return pictures[0], (Note(told, "image"),) if asked and name else ()
    named = ", ".join(repr(str(one.get("file_name"))) for one in pictures[:3])
    raise VLExplainError(
        f"{where} holds {len(pictures)} images, but none is called {asked[-1] if asked else image!r}; its first are "
        f"{named}."
    )


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name.replace("\\", "/")).parts


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many parts agree from the end on."""
    count = 0
    for mine, its in zip(reversed(one), reversed(other), strict=False):
        if mine != its:
            break
        count += 1
    return count
