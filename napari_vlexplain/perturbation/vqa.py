"""VQA v2 as its official files lie on disk, with LXMERT's soft scores where they are there. No torch here."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..datasets.dataset import Entry
from ..datasets.tables import folder, listed, read_json
from ..datasets.vqa import LAYOUT, open_vqa, soft_score
from ..errors import VLExplainError
from ..io.images import as_rgb, read_image
from ..models.questions.region_files import read_regions
from ..models.questions.regions import Regions
from .cases import QuestionCase

SHUFFLED_BY = 1234
"""Seed of the published choice of questions: Python's own generator shuffles their numbers, and the first count."""

SOFT_SCORES = "valid.json"


def vqa_cases(root: str | Path, count: int | None = None, regions: str | Path | None = None) -> list[QuestionCase]:
    """The published choice of ``count`` questions (None: all), in its order; cases of one image are one group.

    Parameters
    ----------
    root : a folder with the official questions and annotations of val2014 and its images. A ``valid.json`` as
        LXMERT uses it gives the order and what each answer is worth; without it the annotations do.
    regions : a file of boxes and features of all images, see
        :func:`napari_vlexplain.models.questions.region_files.read_regions`.

    Raises
    ------
    VLExplainError : another layout, or no question that can be read.
    """
    base = folder(root, LAYOUT)
    found = open_vqa(base)
    known = {entry.id: entry for entry in found.entries}
    labels = _soft_scores(base / SOFT_SCORES)
    ids = [each for each in labels if each in known] if labels else list(known)
    if not ids:
        why = f"; the first that was skipped: {found.problems[0]}" if found.problems else ""
        raise VLExplainError(f"{base} holds no question that can be read{why}.")
    order = list(range(len(ids)))
    random.Random(SHUFFLED_BY).shuffle(order)
    chosen = [known[ids[number]] for number in order[:count]]
    return [_case(entry, labels.get(entry.id) if labels else None, regions) for entry in chosen]


def _case(entry: Entry, labels: dict[str, float] | None, regions: str | Path | None) -> QuestionCase:
    if labels is None:
        labels = {answer: soft_score(answer, entry.answers) for answer in dict.fromkeys(entry.answers)}
    return QuestionCase(entry.id, entry.prompts[0], labels, partial(_see, entry.image, regions), entry.group)


def _see(image: Any, regions: str | Path | None) -> NDArray | Regions:
    pixels = as_rgb(read_image(image))
    return pixels if regions is None else read_regions(regions, Path(image).name, pixels.shape[:2])


def _soft_scores(file: Path) -> dict[str, dict[str, float]]:
    """Question -> answer -> score, in the file's order; empty where there is no file."""
    if not file.is_file():
        return {}
    return dict(_labelled(file))


def _labelled(file: Path) -> Iterator[tuple[str, dict[str, float]]]:
    for item in listed({"items": read_json(file)}, "items", file):
        label = item.get("label", {})
        if "question_id" not in item or not isinstance(label, dict):
            raise VLExplainError(f"{file} is not in LXMERT's form: each item needs question_id and label.")
        yield str(item["question_id"]), {str(answer): float(score) for answer, score in label.items()}
