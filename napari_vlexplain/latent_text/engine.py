"""Edits inside the network, layer by layer: the engine behind :func:`napari_vlexplain.latent_text.edit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import VLExplainError
from ..models.pools import RowPool
from ..models.towers import Tower
from .donors import Donors
from .plan import EditPlan
from .selection import Reader, Select, edited_layers, random_like, selector
from .smoothing import Smoothing, smooth_readout
from .tails import compare


@dataclass(frozen=True, eq=False)
class Step:
    """A plan made ready for a batch of images."""

    plan: EditPlan
    layers: range
    select: Select
    donors: Donors | None = None


@dataclass(frozen=True, eq=False)
class Edited:
    """The images' embeddings (B, P) after the edits, and which tokens each plan changed: (plans, L, B, T) bool."""

    embedding: Tensor
    changed: Tensor


def prepare(plan: EditPlan, reader: Reader, z: Tensor, donors: Donors | None = None) -> Step:
    """A plan for the streams z (B, T, D) before block 0.

    Raises
    ------
    VLExplainError : what the plan asks cannot be done in this model.
    """
    if plan.action == "replace" and donors is None:
        raise VLExplainError("An edit that replaces tokens needs donors: a donor image, or a text that its tokens say.")
    if plan.action == "remove" and not isinstance(reader.tower.pool, RowPool):
        raise VLExplainError(
            f"Tokens cannot be removed from {reader.model.info.name}, whose pool reads all of them; zero them instead."
        )
    return Step(plan, edited_layers(reader.tower, plan), selector(plan, reader, z), donors)


@torch.no_grad()
def for_classes(tower: Tower, found: Edited, last: Tensor, rows: Tensor, axis: str) -> Tensor:
    """What classes are compared with (B, P), ``last`` (B, T, D) being the stream after the last block.

    The embedding, of length 1; or, over the axis ``token`` as in the published notebooks, the row among all tokens.
    """
    if axis == "token" and isinstance(tower.pool, RowPool):
        return compare(tower.pool.tokens(last), "token")[torch.arange(len(rows), device=rows.device), rows]
    return F.normalize(found.embedding, dim=-1)


def edited(
    tower: Tower,
    z: Tensor,
    steps: Sequence[Step],
    rows: Tensor,
    generator: torch.Generator,
    smoothing: Smoothing | None = None,
    streams: list[Tensor] | None = None,
) -> Edited:
    """Run the network on z (B, T, D), applying the steps in order before each block.

    Without a token to change this is the plain forward pass, bit for bit. A removed token is hidden from all others
    as a key, which equals deleting it. ``streams`` receives the edited stream before each block, and after the last.
    """
    changed = torch.zeros(len(steps), tower.depth, *z.shape[:2], dtype=torch.bool, device=z.device)
    gone = torch.zeros(z.shape[:2], dtype=torch.bool, device=z.device)
    last = tower.depth - 1
    for index, block in enumerate(tower.blocks):
        for number, step in enumerate(steps):
            if index in step.layers:
                chosen = step.select(index, z) & ~gone & eligible(tower, step.plan, z)
                if chosen.any():
                    z, gone, done = _act(z, gone, chosen, step, index, generator)
                    changed[number, index] = done
        mask = _without(gone, z) if gone.any() else tower.mask(z)
        if streams is not None:
            streams.extend([z, block.fused(z, mask)] if index == last else [z])
        only = rows if tower.pool.single_row and index == last and smoothing is None else None
        z = block.fused(z, mask, only)
    if smoothing is not None:
        if not isinstance(tower.pool, RowPool):
            raise VLExplainError("The prediction can be smoothed only where it is read from one token.")
        row = z[torch.arange(len(z), device=z.device), rows][:, None]
        delta = smoothing.drift.delta[-1][rows][:, None]
        return Edited(smooth_readout(tower, row, smoothing, generator, delta)[:, 0], changed)
    return Edited(tower.pool(z, rows), changed)


def control(tower: Tower, found: Edited, steps: Sequence[Step], generator: torch.Generator) -> list[Step]:
    """The same steps on random tokens instead, as many at every layer and image."""
    return [
        Step(
            step.plan,
            step.layers,
            random_like(
                changed,
                eligible(tower, step.plan, changed[0]),
                generator,
                nested=step.plan.when == "ahead" or not step.plan.find or step.plan.action == "remove",
            ),
            step.donors,
        )
        for step, changed in zip(steps, found.changed, strict=True)
    ]


def eligible(tower: Tower, plan: EditPlan, like: Tensor) -> Tensor:
    """(T,) bool: which tokens a plan may change, for a stream or mask (B, T, ...)."""
    allowed = torch.ones(like.shape[1], dtype=torch.bool, device=like.device)
    if tower.prefix_tokens and (plan.protect_cls or plan.action == "remove"):
        allowed[0] = False
    return allowed


def _act(
    z: Tensor, gone: Tensor, mask: Tensor, step: Step, index: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """The stream, the removed tokens and the changed ones after a step."""
    if step.plan.action == "remove":
        return z, gone | mask, mask
    if step.plan.action == "zero":
        return z.masked_fill(mask[..., None], 0.0), gone, mask
    assert step.donors is not None
    if not len(step.donors.tokens[index]):
        return z, gone, torch.zeros_like(mask)
    z = z.clone()
    z[mask] = step.donors.draw(index, int(mask.sum()), generator)
    return z, gone, mask


def _without(gone: Tensor, z: Tensor) -> Tensor:
    """Additive mask (B, 1, 1, T) that hides removed tokens."""
    return torch.zeros(gone.shape, dtype=z.dtype, device=z.device).masked_fill_(gone, float("-inf"))[:, None, None]
