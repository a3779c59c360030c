"""Reading what others wrote: tables whose rows may be broken, and paths that must stay inside their folder."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ..errors import VLExplainError
from ..truth.described import Box
from .dataset import Problem

MOST_BYTES = 4 << 30
csv.field_size_limit(1 << 20)


class Broken(Exception):
    """A row that cannot be used, in one sentence; whoever reads the file reports it with its line."""


class Missing(Broken):
    """All is well with the row, but its image is not there; ``path`` is where it was expected."""

    def __init__(self, what: str, path: Path) -> None:
        super().__init__(what)
        self.path = path


def folder(root: str | Path | None, layout: str) -> Path:
    """The root as a folder that exists, links resolved.

    Raises VLExplainError that shows the layout otherwise.
    """
    if root is None:
        raise VLExplainError(f"This data set lies in a folder of yours; name it. Expected there: {layout}")
    found = Path(root).expanduser()
    if not found.is_dir():
        raise VLExplainError(f"There is no folder {str(root)!r}. Expected there: {layout}")
    return found.resolve()


def inside(root: Path, relative: str) -> Path:
    """A path from a table, below ``root``; links are followed and have to end there too.

    Raises Broken for absolute paths, drives, ``..`` and links that lead out.
    """
    text = relative.strip()
    if not text or "\0" in text:
        raise Broken("the path is empty or holds a null character")
    windows, posix = PureWindowsPath(text), PurePosixPath(text.replace("\\", "/"))
    if windows.drive or windows.root or posix.is_absolute() or text.startswith("~") or ".." in posix.parts:
        raise Broken(f"the path {text!r} leads out of the data set's folder")
    found = Path(os.path.realpath(root / posix))
    if not found.is_relative_to(os.path.realpath(root)):
        raise Broken(f"the path {text!r} is a link that leads out of the data set's folder")
    return found


def existing(root: Path, *candidates: str) -> Path:
    """The first of the candidates that is a file; Missing names the first if none is."""
    for relative in candidates:
        path = inside(root, relative)
        if path.is_file():
            return path
    raise Missing(f"there is no image {candidates[0]!r}", inside(root, candidates[0]))


def csv_rows(
    file: Path, columns: Sequence[str], problems: list[Problem], delimiter: str | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a table with a header, with their lines; rows that are too short are problems.

    Raises VLExplainError when it cannot be read or lacks one of the columns.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            reader = csv.reader(stream, delimiter=delimiter or _delimiter(first))
            header = [name.strip() for name in next(reader, [])]
            missing = [name for name in columns if name not in header]
            if missing:
                raise VLExplainError(f"{file.name} lacks the column {missing[0]!r}; it has {', '.join(header)}.")
            while True:
                try:
                    cells = next(reader, None)
                except csv.Error as error:
                    problems.append(Problem(file.name, reader.line_num, f"the row cannot be read ({error})."))
                    continue
                if cells is None:
                    return
                if not cells:
                    continue
                if len(cells) < len(header):
                    problems.append(Problem(file.name, reader.line_num, f"{len(cells)} cells, not {len(header)}."))
                    continue
                yield reader.line_num, dict(zip(header, cells, strict=False))
    except (OSError, UnicodeDecodeError) as error:
        raise VLExplainError(f"{file.name} cannot be read as a table in UTF-8 ({_why(error)}).") from None


def read_json(file: Path) -> Any:
    """A JSON document; raises VLExplainError when it is none or too large."""
    try:
        if file.stat().st_size > MOST_BYTES:
            raise VLExplainError(f"{file.name} is larger than {MOST_BYTES >> 30} GB; that is no list of cases.")
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, VLExplainError):
            raise
        raise VLExplainError(f"{file.name} cannot be read as JSON ({_why(error)}).") from None


def listed(document: Any, key: str, file: Path) -> list[dict[str, Any]]:
    """The list of objects under ``key``; raises VLExplainError when there is none."""
    found = document.get(key) if isinstance(document, dict) else None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise VLExplainError(f"{file.name} has no list {key!r} of objects.")
    return found


def text_of(row: dict[str, Any], key: str) -> str:
    """A cell that must say something; Broken otherwise."""
    value = row.get(key)
    if not isinstance(value, str | int) or not str(value).strip():
        raise Broken(f"{key} is empty")
    return str(value).strip()


def box_of(values: Sequence[Any]) -> Box:
    """x, y, width, height as numbers; Broken when they are not, or the box has no area."""
    try:
        x, y, width, height = (float(value) for value in values)
    except (TypeError, ValueError):
        raise Broken(f"the box {list(values)!r} is not four numbers") from None
    if not all(math.isfinite(value) for value in (x, y, width, height)):
        raise Broken(f"the box {list(values)!r} is not finite")
    if width <= 0 or height <= 0:
        raise Broken(f"the box {list(values)!r} has no area")
    return x, y, width, height


def box_of_corners(values: Sequence[Any]) -> Box:
    """The same of x0, y0, x1, y1."""
    left, top, right, bottom = box_of(values) if len(values) == 4 else box_of([])
    return box_of((left, top, right - left, bottom - top))


def check_within(box: Box, size: tuple[int, int] | None) -> None:
    """Broken for a box that lies wholly outside an image of (width, height)."""
    if size is None:
        return
    x, y, width, height = box
    if x >= size[0] or y >= size[1] or x + width <= 0 or y + height <= 0:
        raise Broken(f"the box {[x, y, width, height]} lies outside the image of {size[0]} x {size[1]} pixels")


def size_of(width: Any, height: Any) -> tuple[int, int] | None:
    """(width, height) where both are positive numbers; None where they are not given; Broken otherwise."""
    if width in (None, "") and height in (None, ""):
        return None
    try:
        found = int(float(width)), int(float(height))
    except (TypeError, ValueError, OverflowError):
        raise Broken(f"the image size {width!r} x {height!r} is no size") from None
    if min(found) < 1:
        raise Broken(f"the image size {width!r} x {height!r} is no size")
    return found


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:120]
