"""Colour maps for windows: black and white swapped, and curves that napari's straight contrast limits cannot draw."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ..io.dicom_voi import Curve, Limits, Voi

if TYPE_CHECKING:
    from napari.utils import Colormap

_BACK = "_r"
_CURVE = "curve"
_STEPS = 1024
_REACH = 1.5  # widths from a sigmoid's centre at which it is within 0.3 % of black and white


def plain() -> Any:
    """Grey, from black to white."""
    return "gray"


def is_inverted(colours: Colormap) -> bool:
    return str(colours.name).endswith(_BACK)


def is_curved(colours: Colormap) -> bool:
    return str(colours.name).startswith(_CURVE)


def inverted(colours: Colormap | str) -> Any:
    """Dark for bright: the same colours the other way round, of a curve the negative; twice is once."""
    from napari.utils.colormaps import AVAILABLE_COLORMAPS, Colormap, ensure_colormap

    given = ensure_colormap(colours)
    name = str(given.name).removesuffix(_BACK) if is_inverted(given) else f"{given.name}{_BACK}"
    if name in AVAILABLE_COLORMAPS:
        return name
    if is_curved(given):
        return Colormap(np.abs([1, 1, 1, 0] - np.asarray(given.colors)), name=name)
    return Colormap(
        np.asarray(given.colors)[::-1], name=name, controls=1 - np.asarray(given.controls)[::-1],
        interpolation=given.interpolation,
    )  # fmt: skip


def curved(voi: Voi) -> tuple[Limits, Any]:
    """(contrast limits, colours) that together draw a curve to a thousandth of its range; the pixels stay."""
    from napari.utils.colormaps import Colormap

    limits = voi.limits
    if not isinstance(voi, Curve):
        limits = voi.centre - _REACH * voi.width, voi.centre + _REACH * voi.width
    grey = voi.shown(np.linspace(*limits, _STEPS))
    name = f"{_CURVE} {hashlib.sha256(grey.tobytes()).hexdigest()[:6]}"  # napari keeps colours by their name
    return limits, Colormap(np.column_stack([grey, grey, grey, np.ones_like(grey)]), name=name)
