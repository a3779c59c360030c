"""DSMI: spectral attribution, without gradients, with them, and with attention times gradient.

The tokens of a block's output make a graph; ``|v|`` of its Fiedler vector says how far a token lies from the cut. The
variants weigh it by attention: ``r = sum_l C_l |v_l|`` with ``C_l = mean_h relu(G_l)`` or ``mean_h relu(G_l * A_l)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ...errors import VLExplainError
from ...models.text.prompts import TextBatch
from ...models.towers import Tower
from ...running.run import Run
from ...spectral.graph import fiedler
from ..inputs import Inputs, Scores, grid, no_words, on_grid, patches, per_prompt_gradients, per_text_gradients
from .parameters import DSMI, DSMIGrad

Fuse = Callable[[Tensor, Tensor], Tensor]
"""(A, G) of one block -> C, mean over heads."""


@torch.no_grad()
def dsmi(inputs: Inputs, parameters: DSMI, run: Run) -> Scores:
    """``|v|`` of one block's tokens. The image's does not depend on the prompt."""
    model = inputs.model
    block = _block(model.image, parameters.block, "block")
    run.step(0.0, "Graph of the patches")
    z = inputs.stream(block + 1)
    at = patches(model.image, z.shape[1])
    image = fiedler(z[0, at]).view(1, *grid(model.image)).expand(inputs.count, -1, -1)
    run.step(0.5, "Graphs of the words")
    if not model.text.depth:
        return Scores(image, no_words(inputs), {"block": block})
    text_block = _block(model.text, parameters.text_block, "text_block")
    texts = inputs.explained
    words = _outputs(model.text, model.text.embed(texts.ids), [text_block], texts.lengths)[text_block]
    return Scores(image, _each_prompt(texts, words), {"block": block, "text_block": text_block})


def dsmi_grad(inputs: Inputs, parameters: DSMIGrad, run: Run) -> Scores:
    """``r = sum_l mean_h relu(G_l) |v_l|``, rows of G being queries."""
    return _weighted(inputs, parameters, run, lambda a, g: g.clamp(min=0).mean(dim=-3))


def dsmi_grad_attn(inputs: Inputs, parameters: DSMIGrad, run: Run) -> Scores:
    """``r = sum_l mean_h relu(G_l * A_l) |v_l|``."""
    return _weighted(inputs, parameters, run, lambda a, g: (g * a).clamp(min=0).mean(dim=-3))


def _weighted(inputs: Inputs, parameters: DSMIGrad, run: Run, fuse: Fuse) -> Scores:
    model, as_published = inputs.model, parameters.as_published or parameters.combine == "notebook"
    start = _start(model.image, parameters.start_block, "start_block")
    run.step(0.0, "Graphs of the patches")
    image = _image(inputs, start, fuse, as_published, run)
    run.step(0.6, "Graphs of the words")
    if not model.text.depth:
        return Scores(on_grid(image, model.image), no_words(inputs), {"start_block": start})
    first = _block if as_published else _start
    text_start = first(model.text, parameters.text_start_block, "text_start_block")
    pad = 0 if parameters.as_published else model.tokenizer.pad
    text = _text_as_published(inputs, text_start, fuse, pad) if as_published else _text(inputs, text_start, fuse)
    return Scores(on_grid(image, model.image), text, {"start_block": start, "text_start_block": text_start})


def _image(inputs: Inputs, start: int, fuse: Fuse, as_published: bool, run: Run) -> Tensor:
    """(K, patches). A last block of which only the readout's row is read gives its patches no gradient."""
    model, tower = inputs.model, inputs.model.image
    embedded = model.encode_text(inputs.texts)
    z = inputs.before(start)
    with torch.enable_grad():
        image, attentions = tower.record(z, start, model.image_rows(1), track=True)
        values = inputs.objective(model.similarity(image, embedded))[0]
    inputs.remember(image)
    whole = [(start + i, a) for i, a in enumerate(attentions) if a.shape[-2] > 1]
    at = patches(tower, z.shape[1])
    with torch.no_grad():
        found = _outputs(tower, tower.embed(inputs.pixels), [block for block, _ in whole])
        vectors = []
        for done, (block, _) in enumerate(whole):
            run.step(0.4 * done / len(whole), "Graphs of the patches")
            inputs.outliers.look(block + 1, found[block])
            vectors.append(fiedler(found[block][0, at], normalise=not as_published))
    scores = torch.zeros(inputs.count, at.stop - at.start, device=z.device)

    def use(piece: slice, gradients: tuple[Tensor, ...]) -> None:
        run.step(0.4 + 0.2 * piece.start / inputs.count, "Gradients of the image")
        for (_, a), g, v in zip(whole, gradients, vectors, strict=True):
            c = fuse(a.detach()[0], g[:, 0])[:, at, at]
            # The notebook multiplies row by row and reads the column of the first patch.
            scores[piece] += c[:, :, 0] * v if as_published else c @ v

    per_prompt_gradients(values, [a for _, a in whole], use)
    return scores


