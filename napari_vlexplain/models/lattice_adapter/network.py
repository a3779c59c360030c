"""Encoder, adapter and perception branch put together (ABN, LABN; ALA, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...errors import VLExplainError
from ..towers import Tower
from .adapter import FeatureReader, FormerPart, MapHead, MapReader, as_map, resized
from .lora import LoRA
from .options import Options

Streams = dict[int, Tensor]
"""Depth i -> the encoder's stream ``h_v(i)`` (B, T, D), CLS included."""


@dataclass(frozen=True)
class Output:
    """What one forward gives.

    features (B, W) and logits (B, C) of the perception branch; auxiliary (B, C) and attention ``α`` (B, 1, gh, gw) of
    the adapter, None where it was not run.
    """

    features: Tensor
    logits: Tensor
    auxiliary: Tensor | None
    attention: Tensor | None


class Adapter(nn.Module):
    """Everything that the even epochs freeze: former part, ``f_1`` and ``f_2``."""

    def __init__(self, tower: Tower, encoder_width: int, size: tuple[int, int], classes: int, options: Options) -> None:
        super().__init__()
        assert tower.patch is not None
        patch = tower.patch if options.patch is None else (options.patch, options.patch)
        self.grid, self.patch = (size[0] // patch[0], size[1] // patch[1]), patch
        self.former = FormerPart(
            encoder_width, len(options.tapped(tower.depth)), self.grid, patch, options.width, options.heads,
            options.layers, options.readd_positions,
        )  # fmt: skip
        self.map = MapHead(options.width, options.map_head)
        self.reader = MapReader(classes) if options.aux_input == "map" else FeatureReader(options.width, classes)

    def forward(self, pixels: Tensor, features: list[Tensor], grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """``α`` (B, 1, gh, gw) and the auxiliary classes (B, C)."""
        h = self.former(pixels, features, grid)
        attention = self.map(h)
        return attention, self.reader(h, attention)


class LatticeNetwork(nn.Module):
    """The trainable parts over a frozen image tower, whose tensors are shared and are no parameters of this module.

    Depths count as in the paper: ``h_v(0)`` is the stream before the first block, ``h_v(k)`` the last one.
    """

    def __init__(self, tower: Tower, size: tuple[int, int], classes: int, options: Options, name: str = "it") -> None:
        """``size`` (h, w) of the pixels; ``name`` of the model, for refusals.

        Raises
        ------
        VLExplainError : a convolutional tower, or options that do not fit the tower.
        """
        super().__init__()
        if not tower.blocks or tower.grid is None:
            raise VLExplainError(
                f"{name} has no transformer blocks (its image tower is convolutional, or has an adapter already), but "
                "the adapter reads a residual stream; choose a model with a ViT, such as mini."
            )
        self.tower, self.options = tower, options
        self.grid = tower.grid
        self.taps = options.tapped(tower.depth)
        adapted = options.adapted(tower.depth)
        self.frozen_until = min(adapted, default=tower.depth)
        encoder_width = tower.blocks[0].out.weight.shape[0]
        with torch.random.fork_rng(devices=[]):  # the weights belong to the seed, whatever ran before
            torch.manual_seed(options.seed)
            self.adapter = Adapter(tower, encoder_width, size, classes, options)
            self.perception = Perception(encoder_width, options.perception_width, classes)
            self.lora = LoRA(tower, adapted, options.lora_matrices, options.lora_rank, options.lora_scale)

    @torch.no_grad()
    def frozen(self, pixels: Tensor) -> Streams:
        """What no training changes: the tapped streams up to the first updated block, and the one before it.

        For an image that never changes this may be kept.
        """
        at = sorted({*(tap for tap in self.taps if tap <= self.frozen_until), self.frozen_until})
        return self.tower.streams(self.tower.embed(pixels), at)

    def forward(self, pixels: Tensor, gated: bool = True, frozen: Streams | None = None) -> Output:
        """Pixels (B, 3, h, w), perhaps with what :meth:`frozen` gave for them.

        ``gated=False`` is the even epochs' pass, ``h_ALA = 1``: the adapter is not run at all.
        """
        streams = dict(self.frozen(pixels) if frozen is None else frozen)
        start = max(at for at in streams if at <= self.frozen_until)  # less where another network kept them
        z = streams[start]
        for index in range(start, self.tower.depth):
            z = self.lora.block(self.tower.blocks[index], index).fused(z, self.tower.mask(z))
            streams[index + 1] = z
        last = as_map(self.patches(z), self.grid)
        attention = auxiliary = None
        if gated:
            features = [self.patches(streams[tap]) for tap in self.taps]
            attention, auxiliary = self.adapter(pixels, features, self.grid)
            last = last * resized(attention, self.grid)
        if self.options.gate == "residual":
            last = last + as_map(self.patches(z), self.grid)
        found = self.perception.features(last)
        return Output(found, self.perception.classify(found), auxiliary, attention)

    def patches(self, z: Tensor) -> Tensor:
        """The patches of a stream (B, P, D): CLS and registers stand in front of them."""
        return z[:, z.shape[1] - self.grid[0] * self.grid[1] :]

    def explain(self, pixels: Tensor) -> Tensor:
        """``α`` (B, gh, gw) alone: LoRA and the perception branch are not needed for taps below the updated block."""
        attention = self(pixels).attention
        assert attention is not None
        return attention[:, 0]


class Perception(nn.Module):
    """``h_ALA * h_v(k)`` (B, D, gh, gw) -> features (B, W), and from these the classes (B, C)."""

    def __init__(self, encoder_width: int, width: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(encoder_width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
        )  # fmt: skip
        self.classify = nn.Linear(width, classes)

    def features(self, gated: Tensor) -> Tensor:
        return self.layers(gated).mean(dim=(2, 3))

    def forward(self, gated: Tensor) -> Tensor:
        return self.classify(self.features(gated))
