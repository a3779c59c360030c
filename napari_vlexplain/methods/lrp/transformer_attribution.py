"""Three methods on one relevance sweep: transformer attribution, partial LRP, AttnLRP.

The explained scalar is made linear at the readout: relevance 1 starts there and falls on the channels of the token
that is read. The length of the embedding is held fixed, as a norm passes relevance on unchanged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ...models.text.prompts import TextBatch
from ...models.towers import Tower
from ...running.run import Run, memory_budget, slices
from ..forwards import cosines, has_words
from ..inputs import Inputs, Scores, block_index, no_words, on_grid, per_prompt_gradients, per_text_gradients
from .parameters import AttnLRP, PartialLRP, TransformerAttribution
from .rules import OLDER, TODAY, Rules, attention_aware
from .sweep import Recorded, record, start_relevance

Read = Callable[[Recorded, Tensor], Tensor]
"""A recorded pass and the relevance of what it read (K, D) -> scores of all tokens (K, T)."""


def transformer_attribution(inputs: Inputs, parameters: TransformerAttribution, run: Run) -> Scores:
    """The readout's row of ``(I + C_L) ... (I + C_start)``, ``C = mean_h relu(G ⊙ P)``. Range >= 0.

    G is the gradient of the scalar with respect to an attention, P the relevance that arrives there.
    """
    model = inputs.model
    start = block_index(model.image, parameters.start_block, "start_block")
    text_start = block_index(model.text, parameters.text_start_block, "text_start_block")
    run.step(0.0, "Attribution of the image")
    image = _image_attribution(inputs, start)
    run.step(0.7, "Attribution of the words")
    words = _word_attribution(inputs, text_start) if has_words(inputs) else no_words(inputs)
    return Scores(on_grid(image, model.image), words, {"start_block": start, "text_start_block": text_start})


def partial_lrp(inputs: Inputs, parameters: PartialLRP, run: Run) -> Scores:
    """The readout's row of ``mean_h P`` in the last block; by the ``vit`` rules its positive part."""
    rules = OLDER if parameters.rules == "vit" else TODAY

    def read(recorded: Recorded, relevance: Tensor) -> Tensor:
        ((_, _, p),) = recorded.sweep(relevance, rules)
        row = _row(p, recorded.rows)[:, :, 0]
        return (row.clamp(min=0) if parameters.rules == "vit" else row).mean(dim=1)

    image, text = inputs.model.image, inputs.model.text
    return _swept(inputs, image.depth - 1, text.depth - 1, rules, read, run)


def attn_lrp(inputs: Inputs, parameters: AttnLRP, run: Run) -> Scores:
    """Relevance of each token's embedding, summed over channels; signed. Biases keep their share of it."""
    rules = attention_aware(parameters.gamma, parameters.epsilon, parameters.norm)

    def read(recorded: Recorded, relevance: Tensor) -> Tensor:
        _, found, _ = deque(recorded.sweep(relevance, rules), maxlen=1).pop()
        return found.sum(dim=-1)

    found = _swept(inputs, 0, 0, rules, read, run)
    arrived = found.image.flatten(1)
    # Rules conserve what they are given, 1 a prompt, but for what biases keep.
    sums, largest = arrived.sum(dim=1).tolist(), arrived.abs().amax(dim=1).tolist()
    return replace(found, notes={"conserved": {"given": 1.0, "arrived": sums, "largest": largest}})


def _swept(inputs: Inputs, start: int, text_start: int, rules: Rules, read: Read, run: Run) -> Scores:
    """One sweep a chunk of prompts, of each tower."""
    model = inputs.model
    run.step(0.0, "Relevance of the image")
    recorded = _image_pass(inputs, start)
    relevance = start_relevance(recorded.read, _image_scalars(inputs), rules)
    rows = [read(recorded, relevance[p]) for p in slices(inputs.count, _at_once(model.image, recorded.traces[0].z))]
    image = on_grid(torch.cat(rows), model.image)
    run.step(0.7, "Relevance of the words")
    words = no_words(inputs)
    if has_words(inputs):
        for piece, texts, passed in _word_passes(inputs, text_start):
            own = start_relevance(passed.read, _word_scalars(inputs, piece), rules)
            words[piece, : texts.ids.shape[1]] = read(passed, own)
    return Scores(image, words)


def _image_attribution(inputs: Inputs, start: int) -> Tensor:
    """(K, T)."""
    model, tower = inputs.model, inputs.model.image
    rows, embedded = model.image_rows(1), model.encode_text(inputs.texts)
    recorded = _image_pass(inputs, start)
    relevance = start_relevance(recorded.read, _image_scalars(inputs), TODAY)
    z = recorded.traces[0].z
    with torch.enable_grad():
        image, attentions = tower.record(z, start, rows, track=True)
        values = inputs.objective(model.similarity(image, embedded))[0]
    found = torch.empty(inputs.count, z.shape[1], device=z.device)

    def use(piece: slice, gradients: tuple[Tensor, ...]) -> None:
        found[piece] = attributed(recorded, relevance[piece], [g[:, 0] for g in gradients])

    per_prompt_gradients(values, attentions, use)
    return found


