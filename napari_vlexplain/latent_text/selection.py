"""Which tokens an edit changes at a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import VLExplainError
from ..models.dual_encoder import DualEncoder
from ..models.towers import Tower
from ..running.run import Run
from .plan import EditPlan
from .reading import Reading
from .retrieval import reads_as
from .tails import latent_tokens, layer_index, layer_tokens
from .texts.banks import TextBank, extended
from .texts.vocabularies import Vocabulary, from_texts, join

Select = Callable[[int, Tensor], Tensor]
"""Layer and stream (B, T, D) -> which tokens, (B, T) bool."""


@dataclass(eq=False)
class Reader:
    """Reads streams of one model with one bank; remembers which of its texts were asked for.

    ``run`` is polled before each reading, for with smoothing one takes long.
    """

    model: DualEncoder
    bank: TextBank
    reading: Reading
    generator: torch.Generator | None = None
    run: Run = field(default_factory=Run)
    _chosen: dict[tuple[str, ...], Tensor] = field(default_factory=dict, repr=False)

    @property
    def tower(self) -> Tower:
        return self.model.image

    def chosen(self, texts: Sequence[str]) -> Tensor:
        """(V,) bool: which texts of the bank equal one of these but for case."""
        key = tuple(texts)
        if key not in self._chosen:
            mask = torch.zeros(len(self.bank), dtype=torch.bool)
            mask[self.bank.vocabulary.positions(key)] = True
            self._chosen[key] = mask.to(self.model.device)
        return self._chosen[key]

    def reads(self, layer: int, z: Tensor, texts: Sequence[str]) -> Tensor:
        """Which tokens of the stream before block ``layer`` have one of the texts as their nearest, (B, T) bool."""
        self.run.step(0.0, f"Reading layer {layer}")
        u = layer_tokens(self.tower, z, layer, self.reading, self.generator)
        return reads_as(u, self.bank, self.reading, self.chosen(texts))

    def majority(self, z: Tensor, layers: Sequence[int], texts: Sequence[str]) -> Tensor:
        """Which tokens do so at half or more of some layers; z (B, T, D) is the stream before block 0."""
        u = latent_tokens(self.tower, z, layers, self.reading, self.generator, self.run)
        hits = reads_as(u, self.bank, self.reading, self.chosen(texts))
        return hits.float().mean(0) >= 0.5


def covering(vocabulary: Vocabulary, plans: Sequence[EditPlan]) -> Vocabulary:
    """The vocabulary with the plans' own texts added where it lacks them."""
    missing = _missing(vocabulary, plans)
    return join(vocabulary, from_texts(missing, "texts of the edit")) if missing else vocabulary


def covering_bank(model: DualEncoder, bank: TextBank, plans: Sequence[EditPlan]) -> TextBank:
    """The bank with the plans' own texts added where it lacks them; what it holds is not encoded again."""
    missing = _missing(bank.vocabulary, plans)
    return extended(model, bank, missing) if missing else bank


def _missing(vocabulary: Vocabulary, plans: Sequence[EditPlan]) -> list[str]:
    texts = dict.fromkeys(text for plan in plans for text in (*plan.found_texts, *plan.donor_texts))
    known = vocabulary.find(texts)
    return [text for text in texts if text not in known]


def edited_layers(tower: Tower, plan: EditPlan) -> range:
    """The layers that a plan edits.

    Raises
    ------
    VLExplainError : layers that this model has not, or in the wrong order.
    """
    first, last = plan.layers or (0, tower.depth - 1)
    if not 0 <= first <= last < tower.depth:
        raise VLExplainError(
            f"The layers to edit are {first} to {last}, but this model has layers 0 to {tower.depth - 1} to edit, "
            "and the first must not exceed the last."
        )
    return range(first, last + 1)


def selector(plan: EditPlan, reader: Reader, z: Tensor) -> Select:
    """The plan's selection; z (B, T, D) is the untouched stream before block 0."""
    tower, texts = reader.tower, plan.found_texts
    by_hand = _by_hand(plan, tower, z)
    ahead: Tensor | None = None
    if texts and plan.when == "ahead":
        first, last = plan.read or (tower.depth - tower.depth // 4, tower.depth)
        layers = range(layer_index(tower, first, "read"), layer_index(tower, last, "read") + 1)
        if not layers:
            raise VLExplainError(f"The layers to read are {first} to {last}, but the first must not exceed the last.")
        ahead = reader.majority(z, layers, texts)

    def select(layer: int, stream: Tensor) -> Tensor:
        mask = by_hand[layer].expand(len(stream), -1)
        if not texts:
            return mask
        found = reader.reads(layer, stream, texts) if ahead is None else ahead
        return mask | (~found if plan.others else found)

    return select


def _by_hand(plan: EditPlan, tower: Tower, z: Tensor) -> Tensor:
    """(L, T) bool."""
    count = z.shape[1]
    mask = torch.zeros(tower.depth, count, dtype=torch.bool, device=z.device)
    for layer, token in plan.tokens:
        if not 0 <= token < count:
            raise VLExplainError(f"There is no token {token}; there are {count}, counted from 0.")
        if layer is not None and not 0 <= layer < tower.depth:
            raise VLExplainError(f"There is no layer {layer} to edit; there are {tower.depth}, counted from 0.")
        mask[slice(None) if layer is None else layer, token] = True
    return mask


def random_like(changed: Tensor, eligible: Tensor, generator: torch.Generator, nested: bool) -> Select:
    """As many tokens as were changed, at random.

    changed : (L, B, T) bool. eligible : (T,) bool, the tokens to draw from. nested : one order of tokens serves all
    layers, as for an edit that changes the same tokens everywhere; otherwise each layer draws anew.
    """
    depth, batch, count = changed.shape
    noise = torch.rand(1 if nested else depth, batch, count, generator=generator, device=changed.device)
    order = noise.masked_fill(~eligible, 2.0).argsort(-1).argsort(-1)  # rank of each token
    masks = (order.expand(depth, -1, -1) < changed.sum(-1, keepdim=True)) & eligible
    return lambda layer, stream: masks[layer]
