"""``transformers`` SiglipModel (SigLIP, SigLIP 2 of fixed resolution, MedSigLIP) -> towers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...errors import VLExplainError
from ..blocks import linear, norm, packed
from ..pools import AttentionPool
from ..text.prompts import HuggingFaceTokenizer, canonical, last_position
from ..towers import Tower
from .transformers_clip import block, transformer


def image_tower(model: Any) -> Tower:
    """Of a SiglipModel or SiglipVisionModel: a learned probe attends to all patches; there is no class token."""
    vision = getattr(model, "vision_model", model)
    config = vision.config
    if not getattr(vision, "use_head", True):
        raise VLExplainError("This SigLIP has no pooling head, so it gives no embedding of an image to explain.")
    embeddings, head = vision.embeddings, vision.head
    patch = config.patch_size
    side = config.image_size // patch

    def embed(pixels: Tensor) -> Tensor:
        return embeddings(pixels, interpolate_pos_encoding=True)

    def finish(x: Tensor) -> Tensor:
        return x + head.mlp(head.layernorm(x))

    query, key, value = packed(head.attention.in_proj_weight, head.attention.in_proj_bias)
    return Tower(
        embed=embed,
        blocks=tuple(block(layer, config.num_attention_heads) for layer in vision.encoder.layers),
        pool=AttentionPool(
            prepare=norm(vision.post_layernorm),
            ask=lambda tokens: head.probe,
            query=query,
            key=key,
            value=value,
            out=linear(head.attention.out_proj),
            heads=head.attention.num_heads,
            project=finish,
        ),
        grid=(side, side),
        patch=(patch, patch),
        any_size=True,
    )


def text_tower(model: Any) -> Tower:
    """Every token sees every other, padding included; the last position is the readout."""
    return transformer(model, model.text_model.head, causal=False)


def tokenizer(model: Any, fast: Any, config: dict[str, Any]) -> HuggingFaceTokenizer:
    """``config`` is that of the tokenizer: SigLIP's takes punctuation off, SigLIP 2's only makes lower case."""
    if fast.padding_side != "right":
        raise VLExplainError("This SigLIP's tokenizer pads prompts in front; one that pads at the end is needed.")
    # Prompts are padded to what the tokenizer says, which may be less than the tower has positions for.
    context = min(model.config.text_config.max_position_embeddings, fast.model_max_length)
    prepare = canonical if config.get("tokenizer_class", "").startswith("Siglip") else str.lower
    if config.get("tokenizer_class", "").startswith("Siglip2"):
        prepare = str.lower
    return HuggingFaceTokenizer(fast, context, last_position, fixed=True, prepare=prepare)
