"""Sinks: patches that a vision transformer uses to remember what concerns the whole picture, not what they show.

Their residual stream grows to many times that of other patches, and the others attend to them whatever is asked: both
tell them, see :mod:`.outliers` (Darcet, Oquab, Mairal, Bojanowski, "Vision transformers need registers", ICLR 2024). A
map that is bright there says nothing of the place.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .inputs import Inputs, Scores


@torch.no_grad()
def handled(scores: Scores, inputs: Inputs, choice: str) -> Scores:
    """A method's scores with their sinks noted, and left out or filled in where ``choice`` says so.

    choice : see :func:`without`; ``keep`` looks for none where that would cost a pass of its own.
    """
    found = inputs.sinks(spare=choice == "keep")
    if found is None:
        return scores
    sinks = torch.zeros(scores.image.shape[1:], dtype=torch.bool, device=scores.image.device)
    for at in found:
        sinks[at] = True
    notes: dict[str, Any] = {"patches": [list(at) for at in found], "blocks": list(found.values()), "choice": choice}
    return Scores(without(scores.image, sinks, choice), scores.text, {**scores.notes, "sinks": notes})


def without(maps: Tensor, sinks: Tensor, choice: str) -> Tensor:
    """Maps (K, gh, gw) with sinks (gh, gw) bool handled as ``choice`` says.

    ``keep``; ``remove``, which leaves them the map's least score, or 0 where scores are signed; or ``interpolate``, the
    mean of the patches around them. Nothing is done where there are none, or nothing else.
    """
    if choice == "keep" or not sinks.any() or sinks.all():
        return maps
    if choice == "interpolate":
        return interpolated(maps, sinks)
    least = maps.masked_fill(sinks, float("inf")).amin(dim=(1, 2), keepdim=True).clamp(min=0)
    return torch.where(sinks, least, maps)


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
