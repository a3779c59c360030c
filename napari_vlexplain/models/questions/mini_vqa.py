"""How the embedded question model sees: fixed boxes, described by the mini model's image tower."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ..dual_encoder import DualEncoder
from ..files.read import read_json
from .regions import Regions


@dataclass(frozen=True)
class MiniSight:
    """36 boxes of the model's 224 px input. A box is described by the residual stream after some blocks of ``model``,
    each LayerNorm-ed without affine, concatenated, and averaged over the patches whose centre lies inside the box.

    boxes : (N, 4) in pixels of the model's input. blocks : after which blocks, 0-based.
    """

    model: DualEncoder
    boxes: NDArray[np.float64]
    blocks: tuple[int, ...]

    @torch.no_grad()
    def __call__(self, image: NDArray) -> Regions:
        tower = self.model.image
        pixels, geometry = self.model.pixels(image)
        streams = tower.streams(tower.embed(pixels), [block + 1 for block in self.blocks])
        described = [streams[block + 1][0, tower.prefix_tokens :] for block in self.blocks]
        patches = torch.cat([F.layer_norm(z, z.shape[-1:]) for z in described], dim=1)
        inside = torch.from_numpy(self.shares(geometry.grid, geometry.patch)).to(patches)
        height, width = geometry.model
        positions = self.boxes / np.array([width, height, width, height])
        return Regions(
            geometry.boxes_to_source(self.boxes),
            (inside @ patches).cpu().numpy(),
            geometry.source,
            positions.astype(np.float32),
        )

    def shares(self, grid: tuple[int, int], patch: tuple[int, int]) -> NDArray[np.float32]:
        """(N, patches) weights: 1 / n for each of the n patches whose centre lies in a box."""
        y, x = ((np.arange(n) + 0.5) * size for n, size in zip(grid, patch, strict=True))
        x0, y0, x1, y1 = (edge[:, None] for edge in self.boxes.T)
        columns, rows = (x >= x0) & (x < x1), (y >= y0) & (y < y1)
        inside = (rows[:, :, None] & columns[:, None]).reshape(len(self.boxes), -1).astype(np.float32)
        return inside / inside.sum(axis=1, keepdims=True)


def mini_sight(folder: Path, model: DualEncoder) -> MiniSight:
    """From ``regions.json``."""
    data = read_json(folder, "regions.json")
    return MiniSight(model, np.asarray(data["boxes"], dtype=np.float64), tuple(data["feature_blocks"]))
