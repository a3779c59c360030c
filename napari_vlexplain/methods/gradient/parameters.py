"""Parameters of the methods that follow gradients back to pixels and word embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...parameters import param
from ..info import MethodInfo
from ..values import FILLS, IMAGE_BASELINES, PER_PATCH

# Repeated here so that listing methods needs no torch; tests hold them equal.

_PATCH = "pixels of a patch are joined by their"
_CHANNELS = "colours of a pixel are joined by their magnitudes' max, sum or l2; words always by l2"
_BASELINE = "what an absent pixel is: mean colour of the training data, black, white, or the blurred image"
_FILL = "what an absent word is: token 0, or the padding token"


@dataclass(frozen=True)
class Saliency:
    channels: str = param("max", _CHANNELS, choices=("max", "sum", "l2"))
    patch: str = param("sum", _PATCH, choices=PER_PATCH)


@dataclass(frozen=True)
class InputXGradient:
    baseline: str = param("mean", _BASELINE, choices=IMAGE_BASELINES, symbol="x'")
    fill: str = param("first", _FILL, choices=FILLS)
    patch: str = param("sum", _PATCH, choices=PER_PATCH)


@dataclass(frozen=True)
class SmoothGrad:
    samples: int = param(25, "noisy copies", low=1, high=4096, symbol="n")
    noise: float = param(0.15, "standard deviation, as a share of the input's range", low=0.0, high=2.0, symbol="σ")
    squared: bool = param(False, "average squared gradients (SmoothGrad-Squared) instead of signed ones")
    channels: str = param("max", _CHANNELS, choices=("max", "sum", "l2"))
    patch: str = param("sum", _PATCH, choices=PER_PATCH)


@dataclass(frozen=True)
class IntegratedGradients:
    steps: int = param(32, "points on the path (Gauss-Legendre)", low=1, high=4096, symbol="m")
    baseline: str = param("mean", _BASELINE, choices=IMAGE_BASELINES, symbol="x'")
    fill: str = param("first", _FILL, choices=FILLS)
    patch: str = param("sum", _PATCH, choices=PER_PATCH)


@dataclass(frozen=True)
class GuidedBackpropagation:
    channels: str = param("max", _CHANNELS, choices=("max", "sum", "l2"))
    patch: str = param("sum", _PATCH, choices=PER_PATCH)


@dataclass(frozen=True)
class ExpectedGradients:
    samples: int = param(64, "pairs of a reference and a point on the path to it", low=1, high=4096)
    reference: str = param(
        "colour",
        "references: plain random colours, the image's own patches shuffled, or noise in the training data's colours",
        choices=("colour", "shuffled", "noise"),
        symbol="D",
    )
    patch: str = param("sum", _PATCH, choices=PER_PATCH)


def _info(
    name: str, title: str, summary: str, source: str, form: type, function: str, signed: bool, **more: Any
) -> MethodInfo:
    entry = f"napari_vlexplain.methods.gradient.{function}"
    return MethodInfo(name, title, summary, source, form, frozenset({"gradients"}), entry, signed=signed, **more)


METHODS = (
    _info(
        "saliency",
        "Saliency",
        "How strongly the score reacts to each pixel and each word's embedding.",
        "Simonyan, Vedaldi, Zisserman, ICLR workshop 2014, section 3",
        Saliency,
        "at_input:saliency",
        False,
    ),
    _info(
        "input_x_gradient",
        "Input x gradient",
        "The score's first-order change when a pixel or word is replaced by nothing.",
        "Shrikumar, Greenside, Shcherbina, Kundaje, arXiv 1605.01713",
        InputXGradient,
        "at_input:input_x_gradient",
        True,
    ),
    _info(
        "smoothgrad",
        "SmoothGrad",
        "Gradients averaged over noisy copies of the input.",
        "Smilkov et al., arXiv 1706.03825, section 3",
        SmoothGrad,
        "at_input:smoothgrad",
        False,
        forwards="samples + 1",
        draws=True,
    ),
    _info(
        "integrated_gradients",
        "Integrated gradients",
        "Gradients along the way from nothing to the input; they add up to the score's change.",
        "Sundararajan, Taly, Yan, ICML 2017, eq. 1",
        IntegratedGradients,
        "path_gradients:integrated_gradients",
        True,
        forwards="steps + 2",
    ),
    _info(
        "expected_gradients",
        "Expected gradients",
        "Integrated gradients over many random references instead of one.",
        "Erion, Janizek, Sturmfels, Lundberg, Lee, Nature Machine Intelligence 2021, eq. 3",
        ExpectedGradients,
        "path_gradients:expected_gradients",
        True,
        forwards="samples + 1",
        draws=True,
    ),
    _info(
        "guided_backpropagation",
        "Guided backpropagation",
        "Gradients that pass each activation only where both they and its input are positive.",
        "Springenberg, Dosovitskiy, Brox, Riedmiller, ICLR workshop 2015, section 3.3",
        GuidedBackpropagation,
        "guided:guided_backpropagation",
        False,
    ),
)
