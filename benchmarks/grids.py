"""Where maps point in grids of four photographs: each prompt names one of them, so chance is 1 in 4.

usage: python benchmarks/grids.py MODEL [--methods NAME ...]

MODEL is a folder or the name of a CLIP that knows cats, clocks and people.

On one photograph with one large object most maps point right, whatever they show. The photographs are those that
scikit-image ships. What each choice of sinks changes is told by sink_choices.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage import data, transform

from napari_vlexplain import explain, list_methods, load_model
from napari_vlexplain.metrics.statistics import wilson

PHOTOGRAPHS = {
    "a photo of a cat": data.chelsea,
    "a photo of a person": data.astronaut,
    "a photo of a cup": data.coffee,
    "a photo of grass": data.grass,
    "a photo of gravel": data.gravel,
    "a photo of a wall": data.brick,
    "a photo of a clock": data.clock,
    "a photo of a motorcycle": lambda: data.stereo_motorcycle()[0],
}
SIDE, GRIDS, SEED = 112, 10, 0
LESS: dict[str, dict[str, Any]] = {
    "rise": {"masks": 256},
    "kernel_shap": {"cells": 7, "samples": 256},
    "lime": {"samples": 256},
    "occlusion": {"window": 2, "stride": 2},
    "score_cam": {"channels": 64},
    "smoothgrad": {"samples": 10},
    "integrated_gradients": {"steps": 16},
    "expected_gradients": {"samples": 16},
}
"""Methods that are given less than their defaults, for want of time."""
TOO_LONG = ("exact_shapley",)
COSTLY = ("smoothgrad", "integrated_gradients", "expected_gradients", "score_cam", "occlusion", "lime", "kernel_shap",
          "rise", "m2ib")  # fmt: skip
"""Methods of many forwards, asked last, and for one target alone."""
BESIDE = (("relevance", {"start_block": 0}),)


@dataclass
class Tally:
    """Of each prompt: is the map highest in its tile, what share of its positive scores lies there, is it empty?"""

    hits: list[bool] = field(default_factory=list)
    energy: list[float] = field(default_factory=list)
    empty: int = 0

    def add(self, scores: NDArray[np.float32], place: int) -> None:
        half, wide = (n // 2 for n in scores.shape)
        row, column = np.unravel_index(np.argmax(scores), scores.shape)
        self.empty += bool(scores.min() == scores.max())
        self.hits.append(bool(2 * (row >= half) + (column >= wide) == place) and scores.min() < scores.max())
        positive = np.clip(scores, 0, None)
        top, left = place // 2 * half, place % 2 * wide
        self.energy.append(positive[top : top + half, left : left + wide].sum() / max(positive.sum(), 1e-12))

    def __str__(self) -> str:
        low, high = wilson(float(np.mean(self.hits)), len(self.hits))
        empty = f", {self.empty} empty" if self.empty else ""
        return f"{np.mean(self.hits):.2f} [{low:.2f}, {high:.2f}] ({np.mean(self.energy):.2f}){empty}"


def square(picture: NDArray) -> NDArray[np.uint8]:
    """The middle of a photograph, (SIDE, SIDE, 3)."""
    rgb = np.stack([picture] * 3, axis=-1) if picture.ndim == 2 else picture
    short = min(rgb.shape[:2])
    top, left = ((n - short) // 2 for n in rgb.shape[:2])
    small = transform.resize(rgb[top : top + short, left : left + short], (SIDE, SIDE), anti_aliasing=True)
    return np.round(255 * small).astype(np.uint8)


def grids() -> Iterator[tuple[NDArray[np.uint8], list[str]]]:
    """(2 SIDE, 2 SIDE, 3) with four different photographs, and what stands where, row by row."""
    tiles = {name: square(read()) for name, read in PHOTOGRAPHS.items()}
    rng = np.random.default_rng(SEED)
    for _ in range(GRIDS):
        names = [str(name) for name in rng.choice(list(tiles), 4, replace=False)]
        a, b, c, d = (tiles[name] for name in names)
        yield np.concatenate([np.concatenate([a, b], 1), np.concatenate([c, d], 1)]), names


def tally(model: Any, method: str, target: str, **parameters: Any) -> Tally:
    """A method on all grids."""
    found = Tally()
    for image, names in grids():
        for place, one in enumerate(explain(image, names, model, method, target, **parameters)):
            found.add(one.patch_scores, place)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="all by default, which takes an hour")
    asked = parser.parse_args()
    model = load_model(asked.model, device="cpu")
    fitting = [info for info in list_methods() if info.requires <= model.capabilities and info.name not in TOO_LONG]
    rows = [(info.name, LESS.get(info.name, {})) for info in fitting]
    rows[1:1] = BESIDE
    rows.sort(key=lambda row: COSTLY.index(row[0]) if row[0] in COSTLY else -1)
    if asked.methods:
        rows = [row for row in rows if row[0] in asked.methods]
    heads = ("similarity", "softmax")
    print(f"| method | {' | '.join(heads)} |\n|{' --- |' * (len(heads) + 1)}")
    for method, parameters in rows:
        said = method + "".join(f", {key} {value}" for key, value in parameters.items())
        targets = heads[:1] if method in COSTLY else heads
        cells = [str(tally(model, method, target, **parameters)) for target in targets]
        print(f"| {said} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
