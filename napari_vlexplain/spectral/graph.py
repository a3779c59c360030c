"""The graph of tokens, and the eigenvectors of its Laplacian.

With affinity W, degrees D and Laplacian L = D - W, the generalised problem ``L v = λ D v`` is solved through the
symmetric ``S = D^-1/2 W D^-1/2``: ``S u = (1 - λ) u``, ``v = D^-1/2 u``, so that ``v^T D v = 1``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import VLExplainError
from ..running import generator

FLOOR = 1e-6
"""Added to every affinity, so that the graph is connected and its second eigenvector is one vector."""

DENSE_LIMIT = 1024
"""Tokens up to which the whole spectrum is computed at once; above it, only the wanted part, iteratively."""


@dataclass(frozen=True)
class Spectrum:
    """The smoothest eigenvectors of a graph of n tokens.

    values : (K,) λ ascending, in [0, 2]; the first is 0.
    vectors : (K, n), row k belongs to λ_k, ``v^T D v = 1``; the first is constant.
    degrees : (n,) diagonal of D.
    """

    values: Tensor
    vectors: Tensor
    degrees: Tensor


def affinity(features: Tensor, normalise: bool = True) -> Tensor:
    """``W = max(0, X X^T) / max`` of features X (n, d): (n, n) in [0, 1], diagonal kept.

    ``normalise`` makes the rows of X unit vectors, so that W holds cosines.

    Raises
    ------
    VLExplainError : features that are not finite.
    """
    if not torch.isfinite(features).all():
        raise VLExplainError(
            "The features hold NaN or infinite values; the model's weights or the image may be damaged."
        )
    x = F.normalize(features, dim=-1) if normalise else features
    w = (x @ x.T).clamp_(min=0)
    top = w.max() if len(w) else w.new_ones(())
    return w / torch.where(top > 0, top, torch.ones_like(top))


def spectrum(w: Tensor, count: int, laplacian: bool = True) -> Spectrum:
    """The ``count`` smoothest eigenvectors of affinity W (n, n); fewer if n is smaller.

    ``laplacian=False`` solves the plain ``L v = λ v`` instead. The sign of a vector is such that its positive side is
    the smaller one; the same W gives the same vectors.
    """
    n = len(w)
    count = min(count, n)
    w = (w + w.T) / 2 + FLOOR
    degrees = w.sum(dim=1)
    if laplacian:
        root = degrees.rsqrt()
        values, u = _largest(root[:, None] * w * root, count)
        found, vectors = 1 - values, u * root[:, None]
    else:
        shift = 2 * degrees.max()
        values, vectors = _largest(torch.diag(shift - degrees) + w, count)
        found = shift - values
    return Spectrum(found.clamp(min=0), minority_positive(vectors.T.contiguous()), degrees)


def _largest(s: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest eigenvalues of a symmetric matrix, descending, and their vectors (n, count)."""
    n = len(s)
    if n <= max(DENSE_LIMIT, 3 * count):
        values, vectors = torch.linalg.eigh(s)
        return values.flip(0)[:count], vectors.flip(1)[:, :count]
    start = torch.randn(n, count, generator=generator(0, "spectrum", str(n)), dtype=s.dtype).to(s.device)
    values, vectors = torch.lobpcg(s, k=count, X=start, niter=500, tol=1e-6 if s.dtype == torch.float32 else 1e-10)
    return values, vectors


def minority_positive(vectors: Tensor) -> Tensor:
    """Each row signed so that at most half of its entries are positive (Melas-Kyriazi et al., CVPR 2022).

    The smaller side is taken for the object. Rows without a positive entry, such as the constant one, are turned
    positive; a tie is decided by the entry of largest magnitude.
    """
    share = (vectors > 0).float().mean(dim=1)
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))[:, 0]
    flip = ((share > 0.5) & (share < 1)) | (share == 0) | ((share == 0.5) & (largest < 0))
    return torch.where(flip[:, None], -vectors, vectors)


def fiedler(features: Tensor, normalise: bool = True) -> Tensor:
    """``|v|`` of the second smallest eigenvalue, for token features (n, d): (n,), ``v^T D v = 1``.

    Large far from the cut, on either side. One token gives 1, none gives an empty vector; tokens that are all alike
    have no cut and give zeros.
    """
    n = len(features)
    if n < 2:
        return torch.ones(n, device=features.device)
    w = affinity(features, normalise)
    if w.amax() - w.amin() < 1e-6:
        return torch.zeros(n, device=features.device)
    return spectrum(w, 2).vectors[1].abs()
