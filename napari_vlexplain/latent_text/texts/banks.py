"""A vocabulary's embeddings, computed once for a model and a template, and kept on disk (see :mod:`.bank_files`)."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import VLExplainError
from ...models.dual_encoder import DualEncoder
from ...models.files.identity import UNKNOWN
from ...models.precision import precision_of
from ...models.text.prompts import TextBatch
from ...running.entrance import entrance
from ...running.run import Run, slices
from .bank_files import keep, kept, tidy
from .templates import Template, put, templates
from .vocabularies import Vocabulary, from_texts, join

CHUNK = 2048
"""Texts that are encoded, or compared, at a time."""
LARGEST_CACHE = 4 << 30
"""Bytes of banks on disk; beyond that the ones unused for longest go."""
IN_MEMORY = 64 << 20
"""A bank of at most so many bytes stays on the device, and does without a disk that refuses it."""
FORMAT = 1
_remembered: OrderedDict[tuple[str, str], Store] = OrderedDict()

TooLong = Literal["truncate", "error"]


@dataclass(eq=False)
class Store:
    """What is kept of a bank: unit rows (V, P) float32, in memory or mapped, and how many texts were cut.

    ``refused`` is why the disk did not take it; ``more`` has the rows of texts that joined later, in memory.
    """

    unit: np.ndarray
    device: torch.device
    truncated: int = 0
    example: str = ""
    refused: str = ""
    more: np.ndarray | None = None
    _whole: Tensor | None = field(default=None, repr=False)
    _grown: dict[tuple[str, ...], Store] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.unit) + (0 if self.more is None else len(self.more))

    def chunks(self) -> Iterator[tuple[int, Tensor]]:
        if self.unit.nbytes <= IN_MEMORY:
            if self._whole is None:
                self._whole = torch.from_numpy(self.piece(0, len(self))).to(self.device)
            yield 0, self._whole
            return
        for start in range(0, len(self), 2 * CHUNK):
            yield start, torch.from_numpy(self.piece(start, start + 2 * CHUNK)).to(self.device)

    def piece(self, start: int, stop: int) -> np.ndarray:
        """A copy of some rows; from disk by a map of its own, so that what was read does not stay in memory."""
        unit, own = self.unit, len(self.unit)
        if isinstance(unit, np.memmap):
            with suppress(OSError):  # tidied away since: the open map still has it
                unit = np.load(str(unit.filename), mmap_mode="r")
        found = np.array(unit[start:stop])
        if self.more is None or stop <= own:
            return found
        return np.concatenate([found, self.more[max(0, start - own) : stop - own]])

    def rows(self, indices: Sequence[int]) -> np.ndarray:
        """Some rows, wherever they are."""
        chosen, own = np.asarray(indices, int), len(self.unit)
        found = np.array(self.unit[np.minimum(chosen, own - 1)])
        if self.more is not None:
            found[chosen >= own] = self.more[chosen[chosen >= own] - own]
        return found

    def grown(self, texts: tuple[str, ...], unit: Callable[[], tuple[Tensor, list[int]]]) -> Store:
        """With more rows, those of ``texts``; the last ones are remembered."""
        if texts not in self._grown:
            rows, cut = unit()
            count = self.truncated + len(cut)
            more = rows.cpu().numpy()
            self._grown = {texts: Store(self.unit, self.device, count, self.example, self.refused, more)}
        return self._grown[texts]


@dataclass(frozen=True, eq=False)
class TextBank:
    """Unit embeddings of a vocabulary.

    Attributes
    ----------
    vocabulary : the texts.
    templates : what they were put into.
    store : the embeddings.
    """

    vocabulary: Vocabulary
    templates: tuple[str, ...]
    store: Store

    def __len__(self) -> int:
        return len(self.store)

    @property
    def truncated(self) -> int:
        """How many texts were longer than the model's context and lost their end."""
        return self.store.truncated

    def chunks(self) -> Iterator[tuple[int, Tensor]]:
        """(index of the first, embeddings (n, P) on the device), all of them piece by piece."""
        return self.store.chunks()

    def rows(self, indices: Sequence[int]) -> Tensor:
        """Some of them, (n, P)."""
        return torch.from_numpy(self.store.rows(indices)).to(self.store.device)

    def part_means(self) -> Tensor:
        """(parts, P): the mean unit embedding of each list that the vocabulary was joined from."""
        edges = np.cumsum([0, *(count for _, count in self.vocabulary.parts)]).tolist()
        sums = []
        for first, last in pairwise(edges):
            total = np.zeros(self.store.unit.shape[1])
            for at in range(first, last, CHUNK):
                total += np.sum(self.store.piece(at, min(at + CHUNK, last)), axis=0, dtype=np.float64)
            sums.append(total / max(last - first, 1))
        return torch.from_numpy(np.stack(sums).astype(np.float32)).to(self.store.device)

    def part_of(self, start: int, count: int) -> Tensor:
        """Which part each of ``count`` texts from ``start`` on belongs to, (count,) int64."""
        edges = np.cumsum([part for _, part in self.vocabulary.parts])
        return torch.from_numpy(np.searchsorted(edges, np.arange(start, start + count), side="right")).to(
            self.store.device
        )


