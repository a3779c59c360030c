"""Guided backpropagation, and what it means for activations without a kink.

For ReLU the rule is ``g_in = 1[x > 0] 1[g > 0] g``. GELU and QuickGELU have no off side, so libraries that look for
ReLU modules return the plain gradient there. Here the same two gates stand around the activation's own derivative:
``g_in = f'(x) 1[x > 0] relu(g)``, which is the published rule where f is ReLU, and tends to it as GELU does.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ...errors import VLExplainError
from ...models.blocks import MLP, Activation
from ...models.towers import Tower
from ...running.run import Run
from ..inputs import Inputs, Scores
from .at_input import saliency
from .parameters import GuidedBackpropagation, Saliency


def guided_backpropagation(inputs: Inputs, parameters: GuidedBackpropagation, run: Run) -> Scores:
    """Saliency with every activation's gradient gated, in both towers. Range >= 0."""
    model = replace(inputs.model, image=guided_tower(inputs.model.image), text=guided_tower(inputs.model.text))
    gated = replace(inputs, model=model)
    with nullcontext() if inputs.model.image.blocks else guided_relu():
        scores = saliency(gated, Saliency(parameters.channels, parameters.patch), run)
    inputs.remember(gated.embedding)
    return scores


def guided_tower(tower: Tower) -> Tower:
    """The same tower, same values, with gated gradients.

    Raises
    ------
    VLExplainError : the blocks' MLPs are of a kind whose activation is not at hand (gated MLPs).
    """
    blocks = []
    for block in tower.blocks:
        if not isinstance(block.mlp, MLP):
            raise VLExplainError(
                "Guided backpropagation needs MLPs of two layers with one activation between them, which this model "
                "does not have; use saliency or smoothgrad."
            )
        blocks.append(replace(block, mlp=replace(block.mlp, activation=guided(block.mlp.activation))))
    return replace(tower, blocks=tuple(blocks))


def guided(activation: Activation) -> Activation:
    """The activation with gated gradient."""

    def apply(x: Tensor) -> Tensor:
        return _gate(activation(x), x > 0)

    return apply


def guided_relu() -> AbstractContextManager[Any]:
    """Within it every ReLU that is called gates its gradient: for networks whose layers are not ours to rebuild."""
    return _GuidedReLU()


def _gate(y: Tensor, positive: Tensor) -> Tensor:
    if y.requires_grad:
        y.register_hook(lambda g: g.clamp(min=0) * positive)
    return y


class _GuidedReLU(TorchFunctionMode):
    def __torch_function__(
        self, function: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function in (F.relu, torch.relu, Tensor.relu, torch.relu_, Tensor.relu_):
            y = torch.clamp(args[0], min=0)
            return _gate(y, y > 0)
        return function(*args, **(kwargs or {}))
