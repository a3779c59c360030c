"""DSMI for models that answer questions: the graph of the words, the graph of the boxes.

Each takes (recorded, parameters) and returns, for each sample, the scores of its words and boxes for the answer.
``|v|`` is the Fiedler vector's magnitude in the graph of one layer's outputs; see
:mod:`napari_vlexplain.methods.spectral.dsmi`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...errors import VLExplainError
from ...spectral.graph import fiedler
from ..attention.rules import fuse
from .layers import Layer, Modality
from .parameters import QuestionDSMI, QuestionDSMIGrad, QuestionDSMIGradAttn
from .two_stream import WordsAndBoxes

if TYPE_CHECKING:
    from . import single_stream, two_stream

    Recorded = two_stream.Recorded | single_stream.Recorded

Fuse = Callable[[Tensor, Tensor], Tensor]
"""(A, G) of one site -> C, mean over heads."""


@torch.no_grad()
def dsmi(recorded: Recorded, parameters: QuestionDSMI) -> list[WordsAndBoxes]:
    """``|v|`` of one layer's words and of one layer's boxes."""
    found = []
    for layers in recorded.layers():
        words = _at(layers, parameters.text_block, "text_block").words.x
        boxes = _at(layers, parameters.block, "block").boxes.x
        found.append((_within(len(words), fiedler(words[1:-1])), fiedler(boxes)))
    return found


def dsmi_grad(recorded: Recorded, parameters: QuestionDSMIGrad) -> list[WordsAndBoxes]:
    """``r = sum_l mean_h relu(G_l) |v_l|`` over the layers in which words and boxes meet, rows of G being queries."""
    return _weighted(recorded, parameters.target, lambda a, g: g.clamp(min=0).mean(dim=-3), ends_dropped=False)


def dsmi_grad_attn(recorded: Recorded, parameters: QuestionDSMIGradAttn) -> list[WordsAndBoxes]:
    """``r = sum_l mean_h relu(G_l * A_l) |v_l|``."""
    return _weighted(recorded, parameters.target, fuse, parameters.reference_quirks)


def _weighted(recorded: Recorded, target: str, fused: Fuse, ends_dropped: bool) -> list[WordsAndBoxes]:
    gradients: Any = recorded.gradients(recorded.logits if target == "sum_all" else None)
    # The published code takes boxes for words in one place, and drops the first and the last.
    of_boxes = _inner if ends_dropped else _outer
    with torch.no_grad():
        return [
            (
                torch.stack([_inner(layer.words, fused) for layer in layers]).sum(dim=0),
                torch.stack([of_boxes(layer.boxes, fused) for layer in layers]).sum(dim=0),
            )
            for layers in recorded.layers(gradients)
        ]


def _outer(of: Modality, fused: Fuse) -> Tensor:
    """``C |v|`` over all tokens."""
    return fused(of.a, of.g) @ fiedler(of.x)


def _inner(of: Modality, fused: Fuse) -> Tensor:
    """``C |v|`` over all tokens but the first and the last, which score 0."""
    return _within(len(of.x), fused(of.a, of.g)[1:-1, 1:-1] @ fiedler(of.x[1:-1]))


def _within(length: int, inner: Tensor) -> Tensor:
    scores = inner.new_zeros(length)
    scores[1:-1] = inner
    return scores


def _at(layers: Sequence[Layer], index: int, name: str) -> Layer:
    if not -len(layers) <= index < len(layers):
        raise VLExplainError(
            f"{name} is {index}, but words and boxes meet in {len(layers)} layers of this model: "
            f"choose 0 to {len(layers) - 1}, or -1 for the last."
        )
    return layers[index]
