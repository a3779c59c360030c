"""Methods for object queries that look at an image's cells (DETR), by the rules of Chefer, Gur, Wolf, ICCV 2021.

Each takes (recorded, parameters) and returns (K, C): for each kept query the relevance of the C cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...models.questions.encoder_decoder import DecoderSites, EncoderDecoder
from ...running.run import Run
from ..attention.rules import Rules, fuse, grad_cam, roll
from ..inputs import per_prompt_gradients
from .parameters import CoRelevance, Nothing


@dataclass(frozen=True)
class Recorded:
    """One forward of an encoder-decoder on one image.

    sites : attention, batch of 1.
    queries : (K,) the kept queries.
    values : (K,) their explained class logits.
    classes, met, model : whose logits these are (K,), what went into the last cross-attention, and what was run, for
        methods that take more than attention.
    """

    sites: DecoderSites
    queries: Tensor
    values: Tensor
    run: Run
    classes: Tensor | None = None
    met: tuple[Tensor, Tensor] | None = None
    model: EncoderDecoder | None = None


def relevance(recorded: Recorded, parameters: CoRelevance) -> Tensor:
    """Rules 5, 6 and 10. One graph; one batched vector-Jacobian product for all the queries that fit into memory."""
    guarded = parameters.nan_policy == "row"
    rules = Rules(parameters.normalize, parameters.self_in_rule10, parameters.aggregate, guarded)
    tensors = recorded.sites.tensors()
    attention = [a.detach()[0] for a in tensors]
    found = torch.empty(len(recorded.queries), attention[-1].shape[-1], device=attention[0].device)

    def use(piece: slice, gradients: tuple[Tensor, ...]) -> None:
        recorded.run.step(piece.start / len(found), "Relevance of the objects")
        c = recorded.sites.like([fuse(a, g[:, 0]) for a, g in zip(attention, gradients, strict=True)])
        matrix = propagate(c, rules)
        rows = recorded.queries[piece]
        found[piece] = matrix[torch.arange(len(rows), device=rows.device), rows]

    per_prompt_gradients(recorded.values, tensors, use)
    return found


def propagate(c: DecoderSites, rules: Rules) -> Tensor:
    """From C of every site (K, Q, Q or C) to the relevance R_qi (K, Q, C) of the cells for the queries."""
    first = c.cross[0]
    count, queries, cells = first.shape
    r_ii, r_qq = (torch.eye(n, device=first.device, dtype=first.dtype).expand(count, -1, -1) for n in (cells, queries))
    r_qi = torch.zeros_like(first)
    for site in c.encoder:
        r_ii = rules.add(r_ii, site @ r_ii)
    for among, across in zip(c.decoder, c.cross, strict=True):
        r_qi, r_qq = rules.add(r_qi, among @ r_qi), rules.add(r_qq, among @ r_qq)
        crossed = rules.cross(r_qq, across, r_ii)
        # Published: one zero row makes NaN of all that this layer adds, and NaN is then set to 0.
        r_qi = rules.add(r_qi, crossed if rules.guarded else crossed.nan_to_num(nan=0.0))
    return r_qi


@torch.no_grad()
def raw_attention(recorded: Recorded, parameters: Nothing) -> Tensor:
    """What the queries attend to in the last cross-attention, mean over heads."""
    return recorded.sites.cross[-1][0].mean(dim=0)[recorded.queries]


@torch.no_grad()
def rollout(recorded: Recorded, parameters: Nothing) -> Tensor:
    """``J_q^T A_cross J_i`` with the last cross-attention; the transpose is that of rule 10."""
    mean = recorded.sites.map(lambda a: a[0].mean(dim=0))
    return (roll(mean.decoder).T @ mean.cross[-1] @ roll(mean.encoder))[recorded.queries]


def attention_grad_cam(recorded: Recorded, parameters: Nothing) -> Tensor:
    """The cam of the last cross-attention, for each query with its own gradient."""
    last = recorded.sites.cross[-1].detach()[0]
    return of_last(recorded, lambda piece, g: grad_cam(last, g))


def of_last(recorded: Recorded, fuse: Callable[[slice, Tensor], Tensor]) -> Tensor:
    """(K, C) from the last cross-attention's gradients: ``fuse`` makes (k, Q, C) of those of some queries (k, H, Q, C).

    Of each the query's own row is read.
    """
    last = recorded.sites.cross[-1]
    found = torch.empty(len(recorded.queries), last.shape[-1], device=last.device)

    def use(piece: slice, gradients: tuple[Tensor, ...]) -> None:
        rows = recorded.queries[piece]
        found[piece] = fuse(piece, gradients[0][:, 0])[torch.arange(len(rows), device=rows.device), rows]

    per_prompt_gradients(recorded.values, [last], use)
    return found
