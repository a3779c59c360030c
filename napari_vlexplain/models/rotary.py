"""Rotary positions (RoPE): queries and keys turned by where their patch lies."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import VLExplainError


class Rotary:
    """Turns queries or keys (B, H, T, d): each pair of channels by its own angle, one for each patch.

    ``x cos + turned(x) sin`` (Su et al., RoFormer, 2021), as a model's library tabulates it for one grid. CLS and
    registers in front are left as they are. It is no parameter: copies of a model with other weights share it.

    Parameters
    ----------
    sine, cosine : (patches, d).
    prefix : tokens in front of the patches.
    halves : is channel i paired with i + d / 2? Else with its neighbour.
    """

    def __init__(self, sine: Tensor, cosine: Tensor, prefix: int, halves: bool) -> None:
        self._sine = torch.cat([torch.zeros_like(sine[:1]).expand(prefix, -1), sine])
        self._cosine = torch.cat([torch.ones_like(cosine[:1]).expand(prefix, -1), cosine])
        self._halves = halves

    def __call__(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """All tokens of each sample, or with ``rows`` (B,) that one alone, x (B, H, 1, d).

        Raises
        ------
        VLExplainError : other tokens than those of the grid.
        """
        sine, cosine = self._sine, self._cosine
        if rows is not None:
            sine, cosine = (table[rows][:, None, None] for table in (sine, cosine))
        elif x.shape[-2] != len(sine):
            raise VLExplainError(
                f"This model turns its tokens by their place and needs all {len(sine)} of them, not {x.shape[-2]}: "
                "choose a model with learned positions."
            )
        return x * cosine + self._turned(x) * sine

    def _turned(self, x: Tensor) -> Tensor:
        if self._halves:
            first, second = x.chunk(2, dim=-1)
            return torch.cat([-second, first], dim=-1)
        pairs = x.unflatten(-1, (-1, 2))
        return torch.stack([-pairs[..., 1], pairs[..., 0]], dim=-1).flatten(-2)
