"""``vlexplain compare``: several methods and models side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ..errors import VLExplainError
from ..io.files import writing
from ..methods.catalogue import list_methods, method
from ..scale import written
from . import options
from .console import looking, output, print_end, table, write_json
from .folding import folded
from .results import make_folder, notes_by_prompt

if TYPE_CHECKING:
    from ..tasks.compare import Comparison

_SHOWN = {"pointing": "pointing", "energy": "energy", "iou": "IoU", "dice": "Dice", "chance": "chance"}


@folded
def compare(
    source: options.Source,
    prompts: options.Prompts,
    run: options.RunFully,
    methods: Annotated[
        str, typer.Option(metavar="A,B,...", help="Methods, or 'all'; see 'vlexplain methods'.")
    ] = "relevance,attention_grad_cam,raw_attention,rollout",
    models: Annotated[str, typer.Option(metavar="A,B,...", help="Models; see 'vlexplain models'.")] = "mini",
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="METHOD.NAME=VALUE", help="A parameter of one of the methods; repeat for more."),
    ] = None,
    target: options.TargetName = "similarity",
    against: options.Against = None,
    ground_truth: options.GroundTruth = None,
    label: options.Label = None,
    threshold: Annotated[
        str | None,
        typer.Option(metavar="T", help="Cut heatmaps at 0.5, q0.75 or otsu; by default as large as the ground truth."),
    ] = None,
    check: options.Check = False,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Save a picture of the grid, and its figures as CSV, in here.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Compare methods (and models) on one image: a grid of heatmaps and a table of figures."""
    names = [info.name for info in list_methods()] if methods.strip() == "all" else options.listed(methods)
    parameters = _parameters(param or [])
    explained = options.target_of(target, against)
    if threshold and not ground_truth:
        raise VLExplainError("--threshold serves --ground-truth; give one as well.")
    if out:
        make_folder(Path(out))
    with looking(source) as (report, seen):
        truths = options.truths_of(ground_truth, label, seen, prompts)
        from ..tasks.compare import compare as compute

        found = compute(
            seen,
            prompts,
            list(dict.fromkeys(names)),
            list(dict.fromkeys(options.listed(models))),
            parameters=parameters,
            ground_truth=truths,
            threshold=options.threshold_of_text(threshold) if threshold else None,
            target=explained,
            sanity=check,
            progress=report,
            **vars(run),
        )
        files = _save(found, Path(out), Path(seen.name).stem) if out else []
    if as_json:
        write_json({"image": seen.name, "records": found.records(), "files": [str(file) for file in files]})
    else:
        _print(output(), found, files)


def _parameters(typed: list[str]) -> dict[str, dict[str, Any]]:
    """``METHOD.NAME=VALUE`` by method."""
    pairs: dict[str, list[str]] = {}
    for pair in typed:
        owner, dot, rest = pair.partition(".")
        if not dot or "=" in owner:
            raise VLExplainError(f"--param {pair!r} should be METHOD.NAME=VALUE, such as rise.masks=500.")
        pairs.setdefault(owner.strip(), []).append(rest)
    return {name: options.values_of(method(name), own) for name, own in pairs.items()}


def _save(found: Comparison, out: Path, stem: str) -> list[Path]:
    import csv

    from ..io.files import slug

    picture, figures = out / f"{slug(stem)}_comparison.png", out / f"{slug(stem)}_comparison.csv"
    with writing(out):
        found.figure().save(picture)
        with figures.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["prompt", "model", "method", "score", "seconds", *_SHOWN, "problem", "notes"])
            for one in found.records():
                measured = one["figures"] or {}
                numbers = [measured.get(name, "") for name in _SHOWN]
                keys = ("prompt", "model", "method", "score", "seconds")
                writer.writerow([*(one[key] for key in keys), *numbers, one["problem"], " ".join(one["notes"])])
    return [picture, figures]


def _print(console: Console, found: Comparison, files: list[Path]) -> None:
    several = len(found.prompts) > 1
    columns = list(_SHOWN.values()) if found.measured else []
    checked = any(one["sanity"] for one in found.records())
    extra = ["unrelated", "random"] if checked else []
    scores = [] if several else ["score"]
    right = (*scores, *columns, *extra, "seconds")
    title = f"{found.prompts[0]}" if not several else f"mean of {len(found.prompts)} prompts"
    listed = table(title, "method", *right, right=right)
    for number, (name, took) in enumerate(zip(found.titles, found.seconds, strict=True)):
        cells = [row[number] for row in found.cells]
        if cells[0].explanation is None:
            listed.add_row(name, *["-"] * len(right))
            continue
        shown = [] if several else [written(cells[0].explanation.score, 4)]
        numbers = [_number(found.mean(number, figure)) for figure in _SHOWN] if columns else []
        listed.add_row(name, *shown, *numbers, *(_checked(cells) if checked else []), f"{took:.1f}")
    console.print(listed)
    if columns:
        console.print("pointing, energy: of the heatmap itself, and by chance; IoU and Dice: cut at the threshold.")
    if checked:
        console.print(
            "unrelated: rank correlation with the maps of unrelated prompts; random: with that of random weights. "
            "Low is good.",
            soft_wrap=True,
        )
    for line in notes_by_prompt(found.prompts, found.truth_notes):
        console.print(line, style="yellow", soft_wrap=True)
    for line in dict.fromkeys(_remarks(found)):
        console.print(line, soft_wrap=True)
    first = next(c.explanation for row in found.cells for c in row if c.explanation is not None)
    print_end(console, files, first.provenance.get("warning"))


def _remarks(found: Comparison) -> list[str]:
    lines = []
    for row in found.cells:
        for cell, title in zip(row, found.titles, strict=True):
            if cell.explanation is None:
                lines.append(f"{title}: {cell.problem}")
            else:
                sanity = cell.explanation.provenance.get("sanity") or {}
                told = (*cell.explanation.warnings, *sanity.get("warnings", ()))
                lines += [f"{title}, {cell.explanation.prompt!r}: {line}" for line in told]
    return lines


def _checked(cells: list[Any]) -> list[str]:
    found = []
    for read in (lambda s: s["random_prompt"], lambda s: s["randomised"].get("everything")):
        values = [read(cell.explanation.provenance["sanity"]) for cell in cells]
        known = [value for value in values if value is not None]
        found.append(_number(sum(known) / len(known)) if known else "-")
    return found


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.2f}"  # NaN is unlike itself
