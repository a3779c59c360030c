"""Are the ground truths those that a folder's rows were measured against?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from ..datasets.dataset import DataSet, digest
from ..errors import VLExplainError
from ..truth.described import AnnotationFile, Boxes, MaskFile, Truth

LENGTH = 12


def fingerprints(data: DataSet) -> dict[str, str]:
    """Case -> a short hash of what its ground truths say, files by what they hold and not by where they lie."""
    content = cache(_content)
    return {
        entry.id: digest("\n".join(_said(truth, content) for truth in entry.truths), LENGTH)
        for entry in data.entries
        if entry.truths
    }


def refuse_other_truths(before: dict[str, str], now: dict[str, str], folder: Path) -> None:
    """Raises VLExplainError where a case of both has another ground truth than its rows were measured against."""
    changed = [case for case, found in now.items() if before.get(case, found) != found]
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise VLExplainError(
            f"The ground truth of {changed[0]}{more} changed since {folder} was begun: give the new ones a folder of "
            f"their own, such as --out {folder / 'second'}."
        )


def _said(truth: Truth, content: Callable[[Path], str]) -> str:
    if isinstance(truth, MaskFile | AnnotationFile):
        return f"{replace(truth, path=Path(truth.path.name))!r} {content(truth.path)}"
    return repr(replace(truth, doubt="") if isinstance(truth, Boxes) else truth)


def _content(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""
