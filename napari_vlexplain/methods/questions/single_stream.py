"""Methods for one sequence of words and boxes (VisualBERT).

Each takes (recorded, parameters) and returns, for each sample, the relevance of its words and boxes for the answer.
Read is the row of the answer's token, with its own entry 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...errors import VLExplainError
from ...models.questions.answering import QuestionBatch
from ...models.questions.single_stream import SingleStream, readout_rows
from ...models.questions.two_stream import Streams
from ..attention.rules import fuse, grad_cam, roll
from .layers import Layer, Modality, own_streams
from .parameters import JointRelevance, JointRollout, Nothing
from .two_stream import WordsAndBoxes


@dataclass(frozen=True)
class Recorded:
    """One forward of a single-stream model.

    ``values`` (B,) are the explained logits, ``sites`` (B, H, S, S), ``logits`` (B, answers); ``streams`` are words
    and boxes behind each layer; ``model`` is what was run, for methods that take more of it than its attention.
    """

    batch: QuestionBatch
    values: Tensor
    sites: tuple[Tensor, ...]
    logits: Tensor | None = None
    streams: Streams = ()
    model: SingleStream | None = None
    known: list[tuple[Tensor, ...]] = field(default_factory=list, repr=False)

    def samples(self, sites: Sequence[Tensor]) -> list[list[Tensor]]:
        """Each sample's sites (H, S, S) without padding."""
        real = torch.cat([self.batch.words, self.batch.boxes], dim=1)
        kept = [row.nonzero()[:, 0] for row in real]
        return [[a[b][:, i][:, :, i] for a in sites] for b, i in enumerate(kept)]

    def gradients(self, values: Tensor | None = None) -> tuple[Tensor, ...]:
        """G of all sites from one backward pass; see the two-stream models."""
        if values is None and self.known:
            return self.known[0]
        scalar = (self.values if values is None else values).sum()
        found = torch.autograd.grad(scalar, self.sites, retain_graph=True)
        if values is None:
            self.known.append(found)
        return found

    def layers(self, gradients: Sequence[Tensor] | None = None) -> list[list[Layer]]:
        """Each sample's layers, words among words and boxes among boxes; without gradients G is A."""
        a = self.samples([x.detach() for x in self.sites])
        g = a if gradients is None else self.samples(gradients)
        found = []
        for mine, slopes, stream in zip(a, g, own_streams(self.batch, self.streams), strict=True):
            t = len(stream[0][0])
            found.append(
                [
                    Layer(Modality(x[:, :t, :t], y[:, :t, :t], words), Modality(x[:, t:, t:], y[:, t:, t:], boxes))
                    for x, y, (words, boxes) in zip(mine, slopes, stream, strict=True)
                ]
            )
        return found

    def split(self, matrices: Sequence[Tensor]) -> list[WordsAndBoxes]:
        """The readout's row of each sample's (S, S), its own entry 0, as words and boxes."""
        found = []
        for matrix, row, words in zip(matrices, readout_rows(self.batch), self.batch.words.sum(dim=1), strict=True):
            scores = matrix[row].clone()
            scores[row] = 0
            found.append((scores[:words], scores[words:]))
        return found


def relevance(recorded: Recorded, parameters: JointRelevance) -> list[WordsAndBoxes]:
    """``R <- R + C R`` over the layers (eq. 6), not normalised."""
    depth = len(recorded.sites)
    start = parameters.start_block + (depth if parameters.start_block < 0 else 0)
    if not 0 <= start < depth:
        raise VLExplainError(
            f"start_block is {parameters.start_block}, but this model has {depth} layers: "
            f"choose 0 to {depth - 1}, or -1 for the last."
        )
    attention = recorded.samples([a.detach() for a in recorded.sites])
    gradients = recorded.samples(recorded.gradients())
    found = []
    for sample, slopes in zip(attention, gradients, strict=True):
        r = torch.eye(sample[0].shape[-1], device=sample[0].device)
        for a, g in zip(sample[start:], slopes[start:], strict=True):
            r = r + fuse(a, g) @ r
        found.append(r)
    return recorded.split(found)


@torch.no_grad()
def raw_attention(recorded: Recorded, parameters: Nothing) -> list[WordsAndBoxes]:
    """The last layer's attention, mean over heads."""
    return recorded.split([sample[-1].mean(dim=0) for sample in recorded.samples(recorded.sites)])


@torch.no_grad()
def rollout(recorded: Recorded, parameters: JointRollout) -> list[WordsAndBoxes]:
    """``(A_L + I) ... (A_1 + I)``, as published without normalising the rows."""
    samples = recorded.samples(recorded.sites)
    return recorded.split([roll([a.mean(dim=0) for a in sample], parameters.row_normalise) for sample in samples])


def attention_grad_cam(recorded: Recorded, parameters: Nothing) -> list[WordsAndBoxes]:
    """The cam of the last layer's attention."""
    gradients = recorded.samples(recorded.gradients())
    attention = recorded.samples([a.detach() for a in recorded.sites])
    return recorded.split([grad_cam(a[-1], g[-1]) for a, g in zip(attention, gradients, strict=True)])
