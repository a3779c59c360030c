"""The layers of *Latent text*: patches in the colours of their texts, and patches to paint, over their image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...geometry import Geometry
from ..viewer.layers import find_layers, geometry, layer_id, new_metadata

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels, Layer

COLOURED, PAINTED = "latent_text", "latent_edit"


def on_patches(source: Layer, lies: Geometry) -> dict[str, Any]:
    """Keyword arguments that put a layer of one pixel a patch where the patches lie on ``source``.

    Source pixel i has its centre at i, so patch p has its own at ``(p + 1/2) patch / scale - offset / scale - 1/2``.
    """
    placed = geometry(source, 2)
    step = np.array([p / s for p, s in zip(lies.patch, lies.scale, strict=True)])
    first = step / 2 - np.array(lies.offset) / np.array(lies.scale) - 0.5
    matrix = placed["rotate"] @ placed["shear"] @ np.diag(placed["scale"])
    return {**placed, "scale": placed["scale"] * step, "translate": placed["translate"] + matrix @ first}


def show_colours(
    viewer: napari.viewer.Viewer, source: Image, lies: Geometry, colours: NDArray[np.uint8], name: str
) -> Image:
    """Add or update the image's layer of patch colours (gh, gw, 3 or 4)."""
    layer = _own(viewer, source, COLOURED)
    if layer is not None and layer.data.shape == colours.shape:
        layer.data = colours
        _place(layer, on_patches(source, lies))
        return layer
    if layer is not None:
        viewer.layers.remove(layer)
    return viewer.add_image(
        colours,
        rgb=True,
        name=f"{source.name} | {name}",
        opacity=0.6,
        interpolation2d="nearest",
        metadata=new_metadata(COLOURED, source),
        **on_patches(source, lies),
    )


def show_painting(viewer: napari.viewer.Viewer, source: Image, lies: Geometry, patches: NDArray[np.bool_]) -> Labels:
    """Add or update the image's Labels layer of patches to edit (gh, gw); a brush of size 1 paints one patch."""
    layer = painting(viewer, source)
    if layer is not None and layer.data.shape == patches.shape:
        if (np.asarray(layer.data) != 0).tolist() != patches.tolist():
            layer.data = patches.astype(np.uint8)
        _place(layer, on_patches(source, lies))
        return layer
    if layer is not None:
        viewer.layers.remove(layer)
    layer = viewer.add_labels(
        patches.astype(np.uint8),
        name=f"{source.name} | edited patches",
        opacity=0.55,
        metadata=new_metadata(PAINTED, source),
        **on_patches(source, lies),
    )
    layer.brush_size = 1
    return layer


def move_painting(viewer: napari.viewer.Viewer, source: Image, lies: Geometry) -> None:
    """Put the image's layer of patches to edit, if there is one, where the patches lie now."""
    layer = painting(viewer, source)
    if layer is not None:
        _place(layer, on_patches(source, lies))


def painting(viewer: napari.viewer.Viewer, source: Image) -> Labels | None:
    """The image's layer of patches to edit, if there is one."""
    return _own(viewer, source, PAINTED)


def _own(viewer: napari.viewer.Viewer, source: Layer, kind: str) -> Any:
    found = find_layers(viewer.layers, kind, layer_id(source)) if layer_id(source) else []
    return found[0] if found else None


def _place(layer: Layer, placed: dict[str, Any]) -> None:
    for name, value in placed.items():
        setattr(layer, name, value)
