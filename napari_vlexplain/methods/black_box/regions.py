"""An image cut into regions that are hidden or shown as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.towers import Tower
from ..inputs import Inputs, grid
from ..patches import patch_size, per_patch


@dataclass(frozen=True)
class Regions:
    """``labels`` (h, w) int64: the region of each pixel, 0 .. count - 1; none of them is empty."""

    labels: Tensor
    count: int

    def masks(self, keep: Tensor) -> Tensor:
        """Regions to show (n, M) -> masks (n, h, w) float32."""
        return keep.float()[:, self.labels]

    def painted(self, scores: Tensor, tower: Tower) -> Tensor:
        """Scores of regions (K, M) -> of patches (K, gh, gw): a pixel has its region's score, a patch the mean."""
        return per_patch(scores[:, self.labels], tower, "mean")

    def shared_out(self, scores: Tensor, tower: Tower) -> Tensor:
        """The same, a region's score divided among its pixels under patches and summed: the total stays."""
        size = [g * p for g, p in zip(grid(tower), patch_size(tower), strict=True)]
        area = torch.bincount(self.labels[: size[0], : size[1]].flatten(), minlength=self.count)
        return per_patch((scores / area.clamp(min=1))[:, self.labels], tower, "sum")


def cells(inputs: Inputs, side: int | None) -> Regions:
    """``side`` x ``side`` equal cells; the model's own patches if None.

    Pixels behind the last whole patch belong to their nearest region.
    """
    rows, columns = (side, side) if side else grid(inputs.model.image)
    seen = [g * p for g, p in zip(grid(inputs.model.image), patch_size(inputs.model.image), strict=True)]
    height, width = inputs.pixels.shape[-2:]
    at = [
        (torch.arange(size, device=inputs.pixels.device) * n // inside).clamp(max=n - 1)
        for size, n, inside in ((height, rows, seen[0]), (width, columns, seen[1]))
    ]
    return Regions(at[0][:, None] * columns + at[1], rows * columns)


def superpixels(inputs: Inputs, picture: Tensor, segments: int, compactness: float) -> Regions:
    """SLIC superpixels of the picture (h, w, 3) in [0, 1], about ``segments`` of them (Achanta et al., PAMI 2012)."""
    import numpy as np
    from skimage.segmentation import slic

    colours = picture.cpu().numpy().astype(np.float64)
    found = slic(colours, n_segments=segments, compactness=compactness, start_label=0, channel_axis=-1)
    names, labels = np.unique(found, return_inverse=True)
    return Regions(torch.from_numpy(labels.reshape(found.shape)).to(inputs.pixels.device), len(names))


def mean_colours(pixels: Tensor, regions: Regions) -> Tensor:
    """Each pixel's region's mean: (1, 3, h, w) -> (1, 3, h, w)."""
    member = F.one_hot(regions.labels.flatten(), regions.count).to(pixels.dtype)
    mean = pixels[0].flatten(1) @ member / member.sum(dim=0)
    return mean[None, :, regions.labels]