@entrance("Encoding the vocabulary")
def text_bank(
    model: DualEncoder,
    vocabulary: Vocabulary,
    template: Template,
    *,
    too_long: TooLong = "truncate",
    on_disk: bool = True,
    run: Run | None = None,
) -> TextBank:
    """The bank of a vocabulary, from memory, from disk, or encoded now.

    Parameters
    ----------
    too_long : ``truncate`` cuts a text that exceeds the model's context, and counts it; ``error`` refuses it.
    on_disk : may it be kept in the cache folder?

    Raises
    ------
    VLExplainError : a template without its place, a text that is too long and may not be cut, or a bank that memory
        does not hold and the disk refuses.
    """
    chosen = templates(template)
    key = _key(model, vocabulary, chosen)
    on_disk = on_disk and not model.weights_hash().startswith(UNKNOWN)
    at = (key, str(model.device))
    store = _remembered.get(at)
    if store is None:
        found = kept(folder() / f"{key}.npy", len(vocabulary)) if on_disk else None
        if found is not None:
            store = Store(found[0], model.device, **found[1])
        else:
            store = _encoded(key, model, vocabulary, chosen, too_long, on_disk, run or Run())
        _remembered[at] = store
        while len(_remembered) > 4:
            _remembered.popitem(last=False)
    _remembered.move_to_end(at)
    if store.truncated and too_long == "error":
        raise _too_long(store.example, model, vocabulary)
    return TextBank(vocabulary, chosen, store)


def extended(model: DualEncoder, bank: TextBank, texts: Sequence[str]) -> TextBank:
    """The bank with a few texts more, which it lacks; they are encoded now and not kept on disk."""
    store = bank.store.grown(tuple(texts), lambda: _unit(model, texts, bank.templates))
    return TextBank(join(bank.vocabulary, from_texts(texts, "texts of the edit")), bank.templates, store)


def encode(model: DualEncoder, texts: Sequence[str], template: Template) -> Tensor:
    """Unit embeddings (n, P) of a few texts, such as class names."""
    return _unit(model, texts, templates(template))[0]


def forget_banks() -> None:
    """Let go of the banks in memory; those on disk stay."""
    _remembered.clear()


def folder() -> Path:
    """Where banks are kept."""
    from platformdirs import user_cache_path

    return user_cache_path("napari-vlexplain", appauthor=False) / "text-banks"


def _key(model: DualEncoder, vocabulary: Vocabulary, chosen: tuple[str, ...]) -> str:
    what = [FORMAT, model.weights_hash(), model.info.name, chosen, vocabulary.digest, precision_of(model)]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


def _encoded(
    key: str,
    model: DualEncoder,
    vocabulary: Vocabulary,
    chosen: tuple[str, ...],
    too_long: TooLong,
    on_disk: bool,
    run: Run,
) -> Store:
    facts: dict[str, Any] = {"truncated": 0, "example": ""}

    def encoded() -> Iterator[np.ndarray]:
        for start, texts in vocabulary.chunks(CHUNK):
            run.step(start / len(vocabulary), f"Encoding {len(vocabulary):,} texts")
            rows, cut = _unit(model, texts, chosen)
            if cut:
                facts["truncated"] += len(cut)
                facts["example"] = facts["example"] or texts[cut[0]]
                if too_long == "error":
                    raise _too_long(facts["example"], model, vocabulary)
            yield rows.cpu().numpy()

    rows = encoded()
    first = next(rows)
    shape, place = (len(vocabulary), first.shape[1]), folder() / f"{key}.npy"
    small, refused = 4 * shape[0] * shape[1] <= IN_MEMORY, ""
    unit = np.concatenate([first, *rows]) if small or not on_disk else None
    if on_disk:
        try:
            keep(place, shape, chain([first], rows) if unit is None else [unit], lambda: facts)
        except OSError as error:
            refused = error.strerror or type(error).__name__
        if unit is None and refused:
            raise VLExplainError(
                f"The embeddings of the {len(vocabulary):,} texts of {vocabulary.name!r} cannot be kept in "
                f"{place.parent} ({refused}): make room there, or take fewer texts."
            )
        with suppress(OSError):
            tidy(place, LARGEST_CACHE)
        whole = None if refused else kept(place, len(vocabulary))
        unit = unit if whole is None else whole[0]
    assert unit is not None
    return Store(unit, model.device, facts["truncated"], facts["example"], refused)


def _too_long(example: str, model: DualEncoder, vocabulary: Vocabulary) -> VLExplainError:
    return VLExplainError(
        f"{example[:60]!r} in {vocabulary.name!r} is longer than the {model.tokenizer.context} tokens that this model "
        "reads: shorten such texts, or let their ends be cut."
    )


@torch.no_grad()
def _unit(model: DualEncoder, texts: Sequence[str], chosen: tuple[str, ...]) -> tuple[Tensor, list[int]]:
    """Unit embeddings (n, P), and which of the texts were cut."""
    total: Tensor | None = None
    cut: set[int] = set()
    for template in chosen:
        batch = model.tokenize([put(template, text) for text in texts], truncate=True)
        lengths = [len(prompt.ids) for prompt in batch.prompts]
        full = [i for i, length in enumerate(lengths) if length == model.tokenizer.context]
        cut.update(i for i in full if len(model.tokenizer(batch.prompts[i].text).ids) > model.tokenizer.context)
        # Like lengths together, so that little padding is computed.
        order = sorted(range(len(texts)), key=lengths.__getitem__)
        rows = []
        for piece in slices(len(order), 256):
            some, longest = order[piece], lengths[order[piece][-1]]
            prompts = tuple(batch.prompts[i] for i in some)
            rows.append(model.encode_text(TextBatch(prompts, batch.ids[some, :longest], batch.rows[some])))
        encoded = torch.cat(rows)
        unit = torch.empty_like(encoded)
        unit[torch.tensor(order, device=unit.device)] = F.normalize(encoded, dim=-1)
        total = unit if total is None else total + unit
    assert total is not None
    return F.normalize(total, dim=-1), sorted(cut)
