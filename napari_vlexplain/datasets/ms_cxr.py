"""MS-CXR: phrases of chest radiographs with boxes (Boecking et al. 2022), releases 1.0.0 and 1.1.0, CSV and JSON.

The images are those of MIMIC-CXR-JPG, or of MIMIC-CXR as DICOM, below the same folder or one given as ``images``.
A case is an image, a category and a phrase; its boxes are united.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import VLExplainError
from ..shipped import RESOURCES
from .dataset import Box, Boxes, DataSet, Entry, Problem, digest, unique
from .info import DataSetInfo
from .looking_over import looked_over, missing_parts
from .tables import (
    Broken,
    Missing,
    box_of,
    check_within,
    csv_rows,
    existing,
    folder,
    listed,
    read_json,
    size_of,
    text_of,
)

PHANTOM_STUDY = RESOURCES / "phantom-study"
LAYOUT = "MS_CXR_Local_Alignment_v1.1.0.csv (or .json), and files/p10/p.../s.../....jpg (or .dcm)"
_NAMED = re.compile(r"MS_CXR_Local_Alignment_v(\d+)\.(\d+)\.(\d+)\.(csv|json)")
_COLUMNS = ("dicom_id", "category_name", "label_text", "path", "x", "y", "w", "h", "image_width", "image_height")
_SUFFIXES = (".jpg", ".dcm", ".png", ".jpeg")


@dataclass(frozen=True)
class _Row:
    """One box; None where the row holds none that can be used, ``problem`` then tells why."""

    line: int | None
    dicom: str
    category: str
    phrase: str
    path: str
    box: Box | None
    size: tuple[int, int] | None
    split: str
    problem: str = ""


def open_ms_cxr(root: str | Path | None, split: str | None = None, images: str | Path | None = None) -> DataSet:
    """Open the newest release in ``root`` (a folder, or its CSV or JSON file); the CSV where both forms are there.

    ``split`` is train, val or test, from release 1.1.0 on. ``images`` is the folder that the paths start from, by
    default ``root``. Raises VLExplainError for a folder without the tables, or a release without splits.
    """
    given = None if root is None else Path(root).expanduser()
    single = given if given is not None and given.is_file() else None
    base = folder(single.parent if single else root, LAYOUT)
    places = folder(images, LAYOUT) if images is not None else base
    table = (base / single.name) if single else _newest(base)
    problems: list[Problem] = []
    if table.suffix.lower() == ".json":
        version, rows = _from_json(table, problems)
    else:
        named = _NAMED.fullmatch(table.name)
        version = ".".join(named.groups()[:3]) if named else "unknown"
        rows = list(_from_csv(table, problems))
    if split is not None:
        if rows and not any(row.split for row in rows):
            raise VLExplainError(f"Release {version} has no splits; leave the split out, or use release 1.1.0.")
        rows = [row for row in rows if row.split == split]
        if not rows:
            raise VLExplainError(f"{table.name} has no case in the split {split!r}; there are train, val and test.")
    missing: list[Entry] = []
    entries = unique(_grouped(rows, places, table.name, problems, missing), problems, table.name)
    facts = {
        "release": version,
        "table": table.name,
        "boxes": str(sum(row.box is not None for row in rows)),
        "split": split or "all",
    }
    return looked_over(DataSet("ms-cxr", "MS-CXR", entries, tuple(problems), (), facts, missing=tuple(missing)))


def _newest(base: Path) -> Path:
    """Highest release; of its two forms the CSV."""
    found = [(match, path) for path in base.iterdir() if (match := _NAMED.fullmatch(path.name))]
    if not found:
        raise VLExplainError(f"{base} holds no MS-CXR. Expected there: {LAYOUT}")
    return max(found, key=lambda item: ([int(x) for x in item[0].groups()[:3]], item[0][4] == "csv"))[1]


def _from_csv(table: Path, problems: list[Problem]) -> Iterator[_Row]:
    for line, row in csv_rows(table, _COLUMNS, problems):
        try:
            dicom, category, phrase, path = (text_of(row, n) for n in _COLUMNS[:4])
        except Broken as error:
            problems.append(Problem(table.name, line, f"{error}."))
            continue
        box, size, problem = _box([row[n] for n in ("x", "y", "w", "h")], row["image_width"], row["image_height"])
        if problem:
            problems.append(Problem(table.name, line, problem))
        yield _Row(line, dicom, category, phrase, path, box, size, row.get("split", "").strip(), problem)


def _box(values: list[Any], width: Any, height: Any) -> tuple[Box | None, tuple[int, int] | None, str]:
    """A box and the size it is on; no box, and why, where it cannot be used."""
    try:
        size = size_of(width, height)
        box = box_of(values)
        check_within(box, size)
    except Broken as error:
        return None, None, f"{error}."
    return box, size, ""


def _from_json(table: Path, problems: list[Problem]) -> tuple[str, list[_Row]]:
    document = read_json(table)
    categories = {str(item.get("id")): item.get("name") for item in listed(document, "categories", table)}
    pictures = {str(item.get("id")): item for item in listed(document, "images", table)}
    info = document.get("info")
    version = str(info.get("version", "unknown")) if isinstance(info, dict) else "unknown"
    rows = []
    for number, item in enumerate(listed(document, "annotations", table), start=1):
        told = f"annotation {item.get('id', number)}"
        try:
            row = _annotation(item, categories, pictures)
        except Broken as error:
            problems.append(Problem(table.name, None, f"{told}: {error}."))
            continue
        if row.problem:
            problems.append(Problem(table.name, None, f"{told}: {row.problem}"))
        rows.append(row)
    return version, rows


def _annotation(item: dict[str, Any], categories: dict[str, Any], pictures: dict[str, dict[str, Any]]) -> _Row:
    picture = pictures.get(str(item.get("image_id")))
    if picture is None:
        raise Broken(f"there is no image {item.get('image_id')!r}")
    category = categories.get(str(item.get("category_id")))
    if not isinstance(category, str):
        raise Broken(f"there is no category {item.get('category_id')!r}")
    values = item.get("bbox")
    given = values if isinstance(values, list) else [values]
    box, size, problem = _box(given, picture.get("width"), picture.get("height"))
    path = text_of(picture, "path")
    dicom = PurePosixPath(text_of(picture, "file_name") if picture.get("file_name") else path).stem
    return _Row(
        None, dicom, category, text_of(item, "label_text"), path, box, size, str(item.get("split") or ""), problem
    )


def _grouped(
    rows: list[_Row], images: Path, table: str, problems: list[Problem], missing: list[Entry]
) -> Iterator[Entry]:
    """Rows of one image, category and phrase as one entry, in the order of their first box."""
    groups: dict[tuple[str, str, str], list[_Row]] = {}
    for row in rows:
        groups.setdefault((row.dicom, row.category, row.phrase), []).append(row)
    for members in groups.values():
        first = members[0]
        if all(row.box is None for row in members):
            continue
        try:
            yield _entry(members, _image(images, first.path, first.dicom))
        except Broken as error:
            problems.extend(Problem(table, row.line, f"{error}.") for row in members)
            if isinstance(error, Missing):
                missing.append(_entry(members, error.path))


def _entry(rows: list[_Row], image: Path) -> Entry:
    boxed = [row for row in rows if row.box is not None]
    first = boxed[0]
    sizes = {row.size for row in boxed}
    doubt = "" if len(sizes) == 1 else "The boxes of this phrase are said to be on pictures of different sizes."
    boxes = Boxes(tuple(row.box for row in boxed if row.box is not None), first.size, doubt)
    return Entry(
        id=f"{first.dicom}/{first.category}/{digest(first.phrase)}",
        image=image,
        prompts=(first.phrase,),
        truths=(boxes,),
        category=first.category,
        group=_patient(first.path) or first.dicom,
        notes=missing_parts(len(rows) - len(boxed), len(rows), "boxes"),
    )


def _image(images: Path, path: str, dicom: str) -> Path:
    """The file at the path, in another format, without the leading ``files``, or by its number alone."""
    stem = str(PurePosixPath(path.strip()).with_suffix(""))
    stems = [stem, stem.removeprefix("files/"), dicom, f"images/{dicom}"]
    return existing(images, path, *(f"{one}{suffix}" for one in stems for suffix in _SUFFIXES))


def _patient(path: str) -> str:
    """MIMIC's paths are files/p10/p10000032/s50414267/....jpg."""
    found = re.search(r"(?:^|/)(p\d{8,})(?:/|$)", path)
    return found[1] if found else ""


DATASETS = (
    DataSetInfo(
        "phantom-study",
        "Phantom study in the layout of MS-CXR",
        "boxes",
        "on board, BSD-3-Clause; drawn, not for clinical use",
        open_ms_cxr,
        LAYOUT,
        root=PHANTOM_STUDY,
    ),
    DataSetInfo(
        "ms-cxr",
        "MS-CXR: phrases of chest radiographs",
        "boxes",
        "PhysioNet, credentialed; images from MIMIC-CXR-JPG or MIMIC-CXR",
        open_ms_cxr,
        LAYOUT,
    ),
)
