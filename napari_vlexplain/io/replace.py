"""Folders and files that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4


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
