"""Occlusion (Zeiler, Fergus, ECCV 2014): hide a square, or a word, and see the score fall."""

from __future__ import annotations

import torch
from torch import Tensor

from ...running.run import Run
from ..baselines import image_baseline
from ..forwards import has_words
from ..inputs import Inputs, Scores, grid, no_words
from ..masking import score_masks, whole_values
from .parameters import Occlusion
from .regions import cells
from .word_subsets import WordSubsets


def occlusion(inputs: Inputs, parameters: Occlusion, run: Run) -> Scores:
    """``f(x) - f(x without the square)``, averaged over the squares on a patch; the same for each word; signed."""
    patches = cells(inputs, None)
    hidden = windows(grid(inputs.model.image), parameters.window, parameters.stride).to(inputs.pixels.device)
    whole = whole_values(inputs, parameters.precision)
    total = torch.zeros(inputs.count, patches.count, device=inputs.pixels.device)

    def draw(piece: slice) -> tuple[Tensor, Tensor]:
        return hidden[piece].float(), patches.masks(~hidden[piece])

    def use(squares: Tensor, values: Tensor) -> None:
        total.add_((whole - values).T @ squares)

    baseline = image_baseline(inputs, parameters.baseline)
    score_masks(inputs, baseline, len(hidden), draw, use, parameters, run.part(0.0, 0.85))
    image = (total / hidden.sum(dim=0)).unflatten(1, grid(inputs.model.image))
    if not has_words(inputs):
        return Scores(image, no_words(inputs))
    subsets = WordSubsets.of(inputs, parameters.fill, parameters)
    lengths = [len(prompt.content) for prompt in inputs.explained.prompts]
    keeps = [one_hidden(words).to(inputs.pixels.device) for words in lengths]
    if parameters.precision == "float32":  # then the score of the whole prompt is known
        keeps = [keep[:-1] for keep in keeps]
    rows = []
    for k, values in enumerate(subsets.of_all(keeps, run.part(0.85, 1.0))):
        own = values[-1] if len(values) > lengths[k] else whole[k]
        rows.append(subsets.spread(k, own - values[: lengths[k]]))
    return Scores(image, torch.stack(rows))


def one_hidden(words: int) -> Tensor:
    """Each word hidden, and last none: (words + 1, words) bool."""
    return torch.cat([~torch.eye(words, dtype=torch.bool), torch.ones(1, words, dtype=torch.bool)])


def windows(size: tuple[int, int], side: int, stride: int) -> Tensor:
    """Squares of ``side`` patches, ``stride`` apart, that together hide every patch: (n, gh * gw) bool."""
    rows, columns = (_starts(n, side, stride) for n in size)
    found = torch.zeros(len(rows), len(columns), *size, dtype=torch.bool)
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            found[i, j, top : top + side, left : left + side] = True
    return found.flatten(0, 1).flatten(1)


def _starts(size: int, side: int, stride: int) -> list[int]:
    """The last square ends at the border, and none leaves a gap."""
    side = min(side, size)
    starts = list(range(0, size - side + 1, min(stride, side)))
    return starts if starts[-1] == size - side else [*starts, size - side]
