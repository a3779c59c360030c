"""``vlexplain benchmark``, ``report`` and ``datasets``: methods measured on data sets."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..datasets.catalogue import dataset_info, list_datasets, open_dataset
from ..datasets.catalogue import problems as left_out
from ..errors import VLExplainError
from ..models.options import RunOptions
from ..running.run import ProgressCallback
from . import options
from .console import output, progress, say, table, write_json
from .folding import folded
from .listing import tell_left_out

if TYPE_CHECKING:
    from ..benchmark.runner import Outcome
    from ..datasets.dataset import DataSet

TELL_SECONDS = 30.0
SHOWN_PROBLEMS = 5


RUN = options.RUN.only("seed", "device", "dtype", "size", "download")


@folded
def benchmark(
    dataset: options.DataSetName,
    run: Annotated[RunOptions, RUN],
    root: options.Root = None,
    models: Annotated[
        list[str] | None, typer.Option(metavar="NAME,...", help="See 'vlexplain models'; by default mini.")
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME,...", help="See 'vlexplain methods'; parameters: m2ib:layer=5;beta=0.1."),
    ] = None,
    metrics: Annotated[
        list[str] | None, typer.Option(metavar="NAME,...", help="Metrics or groups; 'all' for everything.")
    ] = None,
    target: options.TargetName = "similarity",
    split: Annotated[str | None, typer.Option(help="A part of the data set, such as test.")] = None,
    images: Annotated[
        str | None, typer.Option(metavar="DIR", help="Where the images are, if not in the data set's folder.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many cases, drawn by the seed.")] = None,
    out: Annotated[
        str, typer.Option(metavar="DIR", help="Where rows go; the same folder goes on.")
    ] = "benchmark-output",
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes; by default one for each GPU or core; 0: this one.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler, such as tcp://10.0.0.5:8786.")
    ] = None,
    floors: Annotated[bool, typer.Option(help="Measure uniform, random, centre and edge maps too.")] = True,
    retry: Annotated[bool, typer.Option("--retry", help="Compute again what failed.")] = False,
) -> None:
    """Measure methods on a data set; what was finished is never computed twice."""
    from ..benchmark.plan import make_plan
    from ..benchmark.runner import run_benchmark

    if workers is not None and scheduler is not None:
        raise VLExplainError("Give --workers or --scheduler, not both.")
    data = open_dataset(dataset, root, split=split, images=images, limit=limit, seed=run.seed)
    tell_problems(data)
    plan = make_plan(
        data, options.listed(models) or ["mini"], options.listed(methods) or ["relevance"], options.listed(metrics),
        target, floors=floors, **RUN.given(run),
    )  # fmt: skip
    folder = Path(out)
    try:
        with _telling() as report:
            outcome = run_benchmark(plan, folder, workers, scheduler, report, on_dashboard=_tell_dashboard, retry=retry)
    except KeyboardInterrupt:
        say(f"Stopped. What was finished is kept in {folder}; the same command goes on.")
        raise typer.Exit(130) from None
    _tell_outcome(outcome, folder)
    _print_report(folder, None, page=False)
    output().print(f"vlexplain report {folder} writes the page with plots and pictures.", soft_wrap=True)
    if outcome.broken:
        raise typer.Exit(1)


def report(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="What 'vlexplain benchmark --out' wrote.")],
    against: Annotated[
        str | None, typer.Option(metavar="METHOD", help="What differences are to; by default the first method.")
    ] = None,
    published: Annotated[
        str, typer.Option(metavar="WHICH", help="Figures of papers beside ours: related, all or none.")
    ] = "related",
    page: Annotated[bool, typer.Option(help="Write the page with plots and pictures.")] = True,
    as_json: options.AsJson = False,
) -> None:
    """Tables, CSV, Markdown and a page from the rows of a benchmark."""
    if published not in ("related", "all", "none"):
        raise VLExplainError(f"--published is {published!r}, but it must be related, all or none.")
    _print_report(Path(folder), against, published, page, as_json)


def datasets(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show what must lie in its folder.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List the data sets, or say what one looks like on disk."""
    tell_left_out(left_out())
    chosen = list_datasets() if name is None else [dataset_info(name)]
    if as_json:
        write_json([{"name": i.name, "title": i.title, "truth": i.truth, "access": i.access,
                     "needs_folder": i.needs_root, "folder": i.layout} for i in chosen])  # fmt: skip
    elif name is not None:
        info = chosen[0]
        console = output()
        console.print(f"{info.title}. Ground truth: {info.truth}. From: {info.access}.", soft_wrap=True)
        console.print(f"In the folder: {info.layout}" if info.layout else "It needs no folder.", soft_wrap=True)
    else:
        listed = table("", "name", "what", "ground truth", "folder", "from")
        for info in chosen:
            listed.add_row(info.name, info.title, info.truth, "yours" if info.needs_root else "none", info.access)
        output().print(listed)


def tell_problems(data: DataSet) -> None:
    """What of a data set was skipped or is to be told, on stderr: the first few, and how many there are."""
    skipped = [problem for problem in data.problems if problem.skipped]
    told = [problem for problem in data.problems if not problem.skipped]
    for problem in skipped[:SHOWN_PROBLEMS]:
        say(f"Skipped: {problem}")
    if len(skipped) > SHOWN_PROBLEMS:
        say(f"Skipped {len(skipped)} rows in all; benchmark.json lists them.")
    for problem in told[:SHOWN_PROBLEMS]:
        say(str(problem))
    if len(told) > SHOWN_PROBLEMS:
        say(f"{len(told)} such remarks in all; benchmark.json lists them.")


@contextmanager
def _telling() -> Iterator[ProgressCallback]:
    """A bar on a terminal; elsewhere a line now and then."""
    last = time.monotonic()
    with progress() as bar:

        def tell(share: float, text: str) -> None:
            nonlocal last
            bar(share, text)
            if not sys.stderr.isatty() and time.monotonic() - last > TELL_SECONDS:
                last = time.monotonic()
                say(text)

        yield tell


def _tell_dashboard(address: str) -> None:
    say(f"Dask's dashboard: {address}")


def _tell_outcome(outcome: Outcome, folder: Path) -> None:
    for why in dict.fromkeys(outcome.unfit.values()):
        say(f"Left out: {why}")
    if not outcome.tasks:
        say(f"Nothing is missing in {folder}.")
    else:
        say(f"{outcome.rows} rows kept in {folder}, {outcome.rate:.3g} pieces of work a second.")
    if outcome.broken:
        say(f"{outcome.broken} rows failed; the report says why, --retry computes them again.")


def _print_report(
    folder: Path, against: str | None, published: str = "related", page: bool = True, as_json: bool = False
) -> None:
    from ..benchmark.reporting.documents import make_report

    made = make_report(folder, against, published, page)  # type: ignore[arg-type]
    if as_json:
        from .benchmark_tables import as_document

        write_json(as_document(made))
        return
    from .benchmark_tables import print_report

    print_report(output(), made)
