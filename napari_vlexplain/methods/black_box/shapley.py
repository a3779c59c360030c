"""Shapley values from coalitions: by enumeration, and by regression with Shapley's kernel."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def coefficients(keep: Tensor) -> Tensor:
    """Of each coalition's value in each Shapley value, over all coalitions ``keep`` (n, M) bool: (n, M) float32.

    ``φ_i = Σ_{S ∌ i} |S|! (M - |S| - 1)! / M! (v(S + i) - v(S))``, sorted by coalition: feature i takes
    ``(s - 1)! (M - s)! / M!`` of the value of a coalition of size s with it, and minus ``s! (M - s - 1)! / M!``
    of one without it.
    """
    features = keep.shape[1]
    joined = [0.0] + [1 / (s * math.comb(features, s)) for s in range(1, features + 1)]
    missed = [1 / ((features - s) * math.comb(features, s)) for s in range(features)] + [0.0]
    size = keep.sum(dim=1)
    gain, loss = (torch.tensor(x, device=keep.device)[size][:, None] for x in (joined, missed))
    return torch.where(keep, gain, -loss)


def kernel(features: int) -> Tensor:
    """Shapley's kernel summed over the coalitions of each size 1 .. M - 1, scaled to sum 1: (M - 1,) float64."""
    size = torch.arange(1, features, dtype=torch.float64)
    weight = (features - 1) / (size * (features - size))
    return weight / weight.sum()


def kernel_weights(keep: Tensor) -> Tensor:
    """Shapley's kernel of each coalition (n, M) bool: (n,) float32, 0 for the empty and the whole one."""
    features = keep.shape[1]
    each = [0.0] * (features + 1)
    for size, weight in enumerate(kernel(features).tolist(), start=1):
        each[size] = weight / math.comb(features, size)
    return torch.tensor(each, device=keep.device)[keep.sum(dim=1)]


def draw(count: int, features: int, paired: bool, source: torch.Generator) -> Tensor:
    """Coalitions (count, M) bool with sizes by Shapley's kernel; if ``paired`` every other is the complement."""
    device = source.device
    drawn = (count + 1) // 2 if paired else count
    sizes = kernel(features).float().to(device)
    size = 1 + torch.multinomial(sizes, drawn, replacement=True, generator=source)
    order = torch.rand(drawn, features, generator=source, device=device).argsort(dim=1).argsort(dim=1)
    keep = order < size[:, None]
    return torch.stack([keep, ~keep], dim=1).flatten(0, 1)[:count] if paired else keep


def solve(gram: Tensor, moment: Tensor, change: Tensor) -> Tensor:
    """Weights that fit best and add up to ``change``.

    Minimises ``Σ w (y - z φ)^2`` under ``Σ φ = change``; ``gram`` is ``Σ w z z^T`` (M, M), ``moment`` ``Σ w z y``
    (M, K), ``change`` (K,) = whole minus empty. Returns (K, M) float64 on the CPU.
    """
    a, b, total = (x.double().cpu() for x in (gram, moment, change))
    ones = torch.ones(len(a), 1, dtype=a.dtype)
    # Features that too few coalitions tell apart share their value.
    inverse = torch.linalg.pinv(a, hermitian=True)
    free, along = inverse @ b, inverse @ ones
    scale = float(along.sum())
    if abs(scale) <= 1e-12 * float(along.abs().sum()):
        return (total / len(a)).expand(len(a), -1).T
    return (free - along * (free.sum(dim=0) - total) / scale).T
