"""Which side of the first eigenvector is the object? Four rules on three photographs that scikit-image ships.

usage: python benchmarks/object_side.py MODEL     a ViT with real weights; see docs/segments.md
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray
from skimage import data

from napari_vlexplain import load_model, segment

OBJECTS = {"chelsea": (90, 0, 390, 300), "astronaut": (60, 0, 420, 512), "coffee": (170, 60, 460, 350)}
"""Boxes (x0, y0, x1, y1) drawn by hand around cat, person and cup."""
FEATURES = (
    *(("keys", block) for block in (-1, -7, -9)),
    *(("values", block) for block in (-1, -7)),
    *(("output", block) for block in (-2, -3, -7, -9)),
)
SIZES = (224, 320)
SINKS = 0.1
"""A smaller side than this share of the patches is a cut around sinks, and neither side is the object."""


def sides(v: NDArray[np.float32]) -> dict[str, bool]:
    """Of an eigenvector whose positive side is the smaller one: does each rule take that side?"""
    positive = v > 0
    border = np.concatenate([positive[0], positive[-1], positive[1:-1, 0], positive[1:-1, -1]])
    return {
        "smaller (deep spectral methods)": True,
        "largest magnitude (TokenCut)": bool(v.flat[np.abs(v).argmax()] > 0),
        "fewer than 3 corners (CutLER)": int(positive[[0, 0, -1, -1], [0, -1, 0, -1]].sum()) < 3,
        "less border for its size": bool(border.mean() <= positive.mean()),
    }


def overlap(side: NDArray[np.bool_], box: tuple[int, int, int, int], shape: tuple[int, ...]) -> float:
    """IoU of patches (gh, gw) with those under a box."""
    (height, width), (rows, columns) = shape[:2], side.shape
    x0, y0, x1, y1 = box
    truth = np.zeros_like(side)
    truth[y0 * rows // height : -(-y1 * rows // height), x0 * columns // width : -(-x1 * columns // width)] = True
    return float((side & truth).sum() / (side | truth).sum())


def main(name: str) -> None:
    model, right, overlaps = load_model(name), {}, {}
    cuts = left_out = 0
    for features, block in FEATURES:
        for size in SIZES:
            for picture, box in OBJECTS.items():
                pixels = getattr(data, picture)()
                v = segment(pixels, model, features=features, block=block, size=size).eigenvectors.vectors[0]
                if (v > 0).mean() < SINKS:
                    left_out += 1
                    continue
                cuts += 1
                one, other = (overlap(side, box, pixels.shape) for side in (v > 0, v <= 0))
                for rule, positive in sides(v).items():
                    right[rule] = right.get(rule, 0) + (positive == (one > other))
                    overlaps.setdefault(rule, []).append(one if positive else other)
    print(f"{cuts} cuts; {left_out} around sinks are left out")
    for rule, count in right.items():
        print(f"| {rule} | {count} of {cuts} | {np.mean(overlaps[rule]):.2f} |")


if __name__ == "__main__":
    main(sys.argv[1])
