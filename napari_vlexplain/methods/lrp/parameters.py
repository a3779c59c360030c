"""Parameters of layer-wise relevance propagation through transformers."""

from __future__ import annotations

from dataclasses import dataclass

from ...parameters import param
from ..info import MethodInfo
from ..values import sinks

_START = "first block that takes part; 0 is all of them, -1 only the last"


@dataclass(frozen=True)
class TransformerAttribution:
    start_block: int = param(0, f"image tower: {_START}", low=-64, high=64)
    text_start_block: int = param(0, f"text tower: {_START}", low=-64, high=64)
    sinks: str = sinks()


@dataclass(frozen=True)
class PartialLRP:
    rules: str = param(
        "vit",
        "vit: the older rules of the published ViT code, positive part; multimodal: today's rules, signed",
        choices=("vit", "multimodal"),
    )
    sinks: str = sinks()


@dataclass(frozen=True)
class AttnLRP:
    gamma: float = param(
        0.05, "how far linear layers favour the sign of their output; 0 is plain ε", low=0.0, high=10.0, symbol="γ"
    )
    epsilon: float = param(1e-6, "keeps denominators away from zero", low=0.0, high=1.0, symbol="ε")
    norm: str = param(
        "deviation",
        "deviation holds a norm's deviation alone, so that centring and bias take part, as in the published code; "
        "identity hands relevance on channel by channel, and runs away on real weights",
        choices=("deviation", "identity"),
    )
    sinks: str = sinks()


_NEEDS = frozenset({"attention", "cls_readout", "gradients"})

METHODS = (
    MethodInfo(
        "transformer_attribution",
        "Transformer attribution",
        "Relevance of each attention times its gradient, multiplied through the blocks.",
        "Chefer, Gur, Wolf, CVPR 2021, eq. 12 to 15",
        TransformerAttribution,
        _NEEDS,
        "napari_vlexplain.methods.lrp.transformer_attribution:transformer_attribution",
    ),
    MethodInfo(
        "partial_lrp",
        "Partial LRP",
        "Relevance that arrives at the last attention; no gradients.",
        "Voita et al., ACL 2019; baseline in Chefer, Gur, Wolf, CVPR 2021",
        PartialLRP,
        _NEEDS,
        "napari_vlexplain.methods.lrp.transformer_attribution:partial_lrp",
        signed=True,
    ),
    MethodInfo(
        "attn_lrp",
        "AttnLRP",
        "Relevance propagated through every block, softmax and products of activations included.",
        "Achtibat et al., ICML 2024, eq. 8, 13, 14",
        AttnLRP,
        _NEEDS,
        "napari_vlexplain.methods.lrp.transformer_attribution:attn_lrp",
        signed=True,
    ),
)
