"""Writes the generated parts of docs/published.md: where ours departs from published code, and how much it matters.

usage: python docs/published_page.py            the table of facts alone; --check only says whether it is up to date
       python docs/published_page.py MODEL      the effects too; MODEL is a folder of a CLIP that knows cats and people

Effects are measured on the embedded model with its own samples, and on MODEL with photographs that scikit-image ships.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from skimage import data

from napari_vlexplain import explain, load_model
from napari_vlexplain.datasets.samples import phantom_radiograph, sticker_scene
from napari_vlexplain.methods.catalogue import list_methods
from napari_vlexplain.models.dual_encoder import DualEncoder

PAGE = Path(__file__).resolve().parent / "published.md"


@dataclass(frozen=True)
class Departure:
    """Published code beside ours.

    methods : names in the catalogue, whose papers are taken from there; none for what is no method.
    code : repository or package, with the commit or version that was run.
    """

    title: str
    code: str
    theirs: str
    ours: str
    asked: str = ""
    methods: tuple[str, ...] = ()
    paper: str = ""


DEPARTURES = (
    Departure(
        "LeGrad",
        "walidbou/LeGrad a9edb03",
        "tokens averaged, then normed and projected; its wrapper takes the last two blocks",
        "each token normed and projected, then averaged; all blocks",
        "`as_published`, `start_block`",
        methods=("legrad",),
    ),
    Departure(
        "Grad-ECLIP",
        "Grad-Eclip 5c1b5cc",
        "one head of full width; q and k through the output projection with its bias; likeness of "
        "words scaled over all 77 positions, filled with id 0",
        "the model's heads; q and k as they are; over the prompt's own words",
        "`as_published`, `heads`, `likeness`",
        methods=("grad_eclip",),
    ),
    Departure(
        "CLIP Surgery",
        "CLIP_Surgery d4696d4",
        "features divided by their length over the tokens, the readout from the unchanged stream; last six blocks",
        "cosines; the upper half",
        "`as_published`, `start_block`; `redundant=background` for a fixed list of other prompts "
        "(its ensemble of 85 templates is not built)",
        methods=("clip_surgery",),
    ),
    Departure(
        "Score-CAM",
        "grad-cam 1.5.7",
        "masks enlarged with corners aligned",
        "pixel centres",
        "`as_published`",
        methods=("score_cam",),
    ),
    Departure(
        "RISE",
        "RISE d91ea00",
        "cells mirrored at the border of a mask; divided by N p",
        "held at the border; mean where shown, less the mean",
        "`as_published`, `normalise=published`",
        methods=("rise",),
    ),
    Departure(
        "DSMI notebook",
        "Transformer-spectral-interpretability 5ad215f",
        "gradients times eigenvectors element by element, the context filled with id 0, which are nodes too",
        "matrix times vector, own words",
        "`as_published`; `combine=notebook` fills with the tokenizer's padding",
        methods=("dsmi_grad", "dsmi_grad_attn"),
    ),
    Departure(
        "INViTE",
        "vit-interpret 1ed007f",
        "tokens divided over the token axis, also when the edited image is classified",
        "cosines",
        "`norm_axis`, `class_axis` of `Reading`",
        paper="Chen et al., ICLR 2024",
    ),
    Departure(
        "insertion",
        "RISE d91ea00",
        "an 11 x 11 blur of a point, mirrored within, black beyond the picture",
        "the same",
        "",
        paper="Petsiuk, Das, Saenko, BMVC 2018",
    ),
    Departure(
        "deep spectral segments",
        "deep-spectral-segmentation b89b650",
        "colours by Pillow's antialiased bilinear of 8-bit values",
        "the same",
        "",
        paper="Melas-Kyriazi et al., CVPR 2022",
    ),
    Departure(
        "Grad-CAM++",
        "grad-cam 1.5.7",
        "an epsilon of 1e-6 that outweighs CLIP's gradients",
        "the equation, in float64",
        "",
        methods=("grad_cam_plus_plus",),
    ),
    Departure(
        "AttnLRP",
        "lxt 2.1",
        "a norm's deviation held fixed, centring and bias take part",
        "the same; `norm=identity` is the other reading of the paper's proposition 3.4, and runs away on real weights",
        "`norm`",
        methods=("attn_lrp",),
    ),
)
"""In the page's order."""

