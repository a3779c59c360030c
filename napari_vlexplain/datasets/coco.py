"""COCO (Lin et al. 2014): objects with their outlines, or captions. Also VQA v2 images lie in this layout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import VLExplainError
from .dataset import DataSet, Entry, Problem, Segments, unique
from .prompting import photo_of
from .tables import Broken, existing, folder, listed, read_json, size_of, text_of

LAYOUT = "annotations/instances_val2017.json and captions_val2017.json, and val2017/000000000139.jpg"


def open_coco(root: str | Path | None, split: str | None = None, images: str | Path | None = None) -> DataSet:
    """Objects: a case is an image and a category, "a photo of a dog"; its instances are united, crowds included.

    ``split`` is the end of the table's name, by default val2017. Raises VLExplainError for another layout.
    """
    base, places, part = _places(root, split, images)
    table = base / "annotations" / f"instances_{part}.json"
    document = read_json(_present(table))
    pictures = {item.get("id"): item for item in listed(document, "images", table)}
    categories = {item.get("id"): str(item.get("name")) for item in listed(document, "categories", table)}
    problems: list[Problem] = []
    groups: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for number, item in enumerate(listed(document, "annotations", table), start=1):
        try:
            _check(item, pictures, categories)
            groups.setdefault((item["image_id"], item["category_id"]), []).append(item)
        except Broken as error:
            problems.append(Problem(table.name, None, f"annotation {item.get('id', number)}: {error}."))

    def entries() -> Iterator[Entry]:
        for (image, category), members in groups.items():
            try:
                path = _image(places, part, pictures[image])
                size = size_of(pictures[image].get("width"), pictures[image].get("height"))
            except Broken as error:
                problems.append(Problem(table.name, None, f"image {image}: {error}."))
                continue
            name = categories[category]
            yield Entry(f"{image}/{name}", path, (photo_of(name),), (_united(members, size),), name, str(image))

    found = unique(entries(), problems, table.name)
    classes = tuple(photo_of(name) for name in categories.values())
    facts = {"table": table.name, "split": part}
    return DataSet("coco", "COCO objects", found, tuple(problems), classes, facts)


def open_coco_captions(root: str | Path | None, split: str | None = None, images: str | Path | None = None) -> DataSet:
    """Captions: a case is an image with all its captions; no ground truth is known."""
    base, places, part = _places(root, split, images)
    table = base / "annotations" / f"captions_{part}.json"
    document = read_json(_present(table))
    pictures = {item.get("id"): item for item in listed(document, "images", table)}
    problems: list[Problem] = []
    captions: dict[Any, list[str]] = {}
    for number, item in enumerate(listed(document, "annotations", table), start=1):
        try:
            if item.get("image_id") not in pictures:
                raise Broken(f"there is no image {item.get('image_id')!r}")
            captions.setdefault(item["image_id"], []).append(text_of(item, "caption"))
        except Broken as error:
            problems.append(Problem(table.name, None, f"annotation {item.get('id', number)}: {error}."))

    def entries() -> Iterator[Entry]:
        for image, texts in captions.items():
            try:
                path = _image(places, part, pictures[image])
            except Broken as error:
                problems.append(Problem(table.name, None, f"image {image}: {error}."))
                continue
            yield Entry(str(image), path, tuple(dict.fromkeys(texts)))

    found = unique(entries(), problems, table.name)
    return DataSet("coco-captions", "COCO captions", found, tuple(problems), (), {"table": table.name, "split": part})


def _places(root: str | Path | None, split: str | None, images: str | Path | None) -> tuple[Path, Path, str]:
    base = folder(root, LAYOUT)
    return base, folder(images, LAYOUT) if images is not None else base, split or "val2017"


def _present(table: Path) -> Path:
    if not table.is_file():
        raise VLExplainError(f"There is no {table}. Expected: {LAYOUT}")
    return table


def _image(places: Path, part: str, picture: dict[str, Any]) -> Path:
    name = text_of(picture, "file_name")
    return existing(places, f"{part}/{name}", name, f"images/{name}", f"images/{part}/{name}")


def _check(item: dict[str, Any], pictures: dict[Any, Any], categories: dict[Any, str]) -> None:
    if item.get("image_id") not in pictures:
        raise Broken(f"there is no image {item.get('image_id')!r}")
    if item.get("category_id") not in categories:
        raise Broken(f"there is no category {item.get('category_id')!r}")
    _outlines(item)


def _united(members: list[dict[str, Any]], size: tuple[int, int] | None) -> Segments:
    polygons: list[tuple[float, ...]] = []
    runs: list[tuple[int, int, tuple[int, ...] | str]] = []
    for item in members:
        some, coded = _outlines(item)
        polygons += some
        runs += coded
    return Segments(tuple(polygons), tuple(runs), size)


def _outlines(
    item: dict[str, Any],
) -> tuple[list[tuple[float, ...]], list[tuple[int, int, tuple[int, ...] | str]]]:
    given = item.get("segmentation")
    try:
        if isinstance(given, dict):
            height, width = given["size"]
            counts = given["counts"]
            coded: tuple[int, ...] | str = counts if isinstance(counts, str) else tuple(int(n) for n in counts)
            return [], [(int(height), int(width), coded)]
        polygons = [tuple(float(x) for x in polygon) for polygon in given or []]
    except (TypeError, ValueError, KeyError):
        raise Broken("its segmentation is neither polygons nor a run-length code") from None
    if not polygons or any(len(polygon) < 6 or len(polygon) % 2 for polygon in polygons):
        raise Broken("its segmentation has no polygon of three points or more")
    return polygons, []
