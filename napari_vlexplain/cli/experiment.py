"""``vlexplain experiment``: the experiments of the latent text method, on drawn scenes or on the published data."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import VLExplainError
from ..io.files import writing
from ..models.options import RunOptions
from . import latent_options as latent
from . import options
from .console import output, print_end, progress, table, write_json
from .folding import folded

if TYPE_CHECKING:
    from ..latent_text.experiments.report import Table
    from ..models.dual_encoder import DualEncoder
    from ..running.run import Run

Work = Callable[["DualEncoder", "Run"], "Table"]

experiment = typer.Typer(
    name="experiment",
    help="Run an experiment of the latent text method and print its table beside the published one.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Count = Annotated[int | None, typer.Option(min=1, help="Images to score.", show_default="64 scenes, or all")]
Samples = Annotated[int, typer.Option(min=1, help="Noise draws of the smoothing.")]
SaveTable = Annotated[str | None, typer.Option(metavar="FILE", help="Save the table as .json or .md as well.")]


def _folder(name: str, layout: str) -> object:
    return typer.Option(f"--{name}", metavar="DIR", help=f"Run on {layout} instead of drawn scenes.")


def _experiment(command: Callable[..., Work]) -> Callable[..., None]:
    """An experiment as a command: a function of the seed and of options of its own, which gives what is to be done.

    What all have in common is here: the model, how it runs, and what becomes of the table.
    """
    own = inspect.signature(command, eval_str=True).parameters.values()

    @wraps(command)
    def run_it(run: RunOptions, model: str, out: str | None, as_json: bool, **given: Any) -> None:
        if out is not None and Path(out).suffix.lower() not in (".json", ".md"):
            raise VLExplainError(f"--out is {out!r}, but it must end in .json or .md.")
        work = command(run.seed, **given)
        with progress() as report:
            report(0.0, "Starting the engine")
            from ..latent_text.tails import check_readable
            from ..models.precision import precision_of
            from ..running.run import Run

            loaded = run.opened(model)
            check_readable(loaded)
            found = work(loaded, Run(report))
            found.settings["dtype"] = precision_of(loaded)
        if out is not None:
            _save(found, Path(out))
        if as_json:
            write_json({**found.to_dict(), "warning": loaded.info.warning})
        else:
            _show(found, loaded.info.warning)

    shared = inspect.signature(_shared, eval_str=True).parameters.values()
    parameters = [*(one for one in own if one.name != "seed"), *shared]
    run_it.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    )
    experiment.command()(folded(run_it))
    return run_it


def _shared(
    run: Annotated[RunOptions, latent.RUN],
    model: latent.Model = "mini",
    out: SaveTable = None,
    as_json: options.AsJson = False,
) -> None:
    """The parameters that every experiment has beside its own."""


@_experiment
def typographic(
    seed: int,
    imagenet: Annotated[str | None, _folder("imagenet", "ImageNet validation images")] = None,
    count: Count = None,
    tune: Annotated[int, typer.Option(min=1, help="Images to choose layers and thresholds on; none is scored.")] = 32,
    samples: Samples = 50,
) -> Work:
    """Repair typographic attacks by zeroing tokens that read as printed text."""

    def work(loaded: DualEncoder, run: Run) -> Table:
        from ..latent_text.experiments import attacks, typographic

        if imagenet is None:
            tuning = attacks.sticker_attacks(2 * seed + 1, tune)
            scored = attacks.sticker_attacks(2 * seed + 2, count or 64)
        else:
            tuning = attacks.imagenet_attacks(imagenet, seed, tune)
            scored = attacks.imagenet_attacks(imagenet, seed, count, skip=max(tune, 10))
        return typographic.typographic(loaded, tuning, scored, samples, seed, run)

    return work


@_experiment
def entities(
    seed: int,
    uc_merced: Annotated[str | None, _folder("uc-merced", "the UC Merced land use images")] = None,
    count: Count = None,
    samples: Samples = 20,
) -> Work:
    """Replace the tokens of cars by those of airplanes, and see the prediction follow."""

    def work(loaded: DualEncoder, run: Run) -> Table:
        from ..latent_text.experiments import entities

        data = (
            entities.sticker_entities(seed, count or 64)
            if uc_merced is None
            else entities.uc_merced_entities(uc_merced, seed, count)
        )
        return entities.entities(loaded, data, samples, seed=seed, run=run)

    return work


@_experiment
def spurious(
    seed: int,
    celeba: Annotated[str | None, _folder("celeba", "the CelebA faces")] = None,
    count: Count = None,
    samples: Samples = 10,
) -> Work:
    """Train a head on biased images, with and without the tokens that carry the bias."""

    def work(loaded: DualEncoder, run: Run) -> Table:
        from ..latent_text.experiments import spurious

        if celeba is None:
            data, head = spurious.sticker_bias(seed, 48, count or 32), spurious.STICKER_HEAD
        else:
            data, head = spurious.celeba_bias(celeba, seed, count), spurious.CELEBA_HEAD
        return spurious.spurious(loaded, data, head, samples, seed, run)

    return work


@_experiment
def verify(
    seed: int,
    uc_merced: Annotated[
        str | None, _folder("uc-merced", "the UC Merced images: patches of beaches and forests")
    ] = None,
    count: Count = None,
) -> Work:
    """Black out objects and see texts change; see what tokens attend to, and whether patches know the class."""

    def work(loaded: DualEncoder, run: Run) -> Table:
        from ..latent_text.experiments import validity, verification

        number = count or 64
        found = verification.verification(loaded, verification.sticker_scenes(seed, number), seed, run.part(0.0, 0.9))
        pairs = (
            validity.sticker_pairs(seed, number)
            if uc_merced is None
            else validity.uc_merced_pairs(uc_merced, seed, count)
        )
        return replace(found, more=(validity.validity(loaded, pairs, run.part(0.9, 1.0)),))

    return work


def _show(found: Table, warning: str) -> None:
    from ..latent_text.experiments.report import written

    console = output()
    for one in (found, *found.more):
        shown = table(one.title, *one.columns, right=one.columns[1:])
        for row in one.rows:
            shown.add_row(*(written(cell) for cell in row))
        console.print(shown)
        for note in one.notes:
            console.print(note, soft_wrap=True)
    print_end(console, [], warning)


def _save(found: Table, file: Path) -> None:
    import json

    text = "\n".join(
        f"### {one.title}\n\n{one.markdown()}" + "".join(f"\n{note}\n" for note in one.notes)
        for one in (found, *found.more)
    )
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found.to_dict(), indent=1) if file.suffix == ".json" else text, encoding="utf-8")
