"""Methods for two streams that meet (LXMERT), by the bi-modal rules of Chefer, Gur, Wolf, ICCV 2021.

Each takes (recorded, parameters) and returns, for each sample, the relevance of its words and boxes for the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...models.questions.answering import QuestionBatch
from ...models.questions.two_stream import Streams, TwoStream, TwoStreamSites
from ..attention.rules import Rules, fuse, grad_cam, roll
from .layers import Layer, Modality, own_streams
from .parameters import CoRelevance, Nothing


@dataclass(frozen=True)
class Recorded:
    """One forward of a two-stream model.

    values : (B,) the explained logits, which depend on ``sites`` where they were tracked.
    logits : (B, answers) all of them.
    streams : words and boxes behind each cross-modality layer.
    model : what was run, for methods that take more of it than its attention.
    """

    batch: QuestionBatch
    values: Tensor
    sites: TwoStreamSites
    logits: Tensor | None = None
    streams: Streams = ()
    model: TwoStream | None = None
    known: list[TwoStreamSites] = field(default_factory=list, repr=False)

    def samples(self, sites: TwoStreamSites) -> list[TwoStreamSites]:
        """Each sample's sites without padding."""
        return [sites.of(b, self.batch.words[b], self.batch.boxes[b]) for b in range(len(self.batch))]

    def gradients(self, values: Tensor | None = None) -> TwoStreamSites:
        """G of all sites from one backward pass: questions do not see each other, so their sum serves them all.

        ``values`` are by default the explained logits, whose gradients are remembered for the next method. A site
        that they do not depend on has gradient 0.
        """
        if values is None and self.known:
            return self.known[0]
        tensors, scalar = self.sites.tensors(), (self.values if values is None else values).sum()
        slopes = torch.autograd.grad(scalar, tensors, allow_unused=True, retain_graph=True)
        pairs = zip(tensors, slopes, strict=True)
        found = self.sites.like([torch.zeros_like(a) if g is None else g for a, g in pairs])
        if values is None:
            self.known.append(found)
        return found

    def layers(self, gradients: TwoStreamSites | None = None) -> list[list[Layer]]:
        """Each sample's cross-modality layers, self-attention only; without gradients G is A."""
        a = self.samples(self.sites.map(Tensor.detach))
        g = a if gradients is None else self.samples(gradients)
        streams = own_streams(self.batch, self.streams)
        return [
            [
                Layer(Modality(mine.text, slope.text, words), Modality(mine.boxes, slope.boxes, boxes))
                for mine, slope, (words, boxes) in zip(one.cross, slopes.cross, stream, strict=True)
            ]
            for one, slopes, stream in zip(a, g, streams, strict=True)
        ]


WordsAndBoxes = tuple[Tensor, Tensor]
"""Scores of the T words (special tokens included) and of the N boxes of one sample."""


def relevance(recorded: Recorded, parameters: CoRelevance) -> list[WordsAndBoxes]:
    """Rules 5 to 11; published defaults, relevance of the first token, its own entry 0."""
    rules = Rules(
        parameters.normalize,
        parameters.self_in_rule10,
        parameters.aggregate,
        guarded=parameters.nan_policy == "row",
    )
    attention = recorded.samples(recorded.sites.map(Tensor.detach))
    gradients = recorded.samples(recorded.gradients())
    return [propagate(fused(a, g), rules) for a, g in zip(attention, gradients, strict=True)]


def fused(a: TwoStreamSites, g: TwoStreamSites) -> TwoStreamSites:
    """C of every site."""
    return a.like([fuse(x, y) for x, y in zip(a.tensors(), g.tensors(), strict=True)])


def propagate(c: TwoStreamSites, rules: Rules) -> WordsAndBoxes:
    """From C of every site (Q, K) to the relevance for the first token."""
    cross = c.cross[0].text_to_boxes
    tokens, boxes = cross.shape
    r_tt, r_ii = torch.eye(tokens, device=cross.device), torch.eye(boxes, device=cross.device)
    r_ti, r_it = cross.new_zeros(tokens, boxes), cross.new_zeros(boxes, tokens)
    for site in c.language:
        r_tt, r_ti = rules.add(r_tt, site @ r_tt), rules.add(r_ti, site @ r_ti)
    for site in c.vision:
        r_ii, r_it = rules.add(r_ii, site @ r_ii), rules.add(r_it, site @ r_it)
    for number, layer in enumerate(c.cross, start=1):
        c_ti, c_it = layer.text_to_boxes, layer.boxes_to_text
        d_ti, d_tt = rules.cross(r_tt, c_ti, r_ii), c_ti @ r_it
        d_it, d_ii = rules.cross(r_ii, c_it, r_tt), c_it @ r_ti
        r_ti, r_tt = rules.add(r_ti, d_ti), rules.add(r_tt, d_tt)
        r_tt, r_ti = rules.add(r_tt, layer.text @ r_tt), rules.add(r_ti, layer.text @ r_ti)
        # In the last layer boxes no longer reach the first token.
        if number < len(c.cross):
            r_it, r_ii = rules.add(r_it, d_it), rules.add(r_ii, d_ii)
            r_ii, r_it = rules.add(r_ii, layer.boxes @ r_ii), rules.add(r_it, layer.boxes @ r_it)
    return without_first(r_tt[0]), r_ti[0]


def without_first(row: Tensor) -> Tensor:
    """The first token's own entry says nothing of the words."""
    row = row.clone()
    row[0] = 0
    return row


@torch.no_grad()
def raw_attention(recorded: Recorded, parameters: Nothing) -> list[WordsAndBoxes]:
    """Row 0 of the last self-attention of the words, and of the last cross-attention."""
    last = [sample.cross[-1] for sample in recorded.samples(recorded.sites)]
    return [(without_first(x.text.mean(dim=0)[0]), x.text_to_boxes.mean(dim=0)[0]) for x in last]


@torch.no_grad()
def rollout(recorded: Recorded, parameters: Nothing) -> list[WordsAndBoxes]:
    """Both streams rolled out up to the last meeting, ``J_t^T A_ti J_v``; the transpose is that of rule 10."""
    found = []
    for sample in recorded.samples(recorded.sites.map(lambda a: a.mean(dim=1, keepdim=True))):
        mean = sample.map(lambda a: a[0])
        last = mean.cross[-1]
        words = [*mean.language, *(layer.text for layer in mean.cross[:-1])]
        boxes = [*mean.vision, *(layer.boxes for layer in mean.cross[:-1])]
        # A layer of zeros is the identity; it says how many tokens there are where no layer does.
        read, seen = roll([*words, torch.zeros_like(last.text)]), roll([*boxes, torch.zeros_like(last.boxes)])
        image = read.T @ last.text_to_boxes @ seen
        found.append((without_first(roll([*words, last.text])[0]), image[0]))
    return found


def attention_grad_cam(recorded: Recorded, parameters: Nothing) -> list[WordsAndBoxes]:
    """Row 0 of the cam of the last self-attention of the words, and of the last cross-attention."""
    gradients = recorded.samples(recorded.gradients())
    found = []
    for a, g in zip(recorded.samples(recorded.sites.map(Tensor.detach)), gradients, strict=True):
        (x, dx) = a.cross[-1], g.cross[-1]
        words, boxes = grad_cam(x.text, dx.text), grad_cam(x.text_to_boxes, dx.text_to_boxes)
        found.append((without_first(words[0]), boxes[0]))
    return found
