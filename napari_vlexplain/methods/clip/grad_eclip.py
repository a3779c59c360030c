"""Grad-ECLIP (Zhao et al., ICML 2024): values, weighted by the readout's gradient and by a loosened attention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import VLExplainError
from ...models.blocks import Block, Linear
from ...models.text.prompts import to_context
from ...models.towers import Tower
from ...running.run import Run
from ..attention.maps import content
from ..features import layer_index
from ..forwards import batchable, cosines, has_words, own_values
from ..inputs import Inputs, Scores, no_words, on_grid, per_prompt_gradients
from ..values import settled
from .parameters import GradECLIP

Asked = Callable[[Block, Tensor], Tensor]
"""A block, its queries or keys -> what of them is compared."""
Look = Callable[[int, Tensor], None]
"""Is shown a block's index and the stream before it."""


def _unseen(index: int, z: Tensor) -> None:
    pass


def grad_eclip(inputs: Inputs, parameters: GradECLIP, run: Run) -> Scores:
    """``relu(Σ_l Σ_c w_c λ_i v_ic)``: token i's value v, ``w = dF/do`` at the readout, o the heads joined. Range >= 0.

    ``λ_i`` is the cosine of the readout's query with token i's key, all heads joined, scaled to [0, 1] over tokens:
    the softmax of the real attention is too sparse to show where evidence lies. F is the model's own forward pass.
    The published code takes q and k through the output projection, joins the heads of the explained blocks to one,
    and scales λ of words over all positions of the padded context.
    """
    model, published = inputs.model, parameters.as_published
    heads = settled(parameters.heads, published, "one", "own")
    likeness = settled(parameters.likeness, published, "projected", "plain")
    start = layer_index(model.image, parameters.start_block, "start_block")
    text_start = layer_index(model.text, parameters.text_start_block, "text_start_block")
    notes: dict[str, Any] = {"start_block": start, "text_start_block": text_start, "heads": heads, "likeness": likeness}
    asked = (lambda block, x: block.out(x)) if likeness == "projected" else (lambda block, x: x)
    run.step(0.0, "Grad-ECLIP of the image")
    look = inputs.outliers.look if heads == "own" else _unseen  # joined heads are another model
    image = _image(inputs, _headed(model.image, start, heads), start, asked, look)
    if heads == "own":
        inputs.remember(image.embedding)
    run.step(0.7, "Grad-ECLIP of the words")
    words = no_words(inputs)
    if has_words(inputs):
        found = _words(inputs, _headed(model.text, text_start, heads), text_start, asked, published)
        words = found[:, : words.shape[1]]
    return Scores(on_grid(image.maps, model.image), words, notes)


def _headed(tower: Tower, start: int, heads: str) -> Tower:
    """The tower, its blocks ``start ..`` attending with one head if so asked."""
    if any(block.rotary is not None for block in tower.blocks[start:]):
        raise VLExplainError(
            "This model turns queries and keys by their place (RoPE), for which Grad-ECLIP is not defined; choose "
            "legrad or relevance."
        )
    if heads == "own" or not tower.blocks:
        return tower
    if any(block.query_norm is not None or block.key_norm is not None for block in tower.blocks[start:]):
        raise VLExplainError(
            "This model normalises queries and keys head by head, so they cannot be joined to one; choose heads='own'."
        )
    return replace(tower, blocks=(*tower.blocks[:start], *(replace(b, heads=1) for b in tower.blocks[start:])))


@dataclass(frozen=True)
class _Image:
    """``maps`` (K, T) of all tokens, and the ``embedding`` (1, P) whose score they explain."""

    maps: Tensor
    embedding: Tensor


def _image(inputs: Inputs, tower: Tower, start: int, asked: Asked, look: Look) -> _Image:
    model = inputs.model
    rows, embedded = model.image_rows(1), model.encode_text(inputs.texts)
    z = inputs.before(start)
    seen = torch.zeros(1, z.shape[1], device=z.device)
    seen[:, tower.prefix_tokens :] = 1
    watched, outputs = watch(tower, start)
    with torch.enable_grad(), batchable(inputs.count):
        image = watched.tail(z, 0, rows)
        values = inputs.objective(model.similarity(image, embedded))[0]
    maps = torch.empty(inputs.count, z.shape[1], device=z.device)

    def use(piece: slice, gradients: tuple[Tensor, ...]) -> None:
        maps[piece] = joined(tower, start, z, rows, seen, [g[:, 0] for g in gradients], asked=asked, look=look)

    per_prompt_gradients(values, outputs, use)
    return _Image(maps, image)


