"""Writes into docs/published.md how far the published form of each method lies from our default.

usage: python docs/published_effects.py [MODEL]    a folder or name of a CLIP that knows cats, cups, grass and people

On the embedded model with its own samples; with MODEL also on photographs that scikit-image ships. Without it that
column is left out.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from skimage import data

from napari_vlexplain import explain, load_model
from napari_vlexplain.datasets.samples import phantom_radiograph, sticker_scene
from napari_vlexplain.models.dual_encoder import DualEncoder

PAGE = Path(__file__).resolve().parent / "published.md"
_PART = re.compile(r"(?<=<!-- effects -->\n).*?(?=\n<!-- /effects -->)", re.S)
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


def main() -> None:
    found = table(sys.argv[1] if len(sys.argv) > 1 else None)
    PAGE.write_text(_PART.sub(lambda _: found, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
