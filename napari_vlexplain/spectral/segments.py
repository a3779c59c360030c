"""What is cut from eigenvectors: the object, its box, regions. NumPy only; the model is not run again.

After deep spectral methods (Melas-Kyriazi, Rupprecht, Laina, Vedaldi, CVPR 2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..geometry import Geometry
from .eigenvectors import Eigenvectors
from .parameters import CutParameters

EIGHT = np.ones((3, 3), dtype=bool)
STARTS, ROUNDS = 10, 100
PLAIN = CutParameters()


@dataclass(frozen=True, eq=False)
class Cut:
    """Regions and object on source pixels.

    Attributes
    ----------
    regions : (H, W) int32, 0 for the background and where the model does not look, others by size.
    object_mask : (H, W) bool.
    box : (4,) float64, the object's (x0, y0, x1, y1) in source pixels, along the edges of patches.
    patch_regions, patch_object : the same on the grid of patches.
    """

    regions: NDArray[np.int32]
    object_mask: NDArray[np.bool_]
    box: NDArray[np.float64]
    patch_regions: NDArray[np.int32]
    patch_object: NDArray[np.bool_]


def cut(found: Eigenvectors, parameters: CutParameters | None = None, seed: int = 0) -> Cut:
    """Cluster and threshold; ``seed`` is that of k-means."""
    asked = parameters or PLAIN
    labels = regions(found, asked.clusters, seed)
    part = object_mask(found, asked)
    if asked.smooth:
        full, whole = smooth_regions(found, labels), smooth_object(found, asked)
    else:
        full, whole = to_source(labels, found.geometry), to_source(part, found.geometry).astype(bool)
    return Cut(full, whole, bounding_box(part, found.geometry), labels, part)


def object_mask(found: Eigenvectors, asked: CutParameters = PLAIN) -> NDArray[np.bool_]:
    """The object as the first eigenvector cuts it, (gh, gw): ``s v_1 > threshold max|v_1|``, s = 1 or -1 its side.

    An empty side gives the full image. ``largest_only`` keeps the largest connected component (8 neighbours).
    """
    v = _turned(found.vectors[0], asked.object_side)
    return _object(v, asked, float(np.abs(v).max()))


def smooth_object(found: Eigenvectors, asked: CutParameters = PLAIN) -> NDArray[np.bool_]:
    """The same at source pixels (H, W), from the eigenvector between patch centres."""
    patches = _turned(found.vectors[0], asked.object_side)
    v = found.geometry.scores_to_source(patches)
    part = _object(np.nan_to_num(v, nan=-np.inf), asked, float(np.abs(patches).max()))
    return part & ~np.isnan(v)


def _object(v: NDArray, asked: CutParameters, magnitude: float) -> NDArray[np.bool_]:
    mask = v > asked.threshold * magnitude
    if not mask.any():
        return np.ones_like(mask)
    return _largest_component(mask) if asked.largest_only else mask


def _turned(v: NDArray[np.float32], side: str) -> NDArray[np.float32]:
    """The eigenvector (gh, gw) with the object on its positive side, which as it comes is the smaller one.

    Photographs are filled by their object: then the smaller side is the background, and lies along the border.
    """
    positive = v > 0
    if side == "smaller" or positive.all() or not positive.any():
        return v
    return -v if _along_border(positive) > _along_border(~positive) else v


def _along_border(side: NDArray[np.bool_]) -> float:
    """The share of the border that a side holds, as a multiple of its share of the picture."""
    return float(_border(side).mean() / side.mean())


def _border(grid: NDArray) -> NDArray:
    """The values (n,) of the outermost patches, each once."""
    outside = np.ones(grid.shape, dtype=bool)
    outside[1:-1, 1:-1] = False
    return grid[outside]


def bounding_box(mask: NDArray[np.bool_], geometry: Geometry) -> NDArray[np.float64]:
    """The box (x0, y0, x1, y1) of a patch mask in source pixels, clipped to the image."""
    rows, columns = np.nonzero(mask)
    ph, pw = geometry.patch
    box = [columns.min() * pw, rows.min() * ph, (columns.max() + 1) * pw, (rows.max() + 1) * ph]
    height, width = geometry.source
    return np.clip(geometry.boxes_to_source([box])[0], 0, [width, height, width, height])


def eigengap(found: Eigenvectors) -> int:
    """How many regions the spectrum suggests: the largest gap between neighbouring λ, the first left out."""
    gaps = np.diff(found.values[1:])
    return int(gaps.argmax()) + 2 if len(gaps) else 2


def regions(found: Eigenvectors, clusters: int | None = None, seed: int = 0) -> NDArray[np.int32]:
    """k-means on the rows of [v_1 .. v_K]: labels (gh, gw), 0 for the background, the others by size.

    Background is the cluster with the largest share of the border's patches. ``clusters`` None takes
    :func:`eigengap`; there are never more regions than patches that differ.
    """
    points = found.vectors.reshape(len(found.vectors), -1).T.astype(np.float64)
    wanted = eigengap(found) if clusters is None else clusters
    labels = k_means(points, wanted, np.random.default_rng(seed))
    return _background_first(labels.reshape(found.vectors.shape[1:]))


def smooth_regions(found: Eigenvectors, labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Labels (gh, gw) on source pixels (H, W): each takes the region whose mean its eigenvectors are nearest to.

    The eigenvectors are interpolated between patch centres, so outlines do not follow the edges of patches.
    """
    full, shape = found.geometry.seen(), found.geometry.source
    best, nearest = np.full(shape, np.inf, np.float32), np.zeros(shape, np.int32)
    maps = [found.geometry.scores_to_source(v) for v in found.vectors]
    for label in range(labels.max() + 1):
        distance = np.zeros(shape, np.float32)
        for v, at in zip(found.vectors, maps, strict=True):
            distance += (at - v[labels == label].mean()) ** 2
        closer = full & (distance < best)
        nearest[closer], best[closer] = label, distance[closer]
    return nearest


