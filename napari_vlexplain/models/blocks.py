"""One transformer block, in our own words.

The tensors are those of the loaded model (views, no copies); only the way they are put together is ours, so that
the attention probabilities, the residual stream and the attention-free path are all at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .rotary import Rotary

Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Linear:
    """``x W^T + b``; weight (out, in), bias (out,) or None. In half precision it gives back what it was given."""

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if self.weight.dtype is torch.float32:
            return F.linear(x, self.weight, self.bias)
        return F.linear(x.to(self.weight.dtype), self.weight, self.bias).to(x.dtype)

    def full(self) -> Linear:
        """The same numbers in float32, for whoever computes with them."""
        return self if self.weight.dtype is torch.float32 else _full(self)


def _full(layer: Linear) -> Linear:
    return Linear(layer.weight.float(), None if layer.bias is None else layer.bias.float())


def packed(weight: Tensor, bias: Tensor | None) -> tuple[Linear, Linear, Linear]:
    """Queries, keys and values of one packed projection, as views: weight (3D, D), bias (3D,) or None."""
    biases = [None] * 3 if bias is None else list(bias.chunk(3))
    query, key, value = (Linear(w, b) for w, b in zip(weight.chunk(3), biases, strict=True))
    return query, key, value


@dataclass(frozen=True)
class LayerNorm:
    """Layer normalisation over the last axis."""

    weight: Tensor | None
    bias: Tensor | None
    eps: float = 1e-5

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)


@dataclass(frozen=True)
class MLP:
    """``second(activation(first(x)))``."""

    first: Linear
    activation: Activation
    second: Linear

    def __call__(self, x: Tensor) -> Tensor:
        return self.second(self.activation(self.first(x)))


@dataclass(frozen=True)
class Block:
    """``y = z + MSA(LN1(z))``, ``z' = y + MLP(LN2(y))``, with optional LayerScale, query/key norms and RoPE.

    With ``post_norm``, as in BERT, it is ``y = LN1(z + MSA(z))``, ``z' = LN2(y + MLP(y))``. The methods map the
    residual stream (B, T, D) before this block to the stream after it. ``mask`` is additive: (T, T) for all samples,
    or (B, 1, 1, T) for the keys of each.
    """

    norm1: LayerNorm
    query: Linear
    key: Linear
    value: Linear
    out: Linear
    norm2: LayerNorm
    mlp: Callable[[Tensor], Tensor]
    heads: int
    scale1: Tensor | None = None
    scale2: Tensor | None = None
    query_norm: LayerNorm | None = None
    key_norm: LayerNorm | None = None
    post_norm: bool = False
    rotary: Rotary | None = None

    def fused(self, z: Tensor, mask: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        """The block as it runs in production: SDPA, no attention kept.

        With ``rows`` (B,) only that token of each sample asks: the result is (B, 1, D), exactly the row that the
        whole block would give there, for a fraction of the price.
        """
        q, k, v = self._qkv(z, rows)
        heads = F.scaled_dot_product_attention(q, k, v, attn_mask=_rows_of(mask, rows))
        return self._finish(_take(z, rows), heads)

    def attention(self, z: Tensor, mask: Tensor | None = None, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Attention probabilities A (B, H, Q, T), rows summing to 1, and the values V (B, H, T, d) they weigh."""
        q, k, v = self._qkv(z, rows)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        chosen = _rows_of(mask, rows)
        if chosen is not None:
            scores = scores + chosen
        return scores.softmax(dim=-1), v

    def explicit(
        self, z: Tensor, mask: Tensor | None = None, rows: Tensor | None = None, track: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The block with its attention A (B, H, Q, T) kept: (z', A), the same z' as :meth:`fused`.

        With ``track`` gradients with respect to A are to be had: where no graph leads to A yet, it becomes the
        start of one. A is the very tensor that multiplies V.
        """
        a, v = self.attention(z, mask, rows)
        if track and not a.requires_grad:
            a = a.detach().requires_grad_()
        return self._finish(_take(z, rows), a @ v), a

    def local(self, z: Tensor) -> Tensor:
        """The block with attention disabled: each token attends to itself only, so A = I and MSA = W_O W_V."""
        return self._residual(z, self.own_values(z))

    def own_values(self, z: Tensor) -> Tensor:
        """What each token would receive if it attended to itself only: ``W_O W_V x``, no residual (B, T, D)."""
        return self.out(self.value(self.attended(z)))

    def attended(self, z: Tensor) -> Tensor:
        """What queries, keys and values are made of: the normalised stream, or with ``post_norm`` the stream."""
        return z if self.post_norm else self.norm1(z)

    def _qkv(self, z: Tensor, rows: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        x = self.attended(z)
        q, k, v = (self._split(layer(y)) for layer, y in
                   ((self.query, _take(x, rows)), (self.key, x), (self.value, x)))  # fmt: skip
        if self.query_norm is not None:
            q = self.query_norm(q)
        if self.key_norm is not None:
            k = self.key_norm(k)
        if self.rotary is not None:
            q, k = self.rotary(q, rows), self.rotary(k)
        return q, k, v

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _finish(self, z: Tensor, heads: Tensor) -> Tensor:
        return self._residual(z, self.out(heads.transpose(1, 2).flatten(2)))

    def _residual(self, z: Tensor, attended: Tensor) -> Tensor:
        y = z + (attended if self.scale1 is None else attended * self.scale1)
        if self.post_norm:
            y = self.norm1(y)
            return self.norm2(y + self.mlp(y))
        m = self.mlp(self.norm2(y))
        return y + (m if self.scale2 is None else m * self.scale2)


def _take(x: Tensor, rows: Tensor | None) -> Tensor:
    """Row ``rows[b]`` of each sample, (B, 1, D); everything when rows is None."""
    return x if rows is None else x[torch.arange(len(x), device=x.device), rows][:, None]


def _rows_of(mask: Tensor | None, rows: Tensor | None) -> Tensor | None:
    """The mask as those rows see it: (T, T) becomes (B, 1, 1, T), which a mask of keys is already."""
    return mask if mask is None or rows is None or mask.ndim == 4 else mask[rows][:, None, None]


def linear(layer: nn.Linear) -> Linear:
    """A library's linear layer: its own tensors, not copies."""
    return Linear(layer.weight, layer.bias)


def norm(layer: nn.LayerNorm) -> LayerNorm:
    """A library's layer norm: its own tensors, not copies."""
    return LayerNorm(layer.weight, layer.bias, layer.eps)
