"""Transformer attribution and partial LRP of detectors: an object's class, swept back to the last cross-attention.

Relevance 1 starts at the class's logit. What lies between it and the last cross-attention treats every query on its
own, so that relevance stays in the query's row. Rules are those of the published multimodal code, see ``lrp_rules``;
for detectors it scales each linear layer's relevance to the sum that came.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.blocks import Linear
from ..attention.rules import fuse
from ..lrp.rules import TODAY, safe_divide
from ..lrp.sweep import _join, _linear, _split
from .encoder_decoder import Recorded, of_last
from .parameters import Nothing


def transformer_attribution(recorded: Recorded, parameters: Nothing) -> Tensor:
    """``C = mean_h relu(G ⊙ P)`` of the last cross-attention, P the relevance that arrives there. Range >= 0."""
    p = arriving(recorded)[:, :, None]
    return of_last(recorded, lambda piece, g: fuse(p[piece], g))


def partial_lrp(recorded: Recorded, parameters: Nothing) -> Tensor:
    """``mean_h P`` of the last cross-attention; signed."""
    return arriving(recorded).mean(dim=1)


@torch.no_grad()
def arriving(recorded: Recorded) -> Tensor:
    """P of each kept query's row of the last cross-attention, (K, H, C)."""
    model, classes = recorded.model, recorded.classes
    assert model is not None and classes is not None and recorded.met is not None
    layer, head = model.decoder[-1], cast(Linear, model.classes)
    of, mlp = layer.across.attention, layer.mlp.mlp
    queries, cells = recorded.met
    x, a = (
        queries[0, recorded.queries, None],
        recorded.sites.cross[-1][0][:, recorded.queries].transpose(0, 1)[:, :, None],
    )
    v = _split(of.value(cells), of.heads)
    heads = _join(a @ v)
    attended = of.out(heads)
    y = layer.across.norm(x + attended)
    hidden = mlp.activation(mlp.first(y))
    m = mlp.second(hidden)
    read = model.decoder_norm(layer.mlp.norm(y + m))
    relevance = _kept(read, head, F.one_hot(classes, len(head.weight)).to(read.dtype)[:, None])
    of_y, of_m = TODAY.add(y, m, relevance)
    of_y = of_y + _kept(y, mlp.first, _kept(hidden, mlp.second, of_m))
    _, of_attended = TODAY.add(x, attended, of_y)
    return TODAY.product(a, v, _split(_kept(heads, of.out, of_attended), of.heads))[0][:, :, 0]


def _kept(x: Tensor, layer: Linear, relevance: Tensor) -> Tensor:
    """The rule of linear layers, scaled to the sum that came: (K, 1, D)."""
    found = _linear(TODAY, x, layer, relevance)
    return found * safe_divide(relevance.sum(dim=-1, keepdim=True), found.sum(dim=-1, keepdim=True))
