"""How spread out relevance is. These figures know no ground truth: a map may be simple and wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def complexity(scores: ArrayLike) -> float:
    """Entropy of the shares of relevance, ``-sum p ln p`` with ``p = |S| / sum |S|``, in nats; lower is simpler.

    In [0, ln n]: a constant map has ln n, a single unit 0; NaN for an all-zero map. Scores that are NaN (outside the
    crop) are left out.
    Source: Bhatt, Weller, Moura 2020, "Evaluating and aggregating feature-based explanations", definition 4.
    """
    size = _sizes(scores)
    total = float(size.sum())
    if total == 0:
        return float("nan")
    p = size[size > 0] / total
    return float(-(p * np.log(p)).sum())


def sparseness(scores: ArrayLike) -> float:
    """Gini index of ``|S|``, [0, 1 - 1/n], higher is sparser; 0 for a constant map, NaN for an all-zero one.

    Source: Chalasani et al. 2020, "Concise explanations of neural networks", section 6.
    """
    size = np.sort(_sizes(scores))
    total, n = float(size.sum()), size.size
    if total == 0:
        return float("nan")
    return float(1 - 2 * ((n - np.arange(1, n + 1) + 0.5) * size).sum() / (n * total))


def _sizes(scores: ArrayLike) -> NDArray[np.float64]:
    values = np.abs(np.asarray(scores, dtype=np.float64)).ravel()
    return values[~np.isnan(values)]
