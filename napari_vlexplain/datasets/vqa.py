"""VQA v2 (Goyal et al. 2017): questions about COCO images, each with ten people's answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import VLExplainError
from .dataset import DataSet, Entry, Problem, unique
from .info import DataSetInfo
from .tables import Broken, existing, folder, listed, read_json, text_of

LAYOUT = "v2_OpenEnded_mscoco_val2014_questions.json, v2_mscoco_val2014_annotations.json, and \
val2014/COCO_val2014_000000000042.jpg"


def open_vqa(root: str | Path | None, split: str | None = None, images: str | Path | None = None) -> DataSet:
    """A case is a question; ``split`` is val2014 (the default) or train2014. Cases of one image are one group.

    Raises VLExplainError for another layout.
    """
    base = folder(root, LAYOUT)
    part = split or "val2014"
    table = base / f"v2_OpenEnded_mscoco_{part}_questions.json"
    answered = base / f"v2_mscoco_{part}_annotations.json"
    for file in (table, answered):
        if not file.is_file():
            raise VLExplainError(f"There is no {file}. Expected: {LAYOUT}")
    places = folder(images, LAYOUT) if images is not None else base
    problems: list[Problem] = []
    known = {item.get("question_id"): item for item in listed(read_json(answered), "annotations", answered)}

    def entries() -> Iterator[Entry]:
        for number, item in enumerate(listed(read_json(table), "questions", table), start=1):
            try:
                yield _entry(item, known, places, part)
            except Broken as error:
                problems.append(Problem(table.name, None, f"question {item.get('question_id', number)}: {error}."))

    found = unique(entries(), problems, table.name)
    return DataSet("vqa", "VQA v2", found, tuple(problems), (), {"table": table.name, "split": part})


def soft_score(answer: str, answers: Iterable[str]) -> float:
    """VQA's accuracy of an answer, ``min(1, times given / 3)``, [0, 1], higher is better; case does not matter."""
    given = Counter(text.strip().lower() for text in answers)
    return min(1.0, given[answer.strip().lower()] / 3)


def _entry(item: dict[str, Any], known: dict[Any, dict[str, Any]], places: Path, part: str) -> Entry:
    question = text_of(item, "question")
    answered = known.get(item.get("question_id"))
    if answered is None:
        raise Broken("it has no answers")
    try:
        number = int(item["image_id"])
    except (KeyError, TypeError, ValueError):
        raise Broken(f"the image {item.get('image_id')!r} is no number") from None
    name = f"COCO_{part}_{number:012d}.jpg"
    answers = tuple(str(a.get("answer", "")) for a in answered.get("answers") or [] if isinstance(a, dict))
    return Entry(
        id=str(item["question_id"]),
        image=existing(places, f"{part}/{name}", name, f"images/{name}"),
        prompts=(question,),
        category=str(answered.get("answer_type") or ""),
        group=str(number),
        answers=answers,
    )


DATASETS = (
    DataSetInfo(
        "vqa",
        "VQA v2: questions",
        "none",
        "visualqa.org, CC BY 4.0; images: COCO",
        open_vqa,
        LAYOUT,
    ),
)
