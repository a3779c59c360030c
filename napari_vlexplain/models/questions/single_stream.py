"""``transformers`` VisualBERT -> SingleStream: words and boxes in one sequence, one stack of self-attention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...errors import VLExplainError
from ..blocks import linear
from ..text.prompts import Tokenizer
from ..zoo import ModelInfo
from .answering import QuestionBatch, See
from .post_norm import Head, Layer, nothing
from .two_stream import Streams, bert_layer


@dataclass(eq=False)
class SingleStream:
    """VisualBERT with an answer head, unpacked; its parameters are frozen and in eval mode.

    The sequence is the T words ([CLS] question [SEP]), then the N boxes. The answer is read at the last word piece
    before [SEP], as in the VQA fine-tuning, not at [CLS].

    Attributes
    ----------
    embed : ids (B, T), features (B, N, F) -> (B, T + N, D).
    layers : in the order they run.
    head : the readout token (B, D) -> logits (B, answers).
    """

    info: ModelInfo
    tokenizer: Tokenizer
    answers: tuple[str, ...]
    feature_size: int
    see: See | None
    device: torch.device
    weights_hash: Callable[[], str]
    embed: Callable[[Tensor, Tensor], Tensor]
    layers: tuple[Layer, ...]
    head: Head
    architecture: str = "single_stream"

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset({"questions", "joint_attention"})

    def forward(self, batch: QuestionBatch, track: bool = False) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Logits (B, answers) and the attention (B, H, T + N, T + N) of every layer."""
        return self.run(batch, track)[:2]

    def run(self, batch: QuestionBatch, track: bool = False) -> tuple[Tensor, tuple[Tensor, ...], Streams]:
        """The same, and the stream behind each layer, its words and its boxes."""
        z = self.embed(batch.ids, batch.features)
        keep, length = torch.cat([batch.words, batch.boxes], dim=1), batch.words.shape[1]
        kept, streams = [], []
        for layer in self.layers:
            z, a = layer(z, keep, track)
            kept.append(a)
            streams.append((z[:, :length], z[:, length:]))
        rows = readout_rows(batch)
        return self.head(z[torch.arange(len(z), device=z.device), rows]), tuple(kept), tuple(streams)


def readout_rows(batch: QuestionBatch) -> Tensor:
    """(B,) the last word piece before [SEP] of each question."""
    return batch.words.sum(dim=1) - 2


def single_stream(model: Any, **known: Any) -> SingleStream:
    """Unpack a ``VisualBertForQuestionAnswering``; ``known`` are the fields that its weights do not tell.

    Raises
    ------
    VLExplainError : a model whose boxes bypass the transformer.
    """
    bert = model.visual_bert
    if model.config.bypass_transformer:
        raise VLExplainError(
            "This VisualBERT lets its boxes bypass the transformer (bypass_transformer), so its attention does not "
            "say what the answer depends on; models without that setting can be explained."
        )

    def embed(ids: Tensor, features: Tensor) -> Tensor:
        return bert.embeddings(input_ids=ids, visual_embeds=features)

    return SingleStream(
        feature_size=model.config.visual_embedding_dim,
        embed=embed,
        layers=tuple(bert_layer(layer) for layer in bert.encoder.layer),
        head=Head(((linear(model.cls), nothing),)),
        **known,
    )
