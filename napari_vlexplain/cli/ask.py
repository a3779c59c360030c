"""``vlexplain ask``: questions about an image, answered and explained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console

from ..io.files import slug, unique_slugs
from ..models.options import RunOptions
from ..scale import written
from . import options
from .console import looking, output, print_end, table, write_json
from .folding import folded
from .results import coloured_words, plain_words, print_warnings

if TYPE_CHECKING:
    from ..results.answer import Answer

SHOWN_BOXES = 5


RUN = options.RUN.only("device", "dtype", "truncate", "download")


@folded
def ask(
    source: options.Source,
    run: Annotated[RunOptions, RUN],
    questions: Annotated[
        list[str], typer.Argument(metavar="QUESTION", help="What to ask; one or more.", show_default=False)
    ],
    model: Annotated[str, typer.Option(help="mini-vqa, or the folder of a LXMERT or VisualBERT.")] = "mini-vqa",
    method: Annotated[
        str, typer.Option(help="relevance, rollout, dsmi, transformer_attribution, partial_lrp, ...")
    ] = "relevance",
    param: options.Param = None,
    answer: Annotated[
        str | None, typer.Option(metavar="ANSWER", help="Explain this answer, not the most probable one.")
    ] = None,
    regions: Annotated[
        str | None, typer.Option(metavar="FILE", help="Boxes and features of the image: npz, tsv or h5.")
    ] = None,
    detector: Annotated[
        str | None, typer.Option(metavar="FILE", help="Weights of a bottom-up-attention detector that finds boxes.")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Save a folder for each question in here: boxes and relevance as pictures."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Ask questions about an image; show the answers and what they rest on."""
    with looking(source) as (report, seen):
        from .. import ask as compute
        from ..methods.questions.parameters import co_attention_method
        from ..models.question_loading import load_question_model

        loaded = load_question_model(model, run.device, run.download, dtype=run.dtype)
        info = co_attention_method(method, loaded.architecture, loaded.info.name)
        answers: list[Answer] = compute(
            seen,
            questions,
            model=loaded,
            method=method,
            answer=answer,
            regions=regions,
            detector=detector,
            progress=report,
            truncate=run.truncate,
            **options.values_of(info, param or []),
        )
        folders = save_answers(answers, out, Path(seen.name).stem)
    if as_json:
        write_json(as_document(answers, folders))
    else:
        print_answers(output(), answers, folders)


def save_answers(answers: list[Answer], out: str | None, stem: str) -> list[Path | None]:
    """A folder for each question in ``out``, ``IMAGE_QUESTION_METHOD``; without ``out`` none."""
    if out is None:
        return [None] * len(answers)
    method = slug(answers[0].request.method)
    names = unique_slugs([each.question for each in answers])
    return [each.save(Path(out) / f"{slug(stem)}_{name}_{method}") for each, name in zip(answers, names, strict=True)]


def as_document(answers: list[Answer], folders: list[Path | None]) -> dict[str, Any]:
    """All that is to be known, for programs."""
    from ..results.answer_bundle import document

    left_out = ("format", "schema_version", "request", "files", "size")
    return {
        "request": answers[0].request.to_dict(),
        "key": answers[0].request.key,
        "warning": answers[0].provenance.get("warning", ""),
        "size": list(answers[0].size),
        "answers": [
            {
                **{name: value for name, value in document(each).items() if name not in left_out},
                "words": [{"word": word, "score": score} for word, score in each.word_scores()],
                "warnings": list(each.warnings),
                "folder": None if folder is None else str(folder),
            }
            for each, folder in zip(answers, folders, strict=True)
        ],
    }


def print_answers(console: Console, answers: list[Answer], folders: list[Path | None]) -> None:
    """All that is to be known, for people."""
    request = answers[0].request
    coloured = console.color_system is not None
    listed = table(
        f"{request.method} on {request.model}", "question", "answer", "probability", "others", right=("probability",)
    )
    for each in answers:
        others = ", ".join(f"{text} {written(chance)}" for text, chance in each.top if text != each.answer)
        words = coloured_words(each.word_scores()) if coloured else plain_words(each.word_scores())
        listed.add_row(words, each.answer, written(each.probability), others)
    console.print(listed)
    for each in answers:
        _print_boxes(console, each)
    print_warnings(console, answers)
    print_end(console, folders, answers[0].provenance.get("warning"))


def _print_boxes(console: Console, answer: Answer) -> None:
    if answer.degenerate:
        console.print(f"The boxes for {answer.question!r} all score the same: they say nothing.", soft_wrap=True)
        return
    numbers = ("x0", "y0", "x1", "y1", "relevance", "share")
    columns = (*numbers, "object") if answer.box_labels else numbers
    count = min(SHOWN_BOXES, len(answer.boxes))
    console.print(answer.question, style="bold", soft_wrap=True)
    listed = table(f"{count} strongest of {len(answer.boxes)} boxes", *columns, right=numbers)
    shares = answer.box_shares()
    for k in np.argsort(-answer.box_scores, kind="stable")[:count]:
        cells = [*(f"{edge:.0f}" for edge in answer.boxes[k]), f"{answer.box_scores[k]:.4g}", f"{shares[k]:.2f}"]
        listed.add_row(*cells, *([answer.box_labels[k]] if answer.box_labels else []))
    console.print(listed)
