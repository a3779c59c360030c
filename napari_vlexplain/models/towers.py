"""A tower: embed, blocks, pool. Everything a method needs of an encoder, whichever library it came from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..geometry import Pair
from .blocks import Block
from .pools import AttentionPool, MeanPool, Pool, RowPool
from .rotary import Rotary

__all__ = ["AttentionPool", "MeanPool", "Pool", "RowPool", "Tower"]


class SelfExplaining(ABC):
    """The ``embed`` of a tower that was trained to explain itself: pixels (B, 3, h, w) -> all that its pool reads.

    tower : the encoder inside, as a tower of its own. notes : what any result must say of how it came about.
    """

    tower: Tower

    @abstractmethod
    def __call__(self, pixels: Tensor) -> Tensor: ...

    @abstractmethod
    def explain(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (B, gh, gw) in (0, 1) and embeddings (B, P), from one forward."""

    @property
    @abstractmethod
    def notes(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Tower:
    """One encoder, unpacked: a transformer, or a convolutional network followed by nothing but a pool.

    Where prompts of different lengths share a batch, ``lengths`` (B,) says how many tokens of each are real; only
    towers that mask their padding need it, the others ignore it.

    Attributes
    ----------
    embed : pixels (B, 3, h, w) or token ids (B, T) -> z_0 (B, T, D), the residual stream before the first block;
        of a convolutional tower the last feature map, one token a patch.
    blocks, pool : what follows.
    causal : does a token see only itself and what stands before it?
    prefix_tokens : CLS and registers in front of the patches.
    grid, patch : patches (gh, gw) and their size in model pixels; None for text.
    masks_padding : is padding hidden from all tokens?
    any_size : do pixels of any whole number of patches do, positions interpolated as the library does it?
    rotary : of a tower whose blocks turn queries and keys by their place: how, on a grid (gh, gw).
    """

    embed: Callable[[Tensor], Tensor]
    blocks: tuple[Block, ...]
    pool: Pool
    causal: bool = False
    prefix_tokens: int = 0
    grid: tuple[int, int] | None = None
    patch: tuple[int, int] | None = None
    masks_padding: bool = False
    any_size: bool = False
    rotary: Callable[[Pair], Rotary] | None = None

    def on_grid(self, grid: Pair) -> Tower:
        """The tower for another number of patches (gh, gw), which only one of :attr:`any_size` takes."""
        if self.rotary is None:
            return replace(self, grid=grid)
        rotary = self.rotary(grid)
        return replace(self, grid=grid, blocks=tuple(replace(block, rotary=rotary) for block in self.blocks))

    @property
    def depth(self) -> int:
        """How many blocks it has."""
        return len(self.blocks)

    @property
    def sites(self) -> int:
        """How often this tower attends: once a block, and once more where its pool does."""
        return self.depth + isinstance(self.pool, AttentionPool)

    def mask(self, z: Tensor, lengths: Tensor | None = None) -> Tensor | None:
        """Additive attention mask: (T, T) of a causal tower, (B, 1, 1, T) of one that masks padding, or None."""
        length = z.shape[1]
        if self.masks_padding and lengths is not None:
            hidden = torch.arange(length, device=z.device) >= lengths[:, None]
            return torch.zeros(hidden.shape, device=z.device).masked_fill_(hidden, float("-inf"))[:, None, None]
        if not self.causal:
            return None
        return torch.full((length, length), float("-inf"), device=z.device, dtype=z.dtype).triu_(1)

    def run(self, z: Tensor, start: int = 0, stop: int | None = None, lengths: Tensor | None = None) -> Tensor:
        """Blocks ``start .. stop - 1`` on the residual stream, fused."""
        mask = self.mask(z, lengths)
        for block in self.blocks[start:stop]:
            z = block.fused(z, mask)
        return z

    def tail(self, z: Tensor, start: int, rows: Tensor, lengths: Tensor | None = None) -> Tensor:
        """From the stream before block ``start`` to the embedding (B, P); the last block computes only what is read."""
        last = self.depth - 1
        if start > last or not self.pool.single_row:
            return self.pool(self.run(z, start, None, lengths), rows)
        z = self.run(z, start, last, lengths)
        return self.pool(self.blocks[last].fused(z, self.mask(z, lengths), rows), rows)

    def record(
        self, z: Tensor, start: int, rows: Tensor, track: bool = False, lengths: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Like :meth:`tail`, keeping the attention of the sites ``start ..``: (embedding, [A_start, ..., A_last]).

        Every A is (B, H, T, T); the last is (B, H, 1, T) where only the readout row is read. A pool that attends is
        the last site, with A (B, H, 1, T').
        """
        mask, attentions = self.mask(z, lengths), []
        for index in range(start, self.depth):
            only = rows if self.pool.single_row and index == self.depth - 1 else None
            z, a = self.blocks[index].explicit(z, mask, only, track)
            attentions.append(a)
        if isinstance(self.pool, AttentionPool):
            embedding, a = self.pool.record(z, track)
            return embedding, [*attentions, a]
        return self.pool(z, rows), attentions

    def streams(self, z: Tensor, at: Sequence[int], lengths: Tensor | None = None) -> dict[int, Tensor]:
        """The residual stream before each block of ``at`` (``depth`` = after the last), in one pass."""
        found = {}
        mask = self.mask(z, lengths)
        for index in range(max(at) + 1):
            if index in at:
                found[index] = z
            if index < self.depth and index < max(at):
                z = self.blocks[index].fused(z, mask)
        return found

    def tokens(self, z: Tensor) -> Tensor:
        """Every token in the shared space by its own value (B, T, P), from the stream before the last block.

        The last block's value path without its attention, then the readout (MaskCLIP, Zhou, Loy, Dai, ECCV 2022);
        where the pool attends, its own value path on the last stream. A convolutional tower's mean pool projects
        each patch, and the embedding is the mean of exactly these.
        """
        if isinstance(self.pool, AttentionPool) or not self.blocks:
            return self.pool.tokens(self.run(z, self.depth - 1) if self.blocks else z)
        return self.pool.tokens(self.blocks[-1].own_values(z))

    def block_index(self, index: int) -> int:
        """Negative indices count from the end, as in Python: -1 is the last block."""
        return index + self.depth if index < 0 else index

    def site_index(self, index: int) -> int:
        """The same for :attr:`sites`: -1 is the last attention before the embedding."""
        return index + self.sites if index < 0 else index
