"""Spectral figures: how fast eigenvectors are found, and how well segments fit what was drawn.

    python benchmarks/spectral.py [--scenes 50] [--seed 4242] [--repeats 5]

Times the eigenvectors of 196 and of 1,024 tokens beside a shift-invert sparse solver (ARPACK) in one run, in turn, and
says how far the two lie apart. Then the mean best IoU per object of the regions of fresh sticker scenes, with what
`mini` recommends and with the general defaults, beside a split of the picture into a chessboard of as many regions.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from measured import seconds_in_turn
from scipy.sparse.linalg import eigsh

from napari_vlexplain import load_model
from napari_vlexplain.datasets.worlds import stickers
from napari_vlexplain.spectral.eigenvectors import eigenvectors_of
from napari_vlexplain.spectral.graph import FLOOR, affinity, spectrum
from napari_vlexplain.spectral.parameters import CutParameters, EigenParameters
from napari_vlexplain.spectral.segments import cut

COUNT = 6


def tokens(n: int) -> torch.Tensor:
    """Around six directions, as patches of a picture are."""
    source = torch.Generator().manual_seed(n)
    centres = torch.randn(6, 192, generator=source)
    return centres[torch.arange(n) * 6 // n] + torch.randn(n, 192, generator=source)


def sparse(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``L v = λ D v`` with the shift of the published code, from a fixed start."""
    d = np.diag(w.sum(axis=1))
    values, vectors = eigsh(d - w, COUNT, M=d, sigma=-0.5, which="LM", v0=np.ones(len(w)))
    order = np.argsort(values)
    return values[order], vectors.T[order]


def clock(n: int, repeats: int) -> None:
    w = affinity(tokens(n))
    exact = w.double().numpy() + FLOOR
    sides = seconds_in_turn([lambda: spectrum(w, COUNT), lambda: sparse(exact)], "cpu", repeats)
    (ours, _, found), (theirs, _, (_, vectors)) = sides
    pairs = zip(found.vectors.numpy()[1:], vectors[1:], strict=True)
    apart = max(min(np.abs(a - b).max(), np.abs(a + b).max()) for a, b in pairs)
    print(f"{n:5d} tokens: ours {1000 * ours:7.1f} ms, shift-invert {1000 * theirs:7.1f} ms, apart {apart:.1e}")


def best_iou(regions: np.ndarray, truth: np.ndarray) -> float:
    """Of each object (N, H, W) the IoU of the region that fits it best, mean over objects."""
    best = []
    for one in truth:
        inside = np.bincount(regions[one], minlength=regions.max() + 1)
        whole = np.bincount(regions.ravel())
        best.append((inside / (whole + one.sum() - inside)).max())
    return float(np.mean(best))


def chessboard(shape: tuple[int, int]) -> np.ndarray:
    """Four quarters: what a region gets that knows nothing."""
    rows, columns = (np.arange(n) * 2 // n for n in shape)
    return 2 * rows[:, None] + columns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=50)
    parser.add_argument("--seed", type=int, default=4242)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    for n in (196, 1024):
        clock(n, given.repeats)
    model = load_model("mini", device="cpu")
    advice = model.info.recommended["segments"]
    cuts = {name: advice[name] for name in CutParameters.__dataclass_fields__ if name in advice}
    eigen = {name: advice[name] for name in EigenParameters.__dataclass_fields__ if name in advice}
    settings = {
        "recommended": (EigenParameters(**eigen), CutParameters(**cuts)),
        "recommended, along patches": (EigenParameters(**eigen), CutParameters(**cuts, smooth=False)),
        "keys of the last block, 4 regions": (EigenParameters(eigenvectors=4), CutParameters(clusters=4)),
        "defaults (regions by eigengap)": (EigenParameters(), CutParameters()),
    }
    found: dict[str, list[float]] = {name: [] for name in (*settings, "four quarters")}
    for index in range(given.scenes):
        drawn = stickers.render(stickers.sample(given.seed, index, word=False))
        for name, (asked, cutting) in settings.items():
            vectors, _ = eigenvectors_of(model, drawn.image, asked)
            found[name].append(best_iou(cut(vectors, cutting).regions, drawn.truth))
        found["four quarters"].append(best_iou(chessboard(drawn.truth.shape[1:]), drawn.truth))
    print(f"mean best IoU per object, {given.scenes} fresh sticker scenes:")
    for name, values in found.items():
        error = np.std(values, ddof=1) / np.sqrt(len(values))
        print(f"  {name:36s} {np.mean(values):.3f} +- {error:.3f}")


if __name__ == "__main__":
    main()
