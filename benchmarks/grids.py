"""Where maps point in grids of four photographs: each prompt names one of them, so chance is 1 in 4.

usage: python benchmarks/grids.py MODEL    a folder or name of a CLIP that knows cats, cups, grass and people

On one photograph with one large object most maps point right, whatever they show. The photographs are scikit-image's.
"""

from __future__ import annotations

import sys
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from skimage import data, transform

from napari_vlexplain import explain, load_model

PHOTOGRAPHS = {"cat": data.chelsea, "person": data.astronaut, "cup": data.coffee, "grass": data.grass}
SIDE = 112
ASKED = (
    ("relevance", "similarity", {}),
    ("relevance", "softmax", {}),
    ("relevance", "similarity", {"start_block": 0}),
    ("relevance", "softmax", {"start_block": 0}),
    ("raw_attention", "similarity", {}),
    ("rollout", "similarity", {}),
    ("grad_cam", "similarity", {}),
    ("patch_similarity", "similarity", {}),
    ("clip_surgery", "similarity", {}),
)


def square(picture: NDArray) -> NDArray[np.uint8]:
    """The middle of a photograph, (SIDE, SIDE, 3)."""
    rgb = np.stack([picture] * 3, axis=-1) if picture.ndim == 2 else picture
    short = min(rgb.shape[:2])
    top, left = ((n - short) // 2 for n in rgb.shape[:2])
    small = transform.resize(rgb[top : top + short, left : left + short], (SIDE, SIDE), anti_aliasing=True)
    return np.round(255 * small).astype(np.uint8)


def grids() -> list[tuple[NDArray[np.uint8], tuple[str, ...]]]:
    """Every fourth arrangement, (2 SIDE, 2 SIDE, 3), and what stands where, row by row."""
    tiles = {name: square(read()) for name, read in PHOTOGRAPHS.items()}
    found = []
    for names in list(permutations(tiles))[::4]:
        a, b, c, d = (tiles[name] for name in names)
        found.append((np.concatenate([np.concatenate([a, b], 1), np.concatenate([c, d], 1)]), names))
    return found


def points(model, method: str, target: str, sinks: str, parameters: dict) -> tuple[float, float]:
    """Shares of maps whose highest patch, and of their positive scores that, lie in the tile that was asked for."""
    hits, energy = [], []
    for image, names in grids():
        prompts = [f"a photo of a {name}" for name in names]
        for place, one in enumerate(explain(image, prompts, model, method, target, sinks=sinks, **parameters)):
            scores = np.clip(one.patch_scores, 0, None)
            half, wide = (n // 2 for n in scores.shape)
            row, column = np.unravel_index(np.argmax(one.patch_scores), scores.shape)
            hits.append(2 * (row >= half) + (column >= wide) == place)
            top, left = place // 2 * half, place % 2 * wide
            energy.append(scores[top : top + half, left : left + wide].sum() / max(scores.sum(), 1e-12))
    return float(np.mean(hits)), float(np.mean(energy))


def main(name: str) -> None:
    model = load_model(name, device="cpu")
    print("| method | target | keep | remove | interpolate |\n| --- | --- | --- | --- | --- |")
    for method, target, parameters in ASKED:
        said = method + "".join(f", {key} {value}" for key, value in parameters.items())
        cells = [points(model, method, target, sinks, parameters) for sinks in ("keep", "remove", "interpolate")]
        print(
            f"| {said} | {target} | " + " | ".join(f"{hit:.2f} ({share:.2f})" for hit, share in cells) + " |",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1])
