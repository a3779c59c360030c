"""Grad-ECLIP (Zhao et al., ICML 2024): values, weighted by the readout's gradient and by a loosened attention."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.blocks import Linear
from ...models.towers import Tower
from ...running.run import Run
from ..attention.maps import content
from ..features import layer_index
from ..forwards import batchable, cosines, has_words, own_values
from ..inputs import Inputs, Scores, no_words, on_grid, per_prompt_gradients
from .parameters import GradECLIP


def grad_eclip(inputs: Inputs, parameters: GradECLIP, run: Run) -> Scores:
    """``relu(Σ_l Σ_c w_c λ_i v_ic)``: token i's value v, ``w = dF/do`` at the readout, o the heads joined. Range >= 0.

    ``λ_i`` is the cosine of the readout's query with token i's key, all heads joined, scaled to [0, 1] over tokens:
    the softmax of the real attention is too sparse to show where evidence lies. F is the model's own forward pass.
    """
    model = inputs.model
    start = layer_index(model.image, parameters.start_block, "start_block")
    text_start = layer_index(model.text, parameters.text_start_block, "text_start_block")
    run.step(0.0, "Grad-ECLIP of the image")
    image = _image(inputs, start)
    run.step(0.7, "Grad-ECLIP of the words")
    words = _words(inputs, text_start) if has_words(inputs) else no_words(inputs)
    return Scores(on_grid(image, model.image), words, {"start_block": start, "text_start_block": text_start})


def _image(inputs: Inputs, start: int) -> Tensor:
    model, tower = inputs.model, inputs.model.image
    rows, embedded = model.image_rows(1), model.encode_text(inputs.texts)
    with torch.no_grad():
        z = tower.run(tower.embed(inputs.pixels), 0, start)
    seen = torch.zeros(1, z.shape[1], device=z.device)
    seen[:, tower.prefix_tokens :] = 1
    watched, outputs = watch(tower, start)
    with torch.enable_grad(), batchable(inputs.count):
        image = watched.tail(z, 0, rows)
        values = inputs.objective(model.similarity(image, embedded))[0]
    inputs.remember(image)
    maps = torch.empty(inputs.count, z.shape[1], device=z.device)

    def use(piece: slice, gradients: tuple[Tensor, ...]) -> None:
        maps[piece] = joined(tower, start, z, rows, seen, [g[:, 0] for g in gradients])

    per_prompt_gradients(values, outputs, use)
    return maps


def _words(inputs: Inputs, start: int) -> Tensor:
    """Prompts do not see each other, so one backward through the sum serves them all."""
    tower, texts = inputs.model.text, inputs.explained
    with torch.no_grad():
        z = tower.run(tower.embed(texts.ids), 0, start, texts.lengths)
    watched, outputs = watch(tower, start)
    with torch.enable_grad():
        embedded = watched.tail(z, 0, texts.rows, texts.lengths)
        values = own_values(inputs, embedded[None], cosines(inputs))
        gradients = torch.autograd.grad(values.sum(), outputs)
    return joined(tower, start, z, texts.rows, content(texts), list(gradients), texts.lengths)


@torch.no_grad()
def joined(
    tower: Tower,
    start: int,
    z: Tensor,
    rows: Tensor,
    seen: Tensor,
    gradients: list[Tensor],
    lengths: Tensor | None = None,
) -> Tensor:
    """Maps (K, T) from the stream z (B, T, D) before block ``start`` and the gradients (K, T or 1, D) at each o.

    ``seen`` (B, T) is 1 on tokens that are explained; the others score 0.
    """
    total = torch.zeros(len(gradients[0]), z.shape[1], device=z.device)
    at = torch.arange(len(z), device=z.device)
    mask = tower.mask(z, lengths)
    for block, g in zip(tower.blocks[start:], gradients, strict=True):
        x = block.attended(z)
        q, k, v = block.query(x)[at, rows], block.key(x), block.value(x)
        likeness = (F.normalize(q, dim=-1)[:, None] * F.normalize(k, dim=-1)).sum(dim=-1)
        w = g[:, 0] if g.shape[1] == 1 else g[torch.arange(len(g), device=g.device), rows.expand(len(g))]
        total += (w[:, None] * v).sum(dim=-1) * unit_range(likeness, seen)
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
