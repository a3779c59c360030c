"""Post-norm attention as BERT, LXMERT and DETR have it: ``x' = LN(x + MHA(x))``, every probability at hand.

Shapes are explicit throughout, so that no keys at all (a question without boxes) is an ordinary case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..blocks import MLP, LayerNorm, Linear


@dataclass(frozen=True)
class MultiHead:
    """Multi-head attention that returns its probabilities."""

    query: Linear
    key: Linear
    value: Linear
    out: Linear
    heads: int

    def __call__(
        self, queries: Tensor, keys: Tensor, values: Tensor, keep: Tensor | None = None, track: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Queries (B, Q, D) over keys and values (B, K, D): the output (B, Q, D) and A (B, H, Q, K).

        ``keep`` (B, K) bool says which keys there are. With ``track`` gradients with respect to A are to be had,
        whether or not a graph leads to it. A is the very tensor that multiplies V.
        """
        q, k, v = (self._split(layer(x)) for layer, x in
                   ((self.query, queries), (self.key, keys), (self.value, values)))  # fmt: skip
        a = masked_softmax(q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5, keep)
        if track and not a.requires_grad:
            a = a.detach().requires_grad_()
        heads = a @ v
        return self.out(heads.transpose(1, 2).flatten(2)), a

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.heads, x.shape[-1] // self.heads).transpose(1, 2)


def masked_softmax(scores: Tensor, keep: Tensor | None) -> Tensor:
    """Softmax over the keys (B, H, Q, K) that ``keep`` (B, K) holds; a query that has none attends to nothing.

    An additive mask alone would turn "no key at all" into uniform attention to the masked ones.
    """
    if keep is None:
        return scores.softmax(dim=-1)
    kept = keep[:, None, None]
    return scores.masked_fill(~kept, torch.finfo(scores.dtype).min).softmax(dim=-1) * kept


@dataclass(frozen=True)
class PostNormAttention:
    """``LN(x + MHA(x + p, y + s, y))``, with positions p and s that are added to queries and keys (DETR)."""

    attention: MultiHead
    norm: LayerNorm

    def __call__(
        self,
        x: Tensor,
        context: Tensor,
        keep: Tensor | None = None,
        track: bool = False,
        x_position: Tensor | None = None,
        context_position: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        queries = x if x_position is None else x + x_position
        keys = context if context_position is None else context + context_position
        attended, a = self.attention(queries, keys, context, keep, track)
        return self.norm(x + attended), a


@dataclass(frozen=True)
class PostNormMLP:
    """``LN(x + MLP(x))``."""

    mlp: MLP
    norm: LayerNorm

    def __call__(self, x: Tensor) -> Tensor:
        return self.norm(x + self.mlp(x))


@dataclass(frozen=True)
class Layer:
    """Self-attention, then the MLP."""

    attention: PostNormAttention
    mlp: PostNormMLP

    def __call__(self, x: Tensor, keep: Tensor | None = None, track: bool = False) -> tuple[Tensor, Tensor]:
        x, a = self.attention(x, x, keep, track)
        return self.mlp(x), a


@dataclass(frozen=True)
class Head:
    """Linear layers, each with what follows it: an activation, a norm, or nothing."""

    steps: tuple[tuple[Linear, Callable[[Tensor], Tensor]], ...]

    def __call__(self, x: Tensor) -> Tensor:
        for linear, then in self.steps:
            x = then(linear(x))
        return x


def nothing(x: Tensor) -> Tensor:
    """What follows a last layer."""
    return x
