"""One layer's activations, and the embedding as a function of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from ..errors import VLExplainError
from ..models.blocks import LayerNorm
from ..models.text.prompts import TextBatch
from ..models.towers import Tower
from .inputs import Inputs


@dataclass(frozen=True)
class Features:
    """``x`` (B, T, D), what a block's queries, keys and values are made of; ``embed`` leads on from it to (B, P).

    The block's residual path and everything before it stay as they were. Of a convolutional tower x is the last
    feature map, one token a place.
    """

    x: Tensor
    embed: Callable[[Tensor], Tensor]


def image_features(inputs: Inputs, layer: int) -> Features:
    """Of the image's block ``layer``."""
    return features(inputs.model.image, inputs.stream(layer), layer, inputs.model.image_rows(1))


def word_features(inputs: Inputs, texts: TextBatch, layer: int) -> Features:
    """Of the prompts' block ``layer``."""
    tower = inputs.model.text
    with torch.no_grad():
        z = tower.run(tower.embed(texts.ids), 0, layer, texts.lengths)
    return features(tower, z, layer, texts.rows, texts.lengths)


def features(tower: Tower, stream: Tensor, layer: int, rows: Tensor, lengths: Tensor | None = None) -> Features:
    """Of block ``layer``, from the stream (B, T, D) before it."""
    if not tower.blocks:
        return Features(stream, lambda x: tower.pool(x, rows))
    with torch.no_grad():
        block = tower.blocks[layer]
        x = block.attended(stream)
    if block.post_norm:
        return Features(x, lambda given: tower.tail(given, layer, rows, lengths))

    def embed(given: Tensor) -> Tensor:
        first = replace(block, norm1=cast(LayerNorm, lambda _: given))
        return replace(tower, blocks=(first, *tower.blocks[layer + 1 :])).tail(stream, 0, rows, lengths)

    return Features(x, embed)


def layer_index(tower: Tower, layer: int, name: str) -> int:
    """A parameter as a block's index, -1 for the last; 0 where there are no blocks.

    Raises
    ------
    VLExplainError : the tower has no such block.
    """
    found = tower.block_index(layer)
    if tower.depth and not 0 <= found < tower.depth:
        raise VLExplainError(
            f"{name} is {layer}, but this tower has {tower.depth} blocks: choose 0 to {tower.depth - 1}, "
            "or -1 for the last."
        )
    return found if tower.depth else 0
