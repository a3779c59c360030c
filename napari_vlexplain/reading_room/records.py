"""What is known of one prompt of one case: what the journal keeps, and what an export writes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..explanation import Explanation
from .labelled import Mask

Verdict = Literal["", "agree", "partly", "disagree", "flag"]
VERDICTS: tuple[Verdict, ...] = ("", "agree", "partly", "disagree", "flag")


@dataclass(frozen=True)
class Judgement:
    """What a reader says of one prompt of one case.

    verdict: "" is none yet. confidence: 1 (a guess) to 5 (certain), 0 not said.
    time: ISO 8601 in UTC, of the last change.
    """

    case: str
    prompt: str
    reader: str = ""
    verdict: Verdict = ""
    confidence: int = 0
    comment: str = ""
    time: str = ""


@dataclass(frozen=True, eq=False)
class CaseRecord:
    """One prompt of one case, complete; of a case without a picture what was said alone.

    image : (H, W) or (H, W, 3), the source pixels as read.
    source : the file it came from, None for a drawn one.
    limits : (low, high) of the pixels as shown, black and white; None for the whole range.
    explanation : of this prompt; None before one was computed. threshold : in [0, 1] on its heatmap.
    masks : by their role: "truth" (the data set's), "model" (the thresholded heatmap), "reader" (drawn or corrected by
        the reader); roles that do not exist are left out. Each (H, W), bool, or uint8 labels such as left and right,
        see :mod:`~napari_vlexplain.reading_room.labelled`.
    spacing : (row, column) in mm, None where unknown.
    frame : of a DICOM file of several, from 0; None for all others.
    notes : what must be told of the ground truth wherever its figures are, a sentence each.
    doubt : why no figure may count the ground truth, "" where figures may; the mask "truth" is there all the same.
    ignored : (H, W) bool, pixels that no figure of the ground truth counts; None for none.
    truth_files : what the ground truth was read from, where that is files; sentences may name them.
    problem : why the picture cannot be read, "" where it can; then ``image`` is empty, and so is whatever needs one.
    """

    case: str
    prompt: str
    image: NDArray[Any] = field(repr=False)
    source: Path | None = None
    category: str = ""
    group: str = ""
    limits: tuple[float, float] | None = None
    spacing: tuple[float, float] | None = None
    explanation: Explanation | None = None
    threshold: float | None = None
    masks: dict[str, Mask] = field(default_factory=dict, repr=False)
    judgement: Judgement | None = None
    frame: int | None = None
    problem: str = ""
    notes: tuple[str, ...] = ()
    doubt: str = ""
    ignored: Mask | None = field(default=None, repr=False)
    truth_files: tuple[Path, ...] = ()


def without_folder(text: str, file: Path) -> str:
    """A sentence about a file, without where it lies: folders are often named after patients."""
    folder = f"{file.parent}{os.sep}"
    return text.replace(folder, "").replace(repr(folder)[1:-1], "")


NO_PICTURE: NDArray[Any] = np.zeros((0, 0), np.uint8)
"""The image of a case that has none."""
