"""Colour maps for windows: black and white swapped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.utils import Colormap

_BACK = "_r"


def plain() -> Any:
    """Grey, from black to white."""
    return "gray"


def is_inverted(colours: Colormap) -> bool:
    return str(colours.name).endswith(_BACK)


def inverted(colours: Colormap | str) -> Any:
    """Dark for bright: the same colours the other way round; twice is once."""
    from napari.utils.colormaps import AVAILABLE_COLORMAPS, Colormap, ensure_colormap

    given = ensure_colormap(colours)
    name = str(given.name).removesuffix(_BACK) if is_inverted(given) else f"{given.name}{_BACK}"
    if name in AVAILABLE_COLORMAPS:
        return name
    return Colormap(
        np.asarray(given.colors)[::-1], name=name, controls=1 - np.asarray(given.controls)[::-1],
        interpolation=given.interpolation,
    )  # fmt: skip
