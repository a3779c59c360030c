"""A CLIP without norms, MLPs and cosines: what it computes can be written down by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import toys
from torch import Tensor

from napari_vlexplain.methods.inputs import Inputs
from napari_vlexplain.methods.targets import Target
from napari_vlexplain.models.blocks import Block, Linear
from napari_vlexplain.models.dual_encoder import DualEncoder
from napari_vlexplain.models.towers import RowPool, Tower

TOKENS, WIDTH, HEADS = 5, 6, 2  # a CLS and a grid of 2 x 2; two heads of three channels


@dataclass
class Attention:
    """Weights (D, D) of one block, each mapping rows by ``x @ W.T``."""

    query: Tensor
    key: Tensor
    value: Tensor
    out: Tensor

    def block(self) -> Block:
        layers = (Linear(w.float()) for w in (self.query, self.key, self.value, self.out))
        return Block(nothing, *layers, nothing, torch.zeros_like, HEADS)  # type: ignore[arg-type]

    def probabilities(self, z: Tensor) -> Tensor:
        """(H, T, T) for one sequence (T, D)."""
        d = WIDTH // HEADS
        heads = [slice(h * d, (h + 1) * d) for h in range(HEADS)]
        scores = [(z @ self.query.T)[:, s] @ (z @ self.key.T)[:, s].T / d**0.5 for s in heads]
        return torch.stack([s.exp() / s.exp().sum(dim=1, keepdim=True) for s in scores])

    def moved(self) -> Tensor:
        """(H, D, D): what a head makes of a token that it fully attends to, ``W_O^h W_V^h``."""
        d = WIDTH // HEADS
        return torch.stack([self.out[:, h * d : (h + 1) * d] @ self.value[h * d : (h + 1) * d] for h in range(HEADS)])

    def after(self, z: Tensor) -> Tensor:
        return z + torch.einsum("hij,hcd,jd->ic", self.probabilities(z), self.moved(), z)


def nothing(x: Tensor) -> Tensor:
    return x


def attention(seed: int) -> Attention:
    source = torch.Generator().manual_seed(seed)
    return Attention(*(torch.randn(WIDTH, WIDTH, generator=source, dtype=torch.float64) for _ in range(4)))


def stream(seed: int = 0) -> Tensor:
    """(T, D), what the image tower embeds every picture to."""
    return torch.randn(TOKENS, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def text_embedding() -> Tensor:
    """(P,) with P = D, the embedding of every prompt."""
    return torch.linspace(-1, 1, WIDTH, dtype=torch.float64)


def model(z: Tensor, attentions: list[Attention]) -> DualEncoder:
    """Its similarity is the plain product of z_L[0] and :func:`text_embedding`."""
    image = Tower(
        embed=lambda pixels: z.float()[None],
        blocks=tuple(a.block() for a in attentions),
        pool=RowPool(None, nothing),
        prefix_tokens=1,
        grid=(2, 2),
        patch=(4, 4),
    )
    row = text_embedding().float()
    text = Tower(lambda ids: row.expand(*ids.shape, -1), (), RowPool(None, nothing))
    return replace(toys.dual_encoder(image, text), normalise=False)


def inputs_of(model: DualEncoder) -> Inputs:
    return Inputs(model, torch.zeros(1, 3, 8, 8), model.tokenize(["anything"]), 1, Target(), 0, "case")
