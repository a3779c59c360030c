"""The precisions of matrix products that a model can be asked for. No torch here."""

from __future__ import annotations

from ..errors import VLExplainError

PRECISIONS = ("float32", "bfloat16", "float16")
"""Of a model's matrix products, see :mod:`napari_vlexplain.models.precision`."""


def resolved(precision: str) -> str:
    """``auto`` is float32, the one that gives the same maps on every device.

    Raises
    ------
    VLExplainError : an unknown precision.
    """
    if precision == "auto":
        return PRECISIONS[0]
    if precision not in PRECISIONS:
        raise VLExplainError(f"The precision is {precision!r}, but it must be auto, {', '.join(PRECISIONS)}.")
    return precision
