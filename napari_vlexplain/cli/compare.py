"""``vlexplain compare``: several methods and models side by side."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ..errors import VLExplainError
from ..methods.catalogue import list_methods, method
from .console import output, progress, table, write_json
from .options import DtypeOption, plane_of_text, threshold_of_text, values_of
from .results import make_folder

if TYPE_CHECKING:
    from ..comparing import Comparison

_SHOWN = {"pointing": "pointing", "energy": "energy", "iou": "IoU", "dice": "Dice", "chance": "chance"}


def compare(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="PNG, JPEG, WebP, TIFF or DICOM.", show_default=False)],
    prompts: Annotated[
        list[str], typer.Argument(metavar="PROMPT...", help="What to look for; one or more.", show_default=False)
    ],
    methods: Annotated[
        str, typer.Option(metavar="A,B,...", help="Methods, or 'all'; see 'vlexplain methods'.")
    ] = "relevance,attention_grad_cam,raw_attention,rollout",
    models: Annotated[str, typer.Option(metavar="A,B,...", help="Models; see 'vlexplain models'.")] = "mini",
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="METHOD.NAME=VALUE", help="A parameter of one of the methods; repeat for more."),
    ] = None,
    target: Annotated[str, typer.Option(help="similarity, logit, margin or softmax.")] = "similarity",
    against: Annotated[
        list[str] | None, typer.Option(metavar="PROMPT", help="A contrast for margin or softmax; repeat.")
    ] = None,
    ground_truth: Annotated[
        str | None, typer.Option(metavar="FILE", help="A mask image, or JSON of boxes: measure against it.")
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(metavar="T", help="Cut heatmaps at 0.5, q0.75 or otsu; by default as large as the ground truth."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Sanity checks too: unrelated prompts, random weights, completeness.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps; by default the fastest there is.")] = None,
    dtype: DtypeOption = "auto",
    contrast_limits: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="The image's values that become black and white."),
    ] = None,
    plane: Annotated[
        str | None, typer.Option(metavar="I[,J...]", help="Which image of a stack, counted from 0.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of every random number.")] = 0,
    truncate: Annotated[bool, typer.Option("--truncate", help="Cut prompts that are too long for the model.")] = False,
    download: Annotated[bool, typer.Option("--download", help="Fetch the models' weights if need be.")] = False,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Save a picture of the grid, and its figures as CSV, in here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """Compare methods (and models) on one image: a grid of heatmaps and a table of figures."""
    names = [info.name for info in list_methods()] if methods.strip() == "all" else _listed(methods)
    parameters = _parameters(param or [])
    if against and target not in ("margin", "softmax"):
        raise VLExplainError(f"--against serves the targets margin and softmax, not {target}; leave it out.")
    if threshold and not ground_truth:
        raise VLExplainError("--threshold serves --ground-truth; give one as well.")
    if out:
        make_folder(Path(out))
    with redirect_stdout(sys.stderr), progress() as report:
        report(0.0, "Reading the image")
        from ..io.ground_truth import read_ground_truth
        from ..io.images import read_shown

        pixels, contrast_limits = read_shown(image, contrast_limits, plane_of_text(plane))
        shape = (pixels.shape[0], pixels.shape[1])
        truths = [read_ground_truth(ground_truth, shape, prompt) if ground_truth else None for prompt in prompts]
        report(0.0, "Starting the engine")
        from ..comparing import compare as compute
        from ..methods.targets import Target

        found = compute(
            pixels,
            prompts,
            names,
            _listed(models),
            parameters=parameters,
            ground_truth=truths,
            threshold=threshold_of_text(threshold) if threshold else None,
            target=Target(target, tuple(against or ())),
            seed=seed,
            sanity=check,
            progress=report,
            name=image,
            device=device,
            download=download,
            truncate=truncate,
            contrast_limits=contrast_limits,
            dtype=dtype,
        )
        files = _save(found, Path(out), Path(image).stem) if out else []
    if as_json:
        write_json({"image": image, "records": found.records(), "files": [str(file) for file in files]})
    else:
        _print(output(), found, files)


def _listed(text: str) -> list[str]:
    return list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _parameters(typed: list[str]) -> dict[str, dict[str, Any]]:
    """``METHOD.NAME=VALUE`` by method."""
    pairs: dict[str, list[str]] = {}
    for pair in typed:
        owner, dot, rest = pair.partition(".")
        if not dot or "=" in owner:
            raise VLExplainError(f"--param {pair!r} should be METHOD.NAME=VALUE, such as rise.masks=500.")
        pairs.setdefault(owner.strip(), []).append(rest)
    return {name: values_of(method(name), own) for name, own in pairs.items()}


def _save(found: Comparison, out: Path, stem: str) -> list[Path]:
    import csv

    from ..io.names import slug

    picture, figures = out / f"{slug(stem)}_comparison.png", out / f"{slug(stem)}_comparison.csv"
    try:
        found.figure().save(picture)
        with figures.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["prompt", "model", "method", "score", "seconds", *_SHOWN, "problem"])
            for one in found.records():
                measured = one["figures"] or {}
                numbers = [measured.get(name, "") for name in _SHOWN]
                keys = ("prompt", "model", "method", "score", "seconds")
                writer.writerow([*(one[key] for key in keys), *numbers, one["problem"]])
    except OSError as error:
        raise VLExplainError(f"{out} cannot be written: {error.strerror or error}.") from None
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
        shown = [] if several else [f"{cells[0].explanation.score:.4f}"]
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
    for line in dict.fromkeys(_remarks(found)):
        console.print(line, soft_wrap=True)
    for file in files:
        console.print(f"Saved {file}", soft_wrap=True)
    first = next(c.explanation for row in found.cells for c in row if c.explanation is not None)
    if warning := first.provenance.get("warning"):
        console.print(str(warning), style="yellow", soft_wrap=True)


def _remarks(found: Comparison) -> list[str]:
    lines = []
    for row in found.cells:
        for cell, title in zip(row, found.titles, strict=True):
            if cell.explanation is None:
                lines.append(f"{title}: {cell.problem}")
            else:
                sanity = cell.explanation.provenance.get("sanity") or {}
                lines += [f"{title}, {cell.explanation.prompt!r}: {line}" for line in sanity.get("warnings", ())]
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
