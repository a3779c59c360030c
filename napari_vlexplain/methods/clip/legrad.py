"""LeGrad (Bousselham et al., ICCV 2025): each block's own score, and its gradient at that block's attention."""

from __future__ import annotations

import torch
from torch import Tensor

from ...models.text.prompts import TextBatch
from ...models.towers import AttentionPool, Tower
from ...running.run import Run, slices
from ..forwards import cosines, has_words, prompts_at_once
from ..inputs import Inputs, Scores, block_index, no_words, on_grid, per_prompt_gradients
from ..values import settled
from .parameters import LeGrad


def legrad(inputs: Inputs, parameters: LeGrad, run: Run) -> Scores:
    """``Σ_l mean_{h, i} relu(dF_l / dA_l)[i, :]``: image tokens as keys, i over all queries. Range >= 0.

    F_l is the target's scalar with the stream behind block l read out: its tokens, normed and projected, averaged; as
    published averaged, then normed and projected.
    Where the model reads by attention (SigLIP), that attention on the stream behind each block takes A_l's place.
    Words: the tower's own readout behind each block, whose row alone has a gradient; no mean over queries.
    """
    model = inputs.model
    asked = settled(parameters.start_block, parameters.as_published, -min(2, model.image.depth), 0)
    start = _start(model.image, asked, "start_block")
    text_start = _start(model.text, parameters.text_start_block, "text_start_block")
    image = _image(inputs, start, parameters, run.part(0.0, 0.7))
    run.step(0.7, "LeGrad of the words")
    words = _words(inputs, text_start) if has_words(inputs) else no_words(inputs)
    return Scores(on_grid(image, model.image), words, {"start_block": start, "text_start_block": text_start})


def _start(tower: Tower, index: int, name: str) -> int:
    """A block; an attention that only pools does not count here."""
    return min(block_index(tower, index + (tower.depth if index < 0 else 0), name), max(tower.depth - 1, 0))


def _image(inputs: Inputs, start: int, parameters: LeGrad, run: Run) -> Tensor:
    model, tower = inputs.model, inputs.model.image
    rows, embedded = model.image_rows(1), model.encode_text(inputs.texts)
    z = inputs.before(start)
    found = torch.zeros(inputs.count, 0, device=z.device)
    for index in range(start, tower.depth):
        run.step((index - start) / (tower.depth - start), "LeGrad of the image")
        inputs.outliers.look(index, z)
        with torch.enable_grad():
            if isinstance(tower.pool, AttentionPool):
                with torch.no_grad():
                    after = tower.blocks[index].fused(z)
                read, a = tower.pool.record(after, track=True)
            else:
                after, a = tower.blocks[index].explicit(z, track=True)
                read = _read(tower, after, rows, parameters)
            values = inputs.objective(model.similarity(read, embedded))[0]
        z = after.detach()
        here = torch.empty(inputs.count, a.shape[-1], device=z.device)

        def use(piece: slice, gradients: tuple[Tensor, ...], here: Tensor = here) -> None:
            here[piece] = gradients[0][:, 0].clamp(min=0).mean(dim=(1, 2))

        per_prompt_gradients(values, [a], use)
        found = here if found.shape[1] == 0 else found + here
    inputs.remember(tower.pool(z, rows))
    return found


def _read(tower: Tower, z: Tensor, rows: Tensor, parameters: LeGrad) -> Tensor:
    """What the stream z (B, T, D) behind a block says: (B, P)."""
    if parameters.readout == "own":
        return tower.pool(z, rows)
    if parameters.as_published:
        return tower.pool.tokens(z.mean(dim=1, keepdim=True))[:, 0]
    return tower.pool.tokens(z).mean(dim=1)


def _words(inputs: Inputs, start: int) -> Tensor:
    found = no_words(inputs)
    fixed, image = cosines(inputs), inputs.embedding
    for piece in slices(inputs.count, prompts_at_once(inputs, graph=True)):
        texts = inputs.explained[piece]
        prompts = torch.arange(piece.start, piece.stop, device=fixed.device)
        found[piece, : texts.ids.shape[1]] = _chunk(inputs, texts, prompts, image, fixed, start)
    return found


def _chunk(inputs: Inputs, texts: TextBatch, prompts: Tensor, image: Tensor, fixed: Tensor, start: int) -> Tensor:
    tower = inputs.model.text
    with torch.no_grad():
        z = tower.run(tower.embed(texts.ids), 0, start, texts.lengths)
    found = torch.zeros(z.shape[:2], device=z.device)
    mask = tower.mask(z, texts.lengths)
    for block in tower.blocks[start:]:
        with torch.enable_grad():
            after, a = block.explicit(z, mask, track=True)
            read = tower.pool(after, texts.rows)
            values = inputs.own_objective(inputs.model.similarity(read, image), prompts, fixed)
            (g,) = torch.autograd.grad(values.sum(), [a])
        z = after.detach()
        found += g.clamp(min=0).mean(dim=1).sum(dim=1)  # a sum, as padding must not count
    return found
