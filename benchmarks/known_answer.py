"""Do the maps point at what was asked for? The embedded model on freshly drawn scenes, whose masks are exact.

    python benchmarks/known_answer.py [--count N] [--methods ...] [--json FILE] [--markdown [FILE]]

Stickers: two or three different objects, one of them asked for by name. Phantoms: one finding, told by the prompt;
pairs: two findings, one of them asked for. Every method of the catalogue on the same scenes; beside them stand maps
that know nothing. Exit code 1 if relevance over all blocks points at fewer than 0.85 of the stickers.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vlexplain import explain, list_methods, load_model
from napari_vlexplain.datasets.cases import Case
from napari_vlexplain.datasets.worlds import WORLDS, cases
from napari_vlexplain.metrics.overlap import energy_in_mask, iou, pointing_game, threshold_iou
from napari_vlexplain.metrics.statistics import wilson
from napari_vlexplain.metrics.thresholds import threshold_of
from napari_vlexplain.models.dual_encoder import DualEncoder
from napari_vlexplain.scale import is_constant

PROMISED = ("stickers", "Attention relevance, start_block 0, text_start_block 0", "pointing", 0.85)
TOP = 0.10
RESAMPLES = 2000
DEFAULT_COUNT = 10
FIGURES = {
    "pointing": "pointing game",
    "iou": f"IoU of the top {TOP:.0%}",
    "best": "IoU at its best",
    "energy": "energy in the mask",
}
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "known-answer.md"

Heatmap = NDArray[np.float32]


@dataclass(frozen=True)
class Setting:
    """A row of the tables: a method with its parameters."""

    label: str
    method: str
    parameters: dict[str, Any] = field(default_factory=dict)

    def heatmap(self, case: Case) -> Heatmap:
        """(H, W), raw scores at the pixels of the scene."""
        found = explain(case.image, case.prompts[0], "mini", self.method, device="cpu", **self.parameters)
        return found.pixel_scores


SPECIAL = (
    Setting("Relevance, last block", "relevance", {"start_block": -1, "text_start_block": -1}),
    Setting("M2IB, the default layer", "m2ib", {"layer": None}),
    Setting("SmoothGrad, 10 samples", "smoothgrad", {"samples": 10}),
    Setting("Integrated gradients, 16 steps", "integrated_gradients", {"steps": 16}),
    Setting("Expected gradients, 32 samples", "expected_gradients", {"samples": 32}),
    Setting("Occlusion, squares of 2 patches", "occlusion", {"window": 2, "stride": 2}),
    Setting("Score-CAM, 64 channels", "score_cam", {"channels": 64}),
    Setting("RISE, 256 masks", "rise", {"masks": 256}),
    Setting("Kernel SHAP, 7 x 7 cells, 256 coalitions", "kernel_shap", {"cells": 7, "samples": 256}),
    Setting("LIME, 256 samples", "lime", {"samples": 256}),
)
"""Rows beside, or for want of time in place of, those of the default parameters."""

TOO_LONG = frozenset({"occlusion", "score_cam", "rise", "kernel_shap", "lime"})
"""Methods whose defaults take a minute or more for one scene on one core; their rows say what they were given."""


def settings(model: DualEncoder) -> list[Setting]:
    """A row for every method that fits the model, with what is recommended for the model; then those beside it."""
    rows: list[Setting] = []
    for info in list_methods():
        if info.requires <= model.capabilities:
            own = [setting for setting in SPECIAL if setting.method == info.name]
            advice = model.info.recommended.get(info.name, {})
            named = f", {', '.join(f'{key} {value}' for key, value in advice.items())}" if advice else ""
            rows += [] if info.name in TOO_LONG else [Setting(f"{info.title}{named}", info.name)]
            rows += own
    return rows


def uniform(case: Case) -> Heatmap:
    return np.ones(case.image.shape[:2], np.float32)


def random(case: Case) -> Heatmap:
    """A number for each pixel, drawn from the case's own seed."""
    seed = int.from_bytes(case.id.encode(), "big")
    return np.random.default_rng(seed).random(case.image.shape[:2], dtype=np.float32)


def centre(case: Case) -> Heatmap:
    """Highest in the middle of the image, falling off with the distance from it."""
    height, width = case.image.shape[:2]
    y, x = (np.abs(np.linspace(-1, 1, side)) for side in (height, width))
    return -np.hypot(y[:, None], x[None]).astype(np.float32) + np.float32(2)


FLOORS: dict[str, Callable[[Case], Heatmap]] = {
    "floor: uniform": uniform,
    "floor: random": random,
    "floor: centre": centre,
}


def figures(heatmap: Heatmap, truth: NDArray[np.bool_]) -> dict[str, float]:
    return {
        "pointing": pointing_game(heatmap, truth),
        "iou": iou(heatmap >= threshold_of(heatmap, "quantile", 1 - TOP), truth),
        "best": float(np.nanmax(threshold_iou(heatmap, truth)[1])),
        "energy": energy_in_mask(heatmap, truth),
    }


@dataclass(frozen=True)
class Mean:
    """Over the cases that have the figure; ``low`` and ``high`` bound its 95% interval."""

    value: float
    low: float
    high: float
    missing: int

    @classmethod
    def of(cls, values: NDArray[np.float64], share: bool = False) -> Mean:
        """By resampling cases; of a ``share`` of cases Wilson's, which is not empty where all cases agree."""
        there = values[~np.isnan(values)]
        missing = len(values) - len(there)
        if not len(there):
            return cls(float("nan"), float("nan"), float("nan"), missing)
        mean = float(there.mean())
        if share:
            return cls(mean, *wilson(mean, len(there)), missing)
        picks = np.random.default_rng(0).integers(len(there), size=(RESAMPLES, len(there)))
        low, high = np.quantile(there[picks].mean(axis=1), (0.025, 0.975))
        return cls(mean, float(low), float(high), missing)

    def __str__(self) -> str:
        missing = f", {self.missing} without" if self.missing else ""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]{missing}"


