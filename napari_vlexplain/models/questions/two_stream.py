"""``transformers`` LXMERT -> TwoStream: a stream of words and one of boxes, which meet in cross-modality layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..blocks import MLP, linear, norm
from ..text.prompts import Tokenizer
from ..zoo import ModelInfo
from .answering import QuestionBatch, See
from .post_norm import Head, Layer, MultiHead, PostNormAttention, PostNormMLP, nothing

Streams = tuple[tuple[Tensor, Tensor], ...]
"""Words (B, T, D) and boxes (B, N, D) behind each layer in which both take part."""


@dataclass(frozen=True)
class CrossSites:
    """Attention of one cross-modality layer: text over boxes (B, H, T, N), boxes over text (B, H, N, T), then the
    self-attention of text (B, H, T, T) and of boxes (B, H, N, N)."""

    text_to_boxes: Tensor
    boxes_to_text: Tensor
    text: Tensor
    boxes: Tensor


@dataclass(frozen=True)
class TwoStreamSites:
    """A tensor for every attention site, in the terms of the co-attention rules: probabilities or their gradients.

    ``language`` (B, H, T, T) of each language layer, ``vision`` (B, H, N, N) of each relation layer, ``cross``.
    """

    language: tuple[Tensor, ...]
    vision: tuple[Tensor, ...]
    cross: tuple[CrossSites, ...]

    def tensors(self) -> list[Tensor]:
        """All of them in one order; see :meth:`like`."""
        crossed = [t for c in self.cross for t in (c.text_to_boxes, c.boxes_to_text, c.text, c.boxes)]
        return [*self.language, *self.vision, *crossed]

    def like(self, tensors: list[Tensor]) -> TwoStreamSites:
        """Other tensors in the order of :meth:`tensors`."""
        first, second = len(self.language), len(self.language) + len(self.vision)
        crossed = tensors[second:]
        return TwoStreamSites(
            tuple(tensors[:first]),
            tuple(tensors[first:second]),
            tuple(CrossSites(*crossed[i : i + 4]) for i in range(0, len(crossed), 4)),
        )

    def map(self, change: Callable[[Tensor], Tensor]) -> TwoStreamSites:
        return self.like([change(t) for t in self.tensors()])

    def of(self, sample: int, words: Tensor, boxes: Tensor) -> TwoStreamSites:
        """One sample's sites without padding: (H, Q, K) each; ``words`` (T,) and ``boxes`` (N,) bool."""
        t, n = words.nonzero()[:, 0], boxes.nonzero()[:, 0]

        def cut(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
            return x[sample][:, rows][:, :, columns]

        return TwoStreamSites(
            tuple(cut(a, t, t) for a in self.language),
            tuple(cut(a, n, n) for a in self.vision),
            tuple(
                CrossSites(
                    cut(c.text_to_boxes, t, n), cut(c.boxes_to_text, n, t), cut(c.text, t, t), cut(c.boxes, n, n)
                )
                for c in self.cross
            ),
        )


@dataclass(frozen=True)
class CrossLayer:
    """One cross-modality layer. Both directions share the weights of ``meet`` and read the layer's input."""

    meet: PostNormAttention
    language: Layer
    vision: Layer

    def __call__(
        self, text: Tensor, boxes: Tensor, words: Tensor, real: Tensor, track: bool
    ) -> tuple[Tensor, Tensor, CrossSites]:
        seen, text_to_boxes = self.meet(text, boxes, real, track)
        read, boxes_to_text = self.meet(boxes, text, words, track)
        text, text_self = self.language(seen, words, track)
        boxes, boxes_self = self.vision(read, real, track)
        return text, boxes, CrossSites(text_to_boxes, boxes_to_text, text_self, boxes_self)


@dataclass(eq=False)
class TwoStream:
    """LXMERT with an answer head, unpacked; its parameters are frozen and in eval mode.

    Attributes
    ----------
    embed_words : ids (B, T) -> (B, T, D).
    embed_boxes : features (B, N, F), positions (B, N, 4) -> (B, N, D).
    language, vision, cross : layers, in the order they run.
    head : the language stream's first token (B, D) -> logits (B, answers).
    """

    info: ModelInfo
    tokenizer: Tokenizer
    answers: tuple[str, ...]
    feature_size: int
    see: See | None
    device: torch.device
    weights_hash: Callable[[], str]
    embed_words: Callable[[Tensor], Tensor]
    embed_boxes: Callable[[Tensor, Tensor], Tensor]
    language: tuple[Layer, ...]
    vision: tuple[Layer, ...]
    cross: tuple[CrossLayer, ...]
    head: Head
    architecture: str = "two_stream"

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset({"questions", "co_attention"})

    def forward(self, batch: QuestionBatch, track: bool = False) -> tuple[Tensor, TwoStreamSites]:
        """Logits (B, answers) and the attention of every site; with ``track`` they can be differentiated."""
        return self.run(batch, track)[:2]

    def run(self, batch: QuestionBatch, track: bool = False) -> tuple[Tensor, TwoStreamSites, Streams]:
        """The same, and both streams behind each cross-modality layer."""
        text = self.embed_words(batch.ids)
        boxes = self.embed_boxes(batch.features, batch.positions)
        language, vision, cross, streams = [], [], [], []
        for layer in self.language:
            text, a = layer(text, batch.words, track)
            language.append(a)
        for layer in self.vision:
            boxes, a = layer(boxes, batch.boxes, track)
            vision.append(a)
        for meeting in self.cross:
            text, boxes, sites = meeting(text, boxes, batch.words, batch.boxes, track)
            cross.append(sites)
            streams.append((text, boxes))
        return self.head(text[:, 0]), TwoStreamSites(tuple(language), tuple(vision), tuple(cross)), tuple(streams)


def attention(layer: Any, attend: Any) -> PostNormAttention:
    """BERT's layout: ``attend`` holds query, key and value, ``layer.output`` the projection and the norm."""
    heads = MultiHead(
        linear(attend.query),
        linear(attend.key),
        linear(attend.value),
        linear(layer.output.dense),
        attend.num_attention_heads,
    )
    return PostNormAttention(heads, norm(layer.output.LayerNorm))


def mlp(intermediate: Any, output: Any) -> PostNormMLP:
    first, second = linear(intermediate.dense), linear(output.dense)
    return PostNormMLP(MLP(first, intermediate.intermediate_act_fn, second), norm(output.LayerNorm))


def bert_layer(layer: Any) -> Layer:
    return Layer(attention(layer.attention, layer.attention.self), mlp(layer.intermediate, layer.output))


def _cross_layer(layer: Any) -> CrossLayer:
    return CrossLayer(
        meet=attention(layer.visual_attention, layer.visual_attention.att),
        language=Layer(
            attention(layer.lang_self_att, layer.lang_self_att.self), mlp(layer.lang_inter, layer.lang_output)
        ),
        vision=Layer(
            attention(layer.visn_self_att, layer.visn_self_att.self), mlp(layer.visn_inter, layer.visn_output)
        ),
    )


def two_stream(model: Any, **known: Any) -> TwoStream:
    """Unpack a ``LxmertForQuestionAnswering``; ``known`` are the fields that its weights do not tell."""
    encoder = model.lxmert.encoder

    def embed_words(ids: Tensor) -> Tensor:
        return model.lxmert.embeddings(ids, torch.zeros_like(ids))

    pooler = model.lxmert.pooler
    wide, bend, normalise, last = model.answer_head.logit_fc
    head = Head(
        (
            (linear(pooler.dense), pooler.activation),
            (linear(wide), lambda x: normalise(bend(x))),
            (linear(last), nothing),
        )
    )
    return TwoStream(
        feature_size=model.config.visual_feat_dim,
        embed_words=embed_words,
        embed_boxes=encoder.visn_fc,
        language=tuple(bert_layer(layer) for layer in encoder.layer),
        vision=tuple(bert_layer(layer) for layer in encoder.r_layers),
        cross=tuple(_cross_layer(layer) for layer in encoder.x_layers),
        head=head,
        **known,
    )
