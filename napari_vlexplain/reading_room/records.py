"""What is known of one prompt of one case: what the journal keeps, and what an export writes."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..results.explanation import Explanation
from .labelled import Mask

Verdict = Literal["", "agree", "partly", "disagree", "flag"]
VERDICTS: tuple[Verdict, ...] = ("", "agree", "partly", "disagree", "flag")


MapSeen = Literal["none", "hidden", "visible"]


@dataclass(frozen=True)
class Seen:
    """What was in view when something was said.

    image_sha256: of the picture's shape, dtype and pixels, as in requests; "" where it could not be read.
    frame: of a file of several, from 0. window: (low, high), the values shown black and white; None for colours.
    map: was one there, and was it shown? request: its key. weights_sha256: its model's. threshold: where it was cut.
    others: visible layers that were no part of the case.
    """

    image_sha256: str = ""
    frame: int | None = None
    window: tuple[float, float] | None = None
    map: MapSeen = "none"
    request: str = ""
    weights_sha256: str = ""
    threshold: float | None = None
    others: int = 0


def seen_from(data: Any) -> Seen | None:
    """As it was written down, None where it was not; ValueError, TypeError or KeyError for what is none of ours."""
    if data is None:
        return None
    found = {one.name: data[one.name] for one in fields(Seen)}
    if found["window"] is not None:
        low, high = found["window"]
        found["window"] = float(low), float(high)
    if found["threshold"] is not None:
        found["threshold"] = float(found["threshold"])
    numbers = (*(found["window"] or ()), found["threshold"] or 0.0)
    counts = (found["frame"] or 0, found["others"])
    texts = (found["image_sha256"], found["request"], found["weights_sha256"])
    if not (
        all(map(math.isfinite, numbers))
        and all(type(count) is int and count >= 0 for count in counts)
        and all(isinstance(text, str) for text in texts)
        and found["map"] in get_args(MapSeen)
    ):
        raise ValueError("seen")
    return Seen(**found)


@dataclass(frozen=True)
class Judgement:
    """What a reader says of one prompt of one case.

    verdict: "" is none yet. confidence: 1 (a guess) to 5 (certain), 0 not said.
    time: ISO 8601 in UTC, of the last change.
    seen: what was in view at the verdict, or, before there was one, when something was said last; None in journals
        from before this was kept.
    """

    case: str
    prompt: str
    reader: str = ""
    verdict: Verdict = ""
    confidence: int = 0
    comment: str = ""
    time: str = ""
    seen: Seen | None = None


def judgement_from(data: Any) -> Judgement:
    """As it was written down; ValueError, TypeError, KeyError or AttributeError for what is none of ours."""
    one = Judgement(
        **{f.name: data[f.name] for f in fields(Judgement) if f.name != "seen"}, seen=seen_from(data.get("seen"))
    )
    texts = (one.case, one.prompt, one.reader, one.comment, one.time)
    known = one.verdict in VERDICTS and type(one.confidence) is int and 0 <= one.confidence <= 5
    if not known or not all(isinstance(text, str) for text in texts):
        raise ValueError("judgement")
    return one


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
