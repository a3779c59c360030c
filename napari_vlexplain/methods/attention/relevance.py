"""Generic attention relevance (Chefer, Gur, Wolf, ICCV 2021), self-attention towers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...models.text.prompts import TextBatch
from ...running.run import Run
from ..inputs import Inputs, Scores, block_index, no_words, on_grid, per_prompt_gradients, per_text_gradients
from .parameters import Relevance


def relevance(inputs: Inputs, parameters: Relevance, run: Run) -> Scores:
    """``R <- R + C R`` over the blocks, ``C = mean_h relu(G * A)``; the readout's row of R.

    Only that row is computed, from the last block down: ``r <- r + r C_l`` equals the row of the full product and
    costs O(N^2) a block instead of O(N^3).
    """
    model = inputs.model
    start = block_index(model.image, parameters.start_block, "start_block")
    text_start = block_index(model.text, parameters.text_start_block, "text_start_block")
    run.step(0.0, "Relevance of the image")
    image = image_relevance(inputs, start, run)
    run.step(0.6, "Relevance of the words")
    text = text_relevance(inputs, text_start, run) if model.text.sites else no_words(inputs)
    run.step(1.0, "Relevance")
    return Scores(on_grid(image, model.image), text, {"start_block": start, "text_start_block": text_start})


def image_relevance(inputs: Inputs, start: int, run: Run) -> Tensor:
    """(K, T): one image forward for all prompts, one batched backward for all prompts and blocks."""
    model, tower = inputs.model, inputs.model.image
    rows = model.image_rows(1)
    embedded = model.encode_text(inputs.texts)
    z = inputs.stream(start)
    with torch.enable_grad():
        image, attentions = tower.record(z, start, rows, track=True)
        values = inputs.objective(model.similarity(image, embedded))[0]
    length = attentions[-1].shape[-1]
    found = torch.empty(inputs.count, length, device=z.device)

    def use(piece: slice, gradients: tuple[Tensor, ...]) -> None:
        run.step(0.6 * piece.start / inputs.count, "Relevance of the image")
        found[piece] = propagate(
            [a[0] for a in attentions], [g[:, 0] for g in gradients], tower.pool.start(length, rows)
        )

    per_prompt_gradients(values, attentions, use)
    return found


def text_relevance(inputs: Inputs, start: int, run: Run) -> Tensor:
    """(K, T): one backward for all prompts of a chunk."""
    pool, texts = inputs.model.text.pool, inputs.explained
    found = torch.zeros(texts.ids.shape, device=texts.ids.device)

    def use(piece: slice, some: TextBatch, attentions: list[Tensor], gradients: tuple[Tensor, ...]) -> None:
        run.step(0.6 + 0.4 * piece.start / inputs.count, "Relevance of the words")
        length = some.ids.shape[1]
        found[piece, :length] = propagate(attentions, gradients, pool.start(length, some.rows))

    per_text_gradients(inputs, start, use)
    return found


def propagate(attentions: Sequence[Tensor], gradients: Sequence[Tensor], row: Tensor) -> Tensor:
    """The readout's row of ``R = (I + C_L) ... (I + C_start)``.

    ``attentions`` A (H, Q, T) or (K, H, Q, T), ``gradients`` G (K, H, Q, T), ``row`` (1 or K, T). A single query
    (Q = 1) is the readout token itself, or the query of a pool: its row starts at zero, so ``r = C_pool R``.
    Returns (K, T).
    """
    r = row
    for a, g in zip(reversed(attentions), reversed(gradients), strict=True):
        c = (g * a.detach()).clamp_(min=0).mean(dim=-3)  # multiply, clamp, then mean over heads
        r = r + (c[:, 0] if c.shape[-2] == 1 else (r.expand(len(c), -1)[:, None] @ c)[:, 0])
    return r
