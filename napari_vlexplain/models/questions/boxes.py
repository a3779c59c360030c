"""Boxes as detectors handle them: anchors, deltas, suppression, pooling. Plain torch, the same on every machine.

(torchvision has compiled operators for the last two, but beside a CPU build of torch they often cannot be loaded.)
Boxes are (N, 4): x0, y0, x1, y1 in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

LARGEST_GROWTH = math.log(1000 / 16)
"""Of a side, in log: a 16 px anchor becomes at most 1000 px."""


def cell_anchors(sizes: Sequence[float], ratios: Sequence[float]) -> Tensor:
    """(sizes * ratios, 4) boxes about the origin, of area size^2 and height / width = ratio."""
    found = []
    for size in sizes:
        for ratio in ratios:
            width = size / math.sqrt(ratio)
            height = ratio * width
            found.append((-width / 2, -height / 2, width / 2, height / 2))
    return torch.tensor(found)


def grid_anchors(cell: Tensor, grid: tuple[int, int], stride: int) -> Tensor:
    """The cell's anchors at every cell of a map (gh, gw), row by row: (gh * gw * A, 4)."""
    y, x = torch.meshgrid(*(torch.arange(n, device=cell.device) * float(stride) for n in grid), indexing="ij")
    shifts = torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4)
    return (shifts + cell).reshape(-1, 4)


def moved(boxes: Tensor, deltas: Tensor, weights: Sequence[float] = (1, 1, 1, 1)) -> Tensor:
    """Boxes (N, 4) moved by deltas (N, K, 4) of centre and log size (R-CNN): (N, K, 4)."""
    corner, size = boxes[:, None, :2], boxes[:, None, 2:] - boxes[:, None, :2]
    dx, dy, dw, dh = (deltas / deltas.new_tensor(weights)).unbind(dim=-1)
    centre = corner + size / 2 + torch.stack([dx, dy], dim=-1) * size
    grown = torch.stack([dw, dh], dim=-1).clamp(max=LARGEST_GROWTH).exp() * size
    return torch.cat([centre - grown / 2, centre + grown / 2], dim=-1)


def clipped(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (..., 4) cut to an image of ``size`` (h, w)."""
    height, width = size
    x = boxes[..., 0::2].clamp(0, width)
    y = boxes[..., 1::2].clamp(0, height)
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], dim=-1)


def suppressed(boxes: Tensor, scores: Tensor, threshold: float, most: int) -> Tensor:
    """Non-maximum suppression: indices of the boxes kept, best first, at most ``most``.

    A box goes if its IoU with a better one that was kept exceeds ``threshold``; of equals, the first is better.
    """
    order = scores.argsort(descending=True, stable=True)
    left = boxes[order]
    area = (left[:, 2] - left[:, 0]) * (left[:, 3] - left[:, 1])
    kept: list[Tensor] = []
    while len(order) and len(kept) < most:
        kept.append(order[0])
        overlap = torch.minimum(left[0, 2:], left[1:, 2:]) - torch.maximum(left[0, :2], left[1:, :2])
        common = overlap.clamp(min=0).prod(dim=1)
        # common / union > threshold, without dividing by an empty union
        stays = common <= threshold * (area[0] + area[1:] - common)
        order, left, area = order[1:][stays], left[1:][stays], area[1:][stays]
    return torch.stack(kept) if kept else order[:0]


def pooled(features: Tensor, boxes: Tensor, stride: int, size: int) -> Tensor:
    """RoI max pooling (Fast R-CNN): a map (C, gh, gw), boxes in image pixels -> (N, C, size, size).

    A box covers the cells from its rounded first to its rounded last corner, both included; these are cut into
    ``size`` x ``size`` overlapping bins. A bin that lies outside the map is 0.
    """
    channels, height, width = features.shape
    # Half a cell rounds up, as in C; torch.round would go to the even one.
    corners = (boxes / stride + 0.5).floor().long().tolist()
    found = features.new_empty(len(boxes), channels, size, size)
    for k, (x0, y0, x1, y1) in enumerate(corners):
        inside = features[:, y0 : min(y1, height - 1) + 1, x0 : min(x1, width - 1) + 1]
        beyond = (0, max(x1 - x0 + 1, 1) - inside.shape[2], 0, max(y1 - y0 + 1, 1) - inside.shape[1])
        if any(beyond):
            inside = F.pad(inside, beyond, value=float("-inf"))
        found[k] = F.adaptive_max_pool2d(inside, size)
    return found.masked_fill_(found == float("-inf"), 0)
