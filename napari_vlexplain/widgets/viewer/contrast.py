"""What a layer shows as black and white: the picture on the canvas is the picture that a model is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from ...errors import VLExplainError
from ...io.images import Limits, default_limits
from .layers import info

if TYPE_CHECKING:
    from napari.layers import Image

_SETTLED: WeakSet[Any] = WeakSet()


def limits_of(layer: Image) -> Limits | None:
    """The values that the canvas shows as black and white; None for all of uint8."""
    dtype = np.dtype(getattr(layer, "dtype", np.uint8))
    if layer.rgb:
        return None if dtype.kind == "b" or dtype == np.uint8 else _of_colours(layer, dtype)
    low, high = (float(limit) for limit in layer.contrast_limits)
    return None if (low, high) == (0.0, 255.0) and dtype == np.uint8 else (low, high)


def settle(layer: Image) -> None:
    """Once for each layer: where napari guessed "from the lowest to the highest", show what every other door shows.

    A layer whose contrast somebody chose, and one that is no plain grey picture, is left alone.
    """
    layer = getattr(layer, "__wrapped__", layer)  # napari hands plugins a proxy
    if layer in _SETTLED or info(layer):  # what our readers open has its file's window already
        return
    _SETTLED.add(layer)
    data = layer.data
    if layer.rgb or not isinstance(data, np.ndarray) or data.ndim != 2 or data.dtype == np.uint8:
        return
    given = tuple(map(float, layer.contrast_limits))
    if not data.size or given != (float(data.min()), float(data.max())):
        return
    try:
        better = default_limits(data)
    except VLExplainError:
        return
    if better is not None and better != given:
        layer.contrast_limits = better


def _of_colours(layer: Image, dtype: np.dtype) -> Limits:
    """As napari turns colours into 8 bits: floats in [0, 1], integers below 255 as they are, else all of their kind."""
    if dtype.kind == "f":
        return 0.0, 1.0
    data = layer.data[0] if layer.multiscale else layer.data
    if dtype.kind in "ui" and int(np.max(data, initial=0)) >= 255:
        return 0.0, float(np.iinfo(dtype).max)
    return 0.0, 255.0
