"""Do relevance scores predict what the model does, and do they hold still under small changes?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import VLExplainError
from ..scale import is_constant
from .perturbation import Score
from .similarity import pearson


def sensitivity_n(
    score: Score, scores: ArrayLike, rng: np.random.Generator, sizes: Sequence[int] | None = None, subsets: int = 100
) -> float:
    """Mean over sizes n of the correlation between the relevance of n random units and the loss without them.

    For each n: Pearson of ``sum_{i in I} S_i`` and ``f(x) - f(x without I)`` over ``subsets`` random I with |I| = n.
    Sizes are by default spaced logarithmically from 1 to 80 % of the units. [-1, 1], higher is better; NaN where the
    map or the loss is constant. Source: Ancona et al. 2018, "Towards better understanding", section 4.
    """
    values = np.asarray(scores, dtype=np.float64)
    if is_constant(values):
        return float("nan")  # of a constant map every subset has the same sum
    chosen = default_sizes(values.size) if sizes is None else sizes
    removed = np.stack([_subset(values.shape, n, rng) for n in chosen for _ in range(subsets)])
    losses = _losses(score, removed).reshape(len(chosen), subsets)
    sums = (removed * values).reshape(len(chosen), subsets, -1).sum(axis=2)
    found = np.array([pearson(a, b) for a, b in zip(sums, losses, strict=True)])
    known = found[~np.isnan(found)]
    return float(known.mean()) if known.size else float("nan")


def default_sizes(units: int, count: int = 5) -> list[int]:
    """Up to ``count`` sizes from 1 to 80 % of the units, spaced logarithmically, each once."""
    return sorted({max(1, round(n)) for n in np.geomspace(1, max(1.0, 0.8 * units), count)})


def infidelity(
    score: Score, scores: ArrayLike, rng: np.random.Generator, samples: int = 100, scaled: bool = True
) -> float:
    """``E[(sum_{i in I} S_i - (f(x) - f(x without I)))^2]`` over random sets I, [0, inf), lower is better.

    Each unit is in I with probability 1/2 (units are replaced by their baseline, so scores must be of the kind
    "relevance times input"). ``scaled`` multiplies S by the factor that fits best, ``E[(I S) d] / E[(I S)^2]``, so
    that maps of any scale can be compared; a constant map then is as good as counting units. NaN for an all-zero map
    when scaled. Source: Yeh et al. 2019, "On the (in)fidelity and sensitivity of explanations", eq. 2 and section 4.
    """
    values = np.asarray(scores, dtype=np.float64)
    if scaled and not values.any():
        return float("nan")
    removed = rng.random((samples, *values.shape)) < 0.5
    losses = _losses(score, removed)
    sums = (removed * values).reshape(samples, -1).sum(axis=1)
    if scaled:
        power = float((sums**2).mean())
        if power == 0:
            return float("nan")
        sums = sums * (float((sums * losses).mean()) / power)
    return float(((sums - losses) ** 2).mean())


def max_sensitivity(
    explain: Callable[[NDArray[np.floating]], NDArray[np.floating]],
    image: NDArray[np.floating],
    rng: np.random.Generator,
    radius: float = 0.02,
    draws: int = 10,
) -> float:
    """``max ||S(x + d) - S(x)|| / ||S(x)||`` over random d, each pixel within ``radius``; [0, inf), lower is better.

    A lower bound of the true maximum. ``explain`` must use the same seed each time. NaN for an all-zero map.
    Source: Yeh et al. 2019, eq. 5; radius and draws as captum's.
    """
    reference = np.asarray(explain(image), dtype=np.float64)
    size = float(np.linalg.norm(reference))
    if size == 0:
        return float("nan")
    worst = 0.0
    for _ in range(draws):
        moved = image + rng.uniform(-radius, radius, image.shape).astype(image.dtype)
        worst = max(worst, float(np.linalg.norm(np.asarray(explain(moved), dtype=np.float64) - reference)))
    return worst / size


def _subset(shape: tuple[int, ...], n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    units = int(np.prod(shape))
    if not 1 <= n <= units:
        raise VLExplainError(f"A subset of {n} among {units} units cannot be; its size must lie between 1 and {units}.")
    chosen = np.zeros(units, dtype=bool)
    chosen[rng.choice(units, n, replace=False)] = True
    return chosen.reshape(shape)


def _losses(score: Score, removed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """f(x) - f(x without I) for each I of ``removed`` (B, *units)."""
    everything = np.ones((1, *removed.shape[1:]), dtype=bool)
    found = np.asarray(score(np.concatenate([everything, ~removed])), dtype=np.float64)
    return found[0] - found[1:]
