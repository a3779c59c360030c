"""Values that parameters of several methods can take. No torch here."""

from __future__ import annotations

from typing import Any, TypeVar

from ..parameters import param

T = TypeVar("T")

IMAGE_BASELINES = ("mean", "black", "white", "blur")
"""What pixels are replaced by."""
FILLS = ("first", "pad")
"""Which token words are replaced by."""
PER_PATCH = ("sum", "mean", "max")
"""How a patch's pixels become one score."""

AS_PUBLISHED = "compute as the published code does where that departs from the paper"
"""How every method says it in its parameter ``as_published``."""


def settled(value: T | None, as_published: bool, published: T, ours: T) -> T:
    """A parameter's value; of one that is automatic the published one, or ours."""
    if value is not None:
        return value
    return published if as_published else ours


def sinks(default: str = "keep") -> Any:
    """The choice of all methods that read attention or tokens, see :mod:`napari_vlexplain.methods.sinks`.

    The default follows what was measured on a real CLIP, see docs/sinks.md.
    """
    return param(
        default,
        "patches that attract attention whatever they show: keep their scores, remove them, or interpolate around them",
        choices=("keep", "remove", "interpolate"),
    )
