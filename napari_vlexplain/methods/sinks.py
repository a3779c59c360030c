"""Sinks: patches that a vision transformer uses to remember what concerns the whole picture, not what they show.

Their residual stream grows to many times that of other patches, and the others attend to them whatever is asked
(Darcet, Oquab, Mairal, Bojanowski, "Vision transformers need registers", ICLR 2024). A map that is bright there says
nothing of the place.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .inputs import Inputs, Scores

RATIO = 4.0
"""Times the median patch's norm, behind any block but the last; few patches of a real CLIP lie near it."""


@torch.no_grad()
def handled(scores: Scores, inputs: Inputs, choice: str) -> Scores:
    """A method's scores with their sinks noted, and left out or filled in where ``choice`` says so.

    choice : ``keep``, which looks for none where that would cost a pass of its own; ``remove``, which leaves them the
        map's least score, or 0 where scores are signed; or ``interpolate``, the mean of the patches around them.
    """
    if choice == "keep" and not inputs.growth_is_free:
        return scores
    sinks = inputs.growth > RATIO
    notes: dict[str, Any] = {"patches": sinks.nonzero().tolist(), "choice": choice}
    image = scores.image
    if sinks.any() and not sinks.all():
        if choice == "remove":
            least = image.masked_fill(sinks, float("inf")).amin(dim=(1, 2), keepdim=True).clamp(min=0)
            image = torch.where(sinks, least, image)
        elif choice == "interpolate":
            image = interpolated(image, sinks)
    return Scores(image, scores.text, {**scores.notes, "sinks": notes})


def interpolated(maps: Tensor, holes: Tensor) -> Tensor:
    """Maps (K, gh, gw) whose holes (gh, gw), not everywhere, are the mean of what is around them, from outside in."""
    around = torch.ones(1, 1, 3, 3, dtype=maps.dtype, device=maps.device)
    found, missing = maps.masked_fill(holes, 0), holes
    while missing.any():
        known = (~missing).to(maps.dtype)
        count = F.conv2d(known[None, None], around, padding=1)[0]
        mean = F.conv2d(found[:, None], around, padding=1)[:, 0] / count.clamp(min=1)
        reached = missing & (count[0] > 0)
        found = torch.where(reached, mean, found)
        missing = missing & ~reached
    return found
