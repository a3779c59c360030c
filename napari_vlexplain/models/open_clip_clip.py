"""``open_clip`` CLIP with a ViT image tower, its own or timm's -> towers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PIL import Image
from torch import Tensor, nn

from ..errors import VLExplainError
from . import timm_vit
from .blocks import MLP, Block, Linear, packed
from .preprocess import Preprocess
from .text import HuggingFaceTokenizer, OpenClipTokenizer, Readout, Tokenizer, first_of, highest_id
from .towers import MeanPool, RowPool, Tower
from .transformers_clip import linear, norm


def _scale(layer: nn.Module) -> Tensor | None:
    """The factors of a LayerScale, None for the identity."""
    return getattr(layer, "gamma", None)


def _block(layer: Any) -> Block:
    if type(layer).__name__ != "ResidualAttentionBlock" or not isinstance(layer.attn, nn.MultiheadAttention):
        raise VLExplainError(
            f"This open_clip model is made of {type(layer).__name__}, which is not supported; "
            "choose one whose towers are plain transformers, such as open_clip:ViT-B-32:laion2b_s34b_b79k."
        )
    query, key, value = packed(layer.attn.in_proj_weight, layer.attn.in_proj_bias)
    mlp = layer.mlp
    return Block(
        norm1=norm(layer.ln_1),
        query=query,
        key=key,
        value=value,
        out=linear(layer.attn.out_proj),
        norm2=norm(layer.ln_2),
        mlp=MLP(linear(mlp.c_fc), mlp.gelu, linear(mlp.c_proj)),
        heads=layer.attn.num_heads,
        scale1=_scale(layer.ls_1),
        scale2=_scale(layer.ls_2),
    )


def _projection(weight: Any) -> Callable[[Tensor], Tensor]:
    """open_clip stores a matrix (D, P), a Linear, or nothing."""
    if weight is None:
        return lambda x: x
    if isinstance(weight, nn.Linear):
        return linear(weight)
    return Linear(weight.T)


def image_tower(model: Any) -> Tower:
    visual = model.visual
    if hasattr(visual, "trunk"):
        return timm_vit.image_tower(visual.trunk, visual.head)
    if not hasattr(visual, "transformer") or visual.attn_pool is not None:
        raise VLExplainError(
            "This open_clip model has no plain ViT as its image tower; choose one such as open_clip:ViT-B-32:openai."
        )
    last, project = norm(visual.ln_post), _projection(visual.proj)
    pool: RowPool | MeanPool
    if visual.pool_type == "tok":
        pool = RowPool(last, project)
    elif visual.pool_type == "avg":
        after = visual.final_ln_after_pool
        pool = MeanPool(None if after else last, last if after else None, project, prefix_tokens=1)
    else:
        raise VLExplainError(f"The pooling {visual.pool_type!r} of this model's image tower is not supported.")
    height, width = visual.grid_size
    return Tower(
        embed=visual._embeds,
        blocks=tuple(_block(layer) for layer in visual.transformer.resblocks),
        pool=pool,
        prefix_tokens=1,
        grid=(height, width),
        patch=tuple(visual.patch_size),
    )


def _text(model: Any) -> Any:
    """CLIP keeps its text tower's parts itself, CustomTextCLIP in ``text``."""
    return getattr(model, "text", model)


def text_tower(model: Any) -> Tower:
    text = _text(model)
    if not hasattr(text, "token_embedding") or text.attn_mask is None or getattr(text, "cls_emb", None) is not None:
        raise VLExplainError("This open_clip model has no causal CLIP text tower, the only kind supported.")

    def embed(ids: Tensor) -> Tensor:
        return text.token_embedding(ids) + text.positional_embedding[: ids.shape[1]]

    return Tower(
        embed=embed,
        blocks=tuple(_block(layer) for layer in text.transformer.resblocks),
        pool=RowPool(norm(text.ln_final), _projection(text.text_projection)),
        causal=True,
    )


def tokenizer(model: Any, own: Any) -> Tokenizer:
    text = _text(model)
    kind = getattr(model, "text_pool_type", None) or text.pool_type
    end = getattr(model, "text_eos_id", None) or getattr(text, "eos_id", 0)
    if kind not in ("argmax", "eos"):
        raise VLExplainError(f"The text pooling {kind!r} of this open_clip model is not supported.")
    readout: Readout = highest_id if kind == "argmax" else first_of(int(end or 0))
    if hasattr(own, "sot_token_id"):
        return OpenClipTokenizer(own, text.context_length, readout)
    return HuggingFaceTokenizer(own.tokenizer, text.context_length, readout)


def preprocess(model: Any) -> Preprocess:
    config = model.visual.preprocess_cfg
    size = config["size"]
    height, width = (size, size) if isinstance(size, int) else size
    fits = {"shortest": "crop", "squash": "squash", "longest": "letterbox"}
    return Preprocess(
        size=(height, width),
        fit=fits[config["resize_mode"]],  # type: ignore[arg-type]
        shorter=min(height, width),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        resample=Image.Resampling[config["interpolation"].upper()],
        half_up=True,
    )
