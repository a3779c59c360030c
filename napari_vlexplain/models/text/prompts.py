"""Prompts as token ids, with what a reader needs to see: which positions are words, and which words."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

import torch
from torch import Tensor

from ...errors import VLExplainError

Readout = Callable[[Sequence[int]], int]
"""Position that a text tower pools, from the ids of one prompt without padding."""


@dataclass(frozen=True)
class Prompt:
    """One prompt, tokenised.

    ids : token ids as the tower reads them: with special tokens, without padding unless the model always pads.
    row : position that the tower pools.
    content : positions of the prompt's own tokens (no start, end or padding).
    tokens : their text as typed, one per entry of ``content``; what several tokens share, such as the bytes of one
        character, stands with the first of them.
    words : for each of them the number of the word it belongs to.
    is_text : is it read word by word? The name of a class is not.
    """

    text: str
    ids: tuple[int, ...]
    row: int
    content: tuple[int, ...]
    tokens: tuple[str, ...]
    words: tuple[int, ...]
    is_text: bool = True


@dataclass(frozen=True)
class TextBatch:
    """Prompts padded to the longest of them: ids (K, T) int64, rows (K,) int64, the positions that are pooled."""

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
        """(K,) number of tokens that the tower reads; what follows them only fills the batch."""
        return torch.tensor([len(p.ids) for p in self.prompts], device=self.ids.device)


def to_context(texts: TextBatch, context: int, pad: int) -> TextBatch:
    """The same prompts, each filled with the id ``pad`` up to the context."""
    ids = torch.full((len(texts), context), pad, dtype=texts.ids.dtype, device=texts.ids.device)
    for row, prompt in zip(ids, texts.prompts, strict=True):
        row[: len(prompt.ids)] = torch.tensor(prompt.ids, dtype=ids.dtype, device=ids.device)
    return TextBatch(texts.prompts, ids, texts.rows)


class Tokenizer(Protocol):
    @property
    def context(self) -> int:
        """Tokens that the model reads at most."""

    @property
    def pad(self) -> int:
        """Id that fills the end of a shorter prompt."""

    def __call__(self, text: str) -> Prompt:
        """Tokenise one prompt, whatever its length; VLExplainError if it is none for this model."""

    def cut(self, prompt: Prompt) -> Prompt:
        """The same prompt, cut to the context with its end token kept."""


def batch(tokenizer: Tokenizer, texts: Sequence[str], truncate: bool, device: torch.device) -> TextBatch:
    """Tokenise prompts and fill them to the longest; what fills them is behind the readout or masked by the tower.

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
    if prompt.is_text and not prompt.content:
        raise VLExplainError(f"The prompt {text!r} holds no words; write what to look for, such as 'a cat'.")
    if len(prompt.ids) <= tokenizer.context:
        return prompt
    if not truncate:
        begin = text if len(text) <= 40 else f"{text[:39]}…"
        raise VLExplainError(
            f"The prompt {begin!r} has {len(prompt.ids)} tokens, but this model reads {tokenizer.context}: "
            "shorten it, or have its end cut (Parameters in the Explain dock; --truncate; truncate=True)."
        )
    return tokenizer.cut(prompt)


