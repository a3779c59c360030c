"""Prompts with some of their words hidden, scored."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..running import chunks
from .baselines import filled
from .forwards import cosines, prompts_at_once
from .inputs import Inputs
from .masking import Settings, autocast


@dataclass(frozen=True)
class WordSubsets:
    """Scores of every subset of a prompt's words, the image and the other prompts unchanged.

    A hidden word's embedding is that of the filler at the same place, so that nothing else moves.
    """

    inputs: Inputs
    image: Tensor
    fixed: Tensor
    fill: str
    settings: Settings

    @classmethod
    def of(cls, inputs: Inputs, fill: str, settings: Settings) -> WordSubsets:
        return cls(inputs, inputs.embedding, cosines(inputs), fill, settings)

    @torch.no_grad()
    def values(self, k: int, keep: Tensor, positions: list[list[int]] | None = None) -> Tensor:
        """Scalars (n,) of prompt k with its features shown by ``keep`` (n, M): bool, or shares in [0, 1].

        ``positions`` are the tokens of each feature; by default a feature is one of the prompt's own tokens.
        """
        model, texts = self.inputs.model, self.inputs.texts[k : k + 1]
        features = positions or [[at] for at in texts.prompts[0].content]
        whole, empty = model.text.embed(texts.ids), filled(self.inputs, texts, self.fill)
        shown = torch.ones(len(keep), whole.shape[1], device=whole.device)
        for feature, tokens in enumerate(features):
            shown[:, tokens] = keep[:, feature, None].float()
        found = torch.empty(len(keep), device=whole.device)

        def work(piece: slice) -> None:
            z = torch.lerp(empty, whole, shown[piece, :, None])
            rows, lengths = texts.rows.expand(len(z)), texts.lengths.expand(len(z))
            with autocast(z.device, self.settings.precision):
                embedded = model.text.tail(z, 0, rows, lengths)
            similarity = self.fixed.repeat(len(z), 1)
            similarity[:, k] = model.similarity(embedded.float(), self.image)[:, 0]
            found[piece] = self.inputs.objective(similarity)[:, k]

        chunks(len(keep), self.settings.chunk or prompts_at_once(self.inputs), work)
        return found

    def spread(self, k: int, scores: Tensor, positions: list[list[int]] | None = None) -> Tensor:
        """Scores of features (M,) on the tokens (T,) of the batch; a feature's tokens share its score equally."""
        prompt = self.inputs.texts.prompts[k]
        found = torch.zeros(self.inputs.explained.ids.shape[1], device=scores.device)
        for score, tokens in zip(scores, positions or [[at] for at in prompt.content], strict=True):
            found[tokens] = score / len(tokens)
        return found


def all_subsets(features: int, device: torch.device) -> Tensor:
    """(2^M, M) bool: row i holds the binary digits of i, so the first is empty and the last is whole."""
    numbers = torch.arange(2**features, device=device)[:, None]
    return (numbers >> torch.arange(features, device=device)) % 2 == 1
