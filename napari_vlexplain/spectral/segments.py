"""Deep spectral segments (Melas-Kyriazi, Rupprecht, Laina, Vedaldi, CVPR 2022): regions from a tower's own features.

The model runs once (:func:`eigenvectors_of`); clustering again, or asking for the object again, works on the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.cluster.vq import kmeans2

from ..errors import VLExplainError
from ..geometry import Geometry

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.dual_encoder import DualEncoder

FEATURES = ("keys", "output", "values")
EIGHT = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class Eigenvectors:
    """The smoothest eigenvectors of one image's patch graph.

    Attributes
    ----------
    vectors : (K, gh, gw) float32, v_1 .. v_K; the constant v_0 is left out. The positive side is the smaller one.
    values : (K + 1,) float32, λ_0 .. λ_K, ascending.
    geometry : leads to source pixels.
    provenance : model, features, block, solver settings.
    """

    vectors: NDArray[np.float32]
    values: NDArray[np.float32]
    geometry: Geometry
    provenance: dict[str, Any]


def eigenvectors_of(
    model: DualEncoder,
    image: NDArray,
    *,
    features: str = "keys",
    block: int = -1,
    count: int = 5,
    colour_weight: float = 0.0,
    laplacian: bool = True,
) -> Eigenvectors:
    """Run the model and solve for ``count`` eigenvectors.

    Parameters
    ----------
    image : (H, W, 3) uint8 or float in [0, 1].
    features : ``keys`` or ``values`` of the block's attention (heads joined, bias included), or its ``output``.
    colour_weight : λ of the colour term ``W = W_features + λ W_knn``; the paper's matting uses 10, its command 0.
    laplacian : normalised cut; False takes the plain Laplacian.

    Raises
    ------
    VLExplainError : a tower without blocks, unknown features, a block that is not there, fewer than 3 patches.
    """
    import torch

    from .colour import colour_affinity
    from .graph import affinity, spectrum

    tower = model.image
    if features not in FEATURES:
        raise VLExplainError(f"features is {features!r}, but it must be one of {', '.join(FEATURES)}.")
    if not tower.blocks or tower.grid is None:
        raise VLExplainError(f"{model.info.name} has no transformer as its image tower, which spectral segments need.")
    index = tower.block_index(block)
    if not 0 <= index < tower.depth:
        raise VLExplainError(
            f"block is {block}, but this tower has {tower.depth} blocks: choose -1 to {tower.depth - 1}."
        )
    patches = tower.grid[0] * tower.grid[1]
    if patches < 3:
        raise VLExplainError(f"The image makes {patches} patches, but segments need at least 3; choose another model.")
    count = min(count, patches - 1)
    pixels, geometry = model.pixels(image)
    with torch.no_grad():
        tokens = _features(model, tower.embed(pixels), index, features)[0, -patches:]
        w = affinity(tokens)
        if colour_weight:
            w = w + colour_weight * colour_affinity(_shown(model, pixels), tower.grid).to(w)
        found = spectrum(w, count + 1, laplacian)
    return Eigenvectors(
        vectors=found.vectors[1:].reshape(-1, *tower.grid).float().cpu().numpy(),
        values=found.values.float().cpu().numpy(),
        geometry=geometry,
        provenance={
            "model": model.info.name,
            "weights_sha256": model.weights_hash(),
            "features": features,
            "block": index,
            "count": count,
            "colour_weight": colour_weight,
            "laplacian": "normalised" if laplacian else "plain",
        },
    )


def _features(model: DualEncoder, z: Tensor, index: int, kind: str) -> Tensor:
    tower = model.image
    before = tower.run(z, 0, index)
    block = tower.blocks[index]
    if kind == "output":
        return block.fused(before)
    return (block.key if kind == "keys" else block.value)(block.norm1(before))


def _shown(model: DualEncoder, pixels: Tensor) -> Tensor:
    """The model's input as a picture (3, h, w) in [0, 1]."""
    mean, std = (pixels.new_tensor(x)[:, None, None] for x in (model.preprocess.mean, model.preprocess.std))
    return (pixels[0] * std + mean).clamp(0, 1)


def object_mask(found: Eigenvectors, threshold: float = 0.0, largest_only: bool = True) -> NDArray[np.bool_]:
    """The object as the Fiedler vector cuts it: ``v_1 > threshold``, (gh, gw).

    The smaller side is the object; an empty side gives the full image. ``largest_only`` keeps the largest connected
    component (8 neighbours).
    """
    mask = found.vectors[0] > threshold
    if not mask.any():
        return np.ones_like(mask)
    return _largest_component(mask) if largest_only else mask


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
    """k-means on the rows of [v_1 .. v_K]: labels (gh, gw), 0 for the background.

    Background is the cluster with the largest share of the border's patches. ``clusters`` None takes
    :func:`eigengap`.
    """
    points = found.vectors.reshape(len(found.vectors), -1).T.astype(np.float64)
    wanted = eigengap(found) if clusters is None else clusters
    distinct = len(np.unique(points.round(9), axis=0))
    wanted = max(1, min(wanted, distinct))
    if wanted == 1:
        return np.zeros(found.vectors.shape[1:], dtype=np.int32)
    # Several starts, the tightest kept: one start often ends in a poor local optimum.
    best, labels = np.inf, np.zeros(len(points), dtype=np.int32)
    rng = np.random.default_rng(seed)
    for _ in range(10):
        centres, tried = kmeans2(points, wanted, minit="++", rng=rng, iter=50)
        spread = float(((points - centres[tried]) ** 2).sum())
        if spread < best - 1e-12:
            best, labels = spread, tried
    return _background_first(labels.reshape(found.vectors.shape[1:]))


def to_source(found: Eigenvectors, labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Patch labels (gh, gw) on source pixels (H, W); 0 where the model does not look."""
    full = found.geometry.scores_to_source(labels.astype(np.float32), nearest=True)
    return np.nan_to_num(full, nan=0).astype(np.int32)


def _background_first(labels: NDArray) -> NDArray[np.int32]:
    """Numbered by size behind the background, which is 0."""
    border = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    background = np.bincount(border, minlength=labels.max() + 1).argmax()
    sizes = np.bincount(labels.ravel())
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
