"""Perturbation tests of models that answer questions: boxes taken away, words taken away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..io.images import as_rgb
from ..methods.info import MethodInfo
from ..methods.questions.parameters import co_attention_method, list_co_attention_methods
from ..models.precision import precision_of
from ..models.questions.regions import Regions
from ..parameters import fill
from ..running.entrance import entrance
from ..running.run import Run
from .cases import QuestionCase
from .protocol import RANDOM, SIGNS, Rounding, kept_parts, random_scores, steps_of
from .question_rows import Row, best_answers
from .result import Perturbed, stacked

if TYPE_CHECKING:
    from ..models.questions.answering import QuestionBatch
    from .question_rows import QuestionModel

AT_ONCE = 16
Scored = list[tuple[NDArray[np.float64], NDArray[np.float64]]]
"""For each sample the scores of its words, special tokens included, and of its boxes."""


@entrance("Perturbing")
def perturb_questions(
    model: QuestionModel,
    cases: Iterable[QuestionCase],
    count: int,
    methods: Sequence[str] | None = None,
    *,
    rounding: Rounding = "published",
    seed: int = 0,
    parameters: dict[str, dict[str, Any]] | None = None,
    run: Run | None = None,
) -> Perturbed:
    """Take the most and the least relevant boxes and words away, and ask again.

    Relevance is that of the predicted answer on the whole input, computed once. Words that stay move together; the
    first and last token always stay, and of VisualBERT the one that the answer is read from.

    Parameters
    ----------
    cases : ``count`` of them, see :mod:`napari_vlexplain.perturbation.cases`.
    methods : names, ``random`` among them; None is all that fit the model.
    rounding : of the counts, see :func:`napari_vlexplain.metrics.perturbation.removed_counts`.
    seed : of the random order.
    parameters : method name -> parameters that differ from the defaults.

    Raises
    ------
    VLExplainError : an unknown method, or a case without regions for a model that does not see by itself.
    Cancelled : ``run`` was told to stop.
    """
    run = run or Run()
    names = tuple(methods) if methods else (*(i.name for i in list_co_attention_methods(model.architecture)), RANDOM)
    chosen = {name: _filled(name, model, (parameters or {}).get(name, {})) for name in names if name != RANDOM}
    steps = (steps_of(model.architecture, "image"), steps_of(model.architecture, "text"))
    curves: list[NDArray[np.float64]] = []
    done: list[QuestionCase] = []
    for some in _batches(cases, AT_ONCE):
        part = run.part(len(done) / count, min(1.0, (len(done) + len(some)) / count))
        part.step(0.0, f"Case {len(done) + 1} of {count}")
        curves += _chunk(model, some, names, chosen, steps, rounding, seed, part)
        done += some
    run.step(1.0, "Done")
    return Perturbed(
        model.info.name,
        "soft accuracy, %",
        names,
        steps,
        100 * stacked(curves, len(names), len(steps[0])),
        tuple(case.id for case in done),
        tuple(case.group for case in done),
        {"rounding": rounding, "seed": seed, "parameters": parameters or {}, "dtype": precision_of(model)},
    )


def _chunk(
    model: QuestionModel,
    cases: Sequence[QuestionCase],
    names: Sequence[str],
    chosen: dict[str, tuple[MethodInfo, Any]],
    steps: tuple[tuple[float, ...], tuple[float, ...]],
    rounding: Rounding,
    seed: int,
    run: Run,
) -> list[NDArray[np.float64]]:
    """For each case (methods, 2, 2, S) in [0, 1]."""
    from ..models.questions.answering import question_batch

    seen = []
    for done, case in enumerate(cases):
        run.step(0.3 * done / len(cases), "Looking at the images")
        seen.append(_regions(model, case))
    batch = question_batch(model, [case.question for case in cases], seen, truncate=True)
    scored = _scores(model, batch, chosen, run.part(0.3, 0.5))
    rows: list[Row] = []
    for k, case in enumerate(cases):
        length, boxes = int(batch.words[k].sum()), len(seen[k])
        ranked = range(1, length - 1 - (model.architecture == "single_stream"))
        whole, every = tuple(range(length)), tuple(range(boxes))
        ends = tuple(i for i in whole if i not in ranked)
        for name in names:
            if name == RANDOM:
                of_boxes = random_scores(boxes, seed, case.id, "image")
                of_words = random_scores(len(ranked), seed, case.id, "text")
            else:
                words, of_boxes = scored[name][k]
                of_words = words[ranked.start : ranked.stop]
            for sign in SIGNS:
                kept = kept_parts(of_boxes, steps[0], sign, rounding)
                rows += [Row(k, whole, tuple(at.tolist())) for at in kept]
            for sign in SIGNS:
                kept = kept_parts(of_words, steps[1], sign, rounding)
                rows += [Row(k, tuple(sorted((*ends, *(at + 1).tolist()))), every) for at in kept]
    answers = best_answers(model, batch, rows, run.part(0.5, 1.0))
    worth = [cases[row.sample].labels.get(model.answers[a], 0.0) for row, a in zip(rows, answers, strict=True)]
    return list(np.array(worth).reshape(len(cases), len(names), 2, len(SIGNS), len(steps[0])))


def _scores(
    model: QuestionModel, batch: QuestionBatch, chosen: dict[str, tuple[MethodInfo, Any]], run: Run
) -> dict[str, Scored]:
    """Of every method, from one forward pass for all of them."""
    import torch

    from ..methods.questions import single_stream, two_stream

    with torch.enable_grad():
        logits, sites, streams = model.run(batch, track=True)
        values = logits.amax(dim=1)
        family: Any = two_stream if model.architecture == "two_stream" else single_stream
        recorded = family.Recorded(batch, values, sites, logits, streams, model)
        found = {}
        for done, (name, (info, filled)) in enumerate(chosen.items()):
            run.step(done / max(1, len(chosen)), f"Scores of {name}")
            found[name] = [
                (words.detach().double().cpu().numpy(), boxes.detach().double().cpu().numpy())
                for words, boxes in info.function()(recorded, filled)
            ]
    return found


def _filled(name: str, model: QuestionModel, given: dict[str, Any]) -> tuple[MethodInfo, Any]:
    info = co_attention_method(name, model.architecture, model.info.name)
    return info, fill(info.parameters_form, {**model.info.recommended.get(name, {}), **given}, name)


def _regions(model: QuestionModel, case: QuestionCase) -> Regions:
    seen = case.see()
    if isinstance(seen, Regions):
        return seen
    if model.see is None:
        raise VLExplainError(
            f"{model.info.name} does not see images by itself: give a file of regions, see the help of --regions."
        )
    return model.see(as_rgb(seen))


def _batches(cases: Iterable[QuestionCase], size: int) -> Iterable[list[QuestionCase]]:
    some: list[QuestionCase] = []
    for case in cases:
        some.append(case)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some
