"""Similarities of images and prompts of which patches or words are missing, many at once.

What is missing is deleted from the sequence behind the embedding: patches that stay keep their place, words move
together and get the places in front, as if the shorter prompt had been typed. Rows of one length make one batch, so
there is no padding and nothing to mask.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..models.dual_encoder import DualEncoder
from ..models.text.prompts import Prompt, TextBatch
from ..running.run import chunks, memory_budget

Kept = tuple[int, ...]


@torch.no_grad()
def without_patches(model: DualEncoder, pixels: Tensor, text: Tensor, kept: Sequence[Kept]) -> list[float]:
    """Similarity with the prompt's embedding ``text`` (1, P) of one image of which only ``kept`` patches stay.

    An image without patches is worth what the readout token alone says; a tower without one says nothing: 0.
    """
    z = model.image.embed(pixels)
    prefix = model.image.prefix_tokens
    found: dict[Kept, float] = {}
    for some in _by_length(kept):

        def work(piece: slice, some: list[Kept] = some) -> None:
            part = some[piece]
            index = torch.tensor([[*range(prefix), *(prefix + i for i in k)] for k in part], device=z.device)
            if not index.shape[1]:
                found.update(dict.fromkeys(part, 0.0))
                return
            embedded = model.image.tail(z[0, index.long()], 0, model.image_rows(len(part)))
            values = torch.nan_to_num(model.similarity(embedded, text)[:, 0], nan=0.0)
            found.update(zip(part, values.tolist(), strict=True))

        chunks(len(some), _at_once(z, prefix + len(some[0])), work)
    return [found[k] for k in kept]


@torch.no_grad()
def without_words(model: DualEncoder, prompt: Prompt, image: Tensor, kept: Sequence[Kept]) -> list[float]:
    """Similarity with the image's embedding (1, P) of a prompt of which only ``kept`` of its own tokens stay."""
    fixed = bool(getattr(model.tokenizer, "fixed", False))
    distinct = list(dict.fromkeys(kept))
    prompts = [shortened(prompt, k, model.tokenizer.pad if fixed else None) for k in distinct]
    found: list[float] = []

    def work(piece: slice) -> None:
        embedded = model.encode_text(_batch(prompts[piece], image.device))
        found.extend(model.similarity(image, embedded)[0].tolist())

    chunks(len(prompts), 256, work)
    known = dict(zip(distinct, found, strict=True))
    return [known[k] for k in kept]


def shortened(prompt: Prompt, kept: Kept, pad: int | None = None) -> Prompt:
    """A prompt of which only some of its own tokens stay (numbers among ``content``), its special tokens too.

    ``pad`` fills it up to its old length, where a tower always reads a fixed one.
    """
    gone = {position for number, position in enumerate(prompt.content) if number not in set(kept)}
    stays = [position for position in range(len(prompt.ids)) if position not in gone]
    ids = [prompt.ids[position] for position in stays]
    row = prompt.row if pad is not None else stays.index(prompt.row)
    if pad is not None:
        ids += [pad] * len(gone)
    content = tuple(k for k, position in enumerate(stays) if position in prompt.content)
    return replace(
        prompt,
        ids=tuple(ids),
        row=row,
        content=content,
        tokens=tuple(prompt.tokens[number] for number in kept),
        words=tuple(prompt.words[number] for number in kept),
    )


def _batch(prompts: Sequence[Prompt], device: torch.device) -> TextBatch:
    longest = max(len(p.ids) for p in prompts)
    ids = torch.tensor([[*p.ids, *[p.ids[-1]] * (longest - len(p.ids))] for p in prompts], device=device)
    return TextBatch(tuple(prompts), ids, torch.tensor([p.row for p in prompts], device=device))


def _by_length(kept: Sequence[Kept]) -> list[list[Kept]]:
    groups: dict[int, list[Kept]] = defaultdict(list)
    for one in dict.fromkeys(kept):
        groups[len(one)].append(one)
    return [groups[length] for length in sorted(groups)]


def _at_once(z: Tensor, length: int) -> int:
    one = 4 * max(1, length) * (24 * z.shape[-1] + 16 * length)
    return max(1, min(256, memory_budget(z.device) // one))
