"""Layer-wise relevance propagation through a tower: one recorded forward pass, one reverse sweep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import VLExplainError
from ...models.blocks import MLP, Block, Linear
from ...models.towers import RowPool, Tower
from .rules import Rules


@dataclass(frozen=True)
class Trace:
    """What one block computed, (B, T, D) unless said otherwise.

    ``z + attended = y`` (normalised afterwards in a post-norm block) and ``y + m`` is the block's output. ``x1`` is
    what queries (B, H, T, d), keys and values are made of; ``scores`` (B, H, T, T) are before the mask, ``a`` behind
    it and the softmax; ``heads`` is what they gather. ``x2`` enters the MLP, ``hidden`` leaves its activation.
    """

    z: Tensor
    x1: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    scores: Tensor
    a: Tensor
    heads: Tensor
    attended: Tensor
    y: Tensor
    x2: Tensor
    hidden: Tensor
    m: Tensor


def trace(block: Block, z: Tensor, mask: Tensor | None) -> tuple[Tensor, Trace]:
    """The block's output, the same as :meth:`Block.fused`, and everything on the way."""
    mlp = mlp_of(block)
    if block.rotary is not None:
        raise VLExplainError(
            "This model turns queries and keys by their place (RoPE), for which relevance propagation has no rule "
            "here; choose relevance or a gradient method."
        )
    x1 = block.attended(z)
    q, k, v = (_split(layer(x1), block.heads) for layer in (block.query, block.key, block.value))
    q = (q if block.query_norm is None else block.query_norm(q)) * q.shape[-1] ** -0.5
    k = k if block.key_norm is None else block.key_norm(k)
    scores = q @ k.transpose(-2, -1)
    a = (scores if mask is None else scores + mask).softmax(dim=-1)
    heads = _join(a @ v)
    attended = block.out(heads)
    attended = attended if block.scale1 is None else attended * block.scale1
    y = z + attended
    y = block.norm1(y) if block.post_norm else y
    x2 = y if block.post_norm else block.norm2(y)
    hidden = mlp.activation(mlp.first(x2))
    m = mlp.second(hidden)
    m = m if block.scale2 is None else m * block.scale2
    after = block.norm2(y + m) if block.post_norm else y + m
    return after, Trace(z, x1, q, k, v, scores, a, heads, attended, y, x2, hidden, m)


def back(block: Block, t: Trace, relevance: Tensor, rules: Rules) -> tuple[Tensor, Tensor]:
    """Relevance of the block's output (K, T, D) -> of its input, and of its attention (K, H, T, T)."""
    mlp = mlp_of(block)
    if block.post_norm:
        relevance = rules.norm(t.y + t.m, block.norm2, relevance)
    of_y, of_m = rules.add(t.y, t.m, relevance)
    of_hidden = _linear(rules, t.hidden, mlp.second, of_m)
    of_x2 = _linear(rules, t.x2, mlp.first, of_hidden)
    of_y = of_y + (of_x2 if block.post_norm else rules.norm(t.y, block.norm2, of_x2))
    if block.post_norm:
        of_y = rules.norm(t.z + t.attended, block.norm1, of_y)
    of_z, of_attended = rules.add(t.z, t.attended, of_y)
    of_heads = _split(_linear(rules, t.heads, block.out, of_attended), block.heads)
    of_a, of_v = rules.product(t.a, t.v, of_heads)
    of_scores = rules.softmax(t.scores, t.a, of_a)
    of_q, of_k = rules.product(t.q, t.k.transpose(-2, -1), of_scores)
    of_query, of_key, of_value = (
        _linear(rules, t.x1, layer, _join(r))
        for layer, r in ((block.query, of_q), (block.key, of_k.transpose(-2, -1)), (block.value, of_v))
    )
    of_x1 = of_query + of_key + of_value
    return of_z + (of_x1 if block.post_norm else rules.norm(t.z, block.norm1, of_x1)), of_a


@dataclass(frozen=True)
class Recorded:
    """A forward pass: the traces of blocks ``start ..``, ``row`` as it leaves them, and as it is ``read``, normed."""

    tower: Tower
    start: int
    traces: list[Trace]
    read: Tensor
    rows: Tensor
    row: Tensor

    def sweep(self, relevance: Tensor, rules: Rules) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Blocks from the last to ``start``: their index, the relevance of their input and of their attention.

        ``relevance`` (K, D) is that of :attr:`read`.
        """
        length = self.traces[-1].z.shape[1]
        at = F.one_hot(self.rows, length).to(relevance.dtype)
        pool = self.tower.pool
        if isinstance(pool, RowPool) and pool.norm is not None:
            relevance = rules.norm(self.row, pool.norm, relevance)
        r = at[:, :, None] * relevance[:, None]
        for index in range(self.tower.depth - 1, self.start - 1, -1):
            r, of_a = back(self.tower.blocks[index], self.traces[index - self.start], r, rules)
            yield index, r, of_a


@torch.no_grad()
def record(tower: Tower, z: Tensor, start: int, rows: Tensor, lengths: Tensor | None = None) -> Recorded:
    """Run blocks ``start ..`` on the stream z (B, T, D) in front of them, keeping everything.

    Raises
    ------
    VLExplainError : a tower that does not read one row, or an MLP of another kind than two layers.
    """
    if not isinstance(tower.pool, RowPool):
        raise VLExplainError("Relevance propagation needs a tower that reads one token; use relevance instead.")
    mask, traces = tower.mask(z, lengths), []
    for block in tower.blocks[start:]:
        z, one = trace(block, z, mask)
        traces.append(one)
    row = z[torch.arange(len(z), device=z.device), rows]
    return Recorded(tower, start, traces, row if tower.pool.norm is None else tower.pool.norm(row), rows, row)


def start_relevance(read: Tensor, value: Callable[[Tensor], Tensor], rules: Rules) -> Tensor:
    """Relevance of what is read, of a scalar's relevance 1: (B, D) -> (K, D).

    ``value`` maps it to the K scalars, each linear at ``read``: the slope is the weight of one linear layer. With
    several samples (B = K) scalar k depends on sample k alone.
    """
    with torch.enable_grad():
        x = read.detach().requires_grad_()
        values = value(x)
        if len(x) == len(values) > 1:
            (weights,) = torch.autograd.grad(values.sum(), [x])
        else:
            weights = torch.cat([torch.autograd.grad(v, [x], retain_graph=True)[0] for v in values])
    one = read.new_ones(1, 1)
    x = read.detach().expand(len(weights), -1)
    return torch.cat([rules.linear(a[None], w[None], None, one) for a, w in zip(x, weights, strict=True)])


def mlp_of(block: Block) -> MLP:
    """Raises VLExplainError where a block's MLP is not two layers with one activation between them."""
    if not isinstance(block.mlp, MLP):
        raise VLExplainError(
            "Relevance propagation has no rule for this model's gated MLPs; use relevance, rise or saliency instead."
        )
    return block.mlp


def _linear(rules: Rules, x: Tensor, layer: Linear, relevance: Tensor) -> Tensor:
    layer = layer.full()
    return rules.linear(x, layer.weight, layer.bias, relevance)


def _split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _join(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)
