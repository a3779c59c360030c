"""Masked images, scored: one forward pass of a chunk of masks serves all prompts, and no mask outlives its chunk."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor

from ..running.run import Run, chunks
from .forwards import cosines, images_at_once
from .inputs import Inputs

BLOCK = 64
"""Masks that share a generator: those of block b are the same whatever chunk they are drawn in."""

Draw = Callable[[slice], tuple[Tensor, Tensor]]
"""Which masks -> what the method wants to know of them (n, M), and the masks (n, h, w) in [0, 1], 1 = kept."""

Use = Callable[[Tensor, Tensor], None]
"""What ``Draw`` said of the masks (n, M), and their scores (n, K) float32."""


class Settings(Protocol):
    @property
    def precision(self) -> str: ...
    @property
    def chunk(self) -> int | None: ...


def score_masks(
    inputs: Inputs, baseline: Tensor, count: int, draw: Draw, use: Use, settings: Settings, run: Run
) -> None:
    """Score ``count`` masked images ``b + m (x - b)`` with every prompt, a chunk at a time.

    A chunk that does not fit into memory is halved and drawn again; ``use`` sees every mask once.
    """

    def work(piece: slice) -> None:
        run.step(piece.start / count, "Masked images")
        what, masks = draw(piece)
        images = torch.lerp(baseline, inputs.pixels, masks[:, None])
        use(what, masked_values(inputs, images, settings.precision))

    chunks(count, settings.chunk or images_at_once(inputs), work)


@torch.no_grad()
def masked_values(inputs: Inputs, images: Tensor, precision: str = "float32") -> Tensor:
    """The target's scalars of images (n, 3, h, w): (n, K) float32, the forward pass in ``precision``."""
    model = inputs.model
    with autocast(images.device, precision):
        embedded = model.encode_image(images)
    return inputs.objective(model.similarity(embedded.float(), model.encode_text(inputs.texts)))


@torch.no_grad()
def whole_values(inputs: Inputs, precision: str = "float32") -> Tensor:
    """The target's scalars of the unchanged image: (K,), in the precision of those that they are compared with."""
    if precision == "float32":
        return inputs.objective(cosines(inputs))
    return masked_values(inputs, inputs.pixels, precision)[0]


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Mixed precision of matrix products; norms and softmax stay in float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, precision))


def in_blocks(piece: slice, draw_block: Callable[[int], Tensor]) -> Tensor:
    """Rows ``piece`` of a sequence that is drawn in blocks of :data:`BLOCK` rows, each from its own generator."""
    first, last = piece.start // BLOCK, (piece.stop - 1) // BLOCK
    drawn = torch.cat([draw_block(block) for block in range(first, last + 1)])
    return drawn[piece.start - first * BLOCK : piece.stop - first * BLOCK]
