"""Folders that appear whole or not at all."""

from __future__ import annotations

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
