"""``vlexplain perturb``: what answers are worth while what is relevant is taken away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ..errors import VLExplainError
from ..io.files import writing
from ..models.options import RunOptions
from ..perturbation.published import PUBLISHED, SOURCE
from . import options
from .console import output, progress, table, write_json
from .folding import folded

if TYPE_CHECKING:
    from ..perturbation.result import How, Perturbed
    from ..running.run import Run

HEADINGS = {"image": "image", "text": "words"}
MARKS = {"positive": "+", "negative": "-"}


RUN = options.RUN.only(
    "device",
    "dtype",
    "size",
    "download",
    seed=Annotated[int, typer.Option(min=0, help="Of the scenes and of the random order.")],
)


@folded
def perturb(
    run: Annotated[RunOptions, RUN],
    model: Annotated[
        str, typer.Option(help="mini-vqa, the folder of a LXMERT or VisualBERT; or a model that scores prompts.")
    ] = "mini-vqa",
    methods: Annotated[
        str, typer.Option(metavar="all|NAME,NAME", help="Methods, and random; all are those of the published table.")
    ] = "all",
    cases: Annotated[int, typer.Option(help="How many scenes, or questions of the data set.")] = 1000,
    data: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="VQA v2: questions, annotations, images, and valid.json where there is one."),
    ] = None,
    regions: Annotated[
        str | None, typer.Option(metavar="FILE", help="Boxes and features of its images: tsv or h5.")
    ] = None,
    rounding: Annotated[
        str, typer.Option(help="Of how many parts stay: published (as the code has it) or exact.")
    ] = "published",
    out: Annotated[str | None, typer.Option(metavar="FILE", help="Write all figures and curves as JSON.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Take away what methods find relevant, and see how well a model still answers."""
    if rounding not in ("published", "exact"):
        raise VLExplainError(f"--rounding is {rounding!r}, but it must be published or exact.")
    if cases < 1:
        raise VLExplainError(f"--cases is {cases}, but at least 1 is needed.")
    if regions and not data:
        raise VLExplainError("--regions describe the images of --data; give that as well.")
    if out and Path(out).is_dir():
        raise VLExplainError(f"--out names the folder {out}; name a file.")
    names = None if methods == "all" else options.listed(methods)
    from ..running.run import Run

    with progress() as report:
        report(0.0, "Starting the engine")
        found = _run(model, names, cases, data, regions, rounding, run, Run(report))
    from ..perturbation.result import document

    figures = {**document(found), "published": _published(found)}
    if out:
        write_file(Path(out), figures)
    if as_json:
        write_json(figures)
    else:
        print_perturbed(output(), found)
        if out:
            output().print(f"Saved {out}", soft_wrap=True)


def _run(
    model: str,
    names: list[str] | None,
    count: int,
    data: str | None,
    regions: str | None,
    rounding: Any,
    options: RunOptions,
    run: Run,
) -> Perturbed:
    from ..models.zoo import known_models, other_door
    from ..perturbation.cases import SEED, fresh_captions, fresh_questions

    info = known_models().get(model)
    answers = info.kind == "question" if info else other_door(model, _family(model)) is not None
    if not answers:
        from ..perturbation.dual_encoders import perturb_captions

        if data:
            raise VLExplainError(f"{model} answers no questions, so --data has none for it; leave it out.")
        encoder = options.opened(model, run.part(0.0, 0.05))
        drawn = fresh_captions(count, SEED + options.seed)
        return perturb_captions(
            encoder, drawn, count, names, rounding=rounding, seed=options.seed, run=run.part(0.05, 1.0)
        )
    if options.size is not None:
        raise VLExplainError(f"{model} answers questions, and sees pictures in its own size alone; leave --size out.")
    from ..models.question_loading import load_question_model
    from ..perturbation.questions import perturb_questions

    loaded = load_question_model(model, options.device, options.download, run.part(0.0, 0.05), options.dtype)
    asked: Any = fresh_questions(count, SEED + options.seed)
    if data:
        from ..perturbation.vqa import vqa_cases

        asked = vqa_cases(data, count, regions)
        count = len(asked)
    return perturb_questions(loaded, asked, count, names, rounding=rounding, seed=options.seed, run=run.part(0.05, 1.0))


def _family(model: str) -> str | None:
    """The ``model_type`` of a folder's config."""
    import json

    file = Path(model).expanduser() / "config.json"
    try:
        return json.loads(file.read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return None


def print_perturbed(console: Console, found: Perturbed) -> None:
    """Our areas with intervals, those that were published where there are any, and the means over steps."""
    console.print(_table(found, "trapezoid", f"area under the curve, {found.unit}, {len(found.cases)} cases"))
    if _published(found):
        console.print(_published_table(found))
    console.print(_table(found, "mean", "mean over the steps"))
    console.print(
        f"{found.model}; nothing taken away: {found.clean:.2f}. + takes the most relevant parts away first (lower is "
        "better), - the least relevant (higher is better). In brackets: 95 % bootstrap interval.",
        soft_wrap=True,
    )
    if _published(found):
        console.print(f"published: {SOURCE}.", soft_wrap=True)


def _table(found: Perturbed, how: How, title: str) -> Any:
    headings = _headings()
    listed = table(title, "method", *headings, right=headings)
    for method, row in found.table(how).items():
        listed.add_row(method, *(f"{cell.mean:.2f} [{cell.low:.1f}, {cell.high:.1f}]" for cell in row.values()))
    return listed


def _published_table(found: Perturbed) -> Any:
    """A table of its own: beside ours it would not fit onto a terminal."""
    headings = _headings()
    listed = table("published, LXMERT on VQA v2", "method", *headings, right=headings)
    for method in found.methods:
        if method in PUBLISHED:
            listed.add_row(method, *(f"{PUBLISHED[method][column]:.2f}" for column in _columns()))
    return listed


def _headings() -> tuple[str, ...]:
    return tuple(f"{HEADINGS[modality]} {MARKS[sign]}" for modality, sign in _columns())


def _columns() -> tuple[tuple[str, str], ...]:
    from ..perturbation.result import COLUMNS

    return COLUMNS


def _published(found: Perturbed) -> dict[str, Any]:
    return {
        method: {f"{modality}_{sign}": value for (modality, sign), value in PUBLISHED[method].items()}
        for method in found.methods
        if method in PUBLISHED and found.unit.startswith("soft")
    }


def write_file(file: Path, figures: dict[str, Any]) -> None:
    """Raises VLExplainError where the disk refuses."""
    import json

    with writing(file):
        file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
