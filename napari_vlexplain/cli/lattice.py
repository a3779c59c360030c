"""``vlexplain train-adapter`` and ``vlexplain evaluate-adapter``: models that are trained to explain themselves."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import Cancelled, VLExplainError
from ..lattice_adapter import Options
from ..models.options import RunOptions
from ..parameters import describe
from .console import output, progress, say, table, write_json
from .folding import folded
from .options import RUN, AsJson, listed, typed_values

if TYPE_CHECKING:
    from ..lattice_adapter.data import TrainingData
    from ..lattice_adapter.evaluate import Evaluation

DataSetName = Annotated[
    str, typer.Argument(metavar="DATASET", help="stickers, folder, cub or imagenet-s.", show_default=False)
]
Root = Annotated[str | None, typer.Argument(metavar="ROOT", help="Its folder; stickers are drawn.", show_default=False)]
Scenes = Annotated[
    str | None,
    typer.Option(metavar="N,N,N", help="Sticker scenes to train, validate and test on.", show_default="1200,200,200"),
]
Classes = Annotated[
    str | None, typer.Option(metavar="NAME,...", help="Stickers to tell apart.", show_default="24 of them")
]
Workers = Annotated[int, typer.Option(min=0, max=256, help="Processes that read images; they change no number.")]


def _listed(asked: bool) -> None:
    """``--options``: what ``--param`` of training takes."""
    if not asked:
        return
    listed = table("Options of training", "option", "symbol", "default", "range", "what it is", right=("default",))
    for each in describe(Options):
        default = "automatic" if each.default is None else str(each.default)
        listed.add_row(each.name, each.symbol, default, each.range, each.help)
    output().print(listed)
    raise typer.Exit


TRAINING = RUN.only(
    "device",
    "size",
    "download",
    seed=Annotated[int, typer.Option(min=0, help="Of weights, order, crops, scenes and splits.")],
)
EVALUATION = RUN.only(
    "device",
    "download",
    seed=Annotated[int, typer.Option(min=0, help="Of the scenes and splits, as in training.")],
)


@folded
def train_adapter(
    dataset: DataSetName,
    run: Annotated[RunOptions, TRAINING],
    root: Root = None,
    model: Annotated[str, typer.Option(help="A name, see 'vlexplain models', or a folder; with a ViT.")] = "mini",
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder of the run, and then of the model.")] = "adapter",
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="An option of training, see --options; repeat for more."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most.", show_default="120")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in DIR.")] = False,
    scenes: Scenes = None,
    classes: Classes = None,
    workers: Workers = 0,
    options: Annotated[
        bool, typer.Option("--options", help="List the options of training and stop.", is_eager=True, callback=_listed)
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train an Attention Lattice Adapter over a model's image tower; Ctrl-C saves, --resume goes on."""
    from ..running.run import Run

    asked = typed_values(describe(Options), param or [], "train-adapter", "option")
    chosen = Options(**{"seed": run.seed, **({} if epochs is None else {"epochs": epochs}), **asked})
    folder = Path(out)
    try:
        with progress() as report, stopping() as stopped:
            report(0.0, "Starting the engine")
            from ..lattice_adapter.training import train

            data = _open(dataset, root, chosen.seed, scenes, classes)
            loaded = run.opened(model, Run(report, stopped))
            found = train(
                loaded, data, chosen, folder, resume=resume, workers=workers, run=Run(report, stopped), on_epoch=_tell
            )
    except Cancelled:
        say(f"Stopped. What was trained is kept in {folder}; the same command with --resume goes on.")
        raise typer.Exit(130) from None
    best = found.rows[found.best_epoch - 1]
    if as_json:
        write_json({"folder": str(folder), "best_epoch": found.best_epoch, "ended": found.ended, "rows": found.rows})
        return
    console = output()
    console.print(
        f"{len(found.rows)} epochs ({found.ended}); the best is {found.best_epoch}: validation loss "
        f"{best['val_loss']:.3f}, {best['val_accuracy']:.1%} right, mean IoU {best['val_iou']:.3f}.",
        soft_wrap=True,
    )
    console.print(f"The model is {folder}: vlexplain explain IMAGE CLASS --model {folder} --method lattice_adapter")
    console.print(loaded.info.warning, style="yellow", soft_wrap=True)