def _words(inputs: Inputs, tower: Tower, start: int, asked: Asked, published: bool) -> Tensor:
    """Prompts do not see each other, so one backward through the sum serves them all."""
    own, texts = content(inputs.explained), inputs.explained
    ranged = own
    if published:
        texts = to_context(texts, inputs.model.tokenizer.context, 0)
        own = F.pad(own, (0, texts.ids.shape[1] - own.shape[1]))
        ranged = torch.ones_like(own)
    with torch.no_grad():
        z = tower.run(tower.embed(texts.ids), 0, start, texts.lengths)
    watched, outputs = watch(tower, start)
    with torch.enable_grad():
        embedded = watched.tail(z, 0, texts.rows, texts.lengths)
        values = own_values(inputs, embedded[None], cosines(inputs))
        gradients = torch.autograd.grad(values.sum(), outputs)
    return joined(tower, start, z, texts.rows, own, list(gradients), texts.lengths, asked, ranged)


@torch.no_grad()
def joined(
    tower: Tower,
    start: int,
    z: Tensor,
    rows: Tensor,
    seen: Tensor,
    gradients: list[Tensor],
    lengths: Tensor | None = None,
    asked: Asked = lambda block, x: x,
    ranged: Tensor | None = None,
    look: Look = _unseen,
) -> Tensor:
    """Maps (K, T) from the stream z (B, T, D) before block ``start`` and the gradients (K, T or 1, D) at each o.

    ``seen`` (B, T) is 1 on tokens that are explained; the others score 0. ``ranged`` are the tokens whose likeness
    makes the range [0, 1], by default the same. ``look`` is shown the stream before each block.
    """
    total = torch.zeros(len(gradients[0]), z.shape[1], device=z.device)
    at = torch.arange(len(z), device=z.device)
    mask = tower.mask(z, lengths)
    for index, (block, g) in enumerate(zip(tower.blocks[start:], gradients, strict=True), start):
        look(index, z)
        x = block.attended(z)
        q, k, v = asked(block, block.query(x)[at, rows]), asked(block, block.key(x)), block.value(x)
        likeness = (F.normalize(q, dim=-1)[:, None] * F.normalize(k, dim=-1)).sum(dim=-1)
        w = g[:, 0] if g.shape[1] == 1 else g[torch.arange(len(g), device=g.device), rows.expand(len(g))]
        total += (w[:, None] * v).sum(dim=-1) * unit_range(likeness, seen if ranged is None else ranged)
        z = block.fused(z, mask)
    return total.clamp(min=0) * seen


def unit_range(values: Tensor, seen: Tensor) -> Tensor:
    """(B, T) scaled to [0, 1] over the tokens that are seen; all ones where they do not differ."""
    low = values.masked_fill(seen == 0, float("inf")).amin(dim=1, keepdim=True)
    high = values.masked_fill(seen == 0, float("-inf")).amax(dim=1, keepdim=True)
    return torch.where(high > low, (values - low) / torch.where(high > low, high - low, 1.0), torch.ones_like(values))


@dataclass
class _Watched:
    """An output projection that keeps what it was given, and makes it the start of a graph where there is none."""

    out: Linear
    kept: list[Tensor] = field(default_factory=list)

    def __call__(self, x: Tensor) -> Tensor:
        x = x if x.requires_grad else x.detach().requires_grad_()
        self.kept.append(x)
        return self.out(x)


def watch(tower: Tower, start: int) -> tuple[Tower, list[Tensor]]:
    """Blocks ``start ..`` of a tower, and a list that its next run fills with the joined heads of each."""
    kept: list[Tensor] = []
    blocks = tuple(replace(b, out=cast(Linear, _Watched(b.out, kept))) for b in tower.blocks[start:])
    return replace(tower, blocks=blocks), kept
