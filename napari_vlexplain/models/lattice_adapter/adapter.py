"""The adapter itself: a small ViT with taps into the encoder (former part), its map and its auxiliary head (latter).

Sizes: a block has ``12 d^2 + 13 d`` parameters, a tap ``2 D + (D + 1) d`` for an encoder of width D.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..blocks import MLP, Block, linear, norm, packed

EPS = 1e-6  # as in timm and SAN


class LatticeBlock(nn.Module):
    """A pre-norm ViT block of width d, run as one of our own."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, EPS), nn.LayerNorm(width, EPS)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.first, self.second = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, v: Tensor) -> Tensor:
        query, key, value = packed(self.qkv.weight, self.qkv.bias)
        mlp = MLP(linear(self.first), F.gelu, linear(self.second))
        return Block(
            norm(self.norm1), query, key, value, linear(self.out), norm(self.norm2), mlp, self.heads
        ).fused(v)  # fmt: skip


class Tap(nn.Module):
    """``F_i``: the encoder's patch features (B, P, D) as the adapter's (B, P', d), resized to its grid (SAN)."""

    def __init__(self, encoder_width: int, width: int) -> None:
        super().__init__()
        self.norm, self.project = nn.LayerNorm(encoder_width, EPS), nn.Linear(encoder_width, width)
        nn.init.xavier_uniform_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, h: Tensor, grid: tuple[int, int], to: tuple[int, int]) -> Tensor:
        found = self.project(self.norm(h))
        return found if grid == to else as_tokens(resized(as_map(found, grid), to))


class FormerPart(nn.Module):
    """Pixels (B, 3, h, w) and the tapped features -> ``h_l`` (B, d, gh, gw)."""

    def __init__(
        self,
        encoder_width: int,
        taps: int,
        grid: tuple[int, int],
        patch: tuple[int, int],
        width: int,
        heads: int,
        layers: int,
        readd_positions: bool,
    ) -> None:
        super().__init__()
        self.grid, self.readd_positions = grid, readd_positions
        self.embed = nn.Conv2d(3, width, patch, patch)
        self.positions = nn.Parameter(torch.empty(1, grid[0] * grid[1], width))
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.taps = nn.ModuleList(Tap(encoder_width, width) for _ in range(taps))
        self.blocks = nn.ModuleList(LatticeBlock(width, heads) for _ in range(layers))

    def forward(self, pixels: Tensor, features: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
        """``features[i]`` (B, P, D), on the encoder's ``grid``, enters before block i."""
        v = as_tokens(self.embed(pixels)) + self.positions
        for number, block in enumerate(self.blocks):
            if number < len(self.taps):
                v = v + self.taps[number](features[number], grid, self.grid)
            v = block(v)
            if self.readd_positions:
                v = v + self.positions
        return as_map(v, self.grid)


class MapHead(nn.Module):
    """``f_1``: ``α = sigmoid(BN(conv3x3(h_l)))``, (B, 1, gh, gw) in (0, 1) (ABN, LABN)."""

    def __init__(self, width: int, kind: str) -> None:
        super().__init__()
        inner = 10
        before = [nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, inner, 1, bias=False)] if kind == "abn" else []
        self.layers = nn.Sequential(
            *before,
            nn.Conv2d(inner if before else width, 1, 3, padding=1, bias=False),
            nn.BatchNorm2d(1),
        )

    def forward(self, h: Tensor) -> Tensor:
        return self.layers(h).sigmoid()


class MapReader(nn.Module):
    """``f_2`` as printed: classes (B, C) from the one channel of ``h_ALA``."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True),
        )  # fmt: skip
        self.classify = nn.Linear(64, classes)

    def forward(self, h: Tensor, attention: Tensor) -> Tensor:
        return self.classify(self.layers(attention).mean(dim=(2, 3)))


class FeatureReader(nn.Module):
    """``f_2`` as ABN has it: a 1x1 convolution of ``h_l`` to the classes, and its mean."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, h: Tensor, attention: Tensor) -> Tensor:
        return self.classify(h).mean(dim=(2, 3))


def as_map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, P, C) -> (B, C, gh, gw)"""
    return tokens.transpose(1, 2).unflatten(2, grid)


def as_tokens(maps: Tensor) -> Tensor:
    """(B, C, gh, gw) -> (B, P, C)"""
    return maps.flatten(2).transpose(1, 2)


def resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, pixel centres kept (``align_corners=False``)."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)
