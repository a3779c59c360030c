"""Low-rank updates of a block's projections: ``W = W_0 + (α / r) B A`` (Hu et al. 2021; ALA, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..blocks import Block, Linear
from ..towers import Tower

NAMES = {"q": "query", "k": "key", "v": "value", "o": "out"}


def updated(linear: Linear, a: Tensor, b: Tensor, scale: float) -> Linear:
    """``W_0 + scale B A`` with A (r, in) and B (out, r); W_0 and the bias stay what they are."""
    return Linear(linear.weight + scale * (b @ a), linear.bias)


class LoRA(nn.Module):
    """The trainable A and B of some projections of some blocks: A as a linear layer starts, B = 0."""

    def __init__(self, tower: Tower, blocks: Sequence[int], matrices: str, rank: int, scale: float) -> None:
        super().__init__()
        self.blocks = tuple(blocks)
        self.names = tuple(NAMES[letter] for letter in matrices)
        self.scale = scale / rank if rank else 0.0
        self.a, self.b = nn.ParameterDict(), nn.ParameterDict()
        for index in self.blocks:
            for name in self.names:
                outputs, inputs = getattr(tower.blocks[index], name).weight.shape
                start = torch.empty(rank, inputs)
                nn.init.kaiming_uniform_(start, a=5**0.5)
                self.a[f"{index}_{name}"] = nn.Parameter(start)
                self.b[f"{index}_{name}"] = nn.Parameter(torch.zeros(outputs, rank))

    def block(self, block: Block, index: int) -> Block:
        """Block ``index`` of the encoder with its updates in place."""
        if index not in self.blocks:
            return block
        keys = {name: f"{index}_{name}" for name in self.names}
        changes: dict[str, Any] = {
            n: updated(getattr(block, n), self.a[k], self.b[k], self.scale) for n, k in keys.items()
        }
        return replace(block, **changes)
