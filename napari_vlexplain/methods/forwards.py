"""Scores as functions of what methods vary: pixels, word embeddings; and how much of it fits into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..models.towers import Tower
from ..running.run import Run, chunks, memory_budget
from .inputs import Inputs, grid, per_prompt_gradients

Combine = Callable[[Tensor, slice], Tensor]
"""Gradients (K, s, ...) at some of the samples, and which -> their sum as the method weighs it, (K, ...)."""


def image_values(inputs: Inputs, pixels: Tensor) -> Tensor:
    """The target's scalars of images (S, 3, h, w), each with every explained prompt: (S, K)."""
    return _scored(inputs, _embedded(inputs, pixels))


def word_values(inputs: Inputs, z: Tensor, fixed: Tensor | None = None) -> Tensor:
    """The target's scalars of embedded prompts (S, K, T, D), each prompt varied on its own: (S, K).

    ``fixed`` are the cosines (K + contrasts,) of the image with the unchanged prompts.
    """
    samples, count = z.shape[:2]
    model, texts = inputs.model, inputs.explained
    rows, lengths = (x.repeat(samples) for x in (texts.rows, texts.lengths))
    embedded = model.text.tail(z.flatten(0, 1), 0, rows, lengths).unflatten(0, (samples, count))
    return own_values(inputs, embedded, cosines(inputs) if fixed is None else fixed)


def has_words(inputs: Inputs) -> bool:
    """Are the prompts read word by word? The names of classes are not."""
    return inputs.model.prompts == "text"


def own_values(inputs: Inputs, embedded: Tensor, fixed: Tensor) -> Tensor:
    """Varied prompts' embeddings (S, K, P), the other prompts held at ``fixed`` (K + contrasts,): (S, K)."""
    own = inputs.model.similarity(embedded, inputs.embedding)[..., 0]
    return inputs.own_objective(own.T, torch.arange(own.shape[1], device=own.device), fixed).T


@torch.no_grad()
def cosines(inputs: Inputs) -> Tensor:
    """Of the unchanged image with all prompts, contrasts included: (K + contrasts,)."""
    model = inputs.model
    return model.similarity(inputs.embedding, model.encode_text(inputs.texts))[0]


def image_gradients(
    inputs: Inputs, samples: Callable[[slice], Tensor] | None, count: int, combine: Combine, run: Run
) -> Tensor:
    """Gradients of every prompt's scalar at ``count`` images, combined: (K, 3, h, w).

    ``samples`` gives some of them, (s, 3, h, w); None is the image itself. Each is run once for all prompts.
    """
    total = torch.zeros(inputs.count, *inputs.pixels.shape[1:], device=inputs.pixels.device)

    def work(piece: slice) -> None:
        run.step(piece.start / count, "Gradients of the image")
        x = (samples(piece) if samples else inputs.pixels).detach().requires_grad_()
        with torch.enable_grad(), batchable(inputs.count):
            embedded = _embedded(inputs, x)
            values = _scored(inputs, embedded).sum(dim=0)
        if samples is None:
            inputs.remember(embedded)
        found = torch.empty_like(total)

        def use(prompts: slice, gradients: tuple[Tensor, ...]) -> None:
            found[prompts] = combine(gradients[0], piece)

        per_prompt_gradients(values, [x], use)
        total.add_(found)

    chunks(count, images_at_once(inputs, graph=True), work)
    return total


def word_gradients(
    inputs: Inputs, samples: Callable[[slice], Tensor], count: int, combine: Combine, run: Run
) -> Tensor:
    """The same for ``count`` sets of embedded prompts, ``samples`` giving (s, K, T, D): (K, T, D).

    Prompts do not see each other, so one backward through the sum serves them all.
    """
    total: list[Tensor] = []
    fixed = cosines(inputs)

    def work(piece: slice) -> None:
        run.step(piece.start / count, "Gradients of the words")
        x = samples(piece).detach().requires_grad_()
        with torch.enable_grad():
            (g,) = torch.autograd.grad(word_values(inputs, x, fixed).sum(), [x])
        total.append(combine(g.transpose(0, 1), piece))

    chunks(count, max(1, prompts_at_once(inputs, graph=True) // inputs.count), work)
    return torch.stack(total).sum(dim=0)


def _embedded(inputs: Inputs, pixels: Tensor) -> Tensor:
    tower = inputs.model.image
    return tower.tail(tower.embed(pixels), 0, inputs.model.image_rows(len(pixels)))


def _scored(inputs: Inputs, embedded: Tensor) -> Tensor:
    return inputs.objective(inputs.model.similarity(embedded, inputs.model.encode_text(inputs.texts)))


@contextmanager
def batchable(prompts: int) -> Iterator[None]:
    """Attention whose gradient can be taken for several prompts at once; the fused kernels' cannot be batched."""
    if prompts == 1:
        yield
        return
    with sdpa_kernel(SDPBackend.MATH):
        yield


def images_at_once(inputs: Inputs, graph: bool = False) -> int:
    """Images that fit into the memory budget, with what their backward keeps if ``graph``."""
    tower = inputs.model.image
    height, width = grid(tower)
    area = inputs.pixels[0].numel() * inputs.pixels.element_size()
    if not tower.blocks:  # A convolutional network keeps feature maps that together outweigh the picture.
        each = area * (200 if graph else 40)
    else:
        length = tower.prefix_tokens + height * width
        each = 4 * area + _stream_bytes(tower, length, graph)
    device = inputs.pixels.device
    return max(1, min(memory_budget(device) // each, _most_at_once(device)))


def _most_at_once(device: torch.device) -> int:
    """A CPU gains nothing from larger batches, and who cancels waits for the end of one."""
    return 16 if device.type == "cpu" else 4096


def prompts_at_once(inputs: Inputs, graph: bool = False) -> int:
    """Prompts that fit into the memory budget, as :func:`images_at_once`."""
    ids = inputs.explained.ids
    return max(1, memory_budget(ids.device) // _stream_bytes(inputs.model.text, ids.shape[1], graph))


def _stream_bytes(tower: Tower, length: int, graph: bool) -> int:
    """Of one sample's activations: about 24 streams a block and its attention if a graph keeps them."""
    if not tower.blocks:
        return 4096 * length
    block = tower.blocks[0]
    width = block.value.weight.shape[1]
    one = 24 * length * width + (3 * block.heads * length * length if graph else 0)
    return 4 * one * (tower.depth if graph else 1)
