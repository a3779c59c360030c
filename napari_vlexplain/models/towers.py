"""A tower: embed, blocks, pool. Everything a method needs of a transformer, whichever library it came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .blocks import Block, LayerNorm


class Pool(Protocol):
    """Turns the last residual stream into an embedding."""

    @property
    def single_row(self) -> bool:
        """Is one row of the last block's output all that is read? Then that block need not compute the others."""

    def __call__(self, z: Tensor, rows: Tensor) -> Tensor:
        """(B, T, D) and the readout rows (B,) -> embedding (B, P), not normalised."""

    def tokens(self, z: Tensor) -> Tensor:
        """The same readout applied to every token: (B, T, D) -> (B, T, P)."""

    def start(self, length: int, rows: Tensor) -> Tensor:
        """The row (B, T) from which a relevance starts: the share of each token in the readout."""


@dataclass(frozen=True)
class RowPool:
    """Reads one token (CLS, EOS): ``project(norm(z[row]))``."""

    norm: LayerNorm | None
    project: Callable[[Tensor], Tensor]
    single_row: bool = True

    def __call__(self, z: Tensor, rows: Tensor) -> Tensor:
        row = z[:, 0] if z.shape[1] == 1 else z[torch.arange(len(z), device=z.device), rows]
        return self.tokens(row)

    def tokens(self, z: Tensor) -> Tensor:
        return self.project(z if self.norm is None else self.norm(z))

    def start(self, length: int, rows: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(rows, length).float()


@dataclass(frozen=True)
class MeanPool:
    """Reads the mean of the patch tokens: ``project(after(mean(before(z))))``."""

    before: LayerNorm | None
    after: LayerNorm | None
    project: Callable[[Tensor], Tensor]
    prefix_tokens: int
    single_row: bool = False

    def __call__(self, z: Tensor, rows: Tensor) -> Tensor:
        patches = z[:, self.prefix_tokens :]
        return self._after((patches if self.before is None else self.before(patches)).mean(dim=1))

    def tokens(self, z: Tensor) -> Tensor:
        return self._after(z if self.before is None else self.before(z))

    def start(self, length: int, rows: Tensor) -> Tensor:
        row = torch.zeros(len(rows), length, device=rows.device)
        row[:, self.prefix_tokens :] = 1 / (length - self.prefix_tokens)
        return row

    def _after(self, x: Tensor) -> Tensor:
        return self.project(x if self.after is None else self.after(x))


@dataclass(frozen=True)
class Tower:
    """One transformer tower, unpacked.

    Attributes
    ----------
    embed : pixels (B, 3, h, w) or token ids (B, T) -> z_0 (B, T, D), the residual stream before the first block.
    blocks, pool : what follows.
    causal : does a token see only itself and what stands before it?
    prefix_tokens : CLS and registers in front of the patches.
    grid, patch : patches (gh, gw) and their size in model pixels; None for text.
    """

    embed: Callable[[Tensor], Tensor]
    blocks: tuple[Block, ...]
    pool: Pool
    causal: bool = False
    prefix_tokens: int = 0
    grid: tuple[int, int] | None = None
    patch: tuple[int, int] | None = None

    @property
    def depth(self) -> int:
        return len(self.blocks)

    def mask(self, z: Tensor) -> Tensor | None:
        """Additive attention mask (T, T) or None."""
        if not self.causal:
            return None
        length = z.shape[1]
        return torch.full((length, length), float("-inf"), device=z.device, dtype=z.dtype).triu_(1)

    def run(self, z: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Blocks ``start .. stop - 1`` on the residual stream, fused."""
        mask = self.mask(z)
        for block in self.blocks[start:stop]:
            z = block.fused(z, mask)
        return z

    def tail(self, z: Tensor, start: int, rows: Tensor) -> Tensor:
        """From the stream before block ``start`` to the embedding (B, P); the last block computes only what is read."""
        last = self.depth - 1
        if start > last or not self.pool.single_row:
            return self.pool(self.run(z, start), rows)
        z = self.run(z, start, last)
        return self.pool(self.blocks[last].fused(z, self.mask(z), rows), rows)

    def record(self, z: Tensor, start: int, rows: Tensor, track: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Like :meth:`tail`, keeping the attention of blocks ``start ..``: (embedding, [A_start, ..., A_last]).

        Every A is (B, H, T, T); the last is (B, H, 1, T) where only the readout row is read.
        """
        mask, attentions = self.mask(z), []
        for index in range(start, self.depth):
            only = rows if self.pool.single_row and index == self.depth - 1 else None
            z, a = self.blocks[index].explicit(z, mask, only, track)
            attentions.append(a)
        return self.pool(z, rows), attentions

    def streams(self, z: Tensor, at: Sequence[int]) -> dict[int, Tensor]:
        """The residual stream before each block of ``at`` (``depth`` = after the last), in one pass."""
        found = {}
        mask = self.mask(z)
        for index in range(max(at) + 1):
            if index in at:
                found[index] = z
            if index < self.depth and index < max(at):
                z = self.blocks[index].fused(z, mask)
        return found

    def block_index(self, index: int) -> int:
        """Negative indices count from the end, as in Python: -1 is the last block."""
        return index + self.depth if index < 0 else index