@folded
def evaluate_adapter(
    dataset: DataSetName,
    run: Annotated[RunOptions, EVALUATION],
    root: Root = None,
    model: Annotated[str, typer.Option(help="What train-adapter left in DIR, or mini-lattice.")] = "mini-lattice",
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    rule: Annotated[
        str, typer.Option(help="How maps become masks: minmax (> .5), raw (> .5), otsu, best (on validation).")
    ] = "minmax",
    curves: Annotated[
        int | None, typer.Option(min=0, help="Images for insertion and deletion; 0 is none.", show_default="all")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of these curves, both ends included.")] = 100,
    fill: Annotated[str, typer.Option(help="What stands for a pixel taken away: black or mean.")] = "black",
    scenes: Scenes = None,
    classes: Classes = None,
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Mean IoU beside the floor of all-ones masks, insertion, deletion and ID of a trained adapter."""
    with progress() as report:
        report(0.0, "Starting the engine")
        from ..lattice_adapter.data import SPLITS
        from ..lattice_adapter.evaluate import evaluate
        from ..running.run import Run

        if split not in SPLITS:
            raise VLExplainError(f"--split is {split!r}, but it must be {', '.join(SPLITS)}.")
        data = _open(dataset, root, run.seed, scenes, classes)
        loaded = run.opened(model, Run(report))
        _same_classes(loaded, data)
        items = {"train": data.train, "val": data.val, "test": data.test}[split]
        found = evaluate(
            loaded, items, rule=rule, tune=data.val, curves=curves, steps=steps, fill=fill, workers=workers,
            seed=run.seed, run=Run(report),
        )  # fmt: skip
    document = {"model": model, "dataset": data.name, "split": split, **found.to_dict()}
    if loaded.lattice is not None:
        document |= loaded.lattice.notes
    if as_json:
        write_json({**document, "warning": loaded.info.warning})
    else:
        _show(found, f"{model} on {data.name}, {split}", loaded.info.warning)


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM ask to stop, so that no update is torn in two; a second Ctrl-C stops at once."""
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _open(
    dataset: str, root: str | None, seed: int, scenes: str | None, classes: str | None
) -> TrainingData:  # fmt: skip
    from ..lattice_adapter.opening import open_training

    if dataset != "stickers" and (scenes or classes):
        raise VLExplainError("--scenes and --classes are for stickers; leave them out.")
    given: dict[str, Any] = {} if scenes is None else {"scenes": _counts(scenes)}
    if classes is not None:
        given["classes"] = tuple(listed(classes))
    return open_training(dataset, root, seed=seed, **given)


def _counts(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() for part in parts):
        raise VLExplainError(f"--scenes is {text!r}, but it must be three numbers such as 1200,200,200.")
    return tuple(int(part) for part in parts)


def _same_classes(loaded: Any, data: TrainingData) -> None:
    from ..models.classes import ClassNames

    if isinstance(loaded.tokenizer, ClassNames) and loaded.tokenizer.names != data.classes:
        raise VLExplainError(
            f"{loaded.info.name} knows {len(loaded.tokenizer.names)} classes, which are not the {len(data.classes)} of "
            f"{data.name}: evaluate it on what it was trained for."
        )


def _tell(row: dict[str, Any]) -> None:
    """A line for each epoch, on stderr."""
    auxiliary = "" if row["aux_loss"] is None else f", auxiliary {row['aux_loss']:.3f}"
    say(
        f"epoch {row['epoch']} ({row['phase']}): loss {row['loss']:.3f}{auxiliary}; validation loss "
        f"{row['val_loss']:.3f}, {row['val_accuracy']:.1%} right, mean IoU {row['val_iou']:.3f}"
    )


def _show(found: Evaluation, title: str, warning: str) -> None:
    names = {
        "accuracy": "share right",
        "iou": f"mean IoU ({found.rule}{f', > {found.threshold:.2f}' if found.rule == 'best' else ''})",
        "floor": "floor: all-ones mask",
        "insertion": f"insertion ({found.steps} steps, {found.fill})",
        "deletion": "deletion",
        "id": "ID = insertion - deletion",
    }
    listed = table(title, "figure", "mean", "95 % interval", "images", right=("mean", "95 % interval", "images"))
    for name, figure in found.figures.items():
        listed.add_row(names[name], f"{figure.mean:.3f}", f"{figure.low:.3f} to {figure.high:.3f}", str(figure.n))
    console = output()
    console.print(listed)
    console.print(warning, style="yellow", soft_wrap=True)
