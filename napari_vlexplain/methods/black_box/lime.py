"""LIME (Ribeiro, Singh, Guestrin, KDD 2016) on SLIC superpixels and on words."""

from __future__ import annotations

import torch
from torch import Tensor

from ...running.run import Run
from ..baselines import image_baseline, picture
from ..forwards import has_words
from ..inputs import Inputs, Scores, no_words
from ..masking import BLOCK, in_blocks, score_masks
from .parameters import LIME
from .regions import mean_colours, superpixels
from .word_subsets import WordSubsets, all_subsets


def lime(inputs: Inputs, parameters: LIME, run: Run) -> Scores:
    """Weights of a ridge regression of the score on which superpixels (words) are shown; signed.

    Each is shown with probability 1/2; samples weigh ``exp(-d^2 / 2 width^2)``, d the cosine distance to the whole.
    """
    regions = superpixels(inputs, picture(inputs), parameters.segments, parameters.compactness)
    hidden = parameters.baseline
    baseline = mean_colours(inputs.pixels, regions) if hidden == "segment" else image_baseline(inputs, hidden)
    fit = WeightedRidge(regions.count, inputs.count, parameters, inputs.pixels.device)

    def block(number: int) -> Tensor:
        source = inputs.generator("lime", "image", str(number))
        keep = torch.rand(BLOCK, regions.count, generator=source, device=inputs.pixels.device) < 0.5
        keep[0] |= number == 0
        return keep

    def draw(piece: slice) -> tuple[Tensor, Tensor]:
        keep = in_blocks(piece, block)
        return keep, regions.masks(keep)

    score_masks(inputs, baseline, parameters.samples, draw, fit.add, parameters, run.part(0.0, 0.85))
    image = regions.painted(fit.solve(), inputs.model.image)
    notes = {"superpixels": regions.count}
    if not has_words(inputs):
        return Scores(image, no_words(inputs), notes)
    subsets = WordSubsets.of(inputs, parameters.fill, parameters)
    rows = []
    for k, prompt in enumerate(inputs.explained.prompts):
        run.part(0.85, 1.0).step(k / inputs.count, "Masked prompts")
        keep = _word_masks(inputs, k, parameters)
        words = WeightedRidge(len(prompt.content), 1, parameters, inputs.pixels.device)
        words.add(keep, subsets.values(k, keep)[:, None])
        rows.append(subsets.spread(k, words.solve()[0]))
    return Scores(image, torch.stack(rows), notes)


class WeightedRidge:
    """The sums of LIME's regression, with an intercept that is not penalised."""

    def __init__(self, features: int, prompts: int, parameters: LIME, device: torch.device) -> None:
        self.width, self.ridge = parameters.kernel_width, parameters.ridge
        self.gram = torch.zeros(features + 1, features + 1, dtype=torch.float64)
        self.moment = torch.zeros(features + 1, prompts, dtype=torch.float64)
        self.device = device

    def add(self, keep: Tensor, values: Tensor) -> None:
        """Which features were shown (n, M) bool, and the scores (n, K)."""
        z = torch.cat([torch.ones_like(keep[:, :1]), keep], dim=1).double().cpu()
        distance = 1 - z[:, 1:].mean(dim=1).sqrt()  # to the whole: 1 - |z| / sqrt(|z| M)
        weighted = z * torch.exp(-((distance / self.width) ** 2) / 2)[:, None]
        self.gram += z.T @ weighted
        self.moment += weighted.T @ values.double().cpu()

    def solve(self) -> Tensor:
        """(K, M)."""
        penalty = torch.full((len(self.gram),), self.ridge, dtype=torch.float64)
        penalty[0] = 0
        weights = torch.linalg.pinv(self.gram + torch.diag(penalty), hermitian=True) @ self.moment
        return weights[1:].T.float().to(self.device)


def _word_masks(inputs: Inputs, k: int, parameters: LIME) -> Tensor:
    prompt = inputs.texts.prompts[k]
    words, device = len(prompt.content), inputs.pixels.device
    if 2**words <= parameters.word_samples:
        return all_subsets(words, device)
    source = inputs.generator("lime", "text", prompt.text)
    keep = torch.rand(parameters.word_samples, words, generator=source, device=device) < 0.5
    keep[0] = True
    return keep
