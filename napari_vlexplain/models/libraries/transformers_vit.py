"""``transformers`` ViT, DeiT, DINOv2 and DINOv3 -> image towers. Version 5 renamed their parts; both names are read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any, cast

import torch
from torch import Tensor

from ...errors import VLExplainError
from ..blocks import MLP, Block, Linear, linear, norm
from ..pools import FirstRowsPool, Pool, RowPool
from ..rotary import Rotary
from ..towers import Tower


def _first(owner: Any, *names: str) -> Any:
    """The part that goes by one of these names."""
    return next(getattr(owner, name) for name in names if hasattr(owner, name))


def _block(layer: Any, heads: int) -> Block:
    attention = layer.attention
    inner = getattr(attention, "attention", attention)
    out = attention.o_proj if hasattr(attention, "o_proj") else attention.output.dense
    if not hasattr(layer, "mlp"):
        mlp = MLP(linear(layer.intermediate.dense), layer.intermediate.intermediate_act_fn, linear(layer.output.dense))
    elif hasattr(layer.mlp, "fc1"):
        mlp = MLP(linear(layer.mlp.fc1), _first(layer.mlp, "activation_fn", "activation"), linear(layer.mlp.fc2))
    elif hasattr(layer.mlp, "up_proj") and not hasattr(layer.mlp, "gate_proj"):
        mlp = MLP(linear(layer.mlp.up_proj), layer.mlp.act_fn, linear(layer.mlp.down_proj))
    else:
        mlp = layer.mlp  # gated
    scales = [getattr(getattr(layer, name, None), "lambda1", None) for name in ("layer_scale1", "layer_scale2")]
    return Block(
        norm1=norm(_first(layer, "layernorm_before", "norm1")),
        query=linear(_first(inner, "q_proj", "query")),
        key=linear(_first(inner, "k_proj", "key")),
        value=linear(_first(inner, "v_proj", "value")),
        out=linear(out),
        norm2=norm(_first(layer, "layernorm_after", "norm2")),
        mlp=mlp,
        heads=heads,
        scale1=scales[0],
        scale2=scales[1],
    )


def tower(body: Any, pool: Pool, size: tuple[int, int], prefix_tokens: int) -> Tower:
    """``body`` is a ViTModel, DeiTModel, Dinov2Model or DINOv3ViTModel; ``size`` the pixels (h, w) that it will be
    given."""
    height, width = _pair(body.config.patch_size)
    if size[0] < height or size[1] < width:
        raise VLExplainError(
            f"This model is given pictures of {size[0]} x {size[1]} pixels, which hold none of its patches of "
            f"{height} x {width}: its preprocessing is another model's."
        )
    own, turned = _pair(body.config.image_size), hasattr(body, "rope_embeddings")
    found = Tower(
        embed=_embedding(body.embeddings, own),
        blocks=tuple(_block(layer, body.config.num_attention_heads) for layer in _layers(body)),
        pool=pool,
        prefix_tokens=prefix_tokens,
        patch=(height, width),
        any_size=turned or own[0] == own[1],  # learned positions are taken for those of a square
        rotary=partial(_rotary, body.rope_embeddings, (height, width), prefix_tokens) if turned else None,
    )
    return found.on_grid((size[0] // height, size[1] // width))


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else tuple(size)


def _layers(body: Any) -> Any:
    """The blocks, wherever a version of the library keeps them."""
    for place in ("layers", "layer"):
        for owner in (body, getattr(body, "encoder", None), getattr(body, "model", None)):
            if hasattr(owner, place):
                return getattr(owner, place)
    raise VLExplainError(f"The blocks of {type(body).__name__} are not where this version of transformers keeps them.")


def _rotary(rope: Any, patch: tuple[int, int], prefix: int, grid: tuple[int, int]) -> Rotary:
    """As the library tabulates it for pixels, of which it asks the size alone."""
    height, width = (count * side for count, side in zip(grid, patch, strict=True))
    cosine, sine = rope(rope.inv_freq.new_zeros(()).expand(1, 1, height, width))
    return Rotary(sine, cosine, prefix, halves=True)


def _embedding(embeddings: Any, own: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    """Positions interpolated where pixels are not of the size (h, w) that they were made for."""
    if "interpolate_pos_encoding" not in signature(embeddings.forward).parameters:
        return cast(Callable[[Tensor], Tensor], embeddings)  # DINOv2's asks nobody

    def embed(pixels: Tensor) -> Tensor:
        return embeddings(pixels, interpolate_pos_encoding=tuple(pixels.shape[2:]) != own)

    return embed


def head_of(model: Any) -> tuple[Linear, int]:
    """The linear head of a classifier, and how many of the first tokens it reads side by side.

    A distilled DeiT takes the mean of two heads, one on CLS and one on the distillation token: a single head on
    both tokens' features, half of each.
    """
    if hasattr(model, "distillation_classifier"):
        heads = (linear(model.cls_classifier), linear(model.distillation_classifier))
        return averaged(*heads), 2
    return linear(model.classifier), 1


def averaged(one: Linear, other: Linear) -> Linear:
    """The mean of two heads as one head on both inputs side by side."""
    bias = None if one.bias is None or other.bias is None else (one.bias + other.bias) / 2
    return Linear(torch.cat([one.weight, other.weight], dim=1) / 2, bias)


def classifier_pool(final: Any, rows: int, project: Any) -> Pool:
    """Reads CLS, or CLS and the distillation token."""
    last = norm(final)
    return RowPool(last, project) if rows == 1 else FirstRowsPool(last, project, rows)


def prefix_of(body: Any) -> int:
    """CLS, registers and the distillation token."""
    embeddings = body.embeddings
    registers = getattr(embeddings, "register_tokens", None)
    return 1 + hasattr(embeddings, "distillation_token") + (0 if registers is None else registers.shape[1])
