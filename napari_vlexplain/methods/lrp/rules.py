"""Rules of layer-wise relevance propagation: how the relevance of an operation's output falls on its inputs.

Relevances are (K, ...); activations are (1 or K, ...), so that K prompts share one forward pass. Sums run over each
sample on its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...models.blocks import LayerNorm

Linear = Callable[[Tensor, Tensor, Tensor | None, Tensor], Tensor]
"""Input x (.., I), weight (O, I), bias (O,) or None, relevance of the output (K, .., O) -> of the input (K, .., I)."""

Add = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""a, b, relevance of a + b -> of a, of b."""

Softmax = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Scores, probabilities, relevance of the probabilities -> of the scores."""


Norm = Callable[[Tensor, LayerNorm, Tensor], Tensor]
"""Input x (.., D), the norm, relevance of its output (K, .., D) -> of the input."""


def past_norm(x: Tensor, norm: LayerNorm, relevance: Tensor) -> Tensor:
    """A norm as if it were not there: relevance goes on channel by channel."""
    return relevance


@dataclass(frozen=True)
class Rules:
    """One rule for each kind of operation. Activations and scalings pass relevance on unchanged."""

    linear: Linear
    add: Add
    softmax: Softmax
    divide: Callable[[Tensor, Tensor], Tensor]
    norm: Norm = past_norm

    def product(self, left: Tensor, right: Tensor, relevance: Tensor) -> tuple[Tensor, Tensor]:
        """Of ``left @ right``: ``R_L = L ⊙ (S R^T) / 2``, ``R_R = R ⊙ (L^T S) / 2`` with ``S = R_out / (L R)``."""
        share = self.divide(relevance, left @ right)
        return left * (share @ right.transpose(-2, -1)) / 2, right * (left.transpose(-2, -1) @ share) / 2


def safe_divide(a: Tensor, b: Tensor) -> Tensor:
    """``a / (b + 1e-9)``, 0 where b is 0."""
    below = b + 1e-9
    return torch.where(b == 0, torch.zeros_like(b), a / torch.where(below == 0, torch.full_like(b, 1e-9), below))


def positive_linear(x: Tensor, weight: Tensor, bias: Tensor | None, relevance: Tensor) -> Tensor:
    """α = 1, β = 0: only positive products ``x_i w_ji`` carry relevance, over one common sum; biases take none."""
    (xp, xn), (wp, wn) = _signs(x), _signs(weight)
    share = safe_divide(relevance, xp @ wp.T + xn @ wn.T)
    return xp * (share @ wp) + xn * (share @ wn)


def positive_linear_twice(x: Tensor, weight: Tensor, bias: Tensor | None, relevance: Tensor) -> Tensor:
    """The older form: positive and negative pairs each over a sum of their own, so that relevance about doubles."""
    (xp, xn), (wp, wn) = _signs(x), _signs(weight)
    return xp * (safe_divide(relevance, xp @ wp.T) @ wp) + xn * (safe_divide(relevance, xn @ wn.T) @ wn)


def gamma_linear(gamma: float, epsilon: float) -> Linear:
    """``R_i = Σ_j (c_ij + γ c_ij^±) / (z_j + γ Σ_i c_ij^±) R_j`` with ``c_ij = x_i w_ji``, ± the sign of z_j.

    Biases count as inputs of 1 and keep their share. γ = 0 is the ε-rule.
    """

    def rule(x: Tensor, weight: Tensor, bias: Tensor | None, relevance: Tensor) -> Tensor:
        zero = weight.new_zeros(len(weight)) if bias is None else bias
        out = x @ weight.T + zero
        if gamma == 0:
            return x * (stabilised_divide(epsilon)(relevance, out) @ weight)
        (xp, xn), (wp, wn), (bp, bn) = _signs(x), _signs(weight), _signs(zero)
        up = out >= 0
        same = torch.where(up, xp @ wp.T + xn @ wn.T + bp, xp @ wn.T + xn @ wp.T + bn)
        share = stabilised_divide(epsilon)(relevance, out + gamma * same)
        above, below = share * up, share * ~up
        return x * (share @ weight) + gamma * (xp * (above @ wp + below @ wn) + xn * (above @ wn + below @ wp))

    return rule


def stabilised_divide(epsilon: float) -> Callable[[Tensor, Tensor], Tensor]:
    """``a / (b + ε sign b)``, 0 / 0 = 0."""

    def divide(a: Tensor, b: Tensor) -> Tensor:
        below = b + epsilon * torch.where(b >= 0, 1.0, -1.0)
        return torch.where(below == 0, torch.zeros_like(below), a / torch.where(below == 0, 1.0, below))

    return divide


def plain_add(divide: Callable[[Tensor, Tensor], Tensor]) -> Add:
    """Each summand in proportion to itself."""

    def rule(a: Tensor, b: Tensor, relevance: Tensor) -> tuple[Tensor, Tensor]:
        share = divide(relevance, a + b)
        return a * share, b * share

    return rule


def rescaled_add(a: Tensor, b: Tensor, relevance: Tensor) -> tuple[Tensor, Tensor]:
    """In proportion, then scaled so that the two together carry what came, split by the size of their sums."""
    share = safe_divide(relevance, a + b)
    of_a, of_b = a * share, b * share
    total, sum_a, sum_b = (_total(x) for x in (relevance, of_a, of_b))
    both = sum_a.abs() + sum_b.abs()
    return (
        of_a * safe_divide(safe_divide(sum_a.abs(), both) * total, sum_a),
        of_b * safe_divide(safe_divide(sum_b.abs(), both) * total, sum_b),
    )


def passed_on(scores: Tensor, probabilities: Tensor, relevance: Tensor) -> Tensor:
    """Softmax as if it were not there."""
    return relevance


def taylor_softmax(scores: Tensor, probabilities: Tensor, relevance: Tensor) -> Tensor:
    """``R_i = x_i (R_i - s_i Σ_j R_j)``; what a mask hides (s = 0) gets none."""
    found = scores * (relevance - probabilities * relevance.sum(dim=-1, keepdim=True))
    return torch.where(probabilities > 0, found, torch.zeros_like(found))


TODAY = Rules(positive_linear, rescaled_add, passed_on, safe_divide)
"""Of the published code since 2021: transformer attribution, and partial LRP of multimodal models."""

OLDER = Rules(positive_linear_twice, plain_add(safe_divide), passed_on, safe_divide)
"""Of the same authors' partial LRP on ViT."""


def held_deviation(divide: Callable[[Tensor, Tensor], Tensor]) -> Norm:
    """``R_i = x_i (u_i - mean_j u_j)`` with ``u_j = g_j R_j / (σ y_j)``: centring, gain and bias as a linear layer."""

    def rule(x: Tensor, norm: LayerNorm, relevance: Tensor) -> Tensor:
        deviation = (x.var(dim=-1, unbiased=False, keepdim=True) + norm.eps).sqrt()
        gain = 1.0 if norm.weight is None else norm.weight
        u = gain / deviation * divide(relevance, norm(x))
        return x * (u - u.mean(dim=-1, keepdim=True))

    return rule


def attention_aware(gamma: float, epsilon: float, norm: str = "identity") -> Rules:
    """AttnLRP's."""
    divide = stabilised_divide(epsilon)
    of_norm = past_norm if norm == "identity" else held_deviation(divide)
    return Rules(gamma_linear(gamma, epsilon), plain_add(divide), taylor_softmax, divide, of_norm)


def _signs(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.clamp(min=0), x.clamp(max=0)


def _total(x: Tensor) -> Tensor:
    """Of each sample: (K, 1, ..., 1)."""
    return x.sum(dim=tuple(range(1, x.ndim)), keepdim=True)
