"""Explanations on the terminal, in a JSON document and in a folder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.style import Style
from rich.text import Text

from ..drawing.colour import diverging, ink_on
from ..errors import VLExplainError
from ..io.files import slug, unique_slugs, writing
from ..metrics.figures import Figures, measure
from ..metrics.thresholds import Mode, threshold_of
from ..results import cautions
from ..scale import written
from .console import print_end, table

if TYPE_CHECKING:
    from ..results.answer import Answer
    from ..results.explanation import Explanation
    from ..results.segmentation import Segmentation
    from ..truth.laying import GroundTruth

SHOWN = {
    "iou": "IoU",
    "dice": "Dice",
    "precision": "precision",
    "recall": "recall",
    "pointing": "pointing",
    "energy": "energy",
    "chance": "chance",
    "threshold": "threshold",
}


@dataclass
class Result:
    """One explanation, what it was measured against, and where it was saved."""

    explanation: Explanation
    truth: NDArray[np.bool_] | None
    figures: Figures | None
    threshold: float
    folder: Path | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, explanation: Explanation, found: GroundTruth | None, mode: Mode, value: float) -> Result:
        """Measured, with all that is to be told of the ground truth."""
        heatmap, threshold = explanation.heatmap, threshold_of(explanation.heatmap, mode, value)
        if found is None:
            return cls(explanation, None, None, threshold)
        if found.measured is None:
            return cls(explanation, found.mask, None, threshold, notes=found.notes)
        figures = measure(heatmap, found.measured, mode, value, found.ignored)
        notes = (*(note for note in found.notes if note.kind != "empty"), *figures.notes)
        return cls(explanation, found.mask, figures, threshold, notes=notes)


def make_folder(folder: Path) -> None:
    """Make the folder for results, so that a wrong one is found before any time is spent.

    Raises
    ------
    VLExplainError : the disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VLExplainError(f"The folder {folder} cannot be made ({error.strerror}); name another.") from None


def save_results(results: list[Result], out: Path, stem: str, with_mask: bool) -> Path:
    """A folder for each prompt, ``IMAGE_PROMPT_METHOD.vlexplain``, and a picture of them all; returns its path.

    napari knows the folders by their ending. ``with_mask`` adds the heatmap cut at the threshold. The ground truth,
    where there is one, is kept too.
    """
    from ..results.figure import figure

    explanations = [result.explanation for result in results]
    method = slug(explanations[0].request.method)
    names = unique_slugs([each.prompt for each in explanations])
    picture = out / f"{slug(stem)}_{method}.png"
    for result, name in zip(results, names, strict=True):
        masks = {} if result.truth is None else {"ground truth": result.truth}
        if with_mask or result.truth is not None:
            with np.errstate(invalid="ignore"):
                masks["prediction"] = result.explanation.heatmap >= result.threshold
        result.folder = result.explanation.save(out / f"{slug(stem)}_{name}_{method}.vlexplain", masks=masks)
    with writing(picture):
        figure(explanations, [result.truth for result in results]).save(picture)
    return picture


def as_document(results: list[Result], picture: Path | None) -> dict[str, Any]:
    """All that is to be known, for programs."""
    first = results[0].explanation
    return {
        "request": first.request.to_dict(),
        "key": first.request.key,
        "warning": first.provenance.get("warning", ""),
        "picture": None if picture is None else str(picture),
        "explanations": [_document(result) for result in results],
    }


def print_results(console: Console, results: list[Result], picture: Path | None) -> None:
    """All that is to be known, for people."""
    request = results[0].explanation.request
    coloured = console.color_system is not None
    score = request.target.name
    beside = any("neutral" in result.explanation.provenance for result in results)
    scores = (score, *(["neutral"] if beside else []))
    listed = table(f"{request.method} on {request.model}", "prompt", *scores, "words", right=scores)
    for result in results:
        explanation = result.explanation
        words = coloured_words(explanation.word_scores()) if coloured else plain_words(explanation.word_scores())
        neutral = neutral_of(explanation)
        own = [] if not beside else ["-" if neutral is None else written(neutral[1], 4)]
        listed.add_row(explanation.prompt, written(explanation.score, 4), *own, words)
    console.print(listed)
    if beside:
        unit = "logit" if score == "logit" else "similarity"
        console.print(f"neutral: {unit} of the best prompt that fits every picture, such as “a photo”.", soft_wrap=True)
    if any(result.figures is not None or result.notes for result in results):
        _print_figures(console, results)
    for result in results:
        if result.explanation.degenerate:
            console.print(
                f"The map for {result.explanation.prompt!r} is the same everywhere: it says nothing.", soft_wrap=True
            )
        _print_sanity(console, result.explanation)
    print_warnings(console, [result.explanation for result in results])
    print_end(
        console, [*(result.folder for result in results), picture], results[0].explanation.provenance.get("warning")
    )


