"""The rules by which relevance passes through self- and cross-attention (Chefer, Gur, Wolf, ICCV 2021).

Relevance of tokens s for tokens q is a matrix R_qs (Q, S); C (Q, K) is one attention site after fusion. Leading
axes, if any, are samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def fuse(a: Tensor, g: Tensor) -> Tensor:
    """``C = mean_h relu(G * A)`` (eq. 5): multiply, clamp, then mean over heads; (..., H, Q, K) -> (..., Q, K)."""
    return (g * a).clamp(min=0).mean(dim=-3)


def grad_cam(a: Tensor, g: Tensor) -> Tensor:
    """``relu(mean_h w_h A_h)``, ``w_h`` the mean of G over all queries and keys; (..., H, Q, K) -> (..., Q, K)."""
    if a.shape[-1] == 0:
        return a.mean(dim=-3)
    return (g.mean(dim=(-2, -1), keepdim=True) * a).mean(dim=-3).clamp(min=0)


def roll(attentions: Sequence[Tensor], row_normalise: bool = True) -> Tensor:
    """Rollout ``A_L ... A_1`` of head means (N, N), each with the residual; without any it is the identity."""
    eye = joint = torch.eye(attentions[0].shape[-1], device=attentions[0].device)
    for a in attentions:
        step = a + eye
        joint = (step / step.sum(dim=-1, keepdim=True) if row_normalise else step) @ joint
    return joint


@dataclass(frozen=True)
class Rules:
    """The options of the co-attention rules.

    normalize, self_in_rule10, aggregate : as in the paper; ``aggregate=False`` is its ablation.
    guarded : a zero row stays zero when rows are normalised; otherwise it becomes NaN, as in the published code.
    """

    normalize: bool = True
    self_in_rule10: bool = True
    aggregate: bool = True
    guarded: bool = True

    def add(self, r: Tensor, contribution: Tensor) -> Tensor:
        """``R + contribution``; the ablation keeps the contribution alone."""
        return r + contribution if self.aggregate else contribution

    def normalised(self, r: Tensor) -> Tensor:
        """``rows of (R - I) divided by their sums, + I`` (eq. 8 and 9), for a square R."""
        if not (self.normalize and self.aggregate):
            return r
        eye = torch.eye(r.shape[-1], device=r.device, dtype=r.dtype)
        rest = r - eye
        sums = rest.sum(dim=-1, keepdim=True)
        if self.guarded:
            sums = torch.where(sums == 0, torch.ones_like(sums), sums)
        return rest / sums + eye

    def cross(self, r_qq: Tensor, c: Tensor, r_kk: Tensor) -> Tensor:
        """What cross-attention C (Q, K) adds to R_qk: ``nrm(R_qq)^T C nrm(R_kk)`` (eq. 10)."""
        if not self.self_in_rule10:
            return c
        return self.normalised(r_qq).transpose(-2, -1) @ c @ self.normalised(r_kk)