def _word_attribution(inputs: Inputs, start: int) -> Tensor:
    """(K, T)."""
    found = no_words(inputs)

    def use(piece: slice, texts: TextBatch, attentions: list[Tensor], gradients: tuple[Tensor, ...]) -> None:
        passed = _word_pass(inputs, texts, start)
        relevance = start_relevance(passed.read, _word_scalars(inputs, piece), TODAY)
        found[piece, : texts.ids.shape[1]] = attributed(passed, relevance, gradients)

    per_text_gradients(inputs, start, use)
    return found


def attributed(recorded: Recorded, relevance: Tensor, gradients: tuple[Tensor, ...] | list[Tensor]) -> Tensor:
    """The readout's row of the product over blocks, from the last block down: (K, T).

    ``gradients`` G of blocks ``start ..`` are (K, H, T, T), or (K, H, 1, T) where only the readout asks.
    """
    tower = recorded.tower
    r = tower.pool.start(recorded.traces[0].z.shape[1], recorded.rows).expand(len(relevance), -1)
    for index, _, p in recorded.sweep(relevance, TODAY):
        g = gradients[index - recorded.start]
        c = (g * (_row(p, recorded.rows) if g.shape[-2] == 1 else p)).clamp(min=0).mean(dim=1)
        r = r + (c[:, 0] if c.shape[-2] == 1 else (r[:, None] @ c)[:, 0])
    return r


def _row(p: Tensor, rows: Tensor) -> Tensor:
    """The readout's query of P (K, H, T, T): (K, H, 1, T)."""
    return p[torch.arange(len(p), device=p.device), :, rows.expand(len(p))][:, :, None]


@torch.no_grad()
def _image_pass(inputs: Inputs, start: int) -> Recorded:
    model, tower = inputs.model, inputs.model.image
    recorded = record(tower, inputs.before(start), start, model.image_rows(1))
    for index, one in enumerate(recorded.traces, start):
        inputs.outliers.look(index, one.z)
    inputs.remember(tower.pool.project(recorded.read))  # type: ignore[attr-defined]
    return recorded


@torch.no_grad()
def _word_pass(inputs: Inputs, texts: TextBatch, start: int) -> Recorded:
    tower = inputs.model.text
    z = tower.run(tower.embed(texts.ids), 0, start, texts.lengths)
    return record(tower, z, start, texts.rows, texts.lengths)


def _word_passes(inputs: Inputs, start: int) -> Iterator[tuple[slice, TextBatch, Recorded]]:
    texts, tower = inputs.explained, inputs.model.text
    with torch.no_grad():
        one = tower.embed(texts.ids[:1])
    for piece in slices(inputs.count, _at_once(tower, one)):
        yield piece, texts[piece], _word_pass(inputs, texts[piece], start)


def _image_scalars(inputs: Inputs) -> Callable[[Tensor], Tensor]:
    """What is read of the image (1, D) -> the K scalars, the embedding's length held."""
    model = inputs.model
    embedded = model.encode_text(inputs.texts)

    def value(read: Tensor) -> Tensor:
        return inputs.objective(_held(inputs, model.image.pool.project(read), embedded))[0]  # type: ignore[attr-defined]

    return value


def _word_scalars(inputs: Inputs, piece: slice) -> Callable[[Tensor], Tensor]:
    """What is read of some prompts (k, D) -> the scalar of each."""
    model = inputs.model
    image, fixed = inputs.embedding, cosines(inputs)
    prompts = torch.arange(piece.start, piece.stop, device=fixed.device)

    def value(read: Tensor) -> Tensor:
        similarity = _held(inputs, model.text.pool.project(read), image)  # type: ignore[attr-defined]
        return inputs.own_objective(similarity, prompts, fixed)[:, 0]

    return value


def _held(inputs: Inputs, embedded: Tensor, others: Tensor) -> Tensor:
    """Similarities in which the embedding's length is a constant."""
    if not inputs.model.normalise:
        return embedded @ others.T
    length = embedded.detach().norm(dim=-1, keepdim=True)
    return embedded / length @ torch.nn.functional.normalize(others, dim=-1).T


def _at_once(tower: Tower, z: Tensor) -> int:
    """Prompts whose relevances fit into the memory budget: of the widest block, its attention included."""
    length, width = z.shape[1:]
    heads = tower.blocks[0].heads
    return max(1, memory_budget(z.device) // (4 * length * (40 * width + 8 * heads * length)))
