"""Methods for models with co-attention, and their parameters. No torch here.

They carry the names of the methods for image-text towers and mean the same; the rules differ with the architecture,
so each architecture has its own list.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import VLExplainError
from ...parameters import param
from ..info import MethodInfo
from ..spectral.parameters import SOURCE as _DSMI

_NAN_HELP = "a row of relevance that is zero: 'row' keeps it zero; 'reference' divides by zero as the published code"
_LAYER = "are taken behind this layer, counted among those in which words and boxes meet; -1 is the last"
_TARGET = "whose gradient: the answer's logit, or as in the published tables the sum of all logits"


@dataclass(frozen=True)
class CoRelevance:
    """Relevance over two modalities."""

    normalize: bool = param(True, "normalise the rows of a relevance before it crosses over (eq. 8 and 9)")
    self_in_rule10: bool = param(True, "self-relevance takes part when relevance crosses over (eq. 10)")
    nan_policy: str = param("row", _NAN_HELP, choices=("row", "reference"))
    aggregate: bool = param(True, "add what each layer contributes; false (ablation) replaces, without normalisation")


@dataclass(frozen=True)
class JointRelevance:
    """Relevance over one sequence."""

    start_block: int = param(0, "first layer that takes part; 0 is all of them, -1 only the last", low=-64, high=64)


@dataclass(frozen=True)
class JointRollout:
    row_normalise: bool = param(False, "rows of A + I sum to 1 (Abnar, Zuidema); the published code leaves it out")


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


@dataclass(frozen=True)
class Nothing:
    """No parameters."""


_CHEFER = "Chefer, Gur, Wolf, ICCV 2021"
_ROLLOUT = f"Abnar, Zuidema, ACL 2020; as baseline in {_CHEFER}"
_GRAD_CAM = f"baseline in {_CHEFER}; Selvaraju et al., ICCV 2017"


def _methods(
    module: str, needs: str, rules: str, relevance: type, rollout: type, *, reads: tuple[str, str, str]
) -> tuple[MethodInfo, ...]:
    """The four methods of one architecture; ``reads`` says what raw attention, rollout and Grad-CAM read."""
    where = f"napari_vlexplain.methods.questions.{module}"
    needed = frozenset({needs})
    return (
        MethodInfo("relevance", "Generic attention relevance", "Attention times its gradient, positive part, propagated"
                   " by the co-attention rules.", f"{_CHEFER}, {rules}", relevance, needed, f"{where}:relevance"),
        MethodInfo("raw_attention", "Raw attention", reads[0], f"baseline in {_CHEFER}", Nothing, needed,
                   f"{where}:raw_attention"),
        MethodInfo("rollout", "Attention rollout", reads[1], _ROLLOUT, rollout, needed, f"{where}:rollout"),
        MethodInfo("attention_grad_cam", "Attention Grad-CAM", reads[2], _GRAD_CAM, Nothing, needed,
                   f"{where}:attention_grad_cam"),
    )  # fmt: skip


def _dsmi_methods(needs: str) -> tuple[MethodInfo, ...]:
    """The three that cut a graph of words or boxes (Fiedler vectors)."""
    here, needed = "napari_vlexplain.methods.questions.dsmi", frozenset({needs})
    return (
        MethodInfo("dsmi", "DSMI: spectral attribution", "How far a word or box lies from the cut of its graph"
                   " (Fiedler vector); no gradient.", _DSMI, QuestionDSMI, needed, f"{here}:dsmi", uses_prompt=False),
        MethodInfo("dsmi_grad", "DSMI + Grad", "Fiedler vectors of all layers, weighted by the positive gradient of"
                   " their attention.", _DSMI, QuestionDSMIGrad, needed, f"{here}:dsmi_grad"),
        MethodInfo("dsmi_grad_attn", "DSMI + Grad + Attn", "Fiedler vectors of all layers, weighted by attention times"
                   " its gradient, positive part.", _DSMI, QuestionDSMIGradAttn, needed, f"{here}:dsmi_grad_attn"),
    )  # fmt: skip


def _lrp_methods(needs: str, module: str = "lrp") -> tuple[MethodInfo, ...]:
    """The two that follow relevance through the layers; their rules leave nothing to choose."""
    here, needed = f"napari_vlexplain.methods.questions.{module}", frozenset({needs})
    return (
        MethodInfo("transformer_attribution", "Transformer attribution", "Relevance of each attention times its"
                   " gradient, multiplied through the layers.",
                   f"Chefer, Gur, Wolf, CVPR 2021; as baseline in {_CHEFER}", Nothing, needed,
                   f"{here}:transformer_attribution"),
        MethodInfo("partial_lrp", "Partial LRP", "Relevance that arrives at the last attention; no gradients.",
                   f"Voita et al., ACL 2019; as baseline in {_CHEFER}", Nothing, needed, f"{here}:partial_lrp",
                   signed=True),
    )  # fmt: skip


_BY_ARCHITECTURE = {
    "two_stream": _methods(
        "two_stream",
        "co_attention",
        "eq. 5 to 11",
        CoRelevance,
        Nothing,
        reads=(
            "What the first token attends to in the last layers, mean over heads.",
            "Attention with the residual, multiplied through both streams.",
            "Heads of the last cross- and self-attention, each weighted by its mean gradient.",
        ),
    ),
    "single_stream": _methods(
        "single_stream",
        "joint_attention",
        "eq. 5 and 6",
        JointRelevance,
        JointRollout,
        reads=(
            "What the answer's token attends to in the last layer, mean over heads.",
            "Attention with the residual, multiplied through the layers.",
            "Heads of the last attention, each weighted by its mean gradient.",
        ),
    ),
    "encoder_decoder": _methods(
        "encoder_decoder",
        "query_attention",
        "eq. 5 to 10",
        CoRelevance,
        Nothing,
        reads=(
            "What the query attends to in the last layer, mean over heads.",
            "Attention with the residual, multiplied through encoder and decoder.",
            "Heads of the last cross-attention, each weighted by its mean gradient.",
        ),
    ),
}
for _architecture, _needs in (("two_stream", "co_attention"), ("single_stream", "joint_attention")):
    _BY_ARCHITECTURE[_architecture] += (*_dsmi_methods(_needs), *_lrp_methods(_needs))
_BY_ARCHITECTURE["encoder_decoder"] += _lrp_methods("query_attention", "detector_lrp")
ARCHITECTURES = tuple(_BY_ARCHITECTURE)


def list_co_attention_methods(architecture: str) -> list[MethodInfo]:
    """The methods for ``two_stream`` (LXMERT), ``single_stream`` (VisualBERT) or ``encoder_decoder`` (DETR) models."""
    return list(_BY_ARCHITECTURE[architecture])


def co_attention_method(name: str, architecture: str, model: str) -> MethodInfo:
    """The method of that name for the architecture of ``model``.

    Raises
    ------
    VLExplainError : there is none; the sentence names those that fit.
    """
    fitting = {info.name: info for info in _BY_ARCHITECTURE[architecture]}
    if name in fitting:
        return fitting[name]
    from ..catalogue import known_methods

    if name in known_methods():
        missing = ", ".join(sorted(known_methods()[name].requires - {"gradients", "attention"})) or "an image tower"
        raise VLExplainError(
            f"{name} needs {missing}, which {model} does not have; methods that fit it: {', '.join(fitting)}."
        )
    raise VLExplainError(f"There is no method {name!r}; methods that fit {model}: {', '.join(fitting)}.")
