"""``vlexplain edit``: change what parts of an image say, and see the prediction before and after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console

from ..errors import VLExplainError
from ..io.files import slug
from ..latent_text.interpretation import remarks
from ..models.options import RunOptions
from ..scale import written
from . import latent_options as latent
from . import options
from .console import looking, output, print_end, table, write_json
from .folding import folded
from .results import make_folder

if TYPE_CHECKING:
    from ..latent_text import EditResult
    from ..latent_text.plan import Action

SHOWN_CLASSES = 12
SHOWN_TEXTS = 8


@folded
def edit(
    source: options.Source,
    classes: Annotated[
        list[str],
        typer.Option(
            metavar="NAMES", help="What the image may show: names with commas, or @list; repeat.", show_default=False
        ),
    ],
    run: Annotated[RunOptions, latent.RUN],
    texts: latent.ReadoutOptions,
    find: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Edit tokens that say this; @words is a packaged list; repeat for more."),
    ] = None,
    others: Annotated[bool, typer.Option("--others", help="Edit the tokens that say none of these instead.")] = False,
    patch: Annotated[
        list[str] | None, typer.Option(metavar="ROW,COLUMN", help="Edit this patch at every layer; repeat for more.")
    ] = None,
    zero: Annotated[bool, typer.Option("--zero", help="Put zeros in their place (the default).")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take them out of the rest of the network.")] = False,
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="TEXT", help="Put tokens that say this in their place; repeat for more."),
    ] = None,
    donor: Annotated[
        str | None, typer.Option(metavar="FILE", help="Image that gives these tokens; without, the image itself.")
    ] = None,
    layers: Annotated[
        str | None, typer.Option(metavar="A-B", help="Layers to edit, such as 4-11; all without.")
    ] = None,
    when: Annotated[
        str,
        typer.Option(help="sequential: read each layer as edited so far, as published; ahead: read the image once."),
    ] = "sequential",
    read: Annotated[
        str | None, typer.Option(metavar="A-B", help="Layers to read for ahead; the last quarter without.")
    ] = None,
    edit_class_token: Annotated[
        bool, typer.Option("--edit-class-token", help="Do not spare the class token (the published way).")
    ] = False,
    empty: Annotated[
        str,
        typer.Option(help="At a layer without donors: skip, or last (its donors, as in the published code)."),
    ] = "skip",
    plan: Annotated[
        list[str] | None,
        typer.Option(metavar="JSON", help="A whole edit, as results record it, instead of the above; repeat for more."),
    ] = None,
    class_template: Annotated[
        str | None, typer.Option(metavar="SENTENCE", help='Sentence for the classes, such as "this is a {}".')
    ] = None,
    model: latent.Model = "mini",
    class_axis: Annotated[
        str, typer.Option(metavar="AXIS", help="Compare classes over: embedding (cosine) or token (as published).")
    ] = "embedding",
    controls: Annotated[int, typer.Option(min=0, help="Edits of as many random tokens, for comparison.")] = 8,
    out: Annotated[str | None, typer.Option(metavar="DIR", help="Save the result as JSON and CSV in here.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Change tokens by what they say; show the prediction before and after."""
    replace = bool(with_ or donor)
    if zero + remove + replace > 1:
        raise VLExplainError("Give one of --zero, --remove and --with (or --donor): each says what becomes of a token.")
    if plan and (find or others or patch or zero or remove or replace or layers or read or edit_class_token
             or when != "sequential" or empty != "skip"):  # fmt: skip
        raise VLExplainError("Give --plan, which holds a whole edit, or the options that describe one; not both.")
    if out:
        make_folder(Path(out))
    with looking(source) as (report, seen):
        from .. import latent_text
        from ..latent_text.plan import expanded
        from ..latent_text.reproducing import edit_of
        from ..latent_text.session_work import Edit
        from ..latent_text.tails import check_readable

        edits = [edit_of(text) for text in plan or []]
        loaded = run.opened(model)
        tower = check_readable(loaded)
        assert tower.grid is not None
        if not edits:
            places = [latent.patch_of(text, tower.grid) for text in patch or []]
            action: Action = "remove" if remove else "replace" if replace else "zero"
            described = latent_text.EditPlan(
                find=tuple(find or ()),
                others=others,
                tokens=tuple((None, tower.prefix_tokens + row * tower.grid[1] + column) for row, column in places),
                layers=latent.span_of(layers, "--layers"),
                action=action,
                with_texts=tuple(with_ or ()),
                when=when,  # type: ignore[arg-type]
                read=latent.span_of(read, "--read"),
                protect_cls=not edit_class_token,
                empty=empty,  # type: ignore[arg-type]
            )
            edits = [Edit(described, None if donor is None else latent_text.Donor(donor, donor))]
        found = latent_text.edit(
            loaded,
            seen,
            expanded(options.listed(classes)),
            [one.plan for one in edits],
            texts.words(),
            texts.sentences(),
            class_template=class_template,
            donor=[one.donor for one in edits],
            reading=texts.reading(loaded, class_axis=class_axis),
            controls=controls,
            seed=run.seed,
            progress=report,
        )
        stem = slug(Path(seen.name).stem)
        endings = ("json", "csv") if out else ()
        files = [file for ending in endings for file in found.save(Path(out or "") / f"{stem}_edit.{ending}")]
    if as_json:
        write_json({**found.to_dict(), "files": [str(file) for file in files]})
    else:
        show(output(), found, files)


def show(console: Console, found: EditResult, files: list[Path]) -> None:
    """All that is to be known, for people."""
    numbers = ("before", "after", "random tokens")
    order = np.argsort(-np.maximum(found.before, found.after), kind="stable")[:SHOWN_CLASSES]
    done = "; ".join(plan.describe() for plan in found.plans)
    shown = table(f"{done}, on {found.provenance['model']}", "class", *numbers, right=numbers)
    for i in order:
        values = (found.before[i], found.after[i], found.control[i])
        shown.add_row(found.classes[i], *(written(value) for value in values))
    console.print(shown)
    before, after = found.prediction
    if not found.changed.any():
        console.print(
            "No token was selected, so nothing changed; 'vlexplain tokens' shows what the tokens say.", soft_wrap=True
        )
    else:
        said = "stays" if before == after else f"goes from {before!r} to"
        console.print(f"The prediction {said} {after!r}.", soft_wrap=True)
        counts = " ".join(map(str, found.per_layer))
        console.print(f"Tokens changed at layers 0 to {len(found.per_layer) - 1}: {counts}", soft_wrap=True)
        _print_said(console, found)
    for remark in remarks(found.provenance):
        console.print(remark, soft_wrap=True)
    print_end(console, files, found.provenance["note"], found.provenance["warning"])


def _print_said(console: Console, found: EditResult) -> None:
    shown = table("What they say after the last block", "before", "after", "tokens", right=("tokens",))
    for before, after, count in found.said()[:SHOWN_TEXTS]:
        shown.add_row(before, after or "(gone)", str(count))
    console.print(shown)
