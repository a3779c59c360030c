"""Banks on disk: a ``.npy`` file (V, P) of unit rows, read through a memory map, and a ``.json`` beside it.

The ``.json`` is written last: what has no such record is not whole and is made again. Rows are written as bytes, not
through a map: a full disk then refuses them, where a map would end the process.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np


def keep(place: Path, shape: tuple[int, int], rows: Iterable[np.ndarray], facts: Callable[[], dict[str, Any]]) -> None:
    """Write a bank to ``place`` (``.npy``), whole or not at all; ``facts`` is asked when all rows have come.

    Raises
    ------
    OSError : the disk refuses, or is full; nothing is left behind.
    """
    scratch = place.with_name(f".{uuid4().hex}.npy")
    record = scratch.with_suffix(".json")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
            for some in rows:
                stream.write(np.ascontiguousarray(some, "<f4").data)
            stream.flush()
            os.fsync(stream.fileno())
        record.write_text(json.dumps(facts()), encoding="utf-8")
        os.replace(scratch, place)
        os.replace(record, place.with_suffix(".json"))
    finally:
        for file in (scratch, record):
            with suppress(OSError):
                file.unlink(missing_ok=True)


def kept(place: Path, length: int) -> tuple[np.ndarray, dict[str, Any]] | None:
    """A bank of ``length`` rows, mapped, and its facts; None where there is no whole one."""
    try:
        facts: dict[str, Any] = json.loads(place.with_suffix(".json").read_text(encoding="utf-8"))
        unit = np.load(place, mmap_mode="r", allow_pickle=False)
        if unit.shape[0] != length or unit.dtype != np.float32:
            return None
        with suppress(OSError):  # a folder that cannot be written serves as well
            os.utime(place)
        return unit, {"truncated": int(facts["truncated"]), "example": str(facts["example"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def tidy(newest: Path, most_bytes: int) -> None:
    """Delete the banks that were unused for longest, until all take ``most_bytes``; ``newest`` stays in any case."""
    files = sorted(newest.parent.glob("*.npy"), key=lambda file: file.stat().st_mtime, reverse=True)
    total = 0
    for file in files:
        total += file.stat().st_size
        if total > most_bytes and file != newest:
            file.with_suffix(".json").unlink(missing_ok=True)
            file.unlink(missing_ok=True)