def neutral_of(explanation: Explanation) -> tuple[str, float] | None:
    """The neutral prompt that stands beside its score, see :func:`napari_vlexplain.results.cautions.beside`."""
    return cautions.beside(explanation.provenance, explanation.request.target.name)


def print_warnings(console: Console, found: Sequence[Explanation | Answer | Segmentation]) -> None:
    """What must be told of them, each sentence once."""
    for line in dict.fromkeys(line for one in found for line in one.warnings):
        console.print(line, style="yellow", soft_wrap=True)


def coloured_words(words: list[tuple[str, float]]) -> Text:
    """Words on the colour of their score: blue below 0, red above."""
    text = Text()
    for (word, _), colour in zip(words, diverging(np.array([score for _, score in words])), strict=True):
        text.append(f" {word} ", Style(color=_hex(ink_on(colour)), bgcolor=_hex(colour)))
        text.append(" ")
    return text


def plain_words(words: list[tuple[str, float]]) -> str:
    """Where there are no colours: each word with its share of the largest score."""
    largest = max((abs(score) for _, score in words), default=0.0)
    return "  ".join(f"{word} {score / largest if largest else 0:.2f}" for word, score in words)


def _print_figures(console: Console, results: list[Result]) -> None:
    measured = table("against the ground truth", "prompt", *SHOWN.values(), right=tuple(SHOWN.values()))
    for result in results:
        values = result.figures.as_dict() if result.figures is not None else dict.fromkeys(SHOWN)
        measured.add_row(result.explanation.prompt, *(_number(values[name]) for name in SHOWN))
    console.print(measured)
    console.print("pointing, energy: of the heatmap itself, and by chance; the others: cut at the threshold.")
    for line in notes_by_prompt([result.explanation.prompt for result in results], [r.notes for r in results]):
        console.print(line, style="yellow", soft_wrap=True)


def notes_by_prompt(prompts: Sequence[str], notes: Sequence[Sequence[str]]) -> list[str]:
    """What is to be told of each prompt's ground truth; once what is said of all."""
    common = [note for note in notes[0] if all(note in others for others in notes)]
    own = [
        f"{prompt!r}: {note}"
        for prompt, told in zip(prompts, notes, strict=True)
        for note in dict.fromkeys(told)
        if note not in common
    ]
    return [*dict.fromkeys(map(str, common)), *own]


def _print_sanity(console: Console, explanation: Explanation) -> None:
    """What the checks said, if they were made."""
    from ..tasks.check import Sanity

    record = explanation.provenance.get("sanity")
    if record is not None:
        sanity = Sanity.from_dict(record)
        for line in sanity.lines():
            style = "yellow" if line in sanity.warnings else None
            console.print(f"{explanation.prompt!r}: {line}", style=style, soft_wrap=True)


def _document(result: Result) -> dict[str, Any]:
    explanation = result.explanation
    row, column = np.unravel_index(int(np.nanargmax(explanation.heatmap)), explanation.heatmap.shape)
    return {
        "prompt": explanation.prompt,
        "score": explanation.score,
        "words": [{"word": word, "score": score} for word, score in explanation.word_scores()],
        "tokens": list(explanation.tokens),
        "token_scores": [float(score) for score in explanation.token_scores],
        "patch_scores": explanation.patch_scores.tolist(),
        "constant": explanation.degenerate,
        "neutral": _neutral_document(explanation),
        "warnings": list(explanation.warnings),
        "maximum": {"x": int(column), "y": int(row)},
        "figures": None if result.figures is None else result.figures.as_dict(),
        "notes": list(result.notes),
        "folder": None if result.folder is None else str(result.folder),
        "provenance": explanation.provenance,
    }


def _neutral_document(explanation: Explanation) -> dict[str, Any] | None:
    found = neutral_of(explanation)
    return None if found is None else {"prompt": found[0], "score": found[1]}


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.3f}"


def _hex(colour: Any) -> str:
    red, green, blue = (int(channel) for channel in colour)
    return f"#{red:02x}{green:02x}{blue:02x}"
