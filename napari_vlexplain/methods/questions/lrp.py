"""Transformer attribution and partial LRP of question models: relevance of the answer's logit, swept back to all sites.

Relevance 1 starts at the explained logit. Rules are those of the published multimodal code, see ``lrp_rules``: norms
and activations pass it on, and where a stream is used twice its relevances add up. In cross-attention the queries'
share goes to the stream that asks, that of keys and values to the stream that is asked.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.questions.answering import QuestionBatch
from ...models.questions.post_norm import Head, Layer, PostNormAttention, PostNormMLP, masked_softmax
from ...models.questions.single_stream import SingleStream, readout_rows
from ...models.questions.two_stream import CrossSites, TwoStream, TwoStreamSites
from ..attention.rules import fuse
from ..lrp.rules import TODAY
from ..lrp.sweep import _join, _linear, _split
from . import single_stream, two_stream
from .parameters import Nothing
from .two_stream import WordsAndBoxes, without_first

Recorded = two_stream.Recorded | single_stream.Recorded


def transformer_attribution(recorded: Recorded, parameters: Nothing) -> list[WordsAndBoxes]:
    """``(I + C_L) ... (I + C_1)`` with ``C = mean_h relu(G ⊙ P)``, P the relevance of an attention.

    Two streams: of the words' self-attention, while boxes are read in the last cross-attention's C alone.
    """
    if isinstance(recorded, single_stream.Recorded):
        relevances, slopes = recorded.samples(single_stream_relevance(recorded)), recorded.samples(recorded.gradients())
        pairs = zip(relevances, slopes, strict=True)
        return recorded.split([_product([fuse(p, g) for p, g in zip(*pair, strict=True)]) for pair in pairs])
    found: list[WordsAndBoxes] = []
    gradients = recorded.samples(recorded.gradients())
    for p, g in zip(recorded.samples(two_stream_relevance(recorded)), gradients, strict=True):
        c = two_stream.fused(p, g)
        words = _product([*c.language, *(layer.text for layer in c.cross)])
        found.append((without_first(words[0]), c.cross[-1].text_to_boxes[0]))
    return found


@torch.no_grad()
def partial_lrp(recorded: Recorded, parameters: Nothing) -> list[WordsAndBoxes]:
    """``mean_h P`` of the last self-attention, and for boxes of two streams of the last cross-attention; signed."""
    if isinstance(recorded, two_stream.Recorded):
        last = [sample.cross[-1] for sample in recorded.samples(two_stream_relevance(recorded))]
        return [(without_first(x.text.mean(dim=0)[0]), x.text_to_boxes.mean(dim=0)[0]) for x in last]
    return recorded.split([p[-1].mean(dim=0) for p in recorded.samples(single_stream_relevance(recorded))])


@torch.no_grad()
def two_stream_relevance(recorded: two_stream.Recorded) -> TwoStreamSites:
    """P of every site, shaped like its attention."""
    model, batch = recorded.model, recorded.batch
    assert isinstance(model, TwoStream)
    text, boxes = model.embed_words(batch.ids), model.embed_boxes(batch.features, batch.positions)
    into_language, into_vision, into_cross = [], [], []
    for layer in model.language:
        into_language.append(text)
        text, _ = layer(text, batch.words)
    for layer in model.vision:
        into_vision.append(boxes)
        boxes, _ = layer(boxes, batch.boxes)
    for meeting in model.cross:
        into_cross.append((text, boxes))
        text, boxes, _ = meeting(text, boxes, batch.words, batch.boxes, False)
    of_text, of_boxes = torch.zeros_like(text), torch.zeros_like(boxes)
    of_text[:, 0] = of_read(model.head, text[:, 0], _explained(recorded))
    language, vision, cross = [], [], []
    for meeting, (text, boxes) in zip(reversed(model.cross), reversed(into_cross), strict=True):
        seen, _ = meeting.meet(text, boxes, batch.boxes)
        read, _ = meeting.meet(boxes, text, batch.words)
        of_seen, text_self = of_layer(meeting.language, seen, batch.words, of_text)
        of_found, boxes_self = of_layer(meeting.vision, read, batch.boxes, of_boxes)
        text_asks, boxes_told, text_to_boxes = of_attention(meeting.meet, text, boxes, batch.boxes, of_seen)
        boxes_ask, text_told, boxes_to_text = of_attention(meeting.meet, boxes, text, batch.words, of_found)
        of_text, of_boxes = text_asks + text_told, boxes_ask + boxes_told
        cross.append(CrossSites(text_to_boxes, boxes_to_text, text_self, boxes_self))
    for layer, text in zip(reversed(model.language), reversed(into_language), strict=True):
        of_text, p = of_layer(layer, text, batch.words, of_text)
        language.append(p)
    for layer, boxes in zip(reversed(model.vision), reversed(into_vision), strict=True):
        of_boxes, p = of_layer(layer, boxes, batch.boxes, of_boxes)
        vision.append(p)
    return TwoStreamSites(tuple(language[::-1]), tuple(vision[::-1]), tuple(cross[::-1]))


@torch.no_grad()
def single_stream_relevance(recorded: single_stream.Recorded) -> list[Tensor]:
    """P of every layer, (B, H, S, S)."""
    model, batch = recorded.model, recorded.batch
    assert isinstance(model, SingleStream)
    z, keep, inputs = model.embed(batch.ids, batch.features), _keep(batch), []
    for layer in model.layers:
        inputs.append(z)
        z, _ = layer(z, keep)
    rows, at = readout_rows(batch), torch.arange(len(z), device=z.device)
    relevance, found = torch.zeros_like(z), []
    relevance[at, rows] = of_read(model.head, z[at, rows], _explained(recorded))
    for layer, z in zip(reversed(model.layers), reversed(inputs), strict=True):
        relevance, p = of_layer(layer, z, keep, relevance)
        found.append(p)
    return found[::-1]


def of_read(head: Head, x: Tensor, answers: Tensor) -> Tensor:
    """Relevance of what is read x (B, D), of relevance 1 at the logits ``answers`` (B,)."""
    inputs = []
    for linear, then in head.steps:
        inputs.append(x)
        x = then(linear(x))
    relevance = F.one_hot(answers, x.shape[-1]).to(x.dtype)
    for (linear, _), given in zip(reversed(head.steps), reversed(inputs), strict=True):
        relevance = _linear(TODAY, given, linear, relevance)
    return relevance


def of_layer(layer: Layer, x: Tensor, keep: Tensor, relevance: Tensor) -> tuple[Tensor, Tensor]:
    """Relevance of a layer's output (B, T, D) -> of its input x, and of its attention (B, H, T, T)."""
    y, _ = layer.attention(x, x, keep)
    asking, asked, p = of_attention(layer.attention, x, x, keep, of_mlp(layer.mlp, y, relevance))
    return asking + asked, p


