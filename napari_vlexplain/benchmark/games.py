"""A model's score of an input of which only parts are kept: what perturbation metrics play with.

Blending and scoring stay on the model's device; what comes in are small masks, what goes out is a number each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from ..methods.baselines import fill_id, image_baseline
from ..methods.forwards import cosines, image_values, images_at_once, prompts_at_once, word_values
from ..methods.inputs import Inputs
from ..methods.patches import per_pixel
from ..metrics.imputation import impute
from ..metrics.perturbation import Score
from ..running.run import chunks
from ..scale import min_max

Base = Literal["mean", "black", "rise_blur"]


def base_image(inputs: Inputs, name: Base) -> Tensor:
    """What stands for a pixel that is not kept, normalised (1, 3, h, w).

    ``rise_blur`` is RISE's: a point blurred with a standard deviation of 5 within 11 x 11 pixels and mirrored at their
    border, so flatter than a Gaussian; black beyond the picture.
    """
    if name != "rise_blur":
        return image_baseline(inputs, name)
    point = np.zeros((11, 11))
    point[5, 5] = 1
    kernel = torch.from_numpy(gaussian_filter(point, 5)).to(inputs.pixels)
    return F.conv2d(inputs.pixels, kernel.expand(3, 1, 11, 11), padding=5, groups=3)


def image_game(inputs: Inputs, base: Base) -> Score:
    """The score of one prompt on images whose kept patches (B, gh, gw) or pixels (B, h, w) are the image's own."""
    x, b = inputs.pixels, base_image(inputs, base)

    def blend(kept: Tensor) -> Tensor:
        return torch.where(_on_pixels(kept, inputs)[:, None], x, b)

    return _played(inputs, blend)


def imputed_game(inputs: Inputs, seed: int) -> Score:
    """The same, with removed pixels imputed from their neighbours (ROAD); the noise belongs to the seed."""
    x = inputs.pixels[0].cpu().numpy()

    def blend(kept: Tensor) -> Tensor:
        masks = _on_pixels(kept, inputs).cpu().numpy()
        filled = [impute(x, mask, np.random.default_rng([seed, int(mask.sum())])) for mask in masks]
        return torch.from_numpy(np.stack(filled)).to(inputs.pixels)

    return _played(inputs, blend)


def word_game(inputs: Inputs) -> Score:
    """The score of one prompt of which only some of its own tokens (B, T) are kept; the others become id 0."""
    model = inputs.model
    (prompt,) = inputs.explained.prompts
    content = torch.tensor(prompt.content, device=model.device)
    fixed = cosines(inputs)

    @torch.no_grad()
    def score(kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        given = torch.from_numpy(np.asarray(kept)).to(model.device)
        ids = inputs.explained.ids.repeat(len(given), 1)
        own = ids[:, content]
        ids[:, content] = torch.where(given, own, torch.full_like(own, fill_id(inputs, "first")))
        found = torch.empty(len(ids), dtype=torch.float64)

        def work(piece: slice) -> None:
            z = model.text.embed(ids[piece])[:, None]
            found[piece] = word_values(inputs, z, fixed)[:, 0].double().cpu()

        chunks(len(ids), prompts_at_once(inputs), work)
        return found.numpy()

    return score


@torch.no_grad()
def softly_masked(inputs: Inputs, scores: NDArray[np.floating]) -> tuple[float, float]:
    """The score before and after the image is multiplied by its map: scores (gh, gw), enlarged, scaled to [0, 1].

    The product is taken on normalised pixels, as in M2IB, so that 0 in the map means the mean colour. A constant map
    is 0 everywhere.
    """
    x = inputs.pixels
    small = torch.from_numpy(np.asarray(scores, dtype=np.float32)).to(x)[None]
    mask = per_pixel(small, inputs.model.image, (x.shape[-2], x.shape[-1]))
    mask = torch.from_numpy(min_max(mask.cpu().numpy())).to(x)
    before, after = image_values(inputs, torch.cat([x, x * mask]))[:, 0].tolist()
    return before, after


def _played(inputs: Inputs, blend: Callable[[Tensor], Tensor]) -> Score:
    @torch.no_grad()
    def score(kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        found = torch.empty(len(kept), dtype=torch.float64)

        def work(piece: slice) -> None:
            images = blend(torch.from_numpy(np.ascontiguousarray(kept[piece])).to(inputs.pixels.device))
            found[piece] = image_values(inputs, images)[:, 0].double().cpu()

        chunks(len(kept), min(images_at_once(inputs), 64), work)
        return found.numpy()

    return score


def _on_pixels(kept: Tensor, inputs: Inputs) -> Tensor:
    """Masks of patches (B, gh, gw) as masks of pixels (B, h, w); pixels behind the last patch go with it."""
    height, width = inputs.pixels.shape[-2:]
    if kept.shape[1:] == (height, width):
        return kept
    assert inputs.model.image.patch is not None
    ph, pw = inputs.model.image.patch
    rows = (torch.arange(height, device=kept.device) // ph).clamp(max=kept.shape[1] - 1)
    columns = (torch.arange(width, device=kept.device) // pw).clamp(max=kept.shape[2] - 1)
    return kept[:, rows][:, :, columns]
