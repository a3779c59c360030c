"""What happens to a score when only what is relevant is left: drop, increase and gain, each of one sample.

``before`` and ``after`` are scores (a cosine, a probability) of the whole input and of the masked one. An average
over samples is the figure that papers print. Three figures go by the name "average drop"; here each has its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def drop_absolute(before: float, after: float) -> float:
    """``100 max(0, before - after)``, [0, 100] for scores in [0, 1], lower is better. Source: M2IB, section 4.2."""
    return 100 * max(0.0, before - after)


def drop_relative(before: float, after: float) -> float:
    """``100 max(0, before - after) / before``, [0, 100] for scores of at least 0, lower is better.

    NaN where ``before`` <= 0, as of a negative cosine. Source: average drop of Grad-CAM++, Chattopadhyay et al. 2018.
    """
    return 100 * max(0.0, before - after) / before if before > 0 else float("nan")


def increase(before: float, after: float) -> float:
    """100 if ``after > before`` strictly, else 0; higher is better. Source: Grad-CAM++; M2IB."""
    return 100.0 * (after > before)


def gain(before: float, after: float) -> float:
    """``100 max(0, after - before) / (1 - before)``, [0, 100] for probabilities, higher is better.

    NaN where ``before`` >= 1: there is nothing to gain. Source: average gain of Opti-CAM, Zhang et al. 2024.
    """
    return 100 * max(0.0, after - before) / (1 - before) if before < 1 else float("nan")


def kept_words(scores: ArrayLike, percentile: float = 50.0) -> NDArray[np.bool_]:
    """Which words (T,) M2IB keeps: those strictly above the percentile, so of a single word none.

    Of T words without ties floor(T / 2) stay. Source: M2IB, section 4.2 (linear interpolation, as NumPy's).
    """
    values = np.asarray(scores, dtype=np.float64)
    return values > np.percentile(values, percentile) if values.size else np.zeros(0, dtype=bool)
