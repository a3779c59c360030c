"""Tokens that take the place of others: a bank for every layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import VLExplainError
from .plan import Empty
from .selection import Reader


@dataclass(frozen=True, eq=False)
class Donors:
    """``tokens[l]`` (n_l, D): what may be put into the stream before block l. An empty one leaves that layer alone."""

    tokens: tuple[Tensor, ...]

    def draw(self, layer: int, count: int, generator: torch.Generator) -> Tensor:
        """``count`` of a layer's tokens, each uniformly at random, (count, D)."""
        bank = self.tokens[layer]
        pick = torch.randint(len(bank), (count,), generator=generator, device=generator.device)
        return bank[pick.to(bank.device)]


@torch.no_grad()
def donors(
    reader: Reader, z: Tensor, texts: Sequence[str] = (), tokens: Sequence[int] = (), empty: Empty = "skip"
) -> Donors:
    """Collect donors from images.

    Parameters
    ----------
    z : (B, T, D), the streams before block 0.
    texts : take the patches that read as one of these, layer by layer.
    tokens : take these; with neither, all patches.
    empty : ``last`` gives layers without donors those of the last layer, see :class:`EditPlan`.

    Raises
    ------
    VLExplainError : no token reads as any of the texts, at any layer.
    """
    tower, found = reader.tower, []
    for layer, block in enumerate(tower.blocks):
        mask = torch.zeros(z.shape[:2], dtype=torch.bool, device=z.device)
        if texts:
            mask = reader.reads(layer, z, texts)
            mask[:, : tower.prefix_tokens] = False
        elif tokens:
            mask[:, list(tokens)] = True
        else:
            mask[:, tower.prefix_tokens :] = True
        found.append(z[mask])
        z = block.fused(z, tower.mask(z))
    if not any(len(bank) for bank in found):
        raise VLExplainError(
            f"No patch of the donor image says {' or '.join(repr(text) for text in texts[:3])}; "
            "choose another donor image or another text."
        )
    return Donors(tuple(bank if len(bank) or empty == "skip" else found[-1] for bank in found))
