"""What the layers of a question model have in common, whichever way words and boxes meet in them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...models.questions.answering import QuestionBatch
from ...models.questions.two_stream import Streams


@dataclass(frozen=True)
class Modality:
    """Words among words, or boxes among boxes, of one sample in one layer.

    a, g : (H, n, n) attention and its gradient. x : (n, D) the stream behind the layer.
    """

    a: Tensor
    g: Tensor
    x: Tensor


@dataclass(frozen=True)
class Layer:
    """One layer of one sample, without padding; words include the special tokens at both ends."""

    words: Modality
    boxes: Modality


def own_streams(batch: QuestionBatch, streams: Streams) -> list[list[tuple[Tensor, Tensor]]]:
    """Each sample's words (T, D) and boxes (N, D) behind each layer, without padding."""
    return [
        [(words[b, batch.words[b]].detach(), boxes[b, batch.boxes[b]].detach()) for words, boxes in streams]
        for b in range(len(batch))
    ]
