"""``vlexplain roar``: what a model learns from pairs that lost what methods find relevant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..datasets.catalogue import open_dataset
from ..errors import VLExplainError
from ..models.options import RunOptions
from . import options
from .benchmark import tell_problems
from .console import output, progress, say, table, write_json
from .folding import folded
from .perturb import write_file

if TYPE_CHECKING:
    from ..benchmark.roar import RoarTable


RUN = options.RUN.only("seed", "device", "download")


@folded
def roar(
    dataset: options.DataSetName,
    run: Annotated[RunOptions, RUN],
    root: options.Root = None,
    model: Annotated[str, typer.Option(help="See 'vlexplain models'; its image tower needs patches.")] = "mini",
    methods: Annotated[str, typer.Option(metavar="NAME,...", help="As for 'vlexplain benchmark'.")] = "relevance",
    limit: Annotated[int, typer.Option(min=5, help="At most so many pairs, drawn by the seed.")] = 200,
    share: Annotated[float, typer.Option(help="Of the patches or words that is lost.")] = 0.5,
    repetitions: Annotated[int, typer.Option(min=1, help="Splits and orders of the pairs.")] = 5,
    epochs: Annotated[int, typer.Option(min=1, help="Of fine-tuning.")] = 5,
    batch: Annotated[int, typer.Option(min=2, help="Pairs that are told apart at a time.")] = 64,
    learning_rate: Annotated[float, typer.Option(min=0, help="Of AdamW.")] = 1e-6,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="Write all rows as JSON.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """ROAR+: fine-tune copies of a model on pairs that lost what methods find relevant, and on whole ones."""
    from ..benchmark.plan import MethodChoice
    from ..benchmark.roar import measure_roar
    from ..metrics.roar import FineTuning
    from ..running.run import Run

    if out and not Path(out).expanduser().resolve().parent.is_dir():
        raise VLExplainError(f"--out names {out}, whose folder does not exist; make it first.")
    choices = [MethodChoice.parse(word) for word in options.listed(methods)]
    data = open_dataset(dataset, root, limit=limit, seed=run.seed)
    tell_problems(data)
    tuning = FineTuning(epochs, batch, learning_rate, seed=run.seed)
    with progress() as report:
        report(0.0, "Loading the model")
        loaded = run.opened(model)
        found = measure_roar(data, loaded, choices, share, repetitions, tuning, Run(report))
    for why in found.left_out:
        say(f"Left out: {why}")
    if out:
        write_file(Path(out), found.to_dict())
    if as_json:
        write_json(found.to_dict())
    else:
        _print(found)


def _print(found: RoarTable) -> None:
    import numpy as np

    from ..benchmark.published import PUBLISHED

    asked = found.asked
    shown = table(
        f"ROAR+ on {asked['pairs']} pairs of {asked['dataset']}, {asked['model']}: higher is better",
        "method", "image", "words", right=("image", "words"),
    )  # fmt: skip
    for label in dict.fromkeys(row.method for row in found.rows):
        cells = []
        for side in ("image", "words"):
            scores = found.scores(label, side)
            spread = f" ± {np.std(scores, ddof=1):.2f}" if len(scores) > 1 else ""
            cells.append(f"{np.mean(scores):.2f}{spread}" if scores else "-")
        shown.add_row(label, *cells)
    output().print(shown)
    paper = next(one for one in PUBLISHED if "ROAR+" in one.name)
    printed = ", ".join(f"{name} {values[-1]}" for name, values in paper.rows.items())
    output().print(
        f"Mean and standard deviation of {asked['repetitions']} repetitions. Published on images, for another model "
        f"and other pairs ({paper.source}; {paper.setup}): {printed}.",
        soft_wrap=True,
    )
