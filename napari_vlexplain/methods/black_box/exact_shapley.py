"""Shapley values of a few features, from all their coalitions."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ...models.text.prompts import Prompt
from ...running.run import Run
from ..baselines import image_baseline
from ..forwards import has_words
from ..inputs import Inputs, Scores, missed, no_words
from ..masking import masked_values, score_masks, whole_values
from .parameters import ExactShapley
from .regions import cells
from .shapley import coefficients
from .word_subsets import WordSubsets, all_subsets


def exact_shapley(inputs: Inputs, parameters: ExactShapley, run: Run) -> Scores:
    """``φ_i = Σ_{S ∌ i} |S|! (M - |S| - 1)! / M! (f(S + i) - f(S))``, of cells and of words; signed.

    A cell's value is shared among its patches, so that patches add up to f(x) - f(baseline), words to
    f(t) - f(fillers). A prompt of many words is cut into phrases, whose words share their phrase's value.
    """
    regions = cells(inputs, parameters.cells)
    offset = whole_values(inputs, parameters.precision)
    values = torch.zeros(inputs.count, regions.count, device=inputs.pixels.device)
    coalitions = all_subsets(regions.count, inputs.pixels.device)

    def draw(piece: slice) -> tuple[Tensor, Tensor]:
        keep = coalitions[piece]
        return coefficients(keep), regions.masks(keep)

    def use(share: Tensor, scores: Tensor) -> None:
        values.add_((scores - offset).T @ share)  # the coefficients of a constant add up to nothing

    baseline = image_baseline(inputs, parameters.baseline)
    score_masks(inputs, baseline, len(coalitions), draw, use, parameters, run.part(0.0, 0.85))
    image = regions.shared_out(values, inputs.model.image)
    change = offset - masked_values(inputs, baseline, parameters.precision)[0]
    notes: dict[str, Any] = {"cells": regions.count, "completeness": missed(image, change, "image")}
    if not has_words(inputs):
        return Scores(image, no_words(inputs), notes)
    subsets = WordSubsets.of(inputs, parameters.fill, parameters)
    rows, groups = [], []
    for k, prompt in enumerate(inputs.explained.prompts):
        run.part(0.85, 1.0).step(k / inputs.count, "Masked prompts")
        positions = phrases(prompt, parameters.words)
        keep = all_subsets(len(positions), inputs.pixels.device)
        scores = subsets.values(k, keep, positions)
        rows.append(subsets.spread(k, (scores - scores[-1]) @ coefficients(keep), positions))
        groups.append(len(positions))
    return Scores(image, torch.stack(rows), {**notes, "phrases": groups})


def phrases(prompt: Prompt, most: int) -> list[list[int]]:
    """The prompt's tokens in at most that many features: tokens, else words, else phrases of neighbouring words."""
    if len(prompt.content) <= most:
        return [[at] for at in prompt.content]
    words: dict[int, list[int]] = {}
    for at, word in zip(prompt.content, prompt.words, strict=True):
        words.setdefault(word, []).append(at)
    whole = list(words.values())
    count = min(most, len(whole))
    cuts = [round(i * len(whole) / count) for i in range(count + 1)]
    return [[at for word in whole[a:b] for at in word] for a, b in pairwise(cuts)]
