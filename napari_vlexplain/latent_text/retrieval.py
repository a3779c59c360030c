"""The texts nearest to tokens: a running top-k over a vocabulary of any length."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..running.run import Run, memory_budget
from .reading import Reading
from .tails import compare
from .texts.banks import TextBank

MARGIN = 4
"""Candidates kept beyond k, so that among equal scores the first text wins."""


@dataclass(frozen=True)
class Nearest:
    """``indices`` (..., k) int64 into the vocabulary, best first, and their ``scores`` (..., k) float32."""

    indices: Tensor
    scores: Tensor


@torch.no_grad()
def nearest(u: Tensor, bank: TextBank, reading: Reading, k: int = 1, run: Run | None = None) -> Nearest:
    """The k texts nearest to each token.

    Parameters
    ----------
    u : (layers, B, T, P) or (B, T, P), tokens in the shared space, not normalised.

    Among equal scores the text that stands first in the vocabulary wins. With ``reading.centre`` the mean score of
    each joined list is subtracted, over all layers, tokens and texts given; each image has means of its own.
    """
    run, k = run or Run(), min(k, len(bank))
    unit = compare(u, reading.norm_axis)
    offsets = part_offsets(unit, bank) if reading.centre else None
    flat = unit.flatten(0, -2)
    best: Nearest | None = None
    for start, texts in bank.chunks():
        run.step(start / len(bank), "Comparing with texts")
        part = None if offsets is None else offsets[..., bank.part_of(start, len(texts))].flatten(0, -2)
        found = _top(flat, texts, part, start, k + MARGIN)
        best = found if best is None else _merge(best, found, k + MARGIN)
    assert best is not None
    shape = (*u.shape[:-1], k)
    return Nearest(best.indices[:, :k].reshape(shape), best.scores[:, :k].reshape(shape))


def part_offsets(unit: Tensor, bank: TextBank) -> Tensor:
    """Mean score of each list over layers, tokens and texts: (..., T, parts), the same for all tokens of an image.

    The mean of dot products is the dot product of the means, so it costs no comparison with any text.
    """
    means = bank.part_means()
    dims = (0, 2) if unit.ndim == 4 else (1,)
    return (unit.mean(dim=dims, keepdim=True) @ means.T).expand(*unit.shape[:-1], len(means))


def reads_as(u: Tensor, bank: TextBank, reading: Reading, chosen: Tensor) -> Tensor:
    """Which tokens have one of the ``chosen`` texts (V,) bool as their nearest: (..., T) bool."""
    return chosen[nearest(u, bank, reading).indices[..., 0]]


def _top(flat: Tensor, texts: Tensor, offsets: Tensor | None, start: int, k: int) -> Nearest:
    """Of one chunk of texts, tokens in pieces that fit into memory."""
    k = min(k, len(texts))
    indices = torch.empty(len(flat), k, dtype=torch.long, device=flat.device)
    scores = flat.new_empty(len(flat), k)
    size = max(1, memory_budget(flat.device) // (8 * len(texts)))
    for at in range(0, len(flat), size):
        found = flat[at : at + size] @ texts.T
        if offsets is not None:
            found = found - offsets[at : at + size]
        scores[at : at + size], indices[at : at + size] = found.topk(k)
    return _in_order(Nearest(indices + start, scores), k)


def _merge(a: Nearest, b: Nearest, k: int) -> Nearest:
    return _in_order(Nearest(torch.cat([a.indices, b.indices], -1), torch.cat([a.scores, b.scores], -1)), k)


def _in_order(found: Nearest, k: int) -> Nearest:
    """By falling score, then by rising index: two stable sorts, the lesser key first.

    Scores that agree to a millionth count as equal, for rounding depends on what is multiplied together.
    """
    indices, order = found.indices.sort(dim=-1)
    scores = found.scores.gather(-1, order)
    best = (scores * 1e6).round().argsort(dim=-1, descending=True, stable=True)
    return Nearest(indices.gather(-1, best)[..., :k], scores.gather(-1, best)[..., :k])


def class_probabilities(similarity: Tensor, scale: float) -> Tensor:
    """Softmax of the scaled cosines (B, C)."""
    return (scale * similarity).softmax(dim=-1)


def cosines(embedding: Tensor, unit_texts: Tensor) -> Tensor:
    """(B, P) and (C, P) -> (B, C)."""
    return F.normalize(embedding, dim=-1) @ unit_texts.T
