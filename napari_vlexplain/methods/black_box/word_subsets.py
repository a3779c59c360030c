"""Prompts with some of their words hidden, scored."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...models.text.prompts import TextBatch
from ...running.run import Run, chunks
from ..baselines import filled
from ..forwards import cosines, prompts_at_once
from ..inputs import Inputs
from ..masking import Settings, autocast


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

    def values(self, k: int, keep: Tensor, positions: list[list[int]] | None = None) -> Tensor:
        """Scalars (n,) of prompt k with its features shown by ``keep`` (n, M): bool, or shares in [0, 1].

        ``positions`` are the tokens of each feature; by default a feature is one of the prompt's own tokens.
        """
        texts = self.inputs.texts[k : k + 1]
        shown = _shown(keep, positions or [[at] for at in texts.prompts[0].content], texts.ids.shape[1])
        return self._scored(texts, shown, torch.zeros(len(keep), dtype=torch.long, device=keep.device), k)

    def of_all(self, keeps: list[Tensor], run: Run) -> list[Tensor]:
        """The same of every explained prompt with its own tokens, in passes that prompts share."""
        texts = self.inputs.explained
        shown = [
            _shown(keep, [[at] for at in prompt.content], texts.ids.shape[1])
            for keep, prompt in zip(keeps, texts.prompts, strict=True)
        ]
        counts = [len(keep) for keep in keeps]
        whose = torch.arange(len(keeps)).repeat_interleave(torch.tensor(counts)).to(texts.ids.device)
        return list(self._scored(texts, torch.cat(shown), whose, 0, run).split(counts))

    @torch.no_grad()
    def _scored(self, texts: TextBatch, shown: Tensor, whose: Tensor, first: int, run: Run | None = None) -> Tensor:
        """Scalars (n,) of texts ``whose`` (n,) with tokens blended by ``shown`` (n, T); text 0 is prompt ``first``."""
        model = self.inputs.model
        whole, empty = model.text.embed(texts.ids), filled(self.inputs, texts, self.fill)
        found = torch.empty(len(shown), device=whole.device)

        def work(piece: slice) -> None:
            if run is not None:
                run.step(piece.start / len(shown), "Masked prompts")
            own = whose[piece]
            z = torch.lerp(empty[own], whole[own], shown[piece, :, None])
            with autocast(z.device, self.settings.precision):
                embedded = model.text.tail(z, 0, texts.rows[own], texts.lengths[own])
            similarity, at = self.fixed.repeat(len(z), 1), torch.arange(len(z), device=z.device)
            similarity[at, first + own] = model.similarity(embedded.float(), self.image)[:, 0]
            found[piece] = self.inputs.objective(similarity)[at, first + own]

        chunks(len(shown), self.settings.chunk or prompts_at_once(self.inputs), work)
        return found

    def spread(self, k: int, scores: Tensor, positions: list[list[int]] | None = None) -> Tensor:
        """Scores of features (M,) on the tokens (T,) of the batch; a feature's tokens share its score equally."""
        prompt = self.inputs.texts.prompts[k]
        found = torch.zeros(self.inputs.explained.ids.shape[1], device=scores.device)
        for score, tokens in zip(scores, positions or [[at] for at in prompt.content], strict=True):
            found[tokens] = score / len(tokens)
        return found


def _shown(keep: Tensor, features: list[list[int]], length: int) -> Tensor:
    """Which features are shown (n, M) -> how far each token is (n, T); tokens of no feature always are."""
    shown = torch.ones(len(keep), length, device=keep.device)
    for feature, tokens in enumerate(features):
        shown[:, tokens] = keep[:, feature, None].float()
    return shown


def all_subsets(features: int, device: torch.device) -> Tensor:
    """(2^M, M) bool: row i holds the binary digits of i, so the first is empty and the last is whole."""
    numbers = torch.arange(2**features, device=device)[:, None]
    return (numbers >> torch.arange(features, device=device)) % 2 == 1
