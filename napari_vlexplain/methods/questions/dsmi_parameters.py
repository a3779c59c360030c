"""Spectral attribution for question models, and its parameters. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from ...parameters import param
from ..info import MethodInfo
from ..spectral.parameters import SOURCE

_LAYER = "are taken behind this layer, counted among those in which words and boxes meet; -1 is the last"
_TARGET = "whose gradient: the answer's logit, or as in the published tables the sum of all logits"


@dataclass(frozen=True)
class QuestionDSMI:
    block: int = param(-2, f"boxes {_LAYER}, whose boxes nothing reads", low=-64, high=64)
    text_block: int = param(-1, f"words {_LAYER}", low=-64, high=64)


@dataclass(frozen=True)
class QuestionDSMIGrad:
    target: str = param("answer", _TARGET, choices=("answer", "sum_all"))


@dataclass(frozen=True)
class QuestionDSMIGradAttn:
    target: str = param("answer", _TARGET, choices=("answer", "sum_all"))
    reference_quirks: bool = param(
        False, "as in the published code, the first and the last box take no part and score 0"
    )


def dsmi_methods(needs: str) -> tuple[MethodInfo, ...]:
    """The three methods for an architecture with the capability ``needs``."""
    here, needed = "napari_vlexplain.methods.questions.dsmi", frozenset({needs})
    return (
        MethodInfo("dsmi", "DSMI: spectral attribution", "How far a word or box lies from the cut of its graph"
                   " (Fiedler vector); no gradient.", SOURCE, QuestionDSMI, needed, f"{here}:dsmi", uses_prompt=False),
        MethodInfo("dsmi_grad", "DSMI + Grad", "Fiedler vectors of all layers, weighted by the positive gradient of"
                   " their attention.", SOURCE, QuestionDSMIGrad, needed, f"{here}:dsmi_grad"),
        MethodInfo("dsmi_grad_attn", "DSMI + Grad + Attn", "Fiedler vectors of all layers, weighted by attention times"
                   " its gradient, positive part.", SOURCE, QuestionDSMIGradAttn, needed, f"{here}:dsmi_grad_attn"),
    )  # fmt: skip
