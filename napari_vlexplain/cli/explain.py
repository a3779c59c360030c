"""``vlexplain explain``: the main job from the command line."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import VLExplainError
from .console import output, progress, write_json
from .options import DtypeOption, parameters_of, plane_of_text, threshold_of_text
from .results import Result, as_document, make_folder, print_results, save_results

if TYPE_CHECKING:
    from ..explanation import Explanation


def explain(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="PNG, JPEG, WebP, TIFF or DICOM.", show_default=False)],
    prompts: Annotated[
        list[str], typer.Argument(metavar="PROMPT...", help="What to look for; one or more.", show_default=False)
    ],
    model: Annotated[str, typer.Option(help="A name, see 'vlexplain models', or a folder.")] = "mini",
    method: Annotated[str, typer.Option(help="See 'vlexplain methods'.")] = "relevance",
    param: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A parameter of the method; repeat for more.")
    ] = None,
    target: Annotated[
        str, typer.Option(help="What is explained: similarity, logit, margin or softmax.")
    ] = "similarity",
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="PROMPT", help="A prompt that only serves margin or softmax as contrast; repeat."),
    ] = None,
    ground_truth: Annotated[
        str | None, typer.Option(metavar="FILE", help="A mask image, or JSON of boxes: measure against it.")
    ] = None,
    threshold: Annotated[
        str | None, typer.Option(metavar="T", help="Cut the heatmap at a value (0.5), a quantile (q0.75), or otsu.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Sanity checks too: unrelated prompts, random weights, completeness.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps; by default the fastest there is.")] = None,
    dtype: DtypeOption = "auto",
    seed: Annotated[int, typer.Option(help="Of every random number.")] = 0,
    contrast_limits: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="The image's values that become black and white."),
    ] = None,
    plane: Annotated[
        str | None, typer.Option(metavar="I[,J...]", help="Which image of a stack, counted from 0.")
    ] = None,
    truncate: Annotated[bool, typer.Option("--truncate", help="Cut prompts that are too long for the model.")] = False,
    download: Annotated[bool, typer.Option("--download", help="Fetch the model's weights if need be.")] = False,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Save a folder for each prompt, and a picture, in here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """Explain what a model sees in an image for each prompt."""
    parameters = parameters_of(method, param or [])
    mode, value = threshold_of_text(threshold or "0.5")
    if threshold and not (ground_truth or out):
        raise VLExplainError("--threshold serves --ground-truth or --out; give one of them as well.")
    if against and target not in ("margin", "softmax"):
        raise VLExplainError(f"--against serves the targets margin and softmax, not {target}; leave it out.")
    if out:
        make_folder(Path(out))
    # A library that prints must not spoil the document.
    with redirect_stdout(sys.stderr), progress() as report:
        report(0.0, "Reading the image")
        from ..io.ground_truth import read_ground_truth
        from ..io.images import read_shown

        pixels, contrast_limits = read_shown(image, contrast_limits, plane_of_text(plane))
        shape = (pixels.shape[0], pixels.shape[1])
        truths = [read_ground_truth(ground_truth, shape, prompt) if ground_truth else None for prompt in prompts]
        report(0.0, "Starting the engine")
        from .. import explain as compute
        from ..methods.targets import Target

        found: list[Explanation] = compute(
            pixels,
            prompts,
            model=model,
            method=method,
            target=Target(target, tuple(against or ())),
            seed=seed,
            progress=report,
            contrast_limits=contrast_limits,
            truncate=truncate,
            device=device,
            download=download,
            dtype=dtype,
            name=image,
            **parameters,
        )
        if check:
            from ..sanity import check as examined

            report(0.0, "Checking")
            found = [examined(each, progress=report) for each in found]
        results = [Result.of(each, truth, mode, value) for each, truth in zip(found, truths, strict=True)]
        picture = save_results(results, Path(out), Path(image).stem, threshold is not None) if out else None
    if as_json:
        write_json(as_document(results, picture))
    else:
        print_results(output(), results, picture)
