"""Your own: a folder of images with ``prompts.csv``, and masks or boxes where you have them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ..errors import VLExplainError
from ..truth.annotated import is_annotation, looks_annotated
from ..truth.note import Note
from .dataset import AnnotationFile, Boxes, DataSet, Entry, MaskFile, Problem, Truth
from .info import DataSetInfo
from .looking_over import looked_over
from .tables import Broken, Missing, box_of, box_of_corners, csv_rows, existing, folder, inside, text_of

LAYOUT = "prompts.csv with the columns image, prompt and, if you like, mask, label, boxes, category, group; images/, \
masks/"


def open_folder(root: str | Path | None, split: str | None = None, images: str | Path | None = None) -> DataSet:
    """A case is a row of ``prompts.csv``.

    ``image`` and ``mask`` are paths below the folder or below ``images/`` and ``masks/``; ``label`` is the number of a
    mask that counts; ``boxes`` is ``x y w h; x y w h`` in pixels, ``corners`` ``x0 y0 x1 y1; ...``; ``group`` names the
    patient; ``split`` is a column too, if there is one. A mask may be a file of annotations. One of the image's own
    path below ``masks/``, ``annotations/``, ``labels/`` or beside the image counts without being named. Raises
    VLExplainError for another layout.
    """
    base = folder(root, LAYOUT)
    table = base / "prompts.csv"
    if not table.is_file():
        raise VLExplainError(f"There is no {table}. Expected: {LAYOUT}")
    places = folder(images, LAYOUT) if images is not None else base
    problems: list[Problem] = []
    missing: list[Entry] = []
    seen: dict[str, int] = {}

    def entries() -> Iterator[Entry]:
        for line, row in csv_rows(table, ("image", "prompt"), problems):
            if split is not None and row.get("split", "").strip() != split:
                continue
            try:
                name, prompt = text_of(row, "image"), text_of(row, "prompt")
                inside(places, name)
                truth = _truth(base, row, name, prompt)
                unused = "" if truth is not None else _unused(base, name)
                key = f"{name}/{prompt}"
                seen[key] = seen.get(key, 0) + 1
                if unused:
                    problems.append(Problem(table.name, line, unused, skipped=False))
                number = "" if seen[key] == 1 else f" ({seen[key]})"
                entry = Entry(
                    f"{key}{number}", places / name, (prompt,), () if truth is None else (truth,),
                    row.get("category", "").strip(), row.get("group", "").strip() or name,
                    notes=(Note(unused, "unused"),) if unused else (),
                )  # fmt: skip
                try:
                    yield replace(entry, image=existing(places, name, f"images/{name}"))
                except Missing as error:
                    missing.append(replace(entry, image=error.path))
                    raise
            except Broken as error:
                problems.append(Problem(table.name, line, f"{error}."))

    found = tuple(entries())
    facts = {"table": table.name}
    return looked_over(DataSet("folder", base.name, found, tuple(problems), (), facts, missing=tuple(missing)))


def _truth(base: Path, row: dict[str, str], image: str, prompt: str) -> Truth | None:
    """What the row names, else what lies where it is looked for; None where there is neither."""
    label = _label(row.get("label", "").strip())
    if row.get("mask", "").strip():
        name = row["mask"].strip()
        return _file(existing(base, name, f"masks/{name}"), prompt, image, label)
    for column in ("boxes", "corners"):
        if row.get(column, "").strip():
            numbers = (part.replace(",", " ").split() for part in row[column].split(";") if part.strip())
            return Boxes(tuple(box_of(four) if column == "boxes" else box_of_corners(four) for four in numbers))
    found = _beside(base, image)
    return None if found is None else _file(found, prompt, image, label)


def _file(path: Path, prompt: str, image: str, label: int | None) -> Truth:
    if is_annotation(path):
        return AnnotationFile(path, prompt, image)
    return MaskFile(path) if label is None else MaskFile(path, "label", label)


def _label(text: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal():
        raise Broken(f"the label is {text!r}, but it must be a number in the mask")
    return int(text)


def _beside(base: Path, image: str) -> Path | None:
    """A mask or a file of annotations of the image's own path, in the folders where tools put them."""
    place = PurePosixPath(image.replace("\\", "/"))
    own = place.relative_to("images") if place.parts[0] == "images" else place
    stem = str(own.with_suffix(""))
    masks = [f"masks/{stem}{suffix}" for suffix in (".png", ".tif", ".tiff", ".jpg")]
    folders = ("", "images/", "annotations/", "labels/")
    others = [f"{folder}{stem}{suffix}" for folder in folders for suffix in (".json", ".xml", ".txt")]
    for relative in (*masks, *others):
        path = inside(base, relative)
        if path.is_file() and (relative in masks or looks_annotated(path)):
            return path
    return None


def _unused(base: Path, image: str) -> str:
    """A sentence on a mask of the image's bare name, which may belong to an image in another folder; else ""."""
    place = PurePosixPath(image.replace("\\", "/"))
    own = place.relative_to("images") if place.parts[0] == "images" else place
    if len(own.parts) == 1:
        return ""
    for suffix in (".png", ".tif", ".tiff", ".jpg"):
        if (base / "masks" / f"{own.stem}{suffix}").is_file():
            return (
                f"masks/{own.stem}{suffix} has the name of {image} but not its folder, so it may belong to another "
                f"image and is not used; if it is this one's, put it at masks/{own.with_suffix(suffix)}."
            )
    return ""


DATASETS = (
    DataSetInfo(
        "folder",
        "A folder of yours",
        "masks or boxes, if any",
        "yours",
        open_folder,
        LAYOUT,
    ),
)
