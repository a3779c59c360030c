"""``open_clip`` models -> towers: ViT (its own or timm's) and ResNet images; CLIP, SigLIP and BERT texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import VLExplainError
from ..blocks import MLP, Block, Linear, linear, norm, packed
from ..files.identity import note
from ..pools import AttentionPool, MeanPool, RowPool
from ..text.prompts import (
    HuggingFaceTokenizer,
    OpenClipTokenizer,
    Readout,
    Tokenizer,
    first_of,
    first_position,
    highest_id,
    last_position,
)
from ..text.tokenizers import TOKENIZERS, fast_tokenizer
from ..towers import Tower
from . import bert, timm_vit
from .open_clip_files import Source


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
    if hasattr(visual, "attnpool"):
        return _resnet(visual)
    if not hasattr(visual, "transformer") or visual.attn_pool is not None:
        raise VLExplainError(
            "This open_clip model's image tower is neither a plain ViT nor a ResNet; "
            "choose one such as open_clip:ViT-B-32:openai."
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

    def embed(pixels: Tensor) -> Tensor:
        x = visual.conv1(pixels)
        grid = (x.shape[2], x.shape[3])
        first = visual.class_embedding.expand(len(x), 1, -1)
        z = torch.cat([first, x.flatten(2).transpose(1, 2)], dim=1)
        return visual.ln_pre(z + _positions(visual.positional_embedding, (height, width), grid))

    return Tower(
        embed=embed,
        blocks=tuple(_block(layer) for layer in visual.transformer.resblocks),
        pool=pool,
        prefix_tokens=1,
        grid=(height, width),
        patch=tuple(visual.patch_size),
        any_size=True,
    )


def _positions(own: Tensor, grid: tuple[int, int], wanted: tuple[int, int]) -> Tensor:
    """Positions (1 + gh gw, D) on another grid, as open_clip's ``resize_pos_embed`` has them."""
    if grid == wanted:
        return own
    patches = own[1:].T.reshape(1, -1, *grid)
    resized = F.interpolate(patches, size=wanted, mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([own[:1], resized[0].flatten(1).T])


def _resnet(visual: Any) -> Tower:
    """OpenAI's ResNet: the mean of the last feature map asks, as a token in front of the patches it attends to."""
    pool = visual.attnpool

    def embed(pixels: Tensor) -> Tensor:
        x = visual.stem(pixels)
        for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            x = layer(x)
        return x.flatten(2).transpose(1, 2)

    def prepare(z: Tensor) -> Tensor:
        return torch.cat([z.mean(dim=1, keepdim=True), z], dim=1) + pool.positional_embedding

    size = visual.image_size
    height, width = (size, size) if isinstance(size, int) else size
    return Tower(
        embed=embed,
        blocks=(),
        pool=AttentionPool(
            prepare=prepare,
            ask=lambda tokens: tokens[:, :1],
            query=linear(pool.q_proj),
            key=linear(pool.k_proj),
            value=linear(pool.v_proj),
            out=linear(pool.c_proj),
            heads=pool.num_heads,
            project=lambda x: x,
        ),
        grid=(height // 32, width // 32),
        patch=(32, 32),
    )


def _text(model: Any) -> Any:
    """CLIP keeps its text tower's parts itself, CustomTextCLIP in ``text``."""
    return getattr(model, "text", model)


def text_tower(model: Any) -> Tower:
    text = _text(model)
    if type(text).__name__ == "HFTextEncoder":
        return _bert(text)
    odd = getattr(text, "cls_emb", None) is not None or getattr(text, "use_pad_mask", False)
    if not hasattr(text, "token_embedding") or odd:
        raise VLExplainError(
            f"The text tower {type(text).__name__} of this open_clip model is not supported; choose one with the text "
            "tower of CLIP, of SigLIP, or BERT."
        )

    def embed(ids: Tensor) -> Tensor:
        return text.token_embedding(ids) + text.positional_embedding[: ids.shape[1]]

    return Tower(
        embed=embed,
        blocks=tuple(_block(layer) for layer in text.transformer.resblocks),
        pool=RowPool(norm(text.ln_final), _projection(text.text_projection)),
        causal=text.attn_mask is not None,
    )


def _bert(text: Any) -> Tower:
    """A BERT of ``transformers``, read at its class token."""
    kind, model = type(text.pooler).__name__, text.transformer
    if model.config.model_type != "bert" or kind not in ("ClsPooler", "ClsLastHiddenStatePooler"):
        raise VLExplainError(
            f"The text tower of this open_clip model is a {model.config.model_type} with {kind}; of those with a "
            "transformers text tower only BERT read at its class token is supported."
        )
    dense = model.pooler if kind == "ClsPooler" and text.pooler.use_pooler_output else None

    def project(x: Tensor) -> Tensor:
        return text.proj(x if dense is None else dense.activation(dense.dense(x)))

    return bert.text_tower(model, project)


def tokenizer(model: Any, own: Any) -> Tokenizer:
    text = _text(model)
    if type(text).__name__ == "HFTextEncoder":
        context = min(own.context, text.config.max_position_embeddings)
        return HuggingFaceTokenizer(own.fast, context, first_position, prepare=own.clean)
    kind = getattr(model, "text_pool_type", None) or text.pool_type
    end = getattr(model, "text_eos_id", None) or getattr(text, "eos_id", 0)
    readouts: dict[str, Readout] = {"argmax": highest_id, "eos": first_of(int(end or 0)), "last": last_position}
    if kind not in readouts:
        raise VLExplainError(f"The text pooling {kind!r} of this open_clip model is not supported.")
    if hasattr(own, "sot_token_id"):
        return OpenClipTokenizer(own, text.context_length, readouts[kind])
    # Where tokens see their padding, every prompt has to have all of it.
    fixed = kind == "last" or text.attn_mask is None
    return HuggingFaceTokenizer(own.fast, text.context_length, readouts[kind], fixed, own.clean)


@dataclass(frozen=True)
class Borrowed:
    """A tokenizer of ``transformers`` with what open_clip does to a text before it, and the context it is cut to."""

    fast: Any
    clean: Callable[[str], str]
    context: int


def library_tokenizer(source: Source) -> Any:
    """open_clip's own tokenizer, or that of ``transformers`` from files on this machine.

    Raises
    ------
    VLExplainError : its files are not here.
    """
    import open_clip
    from open_clip.tokenizer import get_clean_fn

    named = source.architecture
    if source.folder:
        note(source.folder / "open_clip_config.json")
    text = (open_clip.get_model_config(f"local-dir:{source.folder}" if source.folder else named) or {})["text_cfg"]
    if not text.get("hf_tokenizer_name"):
        return open_clip.get_tokenizer("ViT-B-32", context_length=text.get("context_length", 77))
    options = text.get("tokenizer_kwargs", {})
    if options.get("strip_sep_token") or text.get("tokenizer_mode"):
        raise VLExplainError("This open_clip model's tokenizer has options that are not supported.")
    folder = next((f for f in source.tokenizers if any(note(f / name).is_file() for name in TOKENIZERS)), None)
    if folder is None:
        raise VLExplainError(
            f"The tokenizer of {named} is not on this machine: put tokenizer.json and tokenizer_config.json of "
            f"{text['hf_tokenizer_name']} into {source.tokenizers[0]}."
        )
    clean = get_clean_fn(options.get("clean", "whitespace"))
    return Borrowed(fast_tokenizer(folder), clean, text.get("context_length", 77))
