"""Kernel SHAP (Lundberg, Lee, NeurIPS 2017, theorem 2)."""

from __future__ import annotations

import torch
from torch import Tensor

from ...running.run import Run
from ..baselines import image_baseline
from ..forwards import has_words
from ..inputs import Inputs, Scores, missed, no_words
from ..masking import BLOCK, in_blocks, masked_values, score_masks, whole_values
from .parameters import KernelSHAP
from .regions import cells
from .shapley import draw as draw_coalitions
from .shapley import kernel_weights, solve
from .word_subsets import WordSubsets, all_subsets


def kernel_shap(inputs: Inputs, parameters: KernelSHAP, run: Run) -> Scores:
    """Shapley values of patches (or cells) and words: the weights of a linear model of f over coalitions; signed.

    Coalitions are drawn by Shapley's kernel, so that the regression needs no weights; the whole and the empty one
    are a constraint: values add up to f(x) - f(baseline). Where all coalitions are fewer than ``samples`` each is
    taken once with its weight, which gives the exact values.
    """
    image, change = _image(inputs, parameters, run.part(0.0, 0.85))
    notes = {"completeness": missed(image, change, "image")}
    if not has_words(inputs):
        return Scores(image, no_words(inputs), notes)
    subsets = WordSubsets.of(inputs, parameters.fill, parameters)
    rows = []
    for k, prompt in enumerate(inputs.explained.prompts):
        run.part(0.85, 1.0).step(k / inputs.count, "Masked prompts")
        source = inputs.generator("kernel_shap", "text", prompt.text)
        game = Regression(len(prompt.content), parameters.word_samples, 1, inputs.pixels.device)
        keep = game.all if game.all is not None else _draw(parameters.word_samples, game.features, parameters, source)
        empty, whole = _ends(subsets, k, game.features)
        game.add(keep, (subsets.values(k, keep) - empty)[:, None])
        rows.append(subsets.spread(k, game.solve((whole - empty)[None])[0]))
    return Scores(image, torch.stack(rows), notes)


class Regression:
    """The sums of Kernel SHAP's regression; ``all`` holds every coalition where they are few enough."""

    def __init__(self, features: int, samples: int, prompts: int, device: torch.device) -> None:
        self.features = features
        self.all = all_subsets(features, device) if 2**features <= samples else None
        self.gram = torch.zeros(features, features, dtype=torch.float64)
        self.moment = torch.zeros(features, prompts, dtype=torch.float64)

    def add(self, keep: Tensor, values: Tensor) -> None:
        """Coalitions (n, M) bool and their values less that of the empty one (n, K)."""
        z = keep.double().cpu()
        weighted = z if self.all is None else z * kernel_weights(keep).double().cpu()[:, None]
        self.gram += z.T @ weighted
        self.moment += weighted.T @ values.double().cpu()

    def solve(self, change: Tensor) -> Tensor:
        """(K,) whole minus empty -> (K, M)."""
        return change[:, None] if self.features == 1 else solve(self.gram, self.moment, change).to(change)


def _image(inputs: Inputs, parameters: KernelSHAP, run: Run) -> tuple[Tensor, Tensor]:
    regions = cells(inputs, parameters.cells)
    game = Regression(regions.count, parameters.samples, inputs.count, inputs.pixels.device)
    baseline = image_baseline(inputs, parameters.baseline)
    whole = whole_values(inputs, parameters.precision)
    empty = masked_values(inputs, baseline, parameters.precision)[0]

    def block(number: int) -> Tensor:
        return _draw(BLOCK, regions.count, parameters, inputs.generator("kernel_shap", "image", str(number)))

    def draw(piece: slice) -> tuple[Tensor, Tensor]:
        keep = game.all[piece] if game.all is not None else in_blocks(piece, block)
        return keep, regions.masks(keep)

    def use(keep: Tensor, values: Tensor) -> None:
        game.add(keep, values - empty)

    if regions.count > 1:
        count = parameters.samples if game.all is None else len(game.all)
        score_masks(inputs, baseline, count, draw, use, parameters, run)
    change = whole - empty
    return regions.shared_out(game.solve(change), inputs.model.image), change


def _draw(count: int, features: int, parameters: KernelSHAP, source: torch.Generator) -> Tensor:
    return draw_coalitions(count, features, parameters.paired, source)


def _ends(subsets: WordSubsets, k: int, features: int) -> Tensor:
    """Scores of the prompt without and with all of its words: (2,)."""
    device = subsets.fixed.device
    return subsets.values(k, torch.tensor([[False], [True]], device=device).expand(2, features))
