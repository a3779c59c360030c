"""Answers to questions of which words or boxes are missing, many at once.

What is missing is deleted: boxes are left out, words too, and those that stay move together. A batch holds rows of
about one size, so that hardly anything is computed for padding, which no token attends to; a row without any box
attends to none. That equals masking, and the model run on each row alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..models.questions.answering import QuestionBatch
from ..running.run import Run, chunks, memory_budget

if TYPE_CHECKING:
    from ..models.questions.single_stream import SingleStream
    from ..models.questions.two_stream import TwoStream

    QuestionModel = TwoStream | SingleStream

Kept = tuple[int, ...]


@dataclass(frozen=True, order=True)
class Row:
    """Which words (special tokens included) and which boxes of sample ``sample`` stay, ascending."""

    sample: int
    words: Kept
    boxes: Kept


def best_answers(model: QuestionModel, batch: QuestionBatch, rows: Sequence[Row], run: Run | None = None) -> list[int]:
    """The number of each row's most probable answer. Rows that are the same are computed once."""
    distinct = sorted(set(rows), key=lambda row: (len(row.boxes), len(row.words), row))
    found: dict[Row, int] = {}

    @torch.no_grad()
    def work(piece: slice) -> None:
        if run is not None:
            run.step(piece.start / len(distinct), "Answers without what was taken away")
        some = distinct[piece]
        answers = model.forward(packed(batch, some))[0].argmax(dim=1).tolist()
        found.update(zip(some, answers, strict=True))

    chunks(len(distinct), _at_once(model, batch), work)
    return [found[row] for row in rows]


def packed(batch: QuestionBatch, rows: Sequence[Row]) -> QuestionBatch:
    """The rows as a batch of their own, padded to the longest of them."""
    device = batch.ids.device
    sample = torch.tensor([row.sample for row in rows], device=device)
    words, real_words = _indices([row.words for row in rows], device)
    boxes, real_boxes = _indices([row.boxes for row in rows], device)
    at = sample[:, None]
    return QuestionBatch(
        tuple(batch.prompts[row.sample] for row in rows),
        batch.ids[at, words],
        real_words,
        batch.features[at, boxes],
        batch.positions[at, boxes],
        real_boxes,
    )


def _indices(kept: Sequence[Kept], device: torch.device) -> tuple[Tensor, Tensor]:
    """(B, longest) indices, 0 where there are no more, and bool: which are real."""
    longest = max(len(k) for k in kept)
    index = torch.tensor([[*k, *[0] * (longest - len(k))] for k in kept], dtype=torch.long, device=device)
    lengths = torch.tensor([len(k) for k in kept], device=device)
    return index.view(len(kept), longest), torch.arange(longest, device=device) < lengths[:, None]


def _at_once(model: QuestionModel, batch: QuestionBatch) -> int:
    """Rows whose activations fit; on a CPU few, which its caches like better."""
    if batch.ids.device.type == "cpu":
        return 64
    one = (batch.ids.shape[1] + batch.boxes.shape[1]) ** 2 * 64 * 4
    return max(1, min(4096, memory_budget(batch.ids.device) // one))
