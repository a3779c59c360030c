"""Parameters of spectral segments: what the model is asked for, and how its answer is cut. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ..errors import VLExplainError
from ..parameters import fill, param

RECOMMENDED = "segments"
"""Under this name :attr:`ModelInfo.recommended` holds what suits a model better than the defaults."""


@dataclass(frozen=True)
class EigenParameters:
    """What needs the model."""

    features: str = param(
        "keys",
        "which features make the graph: keys or values of a block's attention, or the block's output",
        choices=("keys", "values", "output"),
        symbol="X",
    )
    block: int = param(-1, "the block that they are taken from; 0 is the first, -1 the last", low=-64, high=64)
    eigenvectors: int = param(5, "how many, the constant one not counted", low=1, high=50, symbol="K")
    colour_weight: float = param(
        0.0, "weight of nearness in colour and place; 10 for fine matting", low=0.0, high=1000.0, symbol="λ"
    )
    laplacian: str = param(
        "normalised", "normalised cuts weigh every patch by its degree", choices=("normalised", "plain")
    )


@dataclass(frozen=True)
class CutParameters:
    """What is done with the eigenvectors, as often as one likes."""

    clusters: int | None = param(
        None, "how many regions, the background included; automatic takes the largest eigengap", low=1, high=50
    )
    threshold: float = param(
        0.0, "the object is where the first eigenvector exceeds this share of its magnitude", low=-1.0, high=1.0
    )
    object_side: str = param(
        "inside",
        "which side of the first eigenvector is the object: the one that holds less of the picture's border for its "
        "size, or the smaller one, as published",
        choices=("inside", "smaller"),
    )
    largest_only: bool = param(True, "the object is one piece: its largest connected component")
    smooth: bool = param(True, "outlines between patches; off, regions follow the edges of patches")


_CUT = {f.name for f in fields(CutParameters)}
_KNOWN = _CUT | {f.name for f in fields(EigenParameters)}


def split_parameters(given: dict[str, Any]) -> tuple[EigenParameters, CutParameters]:
    """What needs the model, and what is done with the eigenvectors afterwards.

    Raises
    ------
    VLExplainError : an unknown name, a wrong type, a value out of range.
    """
    for name in given:
        if name not in _KNOWN:
            raise VLExplainError(f"segment has no parameter {name!r}; it has {', '.join(sorted(_KNOWN))}.")
    first = {name: value for name, value in given.items() if name not in _CUT}
    second = {name: value for name, value in given.items() if name in _CUT}
    return fill(EigenParameters, first, "segment"), fill(CutParameters, second, "segment")