def table(world: str, scenes: list[Case], wanted: list[Setting]) -> dict[str, dict[str, Any]]:
    """Label -> number of maps that are the same everywhere, and the mean of every figure, all on the same scenes."""
    sources = {s.label: s.heatmap for s in wanted} | FLOORS
    rows: dict[str, dict[str, Any]] = {}
    for label, source in sources.items():
        began = time.process_time()
        maps = [source(case) for case in scenes]
        seconds = (time.process_time() - began) / max(1, len(scenes))
        found = [figures(one, case.masks[0]) for one, case in zip(maps, scenes, strict=True)]
        means = {name: Mean.of(np.array([f[name] for f in found]), name == "pointing") for name in FIGURES}
        rows[label] = {"empty": sum(is_constant(one) for one in maps), "seconds": seconds, **means}
        print(f"{world:13} {label:44} {seconds:6.1f} s  " + "  ".join(f"{n} {m}" for n, m in means.items()), flush=True)
    return rows


def document(tables: dict[str, dict[str, dict[str, Any]]], areas: dict[str, float], seed: int, count: int) -> str:
    """The page docs/known-answer.md."""
    model = load_model("mini", "cpu")
    fitting = [info for info in list_methods() if info.requires <= model.capabilities]
    blind = ", ".join(info.title for info in fitting if not info.uses_prompt)
    lines = [
        "# Known answers",
        "",
        "How often the maps of the embedded model find what they were asked for, in scenes drawn for this table and",
        "seen by no training: the masks are exact. Written by",
        f"`python benchmarks/known_answer.py --count {count} --seed {seed} --markdown`.",
        "",
        f"Every row is measured on the same {count} scenes of its world, so the intervals are wide: rows whose",
        "intervals overlap are not told apart by this table.",
        "",
        "- **Stickers**: two or three different objects on a background; the prompt names one of them.",
        "- **Phantom**: drawn chest radiographs with one finding, told by the prompt. Not for clinical use.",
        "- **Phantom pairs**: two findings, one of them asked for; a map that knows no prompt cannot tell which.",
        "- Pointing game: is the map's maximum inside the mask? IoU of the tenth of the pixels with the highest",
        "  scores with the mask, and at whichever threshold suits the map best. Energy: share of the map's positive",
        "  mass inside the mask. Higher is better.",
        f"- Means with 95% intervals: Wilson's for pointing, of {RESAMPLES} resamples of the scenes for the others.",
        "  *Without*: scenes whose map has no positive score. Empty: maps that are the same everywhere.",
        "- Parameters that no row names are the default ones, or those recommended for `mini`, which a row names.",
        "  The black box methods and Score-CAM are given less than their defaults, as their rows say: RISE's 2,048",
        "  masks take over a minute for one scene on one core. Seconds: of one core for one scene, while others were",
        "  at work on the machine; a guide, not a benchmark.",
        "- Floors know neither model nor prompt: a constant, noise, and nearness to the centre.",
        "- The image's maps of these do not depend on the prompt, so they cannot tell the objects of a scene apart:",
        f"  {blind}.",
        "- These are drawings of the kind that this small model was trained on. The tables say which methods follow",
        "  the model's own evidence here, not how well any of them does on photographs or radiographs.",
    ]
    for world, rows in tables.items():
        head = " | ".join(FIGURES.values())
        lines += [
            "",
            f"## {world.capitalize()}",
            "",
            f"The mask covers {areas[world]:.3f} of the image on average.",
            "",
        ]
        lines += [f"| method | {head} | empty | seconds |", "|---|---|---|---|---|--:|--:|"]
        lines += [
            f"| {k} | {' | '.join(str(row[f]) for f in FIGURES)} | {row['empty']} | {row['seconds']:.1f} |"
            for k, row in rows.items()
        ]
    lines += ["", f"Model `mini`, weights sha256 `{model.weights_hash()[:16]}`, float32 on the CPU."]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=DEFAULT_COUNT, help="scenes of each world, the same for all rows")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="all by default")
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--seed", type=int, default=2026, help="of the scenes")
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument("--markdown", type=Path, nargs="?", const=DOCUMENT, help=f"write tables, to {DOCUMENT.name}")
    options = parser.parse_args()

    wanted = [s for s in settings(load_model("mini", "cpu")) if not options.methods or s.method in options.methods]
    tables, areas = {}, {}
    for world in options.worlds:
        scenes = list(cases(world, options.count, options.seed))
        areas[world] = float(np.mean([case.masks[0].mean() for case in scenes]))
        tables[world] = table(world, scenes, wanted)
    if options.json:
        plain = {w: {k: {n: asdict(v) if isinstance(v, Mean) else v for n, v in row.items()} for k, row in rows.items()}
                 for w, rows in tables.items()}  # fmt: skip
        record = {"seed": options.seed, "area": areas, "tables": plain}
        options.json.write_text(json.dumps(record, indent=1), encoding="utf-8")
    if options.markdown:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text(document(tables, areas, options.seed, options.count), encoding="utf-8")
    world, label, figure, least = PROMISED
    row = tables.get(world, {}).get(label)
    if row is not None and not row[figure].value >= least:
        print(f"{label} on {world}: {FIGURES[figure]} is {row[figure].value:.3f}, promised {least}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
