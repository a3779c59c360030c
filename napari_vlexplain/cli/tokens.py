"""``vlexplain tokens``: what every part of an image says, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ..io.files import slug, writing
from ..models.options import RunOptions
from . import latent_options as latent
from . import options
from .console import looking, output, print_end, table, write_json
from .folding import folded
from .results import make_folder

if TYPE_CHECKING:
    from ..latent_text import Interpretation

SHOWN_TEXTS = 6


@folded
def tokens(
    source: options.Source,
    run: Annotated[RunOptions, latent.RUN],
    texts: latent.ReadoutOptions,
    layer: Annotated[
        list[int] | None, typer.Option(help="A layer, 0 to the last or -1; repeat for more; all without.")
    ] = None,
    patch: Annotated[
        list[str] | None, typer.Option(metavar="ROW,COLUMN", help="Show what this patch says; repeat for more.")
    ] = None,
    find: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Show where a text is among the nearest; repeat.")
    ] = None,
    top: Annotated[int, typer.Option(help="Texts for each token.")] = 5,
    model: latent.Model = "mini",
    mode: Annotated[
        str, typer.Option(help="local (attention disabled), or skip (left out; another method).")
    ] = "local",
    centre: Annotated[
        bool, typer.Option("--centre", help="Subtract each joined list's mean score before they compete.")
    ] = False,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Save everything as JSON and CSV, and a picture, in here.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show what every part of an image says, layer by layer."""
    if out:
        make_folder(Path(out))
    with looking(source) as (report, seen):
        from ..latent_text import interpret

        loaded = run.opened(model)
        found = interpret(
            loaded,
            seen,
            texts.words(),
            texts.sentences(),
            layers=layer or None,
            k=top,
            reading=texts.reading(loaded, mode=mode, centre=centre),
            seed=run.seed,
            progress=report,
        )
        patches = [latent.patch_of(text, found.grid) for text in patch or []]
        files = save(found, seen.rgb, Path(out), slug(Path(seen.name).stem)) if out else []
    if as_json:
        write_json({**found.to_dict(), "files": [str(file) for file in files]})
    else:
        show(output(), found, patches, find or [], files)


def save(found: Interpretation, pixels: Any, folder: Path, stem: str) -> list[Path]:
    """``STEM_tokens.json``, ``.csv`` and ``.png``."""
    from ..latent_text.figure import figure

    layers = None if len(found.layers) == found.depth + 1 else found.layers[:6]
    picture = folder / f"{stem}_tokens.png"
    with writing(picture):
        figure(found, pixels, layers).save(picture)
    return [found.save(folder / f"{stem}_tokens.{ending}") for ending in ("json", "csv")] + [picture]


def show(
    console: Console, found: Interpretation, patches: list[tuple[int, int]], texts: list[str], files: list[Path]
) -> None:
    """All that is to be known, for people."""
    facts = found.provenance["vocabulary"]
    title = f"{facts['texts']:,} texts ({facts['name']}) on {found.provenance['model']}"
    shown = table(title, "layer", "class token", "patches, most frequent texts", right=("layer",))
    for layer in found.layers:
        said = ", ".join(f"{text} {count}" for text, count in found.counts(layer)[:SHOWN_TEXTS])
        first = found.says(layer, 0)[0][0] if found.prefix else "-"
        shown.add_row(str(layer), first, said)
    console.print(shown)
    if len(found.layers) == 1:
        _print_grid(console, found)
    for row, column in patches:
        _print_patch(console, found, row, column)
    for text in texts:
        _print_search(console, found, text)
    for remark in found.remarks:
        console.print(remark, soft_wrap=True)
    print_end(console, files, found.provenance["note"], found.provenance["warning"])


def _print_grid(console: Console, found: Interpretation) -> None:
    """The patches of the only layer as letters, the most frequent text first."""
    layer = found.layers[0]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    order = [text for text, _ in found.counts(layer)]
    sign = {text: letters[i] if i < len(letters) else "." for i, text in enumerate(order)}
    for row in found.winners(layer):
        console.print("  ".join(sign[found.table[int(index)]] for index in row))
    listed = table("", "sign", "text", "patches", right=("patches",))
    for text, count in found.counts(layer)[: len(letters)]:
        listed.add_row(sign[text], text, str(count))
    console.print(listed)


def _print_patch(console: Console, found: Interpretation, row: int, column: int) -> None:
    listed = table(f"patch {row},{column}", "layer", "nearest texts", right=("layer",))
    for layer in found.layers:
        said = found.says(layer, found.token_of(row, column))
        listed.add_row(str(layer), "  ".join(f"{text} {score:.3f}" for text, score in said))
    console.print(listed)


def _print_search(console: Console, found: Interpretation, text: str) -> None:
    ranks = found.ranks(text)
    depth = found.indices.shape[2]
    if not (ranks >= 0).any():
        console.print(f"{text!r} is among the {depth} nearest texts of no token.", soft_wrap=True)
        return
    listed = table(
        repr(text), "layer", "nearest of", f"among the {depth} nearest of", "patches that say it", right=("layer",)
    )
    for place, layer in enumerate(found.layers):
        patches = ranks[place, found.prefix :].reshape(found.grid)
        said = [f"{row},{column}" for row, column in zip(*(patches == 0).nonzero(), strict=True)]
        more = f" and {len(said) - 12} more" if len(said) > 12 else ""
        listed.add_row(str(layer), str(len(said)), str(int((patches >= 0).sum())), " ".join(said[:12]) + more)
    console.print(listed)
