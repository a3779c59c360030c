"""``transformers`` CLIPModel -> DualEncoder."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..blocks import MLP, Activation, Block, linear, norm
from ..pools import itself
from ..text.prompts import HuggingFaceTokenizer, Readout, first_of, highest_id
from ..towers import RowPool, Tower


def block(layer: Any, heads: int) -> Block:
    attention, mlp = layer.self_attn, layer.mlp
    activation: Activation = mlp.activation_fn
    return Block(
        norm1=norm(layer.layer_norm1),
        query=linear(attention.q_proj),
        key=linear(attention.k_proj),
        value=linear(attention.v_proj),
        out=linear(attention.out_proj),
        norm2=norm(layer.layer_norm2),
        mlp=MLP(linear(mlp.fc1), activation, linear(mlp.fc2)),
        heads=heads,
    )


def image_tower(model: Any) -> Tower:
    """Of a CLIPModel or a CLIPVisionModelWithProjection; of a CLIPVisionModel, whose embedding is not projected."""
    vision = getattr(model, "vision_model", model)
    project = linear(model.visual_projection) if hasattr(model, "visual_projection") else itself
    config = vision.config
    embeddings = vision.embeddings
    patch = config.patch_size
    side = config.image_size // patch

    def embed(pixels: Tensor) -> Tensor:
        return vision.pre_layrnorm(embeddings(pixels, interpolate_pos_encoding=True))

    return Tower(
        embed=embed,
        blocks=tuple(block(layer, config.num_attention_heads) for layer in vision.encoder.layers),
        pool=RowPool(norm(vision.post_layernorm), project),
        prefix_tokens=1,
        grid=(side, side),
        patch=(patch, patch),
        any_size=True,
    )


def text_tower(model: Any) -> Tower:
    return transformer(model, model.text_projection, causal=True)


def transformer(model: Any, project: nn.Linear, causal: bool) -> Tower:
    """The text tower of a CLIPModel or SiglipModel."""
    text = model.text_model
    embeddings = text.embeddings

    def embed(ids: Tensor) -> Tensor:
        return embeddings.token_embedding(ids) + embeddings.position_embedding.weight[: ids.shape[1]]

    heads = model.config.text_config.num_attention_heads
    return Tower(
        embed=embed,
        blocks=tuple(block(layer, heads) for layer in text.encoder.layers),
        pool=RowPool(norm(text.final_layer_norm), linear(project)),
        causal=causal,
    )


def tokenizer(model: Any, fast: Any) -> HuggingFaceTokenizer:
    config = model.config.text_config
    # Hub configs from before 2023 carry eos_token_id = 2 and mean "the highest id".
    readout: Readout = highest_id if config.eos_token_id == 2 else first_of(config.eos_token_id)
    return HuggingFaceTokenizer(fast, config.max_position_embeddings, readout)
