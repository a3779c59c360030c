"""Looks on layers: read from one, given to one, taken back. A layer carries its look, and how it was before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...choices.look import Look, colours, limits, opaque
from ..viewer.layers import layer_kind

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.utils import Colormap

METADATA = "napari_vlexplain_look"  # apart from our other entry, which a new run of Explain writes anew
FADED, LOOKED = ", faded", ", look"


def is_map(layer: Layer) -> bool:
    """Can the *Look* dock change it? Heatmaps of ours."""
    return layer_kind(layer) == "heatmap"


def look_of(layer: Image) -> Look:
    """How a heatmap looks now, whoever made it so: the dock, the preferences, or napari's own controls."""
    name, opacity = str(layer.colormap.name), float(layer.opacity) or 0.01
    kept = _entry(layer).get("look")
    if kept is not None:
        look = Look.from_dict(kept)
        if name.startswith(look.colormap + LOOKED):
            return look
    if name.endswith(FADED):
        return Look(name.removesuffix(FADED), opacity)
    return opaque(name.partition(LOOKED)[0], opacity)


def set_look(layer: Image, look: Look, zero: float | None = None) -> None:
    """Give a heatmap a look. ``zero`` is where its raw score 0 lies, for a colour map with its middle there."""
    entry = layer.metadata.setdefault(METADATA, {})
    if "before" not in entry:
        entry["before"] = _state(layer)
    entry["look"] = look.to_dict()
    layer.colormap = colormap_of(look)
    low, high = entry["before"]["contrast_limits"]
    _set_limits(layer, *limits(low, high, (0.0 if zero is None else zero) if look.centred else None))
    layer.opacity = look.opacity
    if hasattr(layer, "colorbar"):  # napari 0.9
        layer.colorbar.visible = look.bar


def reset_look(layer: Image) -> bool:
    """Give a heatmap the display back that it had before its first look; False if it never had another."""
    from napari.utils.colormaps import Colormap

    before = layer.metadata.pop(METADATA, {}).get("before")
    if before is None:
        return False
    colours, controls, name = before["colours"], before["controls"], before["name"]
    layer.colormap = _fresh(Colormap(np.array(colours), controls=np.array(controls), name=name))
    _set_limits(layer, *before["contrast_limits"])
    layer.opacity = before["opacity"]
    if hasattr(layer, "colorbar"):
        layer.colorbar.visible = before["bar"]
    return True


def colormap_of(look: Look) -> Colormap:
    """The look's colours as napari takes them."""
    from napari.utils.colormaps import Colormap, ensure_colormap

    table = colours(look, lambda steps: ensure_colormap(look.colormap).map(steps))
    return _fresh(Colormap(table, name=look.colormap + LOOKED))


def _fresh(colormap: Colormap) -> Colormap:
    """napari keeps every colour map ever used, under a new name if its colours are new; ours come by the hundred."""
    from napari.utils.colormaps import AVAILABLE_COLORMAPS

    known = AVAILABLE_COLORMAPS.get(colormap.name)
    if known is not None and LOOKED in str(colormap.name):
        del AVAILABLE_COLORMAPS[colormap.name]
    return colormap


def _set_limits(layer: Image, low: float, high: float) -> None:
    if not np.allclose(layer.contrast_limits, (low, high)):
        layer.contrast_limits = (low, high)


def _entry(layer: Layer) -> dict[str, Any]:
    entry = layer.metadata.get(METADATA)
    return entry if isinstance(entry, dict) else {}


def _state(layer: Image) -> dict[str, Any]:
    """What a look changes, as plain values."""
    return {
        "name": str(layer.colormap.name),
        "colours": np.asarray(layer.colormap.colors).tolist(),
        "controls": np.asarray(layer.colormap.controls).tolist(),
        "contrast_limits": [float(limit) for limit in layer.contrast_limits],
        "opacity": float(layer.opacity),
        "bar": bool(layer.colorbar.visible) if hasattr(layer, "colorbar") else False,
    }
