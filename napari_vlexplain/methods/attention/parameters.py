"""Parameters of the methods that read attention."""

from __future__ import annotations

from dataclasses import dataclass

from ...parameters import param
from ..info import MethodInfo
from ..values import sinks

_START = "first block that takes part; 0 is all of them, -1 only the last"


@dataclass(frozen=True)
class Relevance:
    start_block: int = param(-1, f"image tower: {_START}", low=-64, high=64)
    text_start_block: int = param(-1, f"text tower: {_START}", low=-64, high=64)
    sinks: str = sinks("interpolate")


@dataclass(frozen=True)
class RawAttention:
    block: int = param(-1, "block of the image tower; -1 is the last", low=-64, high=64)
    text_block: int = param(-1, "block of the text tower; -1 is the last", low=-64, high=64)
    sinks: str = sinks()


@dataclass(frozen=True)
class Rollout:
    start_block: int = param(0, f"image tower: {_START}", low=-64, high=64)
    text_start_block: int = param(0, f"text tower: {_START}", low=-64, high=64)
    sinks: str = sinks()


@dataclass(frozen=True)
class AttentionGradCAM:
    sinks: str = sinks()


_CHEFER = "Chefer, Gur, Wolf, ICCV 2021"

METHODS = (
    MethodInfo(
        "relevance",
        "Generic attention relevance",
        "Attention times its gradient, positive part, propagated through the blocks.",
        f"{_CHEFER}, eq. 5 and 6",
        Relevance,
        frozenset({"attention", "gradients"}),
        "napari_vlexplain.methods.attention.relevance:relevance",
    ),
    MethodInfo(
        "raw_attention",
        "Raw attention",
        "What the readout token attends to in one block, mean over heads.",
        f"baseline in {_CHEFER}",
        RawAttention,
        frozenset({"attention"}),
        "napari_vlexplain.methods.attention.maps:raw_attention",
        uses_prompt=False,
    ),
    MethodInfo(
        "rollout",
        "Attention rollout",
        "Attention with the residual, multiplied through the blocks.",
        "Abnar, Zuidema, ACL 2020, eq. 1 and 2",
        Rollout,
        frozenset({"attention"}),
        "napari_vlexplain.methods.attention.maps:rollout",
        uses_prompt=False,
    ),
    MethodInfo(
        "attention_grad_cam",
        "Attention Grad-CAM",
        "Heads of the last attention, each weighted by its mean gradient.",
        f"baseline in {_CHEFER}; Selvaraju et al., ICCV 2017, eq. 1 and 2",
        AttentionGradCAM,
        frozenset({"attention", "gradients"}),
        "napari_vlexplain.methods.attention.maps:attention_grad_cam",
    ),
)