@dataclass(frozen=True)
class HuggingFaceTokenizer:
    """A fast tokenizer of ``transformers``.

    ``fixed``: every prompt is padded to the context, because the tower pools the last position and sees the padding
    (SigLIP). ``prepare`` is what the model's own pipeline does to a text first, such as lower case.
    """

    tokenizer: Any
    context: int
    readout: Readout
    fixed: bool = False
    prepare: Callable[[str], str] = str

    @property
    def pad(self) -> int:
        return int(self.tokenizer.pad_token_id or 0)

    def __call__(self, text: str) -> Prompt:
        # Lengths are our own affair; verbose=False keeps the library's warning about them out of the log.
        prepared = self.prepare(text)
        encoded = self.tokenizer(prepared, verbose=False, return_offsets_mapping=True)
        typed = text if len(text) == len(prepared) else prepared
        shown = _pieces(typed, encoded["offset_mapping"])
        return self._prompt(text, encoded["input_ids"], shown, self._words(encoded), self._special())

    def _words(self, encoded: Any) -> list[int | None]:
        """Number of each token's word. Sentence pieces mark where a word starts; the library does not always know."""
        pieces = self.tokenizer.convert_ids_to_tokens(encoded["input_ids"])
        if any(piece.startswith("▁") for piece in pieces):
            return [max(0, count - 1) for count in accumulate(piece.startswith("▁") for piece in pieces)]
        return encoded.word_ids(0)

    def _special(self) -> set[int]:
        """Ids that are no words; an unknown word is one."""
        fast = self.tokenizer
        ends = {fast.bos_token_id, fast.eos_token_id, fast.pad_token_id, fast.cls_token_id, fast.sep_token_id}
        return set(fast.all_special_ids) - ({fast.unk_token_id} - ends)

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

    def _prompt(
        self, text: str, ids: list[int], shown: list[str], words: list[int | None], special: set[int]
    ) -> Prompt:
        content = [i for i, token in enumerate(ids) if token not in special and words[i] is not None]
        if self.fixed:
            ids = [*ids, *[self.pad] * (self.context - len(ids))]
        return Prompt(
            text,
            tuple(ids),
            self.readout(ids),
            tuple(content),
            tuple(shown[i] for i in content),
            tuple(int(words[i] or 0) for i in content),
        )


def _pieces(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    """What each span (start, end) of a text adds to those before it, without blanks around it."""
    shown, done = [], 0
    for start, end in spans:
        shown.append(text[max(start, done) : end].strip())
        done = max(done, end)
    return shown


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
        words, word = [], 0
        for token in own:
            words.append(word)
            word += self.tokenizer.decoder[token].endswith("</w>")
        tokens = _characters([self._bytes(token) for token in own])
        content = tuple(range(1, len(own) + 1))
        return Prompt(text, tuple(ids), self.readout(ids), content, tuple(tokens), tuple(words))

    def _bytes(self, token: int) -> bytes:
        signs = self.tokenizer.decoder[token].removesuffix("</w>")
        return bytes(self.tokenizer.byte_decoder[sign] for sign in signs)


def _characters(chunks: Sequence[bytes]) -> list[str]:
    """Chunks of UTF-8 as text; a character stands with the chunk in which it begins."""
    text = b"".join(chunks).decode("utf-8", "replace")
    ends = list(accumulate(sum(byte & 0xC0 != 0x80 for byte in chunk) for chunk in chunks))
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def first_position(ids: Sequence[int]) -> int:
    """BERT's rule: the class token in front."""
    return 0


def last_position(ids: Sequence[int]) -> int:
    """SigLIP's rule: the last position, padding or not."""
    return len(ids) - 1


def canonical(text: str) -> str:
    """SigLIP's form of a prompt: lower case, no punctuation, single blanks."""
    return " ".join(text.lower().translate(str.maketrans("", "", string.punctuation)).split())


def highest_id(ids: Sequence[int]) -> int:
    """OpenAI's rule: the end token has the highest id of the vocabulary."""
    return max(range(len(ids)), key=ids.__getitem__)


def first_of(end: int) -> Readout:
    """The first position that holds ``end``; the text embedding is read there.

    Raises
    ------
    VLExplainError : (the readout) a prompt without that token, of which the library would read some other position.
    """

    def readout(ids: Sequence[int]) -> int:
        if end not in ids:
            raise VLExplainError(
                f"The text is read at its end token, which the model's configuration says is {end} (eos_token_id), but "
                "the tokenizer writes no such token: configuration and tokenizer belong to different models."
            )
        return list(ids).index(end)

    return readout
