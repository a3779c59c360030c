"""``vlexplain demo``: the main job on the embedded model, with known answers beside it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..io.files import writing
from .console import output, progress, say, table
from .gui import has_display, refuse_without_window
from .results import make_folder

if TYPE_CHECKING:
    from rich.table import Table

    from ..datasets.samples import Sample
    from ..metrics.figures import Figures
    from ..results.explanation import Explanation

METHODS = ("relevance", "m2ib", "attention_grad_cam", "raw_attention", "rollout")


def demo(
    out: Annotated[str, typer.Option(metavar="DIR", help="Where the pictures go.")] = "demo-output",
    headless: Annotated[bool, typer.Option("--headless", help="No window; HEADLESS=1 does the same.")] = False,
) -> None:
    """Explain two drawn pictures: in a window, or as tables and files."""
    if not (headless or os.environ.get("HEADLESS", "0") not in ("", "0")) and has_display():
        try:
            refuse_without_window()
        except VLExplainError as error:
            say(f"{error} Going on without a window.")
        else:
            from ..widgets import open_window

            open_window(demo=True)
            return
    tables_and_pictures(Path(out))


def tables_and_pictures(out: Path) -> None:
    """Both samples with every method: figures on the terminal, pictures in ``out``."""
    make_folder(out)
    console, written = output(), []
    with progress() as report:
        report(0.0, "Starting the engine")
        from ..datasets.samples import phantom_radiograph, sticker_scene

        samples = (sticker_scene(), phantom_radiograph())
        done, total = 0, len(samples) * len(METHODS)
        tables, notes = [], []
        for sample in samples:
            truths = _truths(sample)
            found: list[list[Explanation]] = []
            seconds = []
            for method in METHODS:
                report(done / total, f"{sample.name}: {method}")
                began = time.perf_counter()
                found.append(_explain(sample, method))
                seconds.append(time.perf_counter() - began)
                done += 1
            figures = [[_measured(e, truth) for e, truth in zip(row, truths, strict=True)] for row in found]
            written += _pictures(out, sample, truths, found, figures)
            tables.append(_table(sample, figures, seconds))
            notes.append(f"{sample.name}: {sample.note}")
    for each in tables:
        console.print(each)
    console.print("pointing game: does the maximum lie in the object? energy: the heatmap's share inside.")
    console.print(
        "IoU: of as many of the hottest pixels as the object has. by chance: the object's share of the image."
    )
    console.print("*: without prompts for which the map is zero everywhere.", soft_wrap=True)
    for note in notes:
        console.print(note, style="dim", soft_wrap=True)
    console.print(found[0][0].provenance["warning"], style="yellow", soft_wrap=True)
    console.print(f"{len(written)} pictures in {out.resolve()}; start with {written[0].name}.", soft_wrap=True)


def _explain(sample: Sample, method: str) -> list[Explanation]:
    from .. import explain

    return explain(sample.image, list(sample.prompts), model="mini", method=method, name=sample.name)


def _truths(sample: Sample) -> list[NDArray[np.bool_]]:
    assert sample.labels is not None
    return [sample.labels == number for number in range(1, len(sample.prompts) + 1)]


def _measured(explanation: Explanation, truth: NDArray[np.bool_]) -> Figures:
    """Cut where as many pixels are kept as the object has."""
    from ..metrics.figures import measure

    seen = ~np.isnan(explanation.heatmap)
    return measure(explanation.heatmap, truth, "quantile", 1 - float(truth[seen].mean()))


def _table(sample: Sample, figures: list[list[Figures]], seconds: list[float]) -> Table:
    numbers = ("pointing game", "energy", "IoU", "by chance", "seconds")
    title = f"{sample.name}: {len(sample.prompts)} prompts" if len(sample.prompts) > 1 else sample.name
    listed = table(title, "method", *numbers, right=numbers)
    for method, row, took in zip(METHODS, figures, seconds, strict=True):
        values = [[getattr(f, name) for f in row] for name in ("pointing", "energy", "iou", "chance")]
        listed.add_row(method, *map(_mean, values), f"{took:.1f}")
    return listed


def _mean(values: list[float]) -> str:
    """Of the prompts for which it can be said; a star where that is not all of them."""
    known = [value for value in values if not np.isnan(value)]
    return "-" if not known else f"{np.mean(known):.2f}" + ("*" if len(known) < len(values) else " ")


def _pictures(
    out: Path,
    sample: Sample,
    truths: list[NDArray[np.bool_]],
    found: list[list[Explanation]],
    figures: list[list[Figures]],
) -> list[Path]:
    """A comparison of all methods, and one picture for each with the words."""
    from ..io.files import slug
    from ..results.figure import comparison, figure

    rows, lines = list(zip(*found, strict=True)), zip(*figures, strict=True)
    notes = [[_note(e, f) for e, f in zip(row, line, strict=True)] for row, line in zip(rows, lines, strict=True)]
    pictures = {out / f"{slug(sample.name)}.png": comparison(rows, truths, notes)}
    for method, row in zip(METHODS, found, strict=True):
        pictures[out / f"{slug(sample.name)}_{slug(method)}.png"] = figure(row, truths)
    for path, picture in pictures.items():
        with writing(path):
            picture.save(path)
    return list(pictures)


def _note(explanation: Explanation, figures: Figures) -> str:
    if explanation.degenerate:
        return "the same everywhere"
    hit = "hit" if figures.pointing >= 0.5 else "miss"
    return f"{hit}   energy {figures.energy:.2f}   IoU {figures.iou:.2f}"
