"""Pools: how a tower's last residual stream becomes one embedding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from .blocks import LayerNorm

Map = Callable[[Tensor], Tensor]


def itself(x: Tensor) -> Tensor:
    """Of an embedding that no projection leads to."""
    return x


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
        """The row (B, T) from which a relevance starts: the share of each token in the readout, before it attends."""


@dataclass(frozen=True)
class RowPool:
    """Reads one token (CLS, EOS): ``project(norm(z[row]))``."""

    norm: LayerNorm | None
    project: Map
    single_row: bool = True

    def __call__(self, z: Tensor, rows: Tensor) -> Tensor:
        row = z[:, 0] if z.shape[1] == 1 else z[torch.arange(len(z), device=z.device), rows]
        return self.tokens(row)

    def tokens(self, z: Tensor) -> Tensor:
        return self.project(z if self.norm is None else self.norm(z))

    def start(self, length: int, rows: Tensor) -> Tensor:
        return F.one_hot(rows, length).float()


@dataclass(frozen=True)
class FirstRowsPool:
    """Reads the first tokens side by side (CLS and the distillation token of DeiT)."""

    norm: LayerNorm | None
    project: Map
    count: int
    single_row: bool = False

    def __call__(self, z: Tensor, rows: Tensor) -> Tensor:
        first = z[:, : self.count]
        return self.project((first if self.norm is None else self.norm(first)).flatten(1))

    def tokens(self, z: Tensor) -> Tensor:
        x = z if self.norm is None else self.norm(z)
        return self.project(x.repeat(1, 1, self.count))

    def start(self, length: int, rows: Tensor) -> Tensor:
        row = torch.zeros(len(rows), length, device=rows.device)
        row[:, : self.count] = 1 / self.count
        return row


@dataclass(frozen=True)
class MeanPool:
    """Reads the mean of the patch tokens: ``project(after(mean(before(z))))``."""

    before: Map | None
    after: Map | None
    project: Map
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
class AttentionPool:
    """Reads what one query attends to: ``project(out(softmax(q K^T / sqrt(d)) V))``.

    SigLIP's query is a learned probe over all tokens; that of OpenAI's ResNets is the mean of all patches, which
    stands in front of them as a token of its own.

    Attributes
    ----------
    prepare : the stream (B, T, D) -> the tokens to attend to (B, T', D); patches are the last of them.
    ask : those tokens -> the query before its projection (1 or B, 1, D).
    query, key, value, out : projections.
    project : what follows, on (..., D): residual MLPs, the projection into the shared space.
    """

    prepare: Map
    ask: Map
    query: Map
    key: Map
    value: Map
    out: Map
    heads: int
    project: Map
    query_norm: Map | None = None
    key_norm: Map | None = None
    single_row: bool = False

    def __call__(self, z: Tensor, rows: Tensor) -> Tensor:
        q, k, v = self._qkv(self.prepare(z))
        return self._finish(F.scaled_dot_product_attention(q, k, v))

    def record(self, z: Tensor, track: bool = False) -> tuple[Tensor, Tensor]:
        """(embedding (B, P), A (B, H, 1, T')), with gradients with respect to A to be had if ``track``."""
        q, k, v = self._qkv(self.prepare(z))
        a = ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(dim=-1)
        if track and not a.requires_grad:
            a = a.detach().requires_grad_()
        return self._finish(a @ v), a

    def tokens(self, z: Tensor) -> Tensor:
        """Each token of the stream read as if it were all that the query attends to (MaskCLIP)."""
        x = self.prepare(z)[:, -z.shape[1] :]
        return self.project(self.out(self.value(x)))

    def start(self, length: int, rows: Tensor) -> Tensor:
        """Zeros: the query is no token of the stream, so nothing is read but what it attends to."""
        return torch.zeros(len(rows), length, device=rows.device)

    def _qkv(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        asked = self.ask(x).expand(len(x), -1, -1)
        q, k, v = (layer(y).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer, y in
                   ((self.query, asked), (self.key, x), (self.value, x)))  # fmt: skip
        if self.query_norm is not None:
            q = self.query_norm(q)
        if self.key_norm is not None:
            k = self.key_norm(k)
        return q, k, v

    def _finish(self, heads: Tensor) -> Tensor:
        return self.project(self.out(heads.transpose(1, 2).flatten(2))[:, 0])
