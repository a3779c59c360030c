"""The graph of tokens, and the eigenvectors of its Laplacian.

With affinity W, degrees D and Laplacian L = D - W, the generalised problem ``L v = λ D v`` is solved through the
symmetric ``S = D^-1/2 W D^-1/2``: ``S u = (1 - λ) u``, ``v = D^-1/2 u``, so that ``v^T D v = 1``.
"""

from __future__ import annotations

from dataclasses import dataclass

import scipy.linalg
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import VLExplainError
from ..running.run import generator

FLOOR = 1e-6
"""Added to every affinity, so that the graph is connected and its second eigenvector is one vector."""

DENSE_LIMIT = 1024
"""Tokens up to which the whole spectrum is computed at once; above it, only the wanted part, iteratively."""

FLAT = 1e-6
"""Affinities that differ by less are all the same: there is nothing to cut."""

_RESIDUAL = 1e-6


@dataclass(frozen=True)
class Spectrum:
    """The smoothest eigenvectors of a graph of n tokens, float64.

    values : (K,) λ ascending, in [0, 2]; the first is 0.
    vectors : (K, n), row k belongs to λ_k, ``v^T D v = 1`` (of the plain Laplacian ``v^T v = 1``); the first is
        constant.
    degrees : (n,) diagonal of D.
    """

    values: Tensor
    vectors: Tensor
    degrees: Tensor


def affinity(features: Tensor, normalise: bool = True) -> Tensor:
    """``W = max(0, X X^T) / max`` of features X (n, d): (n, n) float32 in [0, 1], diagonal kept.

    ``normalise`` makes the rows of X unit vectors, so that W holds cosines.

    Raises
    ------
    VLExplainError : features that are not finite.
    """
    if not torch.isfinite(features).all():
        raise VLExplainError(
            "The features hold NaN or infinite values; the model's weights or the image may be damaged."
        )
    x = F.normalize(features.float(), dim=-1) if normalise else features.float()
    w = (x @ x.T).clamp_(min=0)
    top = w.max() if len(w) else w.new_ones(())
    return w / torch.where(top > 0, top, torch.ones_like(top))


def is_flat(w: Tensor) -> bool:
    """Are all affinities (n, n) the same, so that no cut is better than another?"""
    return bool(w.amax() - w.amin() < FLAT)


def spectrum(w: Tensor, count: int, laplacian: bool = True) -> Spectrum:
    """The ``count`` smoothest eigenvectors of affinity W (n, n); fewer if n is smaller.

    ``laplacian=False`` solves the plain ``L v = λ v`` instead. The sign of a vector is such that its positive side is
    the smaller one; the same W gives the same vectors.
    """
    count = min(count, len(w))
    # In single precision λ_1 of two far components (n times the floor) could not be told from λ_0.
    w = w.cpu().double() if w.device.type == "mps" else w.double()
    w = (w + w.T) / 2 + FLOOR
    degrees = w.sum(dim=1)
    if laplacian:
        root, scale = degrees.rsqrt(), 1.0
        matrix, first = root[:, None] * w * root, degrees.sqrt()
    else:
        root, scale = torch.ones_like(degrees), 2 * float(degrees.max())
        matrix, first = torch.eye(len(w)).to(w) + (w - torch.diag(degrees)) / scale, root
    values, u = _largest(matrix, first / first.norm(), count)
    vectors = minority_positive((u * root[:, None]).T.contiguous())
    return Spectrum(((1 - values) * scale).clamp(min=0), vectors, degrees)


def _largest(matrix: Tensor, first: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest eigenvalues of a symmetric matrix, descending, and their unit vectors (n, count).

    The largest is 1 and its vector ``first`` is known, so it is moved to -1, out of the way of the others.
    """
    rest = matrix - 2 * torch.outer(first, first)
    values, vectors = _iterated(rest, count - 1) if _is_large(rest, count - 1) else _dense(rest, count - 1)
    return torch.cat([values.new_ones(1), values]), torch.cat([first[:, None], vectors], dim=1)


def _is_large(matrix: Tensor, count: int) -> bool:
    return count > 0 and len(matrix) > max(DENSE_LIMIT, 3 * _block(count))


def _dense(matrix: Tensor, count: int) -> tuple[Tensor, Tensor]:
    n = len(matrix)
    if matrix.device.type == "cpu" and count > 0:
        # LAPACK can leave out the vectors that nobody wants; torch does not let it.
        wanted = (n - count, n - 1)
        found = scipy.linalg.eigh(matrix.numpy(), subset_by_index=wanted, driver="evr", check_finite=False)
        values, vectors = (torch.from_numpy(part) for part in found)
    else:
        values, vectors = torch.linalg.eigh(matrix)
    return values.flip(0)[:count], vectors.flip(1)[:, :count]


def _block(count: int) -> int:
    """Vectors iterated together: some more than wanted, or the last of them would converge slowly."""
    return count + 4


def _iterated(matrix: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """LOBPCG from a seeded start; where it does not converge, the whole spectrum."""
    n = len(matrix)
    start = torch.randn(n, _block(count), generator=generator(0, "spectrum", str(n)), dtype=matrix.dtype)
    values, vectors = torch.lobpcg(matrix, k=count, X=start.to(matrix.device), niter=1000, tol=1e-8)
    residual = (matrix @ vectors - vectors * values).norm(dim=0)
    if not bool((residual < _RESIDUAL).all()):
        return _dense(matrix, count)
    return values, vectors


def minority_positive(vectors: Tensor) -> Tensor:
    """Each row signed so that its positive entries are not more than its negative ones (Melas-Kyriazi et al., 2022).

    The smaller side is taken for the object. Rows whose entries all have one sign, such as the constant one, are made
    positive; a tie is decided by the entry of largest magnitude.
    """
    top, at = vectors.abs().max(dim=1, keepdim=True)
    noise = 1e-9 * top
    positive, negative = (vectors > noise).sum(dim=1), (vectors < -noise).sum(dim=1)
    tie = (positive == negative) & (vectors.gather(1, at)[:, 0] < 0)
    flip = torch.where(negative == 0, torch.zeros_like(tie), (positive == 0) | (positive > negative) | tie)
    return torch.where(flip[:, None], -vectors, vectors)


def fiedler(features: Tensor, normalise: bool = True) -> Tensor:
    """``|v|`` of the second smallest eigenvalue, for token features (n, d): (n,) float32, ``v^T D v = 1``.

    Large far from the cut, on either side. One token gives 1, none gives an empty vector; tokens that are all alike
    have no cut and give zeros.
    """
    n = len(features)
    w = affinity(features, normalise)
    if n < 2:
        return torch.ones(n, device=features.device)
    if is_flat(w):
        return torch.zeros(n, device=features.device)
    return spectrum(w, 2).vectors[1].abs().to(features.device, torch.float32)