def of_mlp(layer: PostNormMLP, y: Tensor, relevance: Tensor) -> Tensor:
    """Of ``LN(y + MLP(y))`` -> of y."""
    mlp = layer.mlp
    hidden = mlp.activation(mlp.first(y))
    of_y, of_m = TODAY.add(y, mlp.second(hidden), relevance)
    return of_y + _linear(TODAY, y, mlp.first, _linear(TODAY, hidden, mlp.second, of_m))


def of_attention(
    layer: PostNormAttention, x: Tensor, context: Tensor, keep: Tensor, relevance: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Of ``LN(x + MHA(x, context))`` -> of x, of the context, and of the attention (B, H, Q, K)."""
    of = layer.attention
    q, k, v = (_split(part(y), of.heads) for part, y in ((of.query, x), (of.key, context), (of.value, context)))
    a = masked_softmax(q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5, keep)
    heads = _join(a @ v)
    of_x, of_attended = TODAY.add(x, of.out(heads), relevance)
    of_a, of_v = TODAY.product(a, v, _split(_linear(TODAY, heads, of.out, of_attended), of.heads))
    of_q, of_k = TODAY.product(q, k.transpose(-2, -1), of_a)
    asked = _linear(TODAY, context, of.key, _join(of_k.transpose(-2, -1)))
    asked = asked + _linear(TODAY, context, of.value, _join(of_v))
    return of_x + _linear(TODAY, x, of.query, _join(of_q)), asked, of_a


def _product(steps: list[Tensor]) -> Tensor:
    """``(I + C_L) ... (I + C_1)``."""
    r = torch.eye(steps[0].shape[-1], dtype=steps[0].dtype, device=steps[0].device)
    for c in steps:
        r = r + c @ r
    return r


def _explained(recorded: Recorded) -> Tensor:
    """(B,) the answers whose logits are explained."""
    assert recorded.logits is not None
    return (recorded.logits.detach() - recorded.values.detach()[:, None]).abs().argmin(dim=1)


def _keep(batch: QuestionBatch) -> Tensor:
    return torch.cat([batch.words, batch.boxes], dim=1)
