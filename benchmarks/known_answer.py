"""Do the maps point at what was asked for? The embedded model on freshly drawn scenes, whose masks are exact.

    python benchmarks/known_answer.py [--count N] [--methods ...] [--json FILE] [--markdown [FILE]]

Stickers: two or three different objects, one of them asked for by name. Phantoms: one finding, told by the prompt.
Every method of the catalogue, the slow ones on the first scenes only; beside them stand maps that know nothing. Exit
code 1 if relevance over all blocks points at fewer than 0.85 of the stickers.
"""

from __future__ import annotations

import argparse
import json
import sys
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
from napari_vlexplain.metrics.thresholds import threshold_of
from napari_vlexplain.models.dual_encoder import DualEncoder

PROMISED = ("stickers", "relevance, all blocks", "pointing", 0.85)
TOP = 0.10
RESAMPLES = 2000
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
    """A row of the tables: a method with its parameters; ``pace`` says on how many of the scenes it is tried."""

    label: str
    method: str
    parameters: dict[str, Any] = field(default_factory=dict)
    pace: str = "quick"

    def heatmap(self, case: Case) -> Heatmap:
        """(H, W), raw scores at the pixels of the scene."""
        found = explain(case.image, case.prompts[0], "mini", self.method, device="cpu", **self.parameters)
        return found.pixel_scores


SPECIAL = (
    Setting("relevance, all blocks", "relevance", {"start_block": 0}),
    Setting("relevance, last block", "relevance", {"start_block": -1}),
    Setting("M2IB, layer 5", "m2ib", {"layer": 5}, "slow"),
    Setting("SmoothGrad", "smoothgrad", {"samples": 10}, "slow"),
    Setting("Integrated gradients, 16 steps", "integrated_gradients", {"steps": 16}, "slow"),
    Setting("Expected gradients, 32 samples", "expected_gradients", {"samples": 32}, "slow"),
    Setting("Occlusion, squares of 2 patches", "occlusion", {"window": 2, "stride": 2}, "slow"),
    Setting("Score-CAM, 64 channels", "score_cam", {"channels": 64}, "slow"),
    Setting("RISE, 256 masks", "rise", {"masks": 256}, "slowest"),
    Setting("Kernel SHAP, 7 x 7 cells, 256 coalitions", "kernel_shap", {"cells": 7, "samples": 256}, "slowest"),
    Setting("LIME, 256 samples", "lime", {"samples": 256}, "slowest"),
    Setting("Exact Shapley, 3 x 3 cells", "exact_shapley", {}, "slowest"),
)
"""Methods whose parameters are not the default ones, or that take their time."""


def settings(model: DualEncoder) -> list[Setting]:
    """A row for every method that fits the model, and a second for one that is known by two."""
    rows: list[Setting] = []
    for info in list_methods():
        own = [setting for setting in SPECIAL if setting.method == info.name]
        if info.requires <= model.capabilities:
            rows += own or [Setting(info.title, info.name)]
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
    """Over the cases that have the figure; ``low`` and ``high`` bound its 95% bootstrap interval."""

    value: float
    low: float
    high: float
    missing: int

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Mean:
        there = values[~np.isnan(values)]
        if not len(there):
            return cls(float("nan"), float("nan"), float("nan"), len(values))
        picks = np.random.default_rng(0).integers(len(there), size=(RESAMPLES, len(there)))
        low, high = np.quantile(there[picks].mean(axis=1), (0.025, 0.975))
        return cls(float(there.mean()), float(low), float(high), len(values) - len(there))

    def __str__(self) -> str:
        missing = f", {self.missing} without" if self.missing else ""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]{missing}"


def table(world: str, scenes: list[Case], wanted: list[Setting], counts: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Label -> number of cases and the mean of every figure."""
    sources = {s.label: s.heatmap for s in wanted} | FLOORS
    paces = {s.label: s.pace for s in wanted}
    rows: dict[str, dict[str, Any]] = {}
    for label, source in sources.items():
        some = scenes[: counts[paces.get(label, "quick")]]
        found = [figures(source(case), case.masks[0]) for case in some]
        means = {name: Mean.of(np.array([f[name] for f in found])) for name in FIGURES}
        rows[label] = {"cases": len(some), **means}
        print(f"{world:9} {label:40} {len(some):4}  " + "  ".join(f"{n} {m}" for n, m in means.items()), flush=True)
    return rows


def document(tables: dict[str, dict[str, dict[str, Any]]], areas: dict[str, float], seed: int) -> str:
    """The page docs/known-answer.md."""
    model = load_model("mini", "cpu")
    fitting = [info for info in list_methods() if info.requires <= model.capabilities]
    blind = ", ".join(info.title for info in fitting if not info.uses_prompt)
    lines = [
        "# Known answers",
        "",
        "How often the maps of the embedded model find what they were asked for, in scenes drawn for this table and",
        "seen by no training: the masks are exact. Written by `python benchmarks/known_answer.py --markdown`.",
        "",
        "- **Stickers**: two or three different objects on a background; the prompt names one of them.",
        "- **Phantoms**: drawn chest radiographs with one finding, told by the prompt. Not for clinical use.",
        "- Pointing game: is the map's maximum inside the mask? IoU of the tenth of the pixels with the highest",
        "  scores with the mask, and at whichever threshold suits the map best. Energy: share of the map's positive",
        "  mass inside the mask. Higher is better.",
        f"- Means over the cases with 95% bootstrap intervals ({RESAMPLES} resamples of cases), scene seed {seed}.",
        "  Slow methods count the first scenes only, so their intervals are wide. *Without*: cases whose map is zero",
        "  everywhere. Parameters that no row names are the default ones.",
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
        lines += [f"| method | cases | {head} |", "|---|--:|---|---|---|"]
        lines += [f"| {k} | {row['cases']} | {' | '.join(str(row[f]) for f in FIGURES)} |" for k, row in rows.items()]
    lines += ["", f"Model `mini`, weights sha256 `{model.weights_hash()[:16]}`, float32 on the CPU."]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="scenes of each world")
    parser.add_argument("--slow-count", type=int, default=15, help="of these for methods that take about a second")
    parser.add_argument("--slowest-count", type=int, default=6, help="of these for those that take ten")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="all by default")
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--seed", type=int, default=2026, help="of the scenes")
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument("--markdown", type=Path, nargs="?", const=DOCUMENT, help=f"write tables, to {DOCUMENT.name}")
    options = parser.parse_args()

    wanted = [s for s in settings(load_model("mini", "cpu")) if not options.methods or s.method in options.methods]
    counts = {"quick": options.count, "slow": options.slow_count, "slowest": options.slowest_count}
    tables, areas = {}, {}
    for world in options.worlds:
        scenes = list(cases(world, options.count, options.seed))
        areas[world] = float(np.mean([case.masks[0].mean() for case in scenes]))
        tables[world] = table(world, scenes, wanted, counts)
    if options.json:
        plain = {w: {k: {n: asdict(v) if isinstance(v, Mean) else v for n, v in row.items()} for k, row in rows.items()}
                 for w, rows in tables.items()}  # fmt: skip
        record = {"seed": options.seed, "area": areas, "tables": plain}
        options.json.write_text(json.dumps(record, indent=1), encoding="utf-8")
    if options.markdown:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text(document(tables, areas, options.seed), encoding="utf-8")
    world, label, figure, least = PROMISED
    row = tables.get(world, {}).get(label)
    if row is not None and not row[figure].value >= least:
        print(f"{label} on {world}: {FIGURES[figure]} is {row[figure].value:.3f}, promised {least}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
