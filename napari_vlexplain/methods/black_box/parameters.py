"""Parameters of the methods that only see scores of masked images and prompts."""

from __future__ import annotations

from dataclasses import dataclass

from ...models.precisions import PRECISIONS
from ...parameters import param
from ..info import MethodInfo
from ..values import AS_PUBLISHED, FILLS, IMAGE_BASELINES

_BASELINE = "what a hidden pixel becomes: mean colour of the training data, black, white, or the blurred image"
_FILL = "what a hidden word becomes: token 0, or the padding token"
_CHUNK = "masks in one forward pass; None fits them to memory; it does not change the result"
_PRECISION = "of the forward passes; scores are always added up in float32"
_WORDS = "masks for each prompt; where it has fewer subsets, each is taken once, which is what sampling tends to"


@dataclass(frozen=True)
class RISE:
    masks: int = param(2048, "random masks of the image", low=1, high=1_000_000, symbol="N")
    cells: int = param(7, "cells of a mask along each side", low=1, high=64, symbol="s")
    probability: float = param(0.5, "that a cell is kept", low=0.01, high=0.99, symbol="p")
    word_masks: int = param(256, _WORDS, low=1, high=65536)
    normalise: str = param(
        "coverage",
        "coverage: mean score where a patch was kept, minus the mean; published: divided by N p, as in the paper",
        choices=("coverage", "published"),
    )
    baseline: str = param("mean", _BASELINE, choices=IMAGE_BASELINES)
    fill: str = param("first", _FILL, choices=FILLS)
    precision: str = param("float32", _PRECISION, choices=PRECISIONS)
    chunk: int | None = param(None, _CHUNK, low=1, high=65536)
    as_published: bool = param(False, f"{AS_PUBLISHED}: cells are mirrored at the border when masks are enlarged")


@dataclass(frozen=True)
class KernelSHAP:
    samples: int = param(2048, "coalitions of the image's cells", low=2, high=1_000_000)
    word_samples: int = param(256, _WORDS, low=2, high=65536)
    cells: int | None = param(None, "cells along each side; None takes the model's patches", low=1, high=64)
    paired: bool = param(True, "draw each coalition with its complement")
    baseline: str = param("mean", _BASELINE, choices=IMAGE_BASELINES)
    fill: str = param("first", _FILL, choices=FILLS)
    precision: str = param("float32", _PRECISION, choices=PRECISIONS)
    chunk: int | None = param(None, _CHUNK, low=1, high=65536)


@dataclass(frozen=True)
class ExactShapley:
    cells: int = param(3, "cells along each side; n of them take 2^(n^2) forward passes", low=1, high=4)
    words: int = param(10, "most words; longer prompts are explained in that many phrases", low=1, high=16)
    baseline: str = param("mean", _BASELINE, choices=IMAGE_BASELINES)
    fill: str = param("first", _FILL, choices=FILLS)
    precision: str = param("float32", _PRECISION, choices=PRECISIONS)
    chunk: int | None = param(None, _CHUNK, low=1, high=65536)


@dataclass(frozen=True)
class Occlusion:
    window: int = param(1, "side of the hidden square, in patches", low=1, high=64)
    stride: int = param(1, "step of the square, in patches", low=1, high=64)
    baseline: str = param("mean", _BASELINE, choices=IMAGE_BASELINES)
    fill: str = param("first", _FILL, choices=FILLS)
    precision: str = param("float32", _PRECISION, choices=PRECISIONS)
    chunk: int | None = param(None, _CHUNK, low=1, high=65536)


@dataclass(frozen=True)
class LIME:
    samples: int = param(1000, "masked images; the first is the image itself", low=2, high=1_000_000)
    word_samples: int = param(256, _WORDS, low=2, high=65536)
    segments: int = param(50, "superpixels, about", low=2, high=1000)
    compactness: float = param(10.0, "of superpixels: high ones are square", low=0.01, high=1000.0)
    kernel_width: float = param(0.25, "of the weight exp(-d^2 / 2 width^2), d the cosine distance", low=0.01, high=10.0)
    ridge: float = param(1.0, "penalty on squared weights", low=0.0, high=1e6, symbol="α")
    baseline: str = param(
        "segment",
        "what a hidden superpixel becomes: its own mean colour, or as in the other methods",
        choices=("segment", *IMAGE_BASELINES),
    )
    fill: str = param("first", _FILL, choices=FILLS)
    precision: str = param("float32", _PRECISION, choices=PRECISIONS)
    chunk: int | None = param(None, _CHUNK, low=1, high=65536)


def _info(
    name: str, title: str, summary: str, source: str, form: type, function: str, forwards: str, draws: bool = False
) -> MethodInfo:
    entry = f"napari_vlexplain.methods.black_box.{function}"
    needs = frozenset({"black_box"})
    return MethodInfo(name, title, summary, source, form, needs, entry, signed=True, draws=draws, forwards=forwards)


METHODS = (
    _info(
        "rise",
        "RISE",
        "Mean score of randomly masked images and prompts, for each patch and word where it was kept.",
        "Petsiuk, Das, Saenko, BMVC 2018, eq. 6",
        RISE,
        "rise:rise",
        "masks + 1",
        draws=True,
    ),
    _info(
        "kernel_shap",
        "Kernel SHAP",
        "Shapley values by a weighted regression on sampled coalitions.",
        "Lundberg, Lee, NeurIPS 2017, theorem 2",
        KernelSHAP,
        "kernel_shap:kernel_shap",
        "samples + 2",
        draws=True,
    ),
    _info(
        "exact_shapley",
        "Exact Shapley values",
        "Every coalition of a few large cells and of the words.",
        "Shapley 1953; Lundberg, Lee, NeurIPS 2017, eq. 4",
        ExactShapley,
        "exact_shapley:exact_shapley",
        "2 ** (cells * cells) + 2",
    ),
    _info(
        "occlusion",
        "Occlusion",
        "How much the score falls when a square, or a word, is hidden.",
        "Zeiler, Fergus, ECCV 2014, section 3",
        Occlusion,
        "occlusion:occlusion",
        "windows + 1",
    ),
    _info(
        "lime",
        "LIME",
        "Weights of a linear model of the score near the image, on superpixels and words.",
        "Ribeiro, Singh, Guestrin, KDD 2016, algorithm 1",
        LIME,
        "lime:lime",
        "samples + 1",
        draws=True,
    ),
)
