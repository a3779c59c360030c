"""Prompts as token ids, with what a reader needs to see: which positions are words, and which words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..errors import VLExplainError

Readout = Callable[[Sequence[int]], int]
"""Position that a text tower pools, from the ids of one prompt without padding."""


@dataclass(frozen=True)
class Prompt:
    """One prompt, tokenised.

    ids : token ids with special tokens, without padding.
    row : position that the tower pools.
    content : positions of the prompt's own tokens (no start, end or padding).
    tokens : their text, one per entry of ``content``.
    words : for each of them the number of the word it belongs to.
    """

    text: str
    ids: tuple[int, ...]
    row: int
    content: tuple[int, ...]
    tokens: tuple[str, ...]
    words: tuple[int, ...]


@dataclass(frozen=True)
class TextBatch:
    """Prompts padded to the longest of them: ids (K, T) int64, rows (K,) int64."""

    prompts: tuple[Prompt, ...]
    ids: Tensor
    rows: Tensor

    def __len__(self) -> int:
        return len(self.prompts)

    def __getitem__(self, piece: slice) -> TextBatch:
        """Some of the prompts, cut to the longest among them."""
        prompts = self.prompts[piece]
        longest = max(len(p.ids) for p in prompts)
        return TextBatch(prompts, self.ids[piece, :longest], self.rows[piece])

    @property
    def lengths(self) -> Tensor:
        """(K,) number of tokens without padding."""
        return torch.tensor([len(p.ids) for p in self.prompts], device=self.ids.device)


class Tokenizer(Protocol):
    @property
    def context(self) -> int:
        """Tokens that the model reads at most."""

    @property
    def pad(self) -> int:
        """Id that fills the end of a shorter prompt."""

    def __call__(self, text: str) -> Prompt:
        """Tokenise one prompt, whatever its length."""

    def cut(self, prompt: Prompt) -> Prompt:
        """The same prompt, cut to the context with its end token kept."""


def batch(tokenizer: Tokenizer, texts: Sequence[str], truncate: bool, device: torch.device) -> TextBatch:
    """Tokenise prompts for a causal tower; what stands behind the readout cannot matter, so padding is cut.

    Raises
    ------
    VLExplainError : an empty prompt, or one longer than the context (unless ``truncate``).
    """
    prompts = [_fitting(tokenizer, text, truncate) for text in texts]
    longest = max(len(p.ids) for p in prompts)
    ids = torch.full((len(prompts), longest), tokenizer.pad, dtype=torch.long)
    for row, prompt in zip(ids, prompts, strict=True):
        row[: len(prompt.ids)] = torch.tensor(prompt.ids)
    rows = torch.tensor([p.row for p in prompts])
    return TextBatch(tuple(prompts), ids.to(device), rows.to(device))


def _fitting(tokenizer: Tokenizer, text: str, truncate: bool) -> Prompt:
    prompt = tokenizer(text)
    if not prompt.content:
        raise VLExplainError(f"The prompt {text!r} holds no words; write what to look for, such as 'a cat'.")
    if len(prompt.ids) <= tokenizer.context:
        return prompt
    if not truncate:
        raise VLExplainError(
            f"The prompt has {len(prompt.ids)} tokens, but this model reads {tokenizer.context}: "
            "shorten it, or pass truncate=True to cut its end."
        )
    return tokenizer.cut(prompt)


@dataclass(frozen=True)
class HuggingFaceTokenizer:
    """A fast tokenizer of ``transformers``."""

    tokenizer: Any
    context: int
    readout: Readout

    @property
    def pad(self) -> int:
        return int(self.tokenizer.pad_token_id or 0)

    def __call__(self, text: str) -> Prompt:
        # Lengths are our own affair; verbose=False keeps the library's warning about them out of the log.
        encoded = self.tokenizer(text, verbose=False)
        special = set(self.tokenizer.all_special_ids)
        return self._prompt(text, encoded["input_ids"], encoded.word_ids(0), special)

    def cut(self, prompt: Prompt) -> Prompt:
        ids = (*prompt.ids[: self.context - 1], prompt.ids[-1])
        kept = [i for i, position in enumerate(prompt.content) if position < self.context - 1]
        return Prompt(
            prompt.text,
            ids,
            self.readout(ids),
            tuple(prompt.content[i] for i in kept),
            tuple(prompt.tokens[i] for i in kept),
            tuple(prompt.words[i] for i in kept),
        )

    def _prompt(self, text: str, ids: list[int], words: list[int | None], special: set[int]) -> Prompt:
        row = self.readout(ids)
        content = [i for i, token in enumerate(ids) if token not in special and words[i] is not None]
        tokens = [self.tokenizer.decode([ids[i]]).replace("</w>", "").strip() for i in content]
        return Prompt(
            text,
            tuple(ids),
            row,
            tuple(content),
            tuple(tokens),
            tuple(int(words[i] or 0) for i in content),
        )


@dataclass(frozen=True)
class OpenClipTokenizer:
    """open_clip's own byte-pair tokenizer (that of OpenAI's CLIP)."""

    tokenizer: Any
    context: int
    readout: Readout
    pad: int = 0

    def __call__(self, text: str) -> Prompt:
        return self._prompt(text, list(self.tokenizer.encode(text)))

    def cut(self, prompt: Prompt) -> Prompt:
        return self._prompt(prompt.text, list(prompt.ids[1 : self.context - 1]))

    def _prompt(self, text: str, own: list[int]) -> Prompt:
        ids = [self.tokenizer.sot_token_id, *own, self.tokenizer.eot_token_id]
        tokens, words, word = [], [], 0
        for token in own:
            words.append(word)
            word += self.tokenizer.decoder[token].endswith("</w>")
            tokens.append(self.tokenizer.decode([token]).strip())
        content = tuple(range(1, len(own) + 1))
        return Prompt(text, tuple(ids), self.readout(ids), content, tuple(tokens), tuple(words))


def highest_id(ids: Sequence[int]) -> int:
    """OpenAI's rule: the end token has the highest id of the vocabulary."""
    return max(range(len(ids)), key=ids.__getitem__)


def first_of(end: int) -> Readout:
    """The first position that holds ``end``."""
    return lambda ids: list(ids).index(end)