SWITCHES: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("legrad", {"as_published": True}, {}),
    ("grad_eclip", {"as_published": True}, {}),
    ("clip_surgery", {"as_published": True}, {}),
    ("score_cam", {"as_published": True}, {"channels": 64}),
    ("rise", {"as_published": True}, {"masks": 128}),
    ("dsmi_grad", {"as_published": True}, {}),
    ("dsmi_grad_attn", {"as_published": True}, {}),
    ("attn_lrp", {"norm": "identity"}, {}),
)
"""Method, what asks for the other form, and what both are given."""
Asked = tuple[NDArray[Any], list[str]]


def drawn() -> list[Asked]:
    return [(one.image, list(one.prompts)) for one in (sticker_scene(), phantom_radiograph())]


def photographs() -> list[Asked]:
    prompts = ["a photo of a cat", "a photo of a person", "a photo of a cup", "a photo of grass"]
    return [(read(), prompts) for read in (data.chelsea, data.astronaut, data.coffee, data.grass)]


def effect(
    model: DualEncoder, pictures: Iterable[Asked], method: str, switch: dict[str, Any], both: dict[str, Any]
) -> str:
    """Mean rank correlation of the maps, and how many of them are highest elsewhere."""
    ranks, moved = [], []
    for image, prompts in pictures:
        ours = explain(image, prompts, model, method, **both)
        theirs = explain(image, prompts, model, method, **both, **switch)
        for one, other in zip(ours, theirs, strict=True):
            a, b = one.patch_scores.ravel(), other.patch_scores.ravel()
            ranks.append(float(spearmanr(a, b).statistic) if np.ptp(a) and np.ptp(b) else float("nan"))
            moved.append(bool(a.argmax() != b.argmax()))
    known = [rank for rank in ranks if not np.isnan(rank)]
    empty = len(ranks) - len(known)
    return f"{np.mean(known):.2f}; {sum(moved)} of {len(moved)}" + (f", {empty} empty" if empty else "")


def table(real: str | None) -> str:
    models = [("mini", load_model("mini", device="cpu"), drawn())]
    models += [("CLIP ViT-B/16", load_model(real, device="cpu"), photographs())] if real else []
    lines = [f"| method | {' | '.join(name for name, *_ in models)} |", "| --- |" + " --- |" * len(models)]
    for method, switch, both in SWITCHES:
        said = ", ".join(f"{key}={value}" for key, value in {**switch, **both}.items())
        cells = [effect(model, pictures, method, switch, both) for _, model, pictures in models]
        lines.append(f"| {method}, {said} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def facts() -> str:
    """The table of departures, as Markdown; papers come from the catalogue of methods."""
    source = {info.name: info.source for info in list_methods()}
    lines = ["| method | paper | code | the published code | ours by default | asked by |", "| --- |" + " --- |" * 5]
    for row in DEPARTURES:
        name = row.title + "".join(f" `{method}`" for method in row.methods)
        paper = source[row.methods[0]] if row.methods else row.paper
        lines.append(f"| {name} | {paper} | {row.code} | {row.theirs} | {row.ours} | {row.asked} |")
    return "\n".join(lines)


def filled(page: str, part: str, text: str) -> str:
    """The page with the text between two markers made anew."""
    start, end = f"<!-- {part} -->", f"<!-- /{part} -->"
    return re.sub(f"{start}\n.*?{end}", lambda _: f"{start}\n{text}\n{end}", page, flags=re.DOTALL)


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    new = filled(page, "facts", facts())
    if sys.argv[1:] == ["--check"]:
        return int(new != page)
    if sys.argv[1:]:
        new = filled(new, "effects", table(sys.argv[1]))
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
