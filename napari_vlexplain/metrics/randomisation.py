"""Sanity check: maps must change when the model's parameters are replaced by random ones.

Source: Adebayo et al. 2018, "Sanity checks for saliency maps"; M2IB, section 4.4. Choices that flip the verdict are
explicit here: the order of the stages, what random means, signed or absolute scores, and the seed of the method,
which must be the same at every stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from .similarity import pearson, spearman, ssim

if TYPE_CHECKING:
    import torch

    from ..models.copying import Change
    from ..models.dual_encoder import DualEncoder

How = Literal["normal", "permute"]
Side = Literal["image", "text"]


@dataclass(frozen=True)
class Stage:
    """How alike the map of a randomised model is to the original's; 1 is unchanged, about 0 is what should be.

    name: what was randomised last (all before it too when cascading).
    """

    name: str
    spearman: float
    pearson: float
    ssim: float


def stage_names(model: DualEncoder, side: Side = "image") -> list[str]:
    """From the output to the input: readout, last block to first, embedding."""
    depth = getattr(model, side).depth
    return ["readout", *(f"block {index}" for index in reversed(range(depth))), "embedding"]


def cascading(
    model: DualEncoder, seed: int = 0, how: How = "normal", side: Side = "image"
) -> Iterator[tuple[str, DualEncoder]]:
    """The model with its readout randomised, then also its last block, ..., at last its embedding; ``model`` stays.

    One copy is alive at a time if the caller keeps none.
    """
    current = model
    for name in stage_names(model, side):
        current = randomised(current, name, seed, how, side)
        yield name, current


def randomised(model: DualEncoder, stage: str, seed: int, how: How = "normal", side: Side = "image") -> DualEncoder:
    """A copy with one stage's parameters replaced; the others are shared with ``model``, which stays as it is.

    ``normal`` draws every tensor from a normal distribution with its own mean and standard deviation, so that gains
    stay about 1 and shifts about 0; ``permute`` shuffles the entries of every tensor.
    """
    from ..models.copying import changed
    from ..running.run import generator

    tower = getattr(model, side)
    source = generator(seed, "randomise", side, stage, how)
    change = _permuted(source) if how == "permute" else _drawn(source)
    kind, _, number = stage.partition(" ")
    if kind == "readout":
        tower = replace(tower, pool=changed(tower.pool, change))
    elif kind == "block" and number.isdigit() and int(number) < tower.depth:
        blocks = list(tower.blocks)
        blocks[int(number)] = changed(blocks[int(number)], change)
        tower = replace(tower, blocks=tuple(blocks))
    elif kind == "embedding":
        tower = replace(tower, embed=changed(tower.embed, change))
    else:
        raise VLExplainError(f"There is no stage {stage!r}; there are {', '.join(stage_names(model, side))}.")
    towers: dict[str, Any] = {side: tower}
    original = model.weights_hash
    return replace(
        model,
        **towers,
        info=replace(model.info, name=f"{model.info.name} ({side} {stage} randomised)"),
        weights_hash=lambda: f"{original()} {side} {stage} {how} {seed}",
    )


def compare(
    map_of: Callable[[DualEncoder], NDArray[np.floating]],
    model: DualEncoder,
    randomisations: Iterator[tuple[str, DualEncoder]],
    absolute: bool = False,
) -> list[Stage]:
    """The stages of a check: ``map_of`` gives the raw map (gh, gw) of a model, with the same seed each time."""
    reference = _signed(map_of(model), absolute)
    found = []
    for name, other in randomisations:
        scores = _signed(map_of(other), absolute)
        found.append(Stage(name, spearman(reference, scores), pearson(reference, scores), ssim(reference, scores)))
    return found


def mean_similarity(stages: Sequence[Stage], figure: Literal["spearman", "pearson", "ssim"] = "spearman") -> float:
    """Mean of ``|similarity|`` over the stages, [0, 1], lower is better; NaN where no stage has one.

    A stage's NaN (a constant map has no correlation) is left out.
    """
    values = np.abs(np.array([getattr(stage, figure) for stage in stages], dtype=np.float64))
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _signed(scores: NDArray[np.floating], absolute: bool) -> NDArray[np.floating]:
    return np.abs(scores) if absolute else np.asarray(scores)


def _drawn(source: torch.Generator) -> Change:
    import torch

    def change(tensor: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(tensor.shape, generator=source).to(tensor)
        return tensor.mean() + noise * tensor.std(unbiased=False)

    return change


def _permuted(source: torch.Generator) -> Change:
    import torch

    def change(tensor: torch.Tensor) -> torch.Tensor:
        order = torch.randperm(tensor.numel(), generator=source).to(tensor.device)
        return tensor.flatten()[order].view_as(tensor)

    return change
