"""RISE: randomised input sampling (Petsiuk, Das, Saenko, BMVC 2018).

Only the coarse cells of a mask and its shift are drawn; it is enlarged when its chunk is scored, and forgotten.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...running.run import Run
from ..baselines import image_baseline
from ..forwards import has_words
from ..inputs import Inputs, Scores, grid, no_words
from ..masking import BLOCK, in_blocks, score_masks, whole_values
from ..patches import patch_size
from .parameters import RISE
from .word_subsets import WordSubsets, all_subsets


def rise(inputs: Inputs, parameters: RISE, run: Run) -> Scores:
    """``S_i = Σ f(x ⊙ m) m_i / Σ m_i - mean f``, of patches and words; signed.

    ``published``: ``S_i = Σ f(x ⊙ m) m_i / (N p)``, which inherits the uneven coverage of few masks. ``m_i`` is the
    mean of the mask over patch i. Words are kept or replaced as a whole.
    """
    image = _image(inputs, parameters, run.part(0.0, 0.85))
    if not has_words(inputs):
        return Scores(image, no_words(inputs))
    subsets = WordSubsets.of(inputs, parameters.fill, parameters)
    rows = []
    for k in range(inputs.count):
        run.part(0.85, 1.0).step(k / inputs.count, "Masked prompts")
        keep, weights = _word_masks(inputs, k, parameters)
        kept, values = keep.float() * weights[:, None], subsets.values(k, keep)
        sums = (values @ kept)[None], kept.sum(dim=0), weights.sum(), (values @ weights)[None]
        rows.append(subsets.spread(k, normalised(*sums, parameters)[0]))
    return Scores(image, torch.stack(rows))


def _image(inputs: Inputs, parameters: RISE, run: Run) -> Tensor:
    tower = inputs.model.image
    height, width = grid(tower)
    device = inputs.pixels.device
    enlarge = Enlarge(inputs.pixels.shape[-2:], parameters.cells, device, parameters.as_published)
    # Scores are added up as differences to the image's own, which loses no digits; the offset returns at the end.
    offset = whole_values(inputs, parameters.precision)
    total = torch.zeros(inputs.count, height * width, device=device)
    covered = torch.zeros(height * width, device=device)
    everything = torch.zeros(inputs.count, device=device)

    def draw(piece: slice) -> tuple[Tensor, Tensor]:
        masks = enlarge(in_blocks(piece, lambda block: _draw_block(inputs, parameters, enlarge, block)))
        whole = masks[:, None, : height * patch_size(tower)[0], : width * patch_size(tower)[1]]
        return F.avg_pool2d(whole, patch_size(tower)).flatten(1), masks

    def use(coverage: Tensor, values: Tensor) -> None:
        away = values - offset
        total.add_(away.T @ coverage)
        covered.add_(coverage.sum(dim=0))
        everything.add_(away.sum(dim=0))

    count = parameters.masks
    score_masks(inputs, image_baseline(inputs, parameters.baseline), count, draw, use, parameters, run)
    total += offset[:, None] * covered
    everything += offset * count
    return normalised(total, covered, torch.tensor(float(count)), everything, parameters).unflatten(1, (height, width))


def normalised(total: Tensor, covered: Tensor, count: Tensor, everything: Tensor, parameters: RISE) -> Tensor:
    """``Σ f m_i`` (K, M), ``Σ m_i`` (M,), the number of masks, ``Σ f`` (K,) -> scores (K, M)."""
    if parameters.normalise == "published":
        return total / (count * parameters.probability)
    mean = everything[:, None] / count
    # A feature that was never shown says nothing: it stands at the mean.
    return torch.where(covered > 0, total / covered.clamp(min=1e-12) - mean, torch.zeros_like(total))


class Enlarge:
    """Coarse masks -> masks: bilinear to (s + 1) cells along each side, then cropped at a random shift."""

    def __init__(self, size: torch.Size, cells: int, device: torch.device, mirrored: bool = False) -> None:
        self.cells = cells
        self.cell = [math.ceil(n / cells) for n in size]
        self.size = size
        self.weights = [_stretch(cells, (cells + 1) * cell, mirrored).to(device) for cell in self.cell]

    def __call__(self, drawn: Tensor) -> Tensor:
        """Cells and shifts (n, s * s + 2) -> (n, h, w) in [0, 1]."""
        coarse = drawn[:, :-2].unflatten(1, (self.cells, self.cells))
        rows, columns = (
            weights[shift.long()[:, None] + torch.arange(n, device=drawn.device)]
            for weights, shift, n in zip(self.weights, drawn[:, -2:].T, self.size, strict=True)
        )
        return rows @ coarse @ columns.transpose(1, 2)


def _stretch(cells: int, size: int, mirrored: bool = False) -> Tensor:
    """(size, cells) bilinear interpolation, half-pixel centres; beyond the outer centres held, or mirrored there."""
    if mirrored and cells > 1:
        at = (torch.arange(size, dtype=torch.float64) + 0.5) * cells / size - 0.5
        below = at.floor()
        weights = torch.zeros(size, cells, dtype=torch.float64)
        for index, share in ((below, 1 - (at - below)), (below + 1, at - below)):
            cell = index.long().abs()
            cell = torch.where(cell >= cells, 2 * (cells - 1) - cell, cell)
            weights.scatter_add_(1, cell[:, None], share[:, None])
        return weights.float()
    return F.interpolate(torch.eye(cells)[None], size=size, mode="linear", align_corners=False)[0].T.contiguous()


def _draw_block(inputs: Inputs, parameters: RISE, enlarge: Enlarge, block: int) -> Tensor:
    """Cells kept (0 or 1) and the shift of one block of masks: (BLOCK, s * s + 2)."""
    source = inputs.generator("rise", "image", str(block))
    device = inputs.pixels.device
    kept = torch.rand(BLOCK, parameters.cells**2, generator=source, device=device) < parameters.probability
    shifts = torch.rand(BLOCK, 2, generator=source, device=device) * torch.tensor(enlarge.cell, device=device)
    return torch.cat([kept.float(), shifts.floor()], dim=1)


def _word_masks(inputs: Inputs, k: int, parameters: RISE) -> tuple[Tensor, Tensor]:
    """Which words are kept (n, M) bool, and the weight of each mask (n,)."""
    prompt = inputs.texts.prompts[k]
    words, device, p = len(prompt.content), inputs.pixels.device, parameters.probability
    if 2**words <= parameters.word_masks:
        keep = all_subsets(words, device)
        size = keep.sum(dim=1).float()
        return keep, p**size * (1 - p) ** (words - size)
    source = inputs.generator("rise", "text", prompt.text)
    keep = torch.rand(parameters.word_masks, words, generator=source, device=device) < p
    return keep, torch.ones(len(keep), device=device)
