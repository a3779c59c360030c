"""Which layers make an explanation that is worth keeping: its heatmaps, their image, and the masks painted for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...layers.explanations import LayerData
from ..viewer.layers import find_layer, info, layer_id, source_id

if TYPE_CHECKING:
    import napari


def layers_to_save(viewer: napari.viewer.Viewer, heatmaps: Iterable[str]) -> list[LayerData]:
    """Layer data, uncopied, of these heatmaps (by id) as far as they exist, their images, and those images' masks."""
    from napari.layers import Labels

    found = [layer for one in heatmaps if (layer := find_layer(viewer.layers, one)) is not None]
    family = {layer_id(layer) for layer in found}
    images = {source_id(layer) for layer in found} - {None}
    wanted = [
        layer
        for layer in viewer.layers
        if layer_id(layer) in family | images
        or (isinstance(layer, Labels) and source_id(layer) in images | family)
        or (isinstance(layer, Labels) and not info(layer))
    ]
    return [layer.as_layer_data_tuple() for layer in wanted]
