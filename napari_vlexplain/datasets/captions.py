"""Images with captions and no ground truth: Conceptual Captions, ROCO, RSICD."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from ..errors import VLExplainError
from .dataset import DataSet, Entry, Problem, unique
from .info import DataSetInfo
from .tables import Broken, csv_rows, existing, folder, inside, listed, read_json, text_of

CC_LAYOUT = (
    "Validation_GCC-1.1.0-Validation.tsv (caption, address, and the image's path as a third column if you like), \
and images/0.jpg, named by the row's number from 0"
)
ROCO_LAYOUT = "data/test/radiology/captions.txt and images/ROCO_00001.jpg; or ROCOv2's test_captions.csv and test/"
RSICD_LAYOUT = "dataset_rsicd.json and RSICD_images/airport_1.jpg"
_SUFFIXES = (".jpg", ".png", ".jpeg", ".webp")


def open_conceptual_captions(
    root: str | Path | None, split: str | None = None, images: str | Path | None = None
) -> DataSet:
    """Conceptual Captions (Sharma et al. 2018): a tsv of caption and address, images as you fetched them.

    ``split`` picks the tsv by a word of its name (Validation, training). Rows without an image on this machine are
    problems. Raises VLExplainError for a folder without a tsv.
    """
    base = folder(root, CC_LAYOUT)
    places = folder(images, CC_LAYOUT) if images is not None else base
    tables = sorted(path for path in base.glob("*.tsv") if (split or "").lower() in path.name.lower())
    if not tables:
        raise VLExplainError(f"{base} holds no such tsv. Expected there: {CC_LAYOUT}")
    table = next((path for path in tables if "valid" in path.name.lower()), tables[0])
    problems: list[Problem] = []

    def entries() -> Iterator[Entry]:
        with table.open(encoding="utf-8", errors="replace", newline="") as stream:
            for line, cells in enumerate(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE), start=1):
                try:
                    if len(cells) < 2 or not cells[0].strip():
                        raise Broken("a row is a caption, a tab and an address")
                    number = line - 1
                    named = cells[2:3] or [f"{folder}{number}{s}" for folder in ("images/", "") for s in _SUFFIXES]
                    yield Entry(f"{table.stem}-{number}", existing(places, *named), (cells[0].strip(),))
                except Broken as error:
                    problems.append(Problem(table.name, line, f"{error}."))

    found = unique(entries(), problems, table.name)
    facts = {"table": table.name}
    return DataSet("conceptual-captions", "Conceptual Captions", found, tuple(problems), (), facts)


def open_roco(root: str | Path | None, split: str | None = None, images: str | Path | None = None) -> DataSet:
    """ROCO (Pelka et al. 2018) and ROCOv2 (Rückert et al. 2024): radiology images and their captions.

    ``split`` is train, validation, valid or test (the default). Raises VLExplainError for another layout.
    """
    base = folder(root, ROCO_LAYOUT)
    part = split or "test"
    problems: list[Problem] = []
    first = [base / sub / part / "radiology" for sub in ("data", ".")]
    second = [base / f"{part}_captions.csv", base / f"{part}.csv"]
    if place := next((path for path in first if (path / "captions.txt").is_file()), None):
        table, rows = place / "captions.txt", _tabbed(place / "captions.txt", problems)
        pictures = folder(images, ROCO_LAYOUT) if images is not None else place
    elif table := next((path for path in second if path.is_file()), None):  # type: ignore[assignment]
        rows = _columns(table, problems)
        pictures = folder(images, ROCO_LAYOUT) if images is not None else base
    else:
        raise VLExplainError(f"{base} holds no ROCO captions of {part!r}. Expected there: {ROCO_LAYOUT}")

    def entries() -> Iterator[Entry]:
        for line, name, caption in rows:
            try:
                stem = name.rsplit(".", 1)[0] if name.lower().endswith(_SUFFIXES) else name
                named = [f"{sub}{stem}{s}" for sub in ("images/", f"{part}/", f"{part}_images/", "") for s in _SUFFIXES]
                yield Entry(stem, existing(pictures, *named), (caption,))
            except Broken as error:
                problems.append(Problem(table.name, line, f"{error}."))

    found = unique(entries(), problems, table.name)
    return DataSet("roco", "ROCO", found, tuple(problems), (), {"table": table.name, "split": part})


def open_rsicd(root: str | Path | None, split: str | None = None, images: str | Path | None = None) -> DataSet:
    """RSICD (Lu et al. 2017): aerial images with five sentences each; ``split`` is train, val or test (the default)."""
    base = folder(root, RSICD_LAYOUT)
    table = base / "dataset_rsicd.json"
    if not table.is_file():
        raise VLExplainError(f"There is no {table}. Expected: {RSICD_LAYOUT}")
    places = folder(images, RSICD_LAYOUT) if images is not None else base
    part = split or "test"
    problems: list[Problem] = []

    def entries() -> Iterator[Entry]:
        for number, item in enumerate(listed(read_json(table), "images", table), start=1):
            if str(item.get("split")) != part:
                continue
            try:
                name = text_of(item, "filename")
                inside(places, name)
                sentences = [s for s in item.get("sentences") or [] if isinstance(s, dict)]
                texts = dict.fromkeys(text_of(sentence, "raw") for sentence in sentences)
                if not texts:
                    raise Broken("it has no sentence")
                path = existing(places, f"RSICD_images/{name}", f"images/{name}", name)
                scene = name.rsplit("_", 1)[0] if "_" in name else ""
                yield Entry(name, path, tuple(texts), category=scene)
            except Broken as error:
                problems.append(Problem(table.name, None, f"image {number}: {error}."))

    found = unique(entries(), problems, table.name)
    return DataSet("rsicd", "RSICD", found, tuple(problems), (), {"table": table.name, "split": part})


def _tabbed(table: Path, problems: list[Problem]) -> list[tuple[int, str, str]]:
    """``ROCO_00001<tab>caption`` a line."""
    found = []
    for line, text in enumerate(table.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        name, tab, caption = text.partition("\t")
        if not text.strip():
            continue
        if not tab or not name.strip() or not caption.strip():
            problems.append(Problem(table.name, line, "a row is a name, a tab and a caption."))
            continue
        found.append((line, name.strip(), caption.strip()))
    return found


def _columns(table: Path, problems: list[Problem]) -> list[tuple[int, str, str]]:
    """ROCOv2's ``ID,Caption``."""
    found = []
    for line, row in csv_rows(table, ("ID", "Caption"), problems):
        try:
            found.append((line, text_of(row, "ID"), text_of(row, "Caption")))
        except Broken as error:
            problems.append(Problem(table.name, line, f"{error}."))
    return found


DATASETS = (
    DataSetInfo(
        "conceptual-captions",
        "Conceptual Captions",
        "none",
        "Google; images: their owners'",
        open_conceptual_captions,
        CC_LAYOUT,
    ),
    DataSetInfo(
        "roco",
        "ROCO and ROCOv2: radiology captions",
        "none",
        "CC BY and others, per image",
        open_roco,
        ROCO_LAYOUT,
    ),
    DataSetInfo(
        "rsicd",
        "RSICD: aerial images",
        "none",
        "for research",
        open_rsicd,
        RSICD_LAYOUT,
    ),
)
