"""Your own: a folder of images with ``prompts.csv``, and masks or boxes where you have them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ..errors import VLExplainError
from .dataset import Boxes, DataSet, Entry, MaskFile, Problem, Truth
from .tables import Broken, Missing, box_of, csv_rows, existing, folder, inside, text_of

LAYOUT = "prompts.csv with the columns image, prompt and, if you like, mask, boxes, category, group; images/ and masks/"


def open_folder(root: str | Path | None, split: str | None = None, images: str | Path | None = None) -> DataSet:
    """A case is a row of ``prompts.csv``.

    ``image`` and ``mask`` are paths below the folder or below ``images/`` and ``masks/``; ``boxes`` is
    ``x y w h; x y w h`` in pixels; ``group`` names the patient; ``split`` is a column too, if there is one. A mask of
    the image's own name in ``masks/`` counts without being named. Raises VLExplainError for another layout.
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
                truth = _truth(base, row, name)
                key = f"{name}/{prompt}"
                seen[key] = seen.get(key, 0) + 1
                number = "" if seen[key] == 1 else f" ({seen[key]})"
                entry = Entry(
                    f"{key}{number}", places / name, (prompt,), () if truth is None else (truth,),
                    row.get("category", "").strip(), row.get("group", "").strip() or name,
                )  # fmt: skip
                try:
                    yield replace(entry, image=existing(places, name, f"images/{name}"))
                except Missing as error:
                    missing.append(replace(entry, image=error.path))
                    raise
            except Broken as error:
                problems.append(Problem(table.name, line, f"{error}."))

    found = tuple(entries())
    return DataSet("folder", base.name, found, tuple(problems), (), {"table": table.name}, missing=tuple(missing))


def _truth(base: Path, row: dict[str, str], image: str) -> Truth | None:
    if row.get("mask", "").strip():
        name = row["mask"].strip()
        return MaskFile(existing(base, name, f"masks/{name}"))
    if row.get("boxes", "").strip():
        return Boxes(tuple(box_of(part.replace(",", " ").split()) for part in row["boxes"].split(";") if part.strip()))
    stem = PurePosixPath(image).stem
    try:
        return MaskFile(existing(base, *(f"masks/{stem}{suffix}" for suffix in (".png", ".tif", ".tiff", ".jpg"))))
    except Broken:
        return None
