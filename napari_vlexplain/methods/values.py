"""Values that parameters of several methods can take. No torch here."""

from __future__ import annotations

from typing import Any

from ..parameters import param

IMAGE_BASELINES = ("mean", "black", "white", "blur")
"""What pixels are replaced by."""
FILLS = ("first", "pad")
"""Which token words are replaced by."""
PER_PATCH = ("sum", "mean", "max")
"""How a patch's pixels become one score."""


def sinks(default: str = "keep") -> Any:
    """The choice of all methods that read attention or tokens, see :mod:`napari_vlexplain.methods.sinks`.

    The default follows what was measured on a real CLIP, see docs/sinks.md.
    """
    return param(
        default,
        "patches that attract attention whatever they show: keep their scores, remove them, or interpolate around them",
        choices=("keep", "remove", "interpolate"),
    )
