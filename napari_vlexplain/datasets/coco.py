"""COCO (Lin et al. 2014): objects with their outlines, or captions. Also VQA v2 images lie in this layout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import VLExplainError
from ..truth.annotated.coco import shape_of
from .dataset import Boxes, DataSet, Entry, Problem, Segments, photo_of, unique
from .info import DataSetInfo
from .looking_over import looked_over, missing_parts
from .tables import Broken, existing, folder, listed, read_json, size_of, text_of

LAYOUT = "annotations/instances_val2017.json and captions_val2017.json, and val2017/000000000139.jpg"


def open_coco(root: str | Path | None, split: str | None = None, images: str | Path | None = None) -> DataSet:
    """Objects: a case is an image and a category, "a photo of a dog"; its instances are united, crowds included.

    An instance is its outline, or its box where it has none.

    ``split`` is the end of the table's name, by default val2017. Raises VLExplainError for another layout.
    """
    base, places, part = _places(root, split, images)
    table = base / "annotations" / f"instances_{part}.json"
    document = read_json(_present(table))
    pictures = {str(item.get("id")): item for item in listed(document, "images", table)}
    categories = {str(item.get("id")): str(item.get("name")) for item in listed(document, "categories", table)}
    problems: list[Problem] = []
    groups: dict[tuple[str, str], list[Segments | None]] = {}
    for number, item in enumerate(listed(document, "annotations", table), start=1):
        which = f"annotation {item.get('id', number)}"
        try:
            members = groups.setdefault(_whose(item, pictures, categories), [])
        except Broken as error:
            problems.append(Problem(table.name, None, f"{which}: {error}."))
            continue
        try:
            members.append(shape_of(item, which))
        except VLExplainError as error:
            problems.append(Problem(table.name, None, str(error)))
            members.append(None)

    def entries() -> Iterator[Entry]:
        for (image, category), members in groups.items():
            shapes = [shape for shape in members if shape is not None]
            if not shapes:
                continue
            try:
                path = _image(places, part, pictures[image])
                size = size_of(pictures[image].get("width"), pictures[image].get("height"))
            except Broken as error:
                problems.append(Problem(table.name, None, f"image {image}: {error}."))
                continue
            name = categories[category]
            notes = missing_parts(len(members) - len(shapes), len(members), "annotations")
            truths = (_united(shapes, size),)
            yield Entry(f"{image}/{name}", path, (photo_of(name),), truths, name, image, notes=notes)

    found = unique(entries(), problems, table.name)
    classes = tuple(photo_of(name) for name in categories.values())
    facts = {"table": table.name, "split": part}
    return looked_over(DataSet("coco", "COCO objects", found, tuple(problems), classes, facts))


def open_coco_captions(root: str | Path | None, split: str | None = None, images: str | Path | None = None) -> DataSet:
    """Captions: a case is an image with all its captions; no ground truth is known."""
    base, places, part = _places(root, split, images)
    table = base / "annotations" / f"captions_{part}.json"
    document = read_json(_present(table))
    pictures = {str(item.get("id")): item for item in listed(document, "images", table)}
    problems: list[Problem] = []
    captions: dict[str, list[str]] = {}
    for number, item in enumerate(listed(document, "annotations", table), start=1):
        try:
            if str(item.get("image_id")) not in pictures:
                raise Broken(f"there is no image {item.get('image_id')!r}")
            captions.setdefault(str(item["image_id"]), []).append(text_of(item, "caption"))
        except Broken as error:
            problems.append(Problem(table.name, None, f"annotation {item.get('id', number)}: {error}."))

    def entries() -> Iterator[Entry]:
        for image, texts in captions.items():
            try:
                path = _image(places, part, pictures[image])
            except Broken as error:
                problems.append(Problem(table.name, None, f"image {image}: {error}."))
                continue
            yield Entry(image, path, tuple(dict.fromkeys(texts)))

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


def _whose(item: dict[str, Any], pictures: dict[str, Any], categories: dict[str, str]) -> tuple[str, str]:
    """The image and category of an annotation; Broken where there is none of that id."""
    image, category = str(item.get("image_id")), str(item.get("category_id"))
    if image not in pictures:
        raise Broken(f"there is no image {item.get('image_id')!r}")
    if category not in categories:
        raise Broken(f"there is no category {item.get('category_id')!r}")
    return image, category


def _united(shapes: list[Segments], size: tuple[int, int] | None) -> Boxes | Segments:
    polygons = tuple(one for shape in shapes for one in shape.polygons)
    runs = tuple(one for shape in shapes for one in shape.runs)
    boxes = tuple(one for shape in shapes for one in shape.boxes)
    return Segments(polygons, runs, size, boxes) if polygons or runs else Boxes(boxes, size)


DATASETS = (
    DataSetInfo(
        "coco",
        "COCO objects",
        "outlines",
        "cocodataset.org, CC BY 4.0; images: Flickr's terms",
        open_coco,
        LAYOUT,
    ),
    DataSetInfo(
        "coco-captions",
        "COCO captions",
        "none",
        "cocodataset.org, CC BY 4.0; images: Flickr's terms",
        open_coco_captions,
        LAYOUT,
    ),
)