def to_source(labels: NDArray, geometry: Geometry) -> NDArray[np.int32]:
    """Patch labels (gh, gw) on source pixels (H, W), along the edges of patches; 0 where the model does not look."""
    full = geometry.scores_to_source(labels.astype(np.float32), nearest=True)
    return np.rint(np.nan_to_num(full, nan=0)).astype(np.int32)


def k_means(points: NDArray[np.float64], clusters: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Labels (n,) of points (n, d): the tightest of several k-means++ starts; no cluster is empty."""
    scale = np.abs(points).max() or 1.0
    distinct = len(np.unique((points / scale).round(6), axis=0))
    clusters = max(1, min(clusters, distinct))
    best, labels = np.inf, np.zeros(len(points), dtype=np.intp)
    # One start often ends in a poor local optimum.
    for _ in range(STARTS if clusters > 1 else 0):
        spread, tried = _lloyd(points, _seeds(points, clusters, rng))
        if spread < best - 1e-12 * scale**2:
            best, labels = spread, tried
    return np.unique(labels, return_inverse=True)[1].reshape(-1)


def _seeds(points: NDArray[np.float64], clusters: int, rng: np.random.Generator) -> NDArray[np.float64]:
    chosen = [int(rng.integers(len(points)))]
    distance = np.full(len(points), np.inf)
    while len(chosen) < clusters:
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
        total = distance.sum()
        chosen.append(int(rng.choice(len(points), p=distance / total)) if total > 0 else int(rng.integers(len(points))))
    return points[chosen]


def _lloyd(points: NDArray[np.float64], centres: NDArray[np.float64]) -> tuple[float, NDArray[np.intp]]:
    labels = np.full(len(points), -1)
    for _ in range(ROUNDS):
        distance = ((points[:, None] - centres) ** 2).sum(axis=2)
        nearest = distance.argmin(axis=1)
        if np.array_equal(nearest, labels):
            break
        labels = nearest
        centres = np.stack([points[labels == k].mean(axis=0) if (labels == k).any() else c
                            for k, c in enumerate(centres)])  # fmt: skip
    return float(((points - centres[labels]) ** 2).sum()), labels


def _background_first(labels: NDArray) -> NDArray[np.int32]:
    """Numbered by size behind the background, which is 0."""
    border = _border(labels)
    sizes = np.bincount(labels.ravel())
    background = np.bincount(border, minlength=len(sizes)).argmax()
    sizes[background] = labels.size + 1
    order = np.argsort(-sizes, kind="stable")
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    return number[labels].astype(np.int32)


def _largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labelled, count = ndimage.label(mask, structure=EIGHT)
    if count <= 1:
        return mask
    sizes = np.bincount(labelled.ravel())
    sizes[0] = 0
    return labelled == sizes.argmax()
