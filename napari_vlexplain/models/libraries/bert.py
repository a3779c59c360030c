"""``transformers`` BertModel -> text tower: BiomedCLIP, BioViL."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..blocks import MLP, Block, linear, norm
from ..pools import Map, RowPool
from ..towers import Tower


def text_tower(model: Any, project: Map) -> Tower:
    """Blocks that normalise afterwards, padding hidden from all tokens, ``project`` of the class token as readout."""
    embeddings = model.embeddings

    def embed(ids: Tensor) -> Tensor:
        words = embeddings.word_embeddings(ids) + embeddings.token_type_embeddings.weight[0]
        return embeddings.LayerNorm(words + embeddings.position_embeddings.weight[: ids.shape[1]])

    heads = model.config.num_attention_heads
    return Tower(
        embed=embed,
        blocks=tuple(_block(layer, heads) for layer in model.encoder.layer),
        pool=RowPool(None, project),
        masks_padding=True,
    )


def _block(layer: Any, heads: int) -> Block:
    attention = layer.attention
    return Block(
        norm1=norm(attention.output.LayerNorm),
        query=linear(attention.self.query),
        key=linear(attention.self.key),
        value=linear(attention.self.value),
        out=linear(attention.output.dense),
        norm2=norm(layer.output.LayerNorm),
        mlp=MLP(linear(layer.intermediate.dense), layer.intermediate.intermediate_act_fn, linear(layer.output.dense)),
        heads=heads,
        post_norm=True,
    )
