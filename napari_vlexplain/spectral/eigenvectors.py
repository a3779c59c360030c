"""Eigenvectors of one image's patch graph (Melas-Kyriazi, Rupprecht, Laina, Vedaldi, CVPR 2022).

This is all that needs the model; what is cut from them afterwards is in :mod:`napari_vlexplain.spectral.segments`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..geometry import Geometry
from .parameters import EigenParameters

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.dual_encoder import DualEncoder


@dataclass(frozen=True, eq=False)
class Eigenvectors:
    """The smoothest eigenvectors of one image's patch graph.

    Attributes
    ----------
    vectors : (K, gh, gw) float32, v_1 .. v_K; the constant v_0 is left out. The positive side is the smaller one.
        All zeros where all patches are alike.
    values : (K + 1,) float32, λ_0 .. λ_K, ascending.
    geometry : leads to source pixels.
    """

    vectors: NDArray[np.float32]
    values: NDArray[np.float32]
    geometry: Geometry

    def at_source(self) -> NDArray[np.float32]:
        """(K, H, W) at source pixels, bilinear between patch centres, NaN where the model does not look."""
        return np.stack([self.geometry.scores_to_source(v) for v in self.vectors])


def eigenvectors_of(
    model: DualEncoder, image: NDArray, parameters: EigenParameters | None = None
) -> tuple[Eigenvectors, dict[str, Any]]:
    """Run the model and solve; also facts for the provenance: which features of which block were taken.

    Parameters
    ----------
    image : (H, W, 3) uint8 or float in [0, 1].

    Raises
    ------
    VLExplainError : a block that is not there, fewer than 3 patches, features that are not finite.
    """
    import torch

    from .colour import colour_affinity
    from .graph import affinity, is_flat, spectrum

    asked = parameters or EigenParameters()
    tower = model.image
    assert tower.grid is not None
    patches = tower.grid[0] * tower.grid[1]
    if patches < 3:
        raise VLExplainError(f"The image makes {patches} patches, but segments need at least 3; choose another model.")
    count = min(asked.eigenvectors, patches - 1)
    pixels, geometry = model.pixels(image)
    with torch.no_grad():
        features, facts = _features(model, pixels, asked)
        w = affinity(features[0, -patches:])
        if asked.colour_weight:
            w = w + asked.colour_weight * colour_affinity(_shown(model, pixels), tower.grid).to(w)
        if is_flat(w):
            vectors, values = np.zeros((count, patches)), np.r_[0.0, np.ones(count)]
        else:
            found = spectrum(w, count + 1, asked.laplacian == "normalised")
            vectors, values = found.vectors[1:].cpu().numpy(), found.values.cpu().numpy()
    shaped = vectors.reshape(-1, *tower.grid).astype(np.float32)
    return Eigenvectors(shaped, values.astype(np.float32), geometry), facts


def _features(model: DualEncoder, pixels: Tensor, asked: EigenParameters) -> tuple[Tensor, dict[str, Any]]:
    """(1, T, D), and what they are. A convolutional tower has no blocks, only its last feature map."""
    tower = model.image
    z = tower.embed(pixels)
    if not tower.blocks:
        return z, {"features": "output", "block": None}
    index = tower.block_index(asked.block)
    if not 0 <= index < tower.depth:
        raise VLExplainError(
            f"block is {asked.block}, but this tower has {tower.depth} blocks: choose -1 to {tower.depth - 1}."
        )
    z, block = tower.run(z, 0, index), tower.blocks[index]
    if asked.features == "output":
        found = block.fused(z)
    else:
        found = (block.key if asked.features == "keys" else block.value)(block.attended(z))
    return found, {"features": asked.features, "block": index}


def _shown(model: DualEncoder, pixels: Tensor) -> Tensor:
    """The model's input as a picture (3, h, w) in [0, 1]."""
    mean, std = (pixels.new_tensor(x)[:, None, None] for x in (model.preprocess.mean, model.preprocess.std))
    return (pixels[0] * std + mean).clamp(0, 1)
