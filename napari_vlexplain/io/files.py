"""Files and folders that appear whole or not at all, under names that every file system takes."""

from __future__ import annotations

import os
import re
import shutil
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from ..errors import VLExplainError


def replace_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make ``folder`` hold what ``fill`` writes; what was there before stays until that is complete.

    ``fill`` gets an empty folder beside it. Whatever it or the file system raises, the interrupt key included,
    ``folder`` is as it was and nothing else is left.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.parent / f".vlexplain-{uuid4().hex[:12]}.partial"
    old = fresh.with_suffix(".old")
    fresh.mkdir()
    try:
        fill(fresh)
        if folder.exists():
            folder.rename(old)
        try:
            fresh.rename(folder)
        except BaseException:
            if old.exists():
                old.rename(folder)
            raise
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def replace_file(file: Path, content: bytes) -> None:
    """Make ``file`` hold ``content``, on the disk and whole; whatever happens, it holds the old or the new.

    Raises OSError, and then the file is as it was and nothing else is left.
    """
    fresh = file.parent / f".vlexplain-{uuid4().hex[:12]}.partial"
    try:
        with fresh.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(fresh, file)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around what is written to a file or folder; VLExplainError where the disk refuses."""
    try:
        yield
    except OSError as error:
        raise VLExplainError(f"{path} cannot be written: {error.strerror or error}.") from None


_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)")


def slug(text: str, longest: int = 60) -> str:
    """A name that any file system takes: lower-case ASCII letters, digits and hyphens; never empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    found = re.sub(r"[^a-z0-9]+", "-", plain.lower())[:longest].strip("-")
    return f"{found}-" if _RESERVED.fullmatch(found) else found or "unnamed"


def unique_slugs(texts: list[str]) -> list[str]:
    """A slug for each text, no two alike."""
    found: list[str] = []
    for text in texts:
        base, number = slug(text), 1
        name = base
        while name in found:
            number += 1
            name = f"{base}-{number}"
        found.append(name)
    return found