def _text(inputs: Inputs, start: int, fuse: Fuse) -> Tensor:
    """(K, T): the graph and the matrix product over each prompt's own tokens."""
    tower = inputs.model.text
    scores = torch.zeros(inputs.explained.ids.shape, device=inputs.pixels.device)

    @torch.no_grad()
    def use(piece: slice, texts: TextBatch, attentions: list[Tensor], gradients: tuple[Tensor, ...]) -> None:
        whole = {
            start + i: fuse(a, g)
            for i, (a, g) in enumerate(zip(attentions, gradients, strict=True))
            if len(a[0, 0]) > 1
        }
        outputs = _outputs(tower, tower.embed(texts.ids), list(whole), texts.lengths)
        for k, prompt in enumerate(texts.prompts):
            own = torch.tensor(prompt.content, device=scores.device)
            for block, c in whole.items():
                scores[piece.start + k, own] += c[k][own[:, None], own] @ fiedler(outputs[block][k, own])

    per_text_gradients(inputs, start, use)
    return scores


def _text_as_published(inputs: Inputs, start: int, fuse: Fuse, pad: int) -> Tensor:
    """(K, T) as the notebook has it: padding to the context takes part, ``|v|`` of the end token weighs its row."""
    tower = inputs.model.text
    padded = replace(inputs, texts=_padded(inputs, pad))
    scores = torch.zeros(inputs.explained.ids.shape, device=inputs.pixels.device)

    @torch.no_grad()
    def use(piece: slice, texts: TextBatch, attentions: list[Tensor], gradients: tuple[Tensor, ...]) -> None:
        fused = {start + i: fuse(a, g) for i, (a, g) in enumerate(zip(attentions, gradients, strict=True))}
        outputs = _outputs(tower, tower.embed(texts.ids), list(fused))
        for k, prompt in enumerate(texts.prompts):
            own = list(prompt.content)
            for block, c in fused.items():
                row = c[k, 0 if c.shape[1] == 1 else prompt.row]
                scores[piece.start + k, own] += fiedler(outputs[block][k], normalise=False)[prompt.row] * row[own]

    per_text_gradients(padded, start, use)
    total = scores.sum(dim=1, keepdim=True)
    return torch.where(total > 0, scores / total.clamp(min=torch.finfo(scores.dtype).tiny), scores)


def _padded(inputs: Inputs, pad: int) -> TextBatch:
    """The prompts filled with the id ``pad`` up to the context, which then counts as their own."""
    tokenizer, device = inputs.model.tokenizer, inputs.pixels.device
    prompts = tuple(replace(p, ids=(*p.ids, *[pad] * (tokenizer.context - len(p.ids)))) for p in inputs.texts.prompts)
    return TextBatch(prompts, torch.tensor([p.ids for p in prompts], device=device), inputs.texts.rows)


def _each_prompt(texts: TextBatch, z: Tensor) -> Tensor:
    """``|v|`` of each prompt's own tokens, zeros elsewhere: (K, T)."""
    scores = torch.zeros(z.shape[:2], device=z.device)
    for k, prompt in enumerate(texts.prompts):
        own = list(prompt.content)
        scores[k, own] = fiedler(z[k, own])
    return scores


def _outputs(tower: Tower, z: Tensor, blocks: range | list[int], lengths: Tensor | None = None) -> dict[int, Tensor]:
    """The stream behind each of ``blocks``."""
    streams = tower.streams(z, [block + 1 for block in blocks], lengths)
    return {block: streams[block + 1] for block in blocks}


def _block(tower: Tower, index: int, name: str) -> int:
    found = tower.block_index(index)
    if not 0 <= found < tower.depth:
        raise VLExplainError(
            f"{name} is {index}, but this tower has {tower.depth} blocks: choose -1 to {tower.depth - 1}."
        )
    return found


def _start(tower: Tower, index: int, name: str) -> int:
    """A first block from which on tokens other than the readout carry gradients."""
    found, last = _block(tower, index, name), tower.depth - 1 - tower.pool.single_row
    if found > last:
        choice = f"choose 0 to {last}" if last >= 0 else "choose dsmi, which needs none"
        raise VLExplainError(
            f"{name} is {index}, but in the last block of this tower only the token that is read carries a gradient: "
            f"{choice}."
        )
    return found
