"""A folder of rows: part files that only grow, one for each start, and a page on what was asked.

    benchmark.json     what was asked, of whom, and what each start was
    rows-0001.jsonl    a figure a line
    maps-0001.jsonl    a heatmap a line, at patch resolution: what the gallery and the dock draw from

A line counts once it ends. A process that is killed leaves at most half a line, which readers pass over; a disk that is
full leaves none, because what was begun is taken back.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import VLExplainError
from .rows import FAILED, Row

SYNC_SECONDS = 5.0
_PART = re.compile(r"(rows|maps)-(\d+)\.jsonl")


class Store:
    """The folder, opened for appending. One store writes its own parts; several may write into one folder.

    Raises VLExplainError when the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._rows, self._maps = _new_parts(folder)
        except OSError as error:
            raise VLExplainError(f"The folder {folder} cannot be written ({error.strerror}); name another.") from None
        self._synced = time.monotonic()
        self.written = 0

    def append(self, rows: Iterable[Row], maps: Iterable[dict[str, Any]] = ()) -> None:
        """Keep the rows of one piece of work, and its maps before them.

        Raises
        ------
        VLExplainError : the disk is full or gone; everything kept before stays.
        """
        kept = list(rows)
        self._write(self._maps, "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in maps))
        self._write(self._rows, "".join(row.line() for row in kept))
        self.written += len(kept)
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self._sync()

    def close(self) -> None:
        """Bring everything to the disk, and take away parts that nothing was written to."""
        with suppress(OSError):
            self._sync()
        for stream in (self._rows, self._maps):
            empty = stream.tell() == 0
            stream.close()
            if empty:
                Path(stream.name).unlink(missing_ok=True)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _write(self, stream: BinaryIO, text: str) -> None:
        start, data = stream.tell(), memoryview(text.encode())
        try:
            while data:
                data = data[stream.write(data) :]
        except OSError as error:
            with suppress(OSError):
                stream.truncate(start)
                stream.seek(start)
            raise VLExplainError(
                f"{Path(stream.name).name} cannot grow ({error.strerror}): make room on the disk of {self.folder} and "
                "start again; what was finished is kept."
            ) from None

    def _sync(self) -> None:
        for stream in (self._maps, self._rows):
            os.fsync(stream.fileno())
        self._synced = time.monotonic()


def read_rows(folder: Path, broken: list[str] | None = None) -> Iterator[Row]:
    """All rows of a folder, each key once: the latest that did not fail, in the order of the parts.

    Lines that are no rows are passed over, and named in ``broken`` unless they are the end of a part that was torn.
    """
    for record in read_records(folder, "rows", broken):
        try:
            yield Row.of(record)
        except (KeyError, TypeError):
            if broken is not None:
                broken.append(f"a line of {folder.name} is no row")


def read_records(folder: Path, kind: str, broken: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """The lines of ``rows`` or ``maps`` as they were written, the better of two with one key."""
    found: dict[str, dict[str, Any]] = {}
    for record in iterate_records(folder, kind, broken):
        key = record["key"]
        if key not in found or str(found[key].get("reason", "")).startswith(FAILED):
            found[key] = record
    yield from found.values()


def iterate_records(folder: Path, kind: str, broken: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """All lines, one after the other, a key perhaps more than once; nothing is held."""
    for part in parts(folder, kind):
        with part.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    record = json.loads(line)
                    record["key"]
                except (ValueError, KeyError, TypeError, RecursionError):
                    if line.endswith(b"\n") and broken is not None:
                        broken.append(f"line {number} of {part.name} is broken")
                    continue
                yield record


def finished(folder: Path, retry: bool = False) -> set[str]:
    """Keys that need not be computed again; with ``retry`` rows that failed are not among them."""
    return {
        record["key"]
        for record in iterate_records(folder, "rows")
        if not (retry and str(record.get("reason", "")).startswith(FAILED))
    }


def parts(folder: Path, kind: str) -> list[Path]:
    """The part files of a kind, the oldest first."""
    named = ((match, path) for path in folder.glob(f"{kind}-*.jsonl") if (match := _PART.fullmatch(path.name)))
    return [path for _, path in sorted((int(match[2]), path) for match, path in named)]


def read_header(folder: Path) -> dict[str, Any]:
    """``benchmark.json``; empty where there is none. Raises VLExplainError when it is broken."""
    try:
        found = json.loads((folder / "benchmark.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise VLExplainError(f"{folder / 'benchmark.json'} cannot be read ({error}).") from None
    return found if isinstance(found, dict) else {}


def write_header(folder: Path, header: dict[str, Any]) -> None:
    """Replace ``benchmark.json`` as a whole. Raises VLExplainError when that fails; the old one then stays."""
    fresh = folder / f".benchmark-{os.getpid()}.json"
    try:
        fresh.write_text(json.dumps(header, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        fresh.replace(folder / "benchmark.json")
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise VLExplainError(f"{folder} cannot be written ({error.strerror}); make room or name another.") from None


def _new_parts(folder: Path) -> tuple[BinaryIO, BinaryIO]:
    number = max((int(match[2]) for p in folder.iterdir() if (match := _PART.fullmatch(p.name))), default=0)
    while True:
        number += 1
        try:
            rows = (folder / f"rows-{number:04d}.jsonl").open("xb", buffering=0)
            return rows, (folder / f"maps-{number:04d}.jsonl").open("xb", buffering=0)
        except FileExistsError:
            continue
