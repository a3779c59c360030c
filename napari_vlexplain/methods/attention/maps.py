"""Baselines that read attention: raw attention, rollout, attention Grad-CAM."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...models.text.prompts import TextBatch
from ...models.towers import Tower
from ...running.run import Run, chunks
from ..inputs import (
    Inputs,
    Scores,
    block_index,
    no_words,
    on_grid,
    patches,
    per_prompt_gradients,
    per_text_gradients,
    prompts_at_once,
)
from .parameters import AttentionGradCAM, RawAttention, Rollout


@torch.no_grad()
def raw_attention(inputs: Inputs, parameters: RawAttention, run: Run) -> Scores:
    """The readout row of ``mean_h A_l``. It does not depend on the prompt; the words' scores do."""
    image, text = inputs.model.image, inputs.model.text
    block = block_index(image, parameters.block, "block")
    text_block = block_index(text, parameters.text_block, "text_block")
    run.step(0.0, "Attention of the image")
    rows = inputs.model.image_rows(1)
    found = attention_row(image, inputs.stream(block), block, rows)
    run.step(0.5, "Attention of the words")
    words = _words(inputs, attention_row, text_block)
    return Scores(on_grid(found.expand(inputs.count, -1), image), words, {"block": block, "text_block": text_block})


def _words(inputs: Inputs, row: Callable[..., Tensor], site: int) -> Tensor:
    """What ``row`` reads of every prompt, (K, T)."""
    found, tower = no_words(inputs), inputs.model.text

    def work(piece: slice) -> None:
        texts = inputs.explained[piece]
        z = tower.run(tower.embed(texts.ids), 0, site, texts.lengths)
        found[piece, : z.shape[1]] = row(tower, z, site, texts.rows, texts.lengths)

    if tower.sites:
        chunks(inputs.count, prompts_at_once(inputs, site), work)
    return found


def attention_row(tower: Tower, z: Tensor, block: int, rows: Tensor, lengths: Tensor | None = None) -> Tensor:
    """(B, T): what the readout attends to in one block, mean over heads; ``z`` is the stream before that block.

    Behind the blocks that is the pool's own attention. In a block of a tower whose pool attends no token is the
    readout, so the row is that of the tokens as the pool weighs them.
    """
    if tower.sites > tower.depth:
        _, attentions = tower.record(z, block, rows, lengths=lengths)
        row = attentions[-1].mean(dim=1)[:, 0]
        return row if block == tower.depth else (row[:, None] @ attentions[0].mean(dim=1))[:, 0]
    a, _ = tower.blocks[block].attention(z, tower.mask(z, lengths))
    return (tower.pool.start(z.shape[1], rows)[:, None] @ a.mean(dim=1))[:, 0]


@torch.no_grad()
def rollout(inputs: Inputs, parameters: Rollout, run: Run) -> Scores:
    """``A_L ... A_start`` with ``A = rownorm(mean_h A + I)``, the readout row. It does not depend on the prompt."""
    image, text = inputs.model.image, inputs.model.text
    start = block_index(image, parameters.start_block, "start_block")
    text_start = block_index(text, parameters.text_start_block, "text_start_block")
    run.step(0.0, "Rollout of the image")
    found = rollout_row(image, inputs.stream(start), start, inputs.model.image_rows(1))
    run.step(0.5, "Rollout of the words")
    words = _words(inputs, rollout_row, text_start)
    notes = {"start_block": start, "text_start_block": text_start}
    return Scores(on_grid(found.expand(inputs.count, -1), image), words, notes)


def rollout_row(tower: Tower, z: Tensor, start: int, rows: Tensor, lengths: Tensor | None = None) -> Tensor:
    """(B, T): the readout row of the rollout, from the last block down to ``start``, where the stream is ``z``.

    Every row sums to 1.
    The query of a pool is no token of the stream and has no residual to it, so there the row is A itself.
    """
    _, attentions = tower.record(z, start, rows, lengths=lengths)
    r = tower.pool.start(attentions[-1].shape[-1], rows)
    for a in reversed(attentions):
        mean = a.mean(dim=1)
        r = r + (mean[:, 0] if mean.shape[1] == 1 else (r[:, None] @ mean)[:, 0])
        r = r / r.sum(dim=1, keepdim=True)
    return r


def attention_grad_cam(inputs: Inputs, parameters: AttentionGradCAM, run: Run) -> Scores:
    """``relu(mean_h w_h A_h)`` of the last block's readout row, ``w_h`` the mean gradient over what it attends to."""
    model = inputs.model
    run.step(0.0, "Grad-CAM of the image")
    image = _image_cam(inputs, run)
    run.step(0.6, "Grad-CAM of the words")
    words = _text_cam(inputs, run) if model.text.sites else no_words(inputs)
    return Scores(on_grid(image, model.image), words)


def _image_cam(inputs: Inputs, run: Run) -> Tensor:
    model, tower = inputs.model, inputs.model.image
    rows, last = model.image_rows(1), tower.sites - 1
    embedded = model.encode_text(inputs.texts)
    z = inputs.stream(last)
    with torch.enable_grad():
        image, (a,) = tower.record(z, last, rows, track=True)
        values = inputs.objective(model.similarity(image, embedded))[0]
    length = a.shape[-1]
    attended = torch.zeros(1, length, device=z.device)
    attended[:, patches(tower, length)] = 1
    found = torch.empty(inputs.count, length, device=z.device)

    def use(piece: slice, gradients: tuple[Tensor, ...]) -> None:
        run.step(0.6 * piece.start / inputs.count, "Grad-CAM of the image")
        found[piece] = cam(a.detach(), gradients[0][:, 0], attended, tower.pool.start(length, rows))

    per_prompt_gradients(values, [a], use)
    return found


def _text_cam(inputs: Inputs, run: Run) -> Tensor:
    tower, texts = inputs.model.text, inputs.explained
    found = torch.zeros(texts.ids.shape, device=texts.ids.device)

    def use(piece: slice, some: TextBatch, attentions: list[Tensor], gradients: tuple[Tensor, ...]) -> None:
        run.step(0.6 + 0.4 * piece.start / inputs.count, "Grad-CAM of the words")
        length = some.ids.shape[1]
        row = tower.pool.start(length, some.rows)
        found[piece, :length] = cam(attentions[0], gradients[0], content(some), row)

    per_text_gradients(inputs, tower.sites - 1, use)
    return found


def cam(a: Tensor, g: Tensor, attended: Tensor, row: Tensor) -> Tensor:
    """A (1 or K, H, Q, T), G (K, H, Q, T), ``attended`` (1 or K, T) in {0, 1}, readout ``row`` -> (K, T)."""
    columns = attended[:, None, None]
    weights = (g * columns).sum(dim=(-2, -1), keepdim=True) / (g.shape[-2] * columns.sum(dim=-1, keepdim=True))
    maps = (weights * a * columns).mean(dim=1).clamp(min=0)
    return maps[:, 0] if maps.shape[1] == 1 else (row[:, None] @ maps)[:, 0]


def content(texts: TextBatch) -> Tensor:
    """(K, T) float: 1 where a prompt's own tokens stand, 0 on special tokens and padding."""
    mask = torch.zeros(texts.ids.shape, device=texts.ids.device)
    for row, prompt in zip(mask, texts.prompts, strict=True):
        row[list(prompt.content)] = 1
    return mask
