"""Do the maps point at what was asked for? The embedded model on freshly drawn scenes, whose masks are exact.

    python benchmarks/known_answer.py [--count N] [--methods ...] [--json FILE] [--markdown [FILE]]

Stickers: two or three different objects, one of them asked for by name. Phantoms: one finding, told by the prompt.
Beside the methods stand maps that know nothing. Exit code 1 if relevance over all blocks points at fewer than 0.85 of
the stickers.
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

from napari_vlexplain import explain, load_model
from napari_vlexplain.datasets.cases import Case
from napari_vlexplain.datasets.worlds import WORLDS, cases
from napari_vlexplain.metrics.overlap import energy_in_mask, iou, pointing_game
from napari_vlexplain.metrics.thresholds import threshold_of

PROMISED = ("stickers", "relevance, all blocks", "pointing", 0.85)
TOP = 0.10
RESAMPLES = 2000
FIGURES = {
    "pointing": "pointing game",
    "iou": f"IoU of the top {TOP:.0%}",
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


SETTINGS = (
    Setting("relevance, all blocks", "relevance", {"start_block": 0}),
    Setting("relevance, last block", "relevance", {"start_block": -1}),
    Setting("raw attention", "raw_attention"),
    Setting("rollout", "rollout"),
    Setting("attention Grad-CAM", "attention_grad_cam"),
    Setting("M2IB, layer 5", "m2ib", {"layer": 5}),
)


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


def table(world: str, scenes: list[Case], settings: list[Setting], m2ib_count: int) -> dict[str, dict[str, Any]]:
    """Label -> number of cases and the mean of every figure."""
    sources = {s.label: s.heatmap for s in settings} | FLOORS
    slow = {s.label for s in settings if s.method == "m2ib"}
    rows: dict[str, dict[str, Any]] = {}
    for label, source in sources.items():
        some = scenes[:m2ib_count] if label in slow else scenes
        found = [figures(source(case), case.masks[0]) for case in some]
        means = {name: Mean.of(np.array([f[name] for f in found])) for name in FIGURES}
        rows[label] = {"cases": len(some), **means}
        print(f"{world:9} {label:24} {len(some):4}  " + "  ".join(f"{n} {m}" for n, m in means.items()), flush=True)
    return rows


def document(tables: dict[str, dict[str, dict[str, Any]]], areas: dict[str, float], seed: int) -> str:
    """The page docs/known-answer.md."""
    model = load_model("mini", "cpu")
    lines = [
        "# Known answers",
        "",
        "How often the maps of the embedded model find what they were asked for, in scenes drawn for this table and",
        "seen by no training: the masks are exact. Written by `python benchmarks/known_answer.py --markdown`.",
        "",
        "- **Stickers**: two or three different objects on a background; the prompt names one of them.",
        "- **Phantoms**: drawn chest radiographs with one finding, told by the prompt. Not for clinical use.",
        "- Pointing game: is the map's maximum inside the mask? IoU of the tenth of the pixels with the highest",
        "  scores with the mask. Energy: share of the map's positive mass inside the mask. Higher is better.",
        f"- Means over the cases with 95% bootstrap intervals ({RESAMPLES} resamples of cases), scene seed {seed}.",
        "  M2IB is slow, so it counts the first scenes only. *Without*: cases whose map is zero everywhere.",
        "- Floors know neither model nor prompt: a constant, noise, and nearness to the centre.",
        "- Raw attention and rollout do not depend on the prompt: they cannot tell the objects of a scene apart.",
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
    parser.add_argument("--count", type=int, default=200, help="scenes of each world")
    parser.add_argument("--m2ib-count", type=int, default=40, help="of these for M2IB, seconds a scene")
    parser.add_argument("--methods", nargs="+", choices=sorted({s.method for s in SETTINGS}), help="all by default")
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--seed", type=int, default=2026, help="of the scenes")
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument("--markdown", type=Path, nargs="?", const=DOCUMENT, help=f"write tables, to {DOCUMENT.name}")
    options = parser.parse_args()

    settings = [s for s in SETTINGS if not options.methods or s.method in options.methods]
    tables, areas = {}, {}
    for world in options.worlds:
        scenes = list(cases(world, options.count, options.seed))
        areas[world] = float(np.mean([case.masks[0].mean() for case in scenes]))
        tables[world] = table(world, scenes, settings, options.m2ib_count)
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
