"""Which patches are outliers of the stream, read in passes that are made anyway; :mod:`.sinks` says what they are."""

from __future__ import annotations

import torch
from torch import Tensor

from ..models.towers import Tower

RATIO = 4.0
"""Times the median patch's norm, and times the attention that the median patch receives, in one and the same block.

Few patches of a real CLIP lie near either; the median, unlike the mean, does not follow the outliers.
"""


class Outliers:
    """What has been seen of one image in the blocks of a tower.

    A patch is one from the first block on in front of which its norm and in which the attention that it receives, from
    all tokens and heads, exceed :data:`RATIO` times the median patch's. The first block has no say, as nothing has
    been attended to in front of it.
    """

    def __init__(self, tower: Tower) -> None:
        assert tower.grid is not None
        self._tower, self._count = tower, tower.grid[0] * tower.grid[1]
        self._left = set(range(1, tower.depth))
        self._first: Tensor | None = None

    @property
    def complete(self) -> bool:
        """Has every block been looked at?"""
        return not self._left

    @torch.no_grad()
    def look(self, block: int, z: Tensor) -> None:
        """Take note of the stream z (1, T, D) before a block; only the first look at a block counts.

        Norms are all that most blocks cost; the attention is computed where there are outliers that are not known yet.
        """
        if block not in self._left:
            return
        self._left.remove(block)
        if self._first is None:
            self._first = torch.full((self._count,), self._tower.depth, device=z.device)
        norms = z[0, -self._count :].float().norm(dim=-1)
        found = (norms > RATIO * norms.median()) & (self._first > block)
        if found.any():
            a, _ = self._tower.blocks[block].attention(z, self._tower.mask(z))
            received = a[0].float().mean(dim=(0, 1))[-self._count :]
            self._first[found & (received > RATIO * received.median())] = block

    def found(self) -> dict[tuple[int, int], int]:
        """Patches (row, column), row by row, and the block behind which each stands out first, from 0."""
        if self._first is None:
            return {}
        width = self._tower.grid[1]  # type: ignore[index]
        return {
            divmod(at, width): block - 1 for at, block in enumerate(self._first.tolist()) if block < self._tower.depth
        }
