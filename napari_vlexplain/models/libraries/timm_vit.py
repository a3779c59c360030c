"""timm VisionTransformer and Eva (DINOv3) -> Tower, as an image tower of open_clip or on its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import VLExplainError
from ..blocks import MLP, Block, LayerNorm, Linear, linear, norm, packed
from ..pools import AttentionPool, Map, MeanPool, Pool, RowPool
from ..rotary import Rotary
from ..towers import Tower


def _optional_norm(layer: nn.Module) -> LayerNorm | None:
    return norm(layer) if isinstance(layer, nn.LayerNorm) else None


def _block(layer: Any) -> Block:
    attention = layer.attn
    plain = (type(layer).__name__, type(attention).__name__) in (("Block", "Attention"), ("EvaBlock", "EvaAttention"))
    if not plain or getattr(attention, "gate", None) is not None or _optional_norm(attention.norm) is not None:
        raise VLExplainError(
            f"This timm model is made of {type(layer).__name__} with {type(attention).__name__}, which is not "
            "supported; choose a plain ViT such as vit_base_patch16_224."
        )
    query, key, value = _asked(attention)
    scales = [getattr(getattr(layer, name, None), "gamma", None) for name in ("ls1", "ls2")]
    return Block(
        norm1=norm(layer.norm1),
        query=query,
        key=key,
        value=value,
        out=linear(attention.proj),
        norm2=norm(layer.norm2),
        mlp=_mlp(layer.mlp),
        heads=attention.num_heads,
        scale1=getattr(layer, "gamma_1", scales[0]),
        scale2=getattr(layer, "gamma_2", scales[1]),
        query_norm=_optional_norm(attention.q_norm),
        key_norm=_optional_norm(attention.k_norm),
    )


def _asked(attention: Any) -> tuple[Linear, Linear, Linear]:
    """Queries, keys and values; Eva's may have a layer each, or biases beside the packed one."""
    if attention.qkv is None:
        return linear(attention.q_proj), linear(attention.k_proj), linear(attention.v_proj)
    bias = attention.qkv.bias
    if getattr(attention, "q_bias", None) is not None:
        bias = torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
    return packed(attention.qkv.weight, bias)


def _mlp(mlp: Any) -> Callable[[Tensor], Tensor]:
    """Two layers and an activation as our own; a gated MLP as it is."""
    if type(mlp).__name__ == "Mlp" and isinstance(mlp.norm, nn.Identity) and isinstance(mlp.fc1, nn.Linear):
        return MLP(linear(mlp.fc1), mlp.act, linear(mlp.fc2))
    return mlp


def _attention_pool(trunk: Any, before: LayerNorm | None, project: Map) -> AttentionPool:
    """timm's ``map`` pool: one latent asks."""
    pool = trunk.attn_pool
    left_out = trunk.num_prefix_tokens > 0 and not trunk.pool_include_prefix
    if type(pool).__name__ != "AttentionPoolLatent" or pool.latent_len != 1 or left_out:
        raise VLExplainError(f"The pool {type(pool).__name__} of this timm model is not supported in this form.")

    def prepare(z: Tensor) -> Tensor:
        x = z if before is None else before(z)
        return x if pool.pos_embed is None else x + pool.pos_embed

    def finish(x: Tensor) -> Tensor:
        return project(x if pool.mlp is None else x + pool.mlp(pool.norm(x)))

    weight, bias = pool.kv.weight.chunk(2), [None, None] if pool.kv.bias is None else pool.kv.bias.chunk(2)
    return AttentionPool(
        prepare=prepare,
        ask=lambda tokens: pool.latent,
        query=pool.q,
        key=Linear(weight[0], bias[0]),
        value=Linear(weight[1], bias[1]),
        out=pool.proj,
        heads=pool.num_heads,
        project=finish,
        query_norm=_optional_norm(pool.q_norm),
        key_norm=_optional_norm(pool.k_norm),
    )


def image_tower(trunk: Any, head: Map) -> Tower:
    """The tower of a timm ViT followed by ``head`` (open_clip's projection, or the classifier's own)."""
    if not hasattr(trunk, "blocks") or not hasattr(trunk, "num_prefix_tokens"):
        raise VLExplainError(
            f"The image tower {type(trunk).__name__} is not a plain ViT; "
            "choose one whose trunk is a timm VisionTransformer."
        )
    prefix = trunk.num_prefix_tokens
    _take_any_size(trunk)

    def embed(pixels: Tensor) -> Tensor:
        z = trunk._pos_embed(trunk.patch_embed(pixels))
        return trunk.norm_pre(z[0] if isinstance(z, tuple) else z)  # Eva gives the rotary positions beside it

    def project(x: Tensor) -> Tensor:
        return head(trunk.head(x))

    before, after = _optional_norm(trunk.norm), _optional_norm(trunk.fc_norm)
    pool: Pool
    if trunk.attn_pool is not None:
        pool = _attention_pool(trunk, before, project if after is None else lambda x: project(after(x)))
    elif trunk.global_pool == "token":
        pool = RowPool(before, project if after is None else lambda x: project(after(x)))
    elif trunk.global_pool == "avg":
        pool = MeanPool(before, after, project, prefix)
    else:
        raise VLExplainError(
            f"The pooling {trunk.global_pool!r} of this timm model is not supported; choose 'token', 'avg' or 'map'."
        )
    turned = getattr(trunk, "rope", None) is not None
    height, width = trunk.patch_embed.grid_size
    found = Tower(
        embed=embed,
        blocks=tuple(_block(layer) for layer in trunk.blocks),
        pool=pool,
        prefix_tokens=prefix,
        patch=tuple(trunk.patch_embed.patch_size),
        any_size=trunk.attn_pool is None or trunk.attn_pool.pos_embed is None,
        rotary=partial(_rotary, trunk.rope, trunk.blocks[0].attn.rotate_half, prefix) if turned else None,
    )
    return found.on_grid((height, width))


def _rotary(rope: Any, halves: bool, prefix: int, grid: tuple[int, int]) -> Rotary:
    if type(rope).__name__ not in ("RotaryEmbeddingDinoV3", "RotaryEmbeddingCat"):
        raise VLExplainError(
            f"The rotary positions {type(rope).__name__} of this timm model are not supported; choose a DINOv3, or a "
            "ViT with learned positions."
        )
    sine, cosine = rope.get_embed(shape=grid).chunk(2, dim=-1)
    return Rotary(sine, cosine, prefix, halves)


def _take_any_size(trunk: Any) -> None:
    """As if it were made with ``dynamic_img_size``: timm interpolates positions where they do not fit."""
    from timm.layers import Format

    trunk.dynamic_img_size = True
    trunk.patch_embed.strict_img_size, trunk.patch_embed.flatten = False, False
    trunk.patch_embed.output_fmt = Format.NHWC
