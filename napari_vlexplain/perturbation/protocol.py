"""How many parts are taken away, and which: the same for boxes, patches and words. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..metrics.perturbation import LXMERT_STEPS, VISUALBERT_IMAGE_STEPS, order, removed_counts
from ..running.run import generator

Sign = Literal["positive", "negative"]
MODALITIES = ("image", "text")
SIGNS: tuple[Sign, ...] = ("positive", "negative")
"""Positive takes the most relevant parts away first, so a low curve is good; negative the least relevant."""

Rounding = Literal["published", "exact"]

RANDOM = "random"
"""The name of the floor: parts taken away in random order."""


def steps_of(architecture: str, modality: str) -> tuple[float, ...]:
    """The shares that are taken away. VisualBERT's 100 boxes have their own, crowded near the end."""
    return VISUALBERT_IMAGE_STEPS if (architecture, modality) == ("single_stream", "image") else LXMERT_STEPS


def kept_parts(
    scores: ArrayLike, steps: Sequence[float], sign: Sign, rounding: Rounding = "published"
) -> list[NDArray[np.intp]]:
    """For each step the parts that stay, ascending indices of ``scores`` (n,).

    Kept are the ``int((1 - p) n)`` highest scores; the positive test turns their sign first. Of equal scores the
    first stays. No parts at all stay none.
    """
    values = np.asarray(scores, dtype=np.float64)
    if not len(values):
        return [np.zeros(0, dtype=np.intp) for _ in steps]
    ranked = order(values, ascending=sign == "positive")
    return [np.sort(ranked[: len(values) - count]) for count in removed_counts(len(values), steps, rounding)]


def random_scores(count: int, seed: int, case: str, modality: str) -> NDArray[np.float64]:
    """A random order of a case's parts; it belongs to (seed, case, modality)."""
    import torch

    return torch.randperm(count, generator=generator(seed, case, "perturbation", modality)).double().numpy()
