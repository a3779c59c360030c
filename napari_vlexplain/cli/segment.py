"""``vlexplain segment``: regions and objects from a vision tower's own features, without a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ..io.files import slug
from ..models.options import RunOptions
from . import options
from .console import looking, output, print_end, table, write_json
from .folding import folded
from .results import make_folder, print_warnings

if TYPE_CHECKING:
    from ..results.segmentation import Segmentation


RUN = options.RUN.only(
    "device",
    "dtype",
    "download",
    size=Annotated[
        int | None,
        typer.Option(metavar="PIXELS", help="About the shorter side of what the model sees; else its input's."),
    ],
    seed=Annotated[int, typer.Option(min=0, help="Of the clustering.")],
)


@folded
def segment(
    source: options.Source,
    run: Annotated[RunOptions, RUN],
    model: Annotated[str, typer.Option(help="A name, see 'vlexplain models', or a folder; best is DINOv2.")] = "mini",
    features: Annotated[
        str | None, typer.Option(metavar="X", help="keys or values of a block's attention, or its output.")
    ] = None,
    block: Annotated[int | None, typer.Option(help="The block that they are taken from; -1 is the last.")] = None,
    eigenvectors: Annotated[int | None, typer.Option(help="How many, the constant one not counted.")] = None,
    clusters: Annotated[
        int | None, typer.Option(help="Regions, the background included; without, the largest eigengap decides.")
    ] = None,
    colour_weight: Annotated[
        float | None, typer.Option(help="Weight of nearness in colour and place; 10 for fine matting.")
    ] = None,
    laplacian: Annotated[str | None, typer.Option(help="normalised or plain.")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Of the object, as a share of the first eigenvector's magnitude, -1 to 1.")
    ] = None,
    object_side: Annotated[
        str | None, typer.Option(metavar="SIDE", help="The object is inside (less border for its size), or smaller.")
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="The object may be several pieces, not only the largest.")
    ] = False,
    patches: Annotated[bool, typer.Option("--patches", help="Outlines along the edges of patches.")] = False,
    out: Annotated[str | None, typer.Option(metavar="DIR", help="Save a folder of pictures and arrays here.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Segment an image by what a vision tower sees as alike."""
    typed = {
        "features": features,
        "block": block,
        "eigenvectors": eigenvectors,
        "clusters": clusters,
        "colour_weight": colour_weight,
        "laplacian": laplacian,
        "threshold": threshold,
        "object_side": object_side,
    }
    parameters: dict[str, Any] = {name: value for name, value in typed.items() if value is not None}
    parameters |= {"largest_only": False} if whole else {}
    parameters |= {"smooth": False} if patches else {}
    if out:
        make_folder(Path(out))
    with looking(source) as (report, seen):
        from .. import segment as compute

        found: Segmentation = compute(seen, model, progress=report, **RUN.given(run), **parameters)
        folder = None if out is None else found.save(Path(out) / f"{slug(Path(seen.name).stem)}_segments")
    if as_json:
        write_json(as_document(found, folder))
    else:
        print_segments(output(), found, folder)


def as_document(found: Segmentation, folder: Path | None) -> dict[str, Any]:
    """All that is to be known, for programs."""
    from ..results.segment_bundle import document

    left_out = ("format", "schema_version", "files")
    known = {name: value for name, value in document(found).items() if name not in left_out}
    return {**known, "warning": found.provenance.get("warning", ""), "folder": None if folder is None else str(folder)}


def print_segments(console: Console, found: Segmentation, folder: Path | None) -> None:
    """All that is to be known, for people."""
    facts = found.provenance
    if found.found_nothing:
        console.print("All patches are alike to this model: there is nothing to cut.")
    where = "the last feature map" if facts["block"] is None else f"{facts['features']} of block {facts['block']}"
    listed = table(f"{found.count} regions by {where} of {found.request.model}", "region", "share", "pixels",
                   right=("region", "share", "pixels"))  # fmt: skip
    total = max(1, sum(found.areas))
    for number, area in enumerate(found.areas):
        listed.add_row("background" if number == 0 else str(number), f"{area / total:.1%}", str(area))
    console.print(listed)
    x0, y0, x1, y1 = (f"{edge:.0f}" for edge in found.box)
    share = found.object_mask.mean()
    console.print(f"Object: {share:.1%} of the image, in the box x {x0} to {x1}, y {y0} to {y1}.")
    values = ", ".join(f"{value:.4g}" for value in found.eigenvectors.values)
    console.print(f"Eigenvalues: {values}", soft_wrap=True)
    print_warnings(console, [found])
    print_end(console, [folder], facts.get("warning"))
