"""``vlexplain explain``: the main job from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import VLExplainError
from ..models.text.embeddings import asked_of
from . import options
from .console import looking, output, write_json
from .folding import folded
from .results import Result, as_document, make_folder, print_results, save_results

if TYPE_CHECKING:
    from ..results.explanation import Explanation


@folded
def explain(
    source: options.Source,
    run: options.RunFully,
    prompts: options.SomePrompts = None,
    model: options.Model = "mini",
    method: Annotated[str, typer.Option(help="See 'vlexplain methods'.")] = "relevance",
    param: options.Param = None,
    target: options.TargetName = "similarity",
    against: options.Against = None,
    ground_truth: options.GroundTruth = None,
    label: options.Label = None,
    threshold: Annotated[
        str | None, typer.Option(metavar="T", help="Cut the heatmap at a value (0.5), a quantile (q0.75), or otsu.")
    ] = None,
    check: options.Check = False,
    embeddings: options.Embeddings = None,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Save a folder for each prompt, and a picture, in here.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Explain what a model sees in an image for each prompt."""
    parameters = options.parameters_of(method, param or [])
    mode, value = options.threshold_of_text(threshold or "0.5")
    if threshold and not (ground_truth or out):
        raise VLExplainError("--threshold serves --ground-truth or --out; give one of them as well.")
    explained = options.target_of(target, against)
    if embeddings is not None:
        prompts = list(asked_of(embeddings, prompts or None, explained.against)[0])
    elif not prompts:
        raise VLExplainError(
            "Missing argument 'PROMPT': write what to look for, such as 'a cat', or give --embeddings."
        )
    if out:
        make_folder(Path(out))
    with looking(source) as (report, seen):
        truths = options.truths_of(ground_truth, label, seen, prompts)
        from .. import explain as compute

        found: list[Explanation] = compute(
            seen,
            prompts,
            model=model,
            method=method,
            target=explained,
            progress=report,
            embeddings=embeddings,
            **vars(run),
            **parameters,
        )
        if check:
            from ..tasks.check import check as examined

            report(0.0, "Checking")
            found = [examined(each, progress=report) for each in found]
        results = [Result.of(each, truth, mode, value) for each, truth in zip(found, truths, strict=True)]
        picture = save_results(results, Path(out), Path(seen.name).stem, threshold is not None) if out else None
    if as_json:
        write_json(as_document(results, picture))
    else:
        print_results(output(), results, picture)
