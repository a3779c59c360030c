"""ROAR+ over a data set: how much less a model learns from pairs that lost what methods find relevant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..datasets.dataset import DataSet
from ..datasets.reading import read_case
from ..errors import VLExplainError
from ..methods.targets import Target
from ..metrics.roar import FineTuning, Pairs, roar_plus, tuned_loss
from ..running.entrance import entrance
from ..running.run import Run
from .plan import MethodChoice

if TYPE_CHECKING:
    from ..models.dual_encoder import DualEncoder

Side = Literal["image", "words"]
RANDOM = "random"
"""Stands for random scores: the floor that a method has to beat."""


@dataclass(frozen=True)
class RoarRow:
    """One method, side and repetition. ``score`` = 100 (degraded - clean) / clean of the validation losses."""

    method: str
    side: Side
    repetition: int
    clean: float
    degraded: float
    score: float


@dataclass(frozen=True)
class RoarTable:
    """All rows, what was asked, and why pairs of (method, side) are not there."""

    rows: tuple[RoarRow, ...]
    asked: dict[str, Any]
    left_out: tuple[str, ...] = ()

    def scores(self, method: str, side: Side) -> list[float]:
        """Of all repetitions."""
        return [row.score for row in self.rows if (row.method, row.side) == (method, side)]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**self.asked, "left_out": list(self.left_out), "rows": [asdict(row) for row in self.rows]}


@entrance("ROAR+")
def measure_roar(
    data: DataSet,
    model: DualEncoder,
    methods: Sequence[MethodChoice],
    share: float = 0.5,
    repetitions: int = 5,
    settings: FineTuning | None = None,
    run: Run | None = None,
) -> RoarTable:
    """ROAR+ of each method, on images and on words, beside random scores.

    Each case gives one pair: its image with its first prompt. Repetition r splits and orders the pairs by
    ``settings.seed + r``, alike for all methods, so that they can be compared pair by pair.

    Raises
    ------
    VLExplainError : a share outside (0, 1), fewer than one repetition, too few cases, a tower without patches.
    Cancelled : as ``run`` says.
    """
    chosen, run = settings or FineTuning(), run or Run()
    _refuse(share, repetitions, model)
    pairs, scores, left_out = _explained(data, model, methods, chosen.seed, run.part(0, 0.5))
    rows: list[RoarRow] = []
    for repetition in range(repetitions):
        tuning = replace(chosen, seed=chosen.seed + repetition)
        span = run.part(0.5 + 0.5 * repetition / repetitions, 0.5 + 0.5 * (repetition + 1) / repetitions)
        steps = len(scores) + 1
        clean = tuned_loss(model, pairs, pairs, tuning, span.part(0, 1 / steps))
        for number, ((label, side), given) in enumerate(scores.items(), start=1):
            degraded = _degraded(pairs, model, side, given, share)
            part = span.part(number / steps, (number + 1) / steps)
            found = roar_plus(model, pairs, degraded, tuning, part, clean)
            rows.append(RoarRow(label, side, repetition, found.clean, found.degraded, found.score))
    asked = {
        "dataset": data.name, "model": model.info.name, "pairs": len(pairs), "share": share,
        "repetitions": repetitions, "methods": [choice.label for choice in methods], **asdict(chosen),
    }  # fmt: skip
    return RoarTable(tuple(rows), asked, tuple(left_out))


def _refuse(share: float, repetitions: int, model: DualEncoder) -> None:
    if not 0 < share < 1:
        raise VLExplainError(f"share is {share:g}, but it must lie between 0 and 1, such as 0.5.")
    if repetitions < 1:
        raise VLExplainError(f"repetitions is {repetitions}, but it must be at least 1.")
    if model.image.patch is None:
        raise VLExplainError(f"The image tower of {model.info.name} has no patches to take away; choose a ViT.")


Scores = list[NDArray[np.floating]]


def _explained(
    data: DataSet, model: DualEncoder, methods: Sequence[MethodChoice], seed: int, run: Run
) -> tuple[Pairs, dict[tuple[str, Side], Scores], list[str]]:
    """The pairs, and for each method and side the scores of every pair."""
    import torch

    from .maps import Asked, explain_case

    images: list[torch.Tensor] = []
    prompts: list[str] = []
    found: dict[tuple[str, Side], Scores] = {}
    for number, entry in enumerate(data.entries):
        case = read_case(entry)
        asked = Asked.of(model, case.image, case.prompts[:1], Target("similarity"), seed)
        images.append(asked.pixels[0][0])
        prompts.append(case.prompts[0])
        for k, choice in enumerate(methods):
            run.step((number + k / len(methods)) / len(data.entries), f"Explaining {number + 1} of {len(data.entries)}")
            one = explain_case(asked, choice).maps[0]
            found.setdefault((choice.label, "image"), []).append(one.patch_scores)
            found.setdefault((choice.label, "words"), []).append(one.word_scores)
    left_out = []
    for (label, side), scores in list(found.items()):
        if not any(np.ptp(one) > 0 for one in scores if one.size):
            del found[label, side]
            left_out.append(f"{label} tells {'patches' if side == 'image' else 'words'} apart in no pair.")
    pairs = Pairs(torch.stack(images), model.tokenize(prompts, truncate=True))
    return pairs, {**found, **_random(pairs, model, seed)}, left_out


def _random(pairs: Pairs, model: DualEncoder, seed: int) -> dict[tuple[str, Side], Scores]:
    rng = np.random.default_rng([seed, len(pairs)])
    assert model.image.patch is not None
    grid = [size // patch for size, patch in zip(pairs.pixels.shape[-2:], model.image.patch, strict=True)]
    return {
        (RANDOM, "image"): [rng.random(grid) for _ in range(len(pairs))],
        (RANDOM, "words"): [rng.random(len(prompt.content)) for prompt in pairs.texts.prompts],
    }


def _degraded(pairs: Pairs, model: DualEncoder, side: Side, scores: Scores, share: float) -> Pairs:
    if side == "words":
        return pairs.without_words(scores, share)
    assert model.image.patch is not None
    return pairs.without_patches(scores, model.image.patch, share)
