"""Outlines of the patches that attract attention whatever they show, as a layer that a reader can turn on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...results.answer import Answer
from ...results.explanation import Explanation
from .layers import ensure_id, find_layer, find_layers, geometry, info, new_metadata, source_id

if TYPE_CHECKING:
    import napari

KIND = "sinks"
COLOUR = "cyan"


def mark_sinks(viewer: napari.viewer.Viewer, heatmap: Any, found: Explanation | Answer) -> None:
    """Outline the sinks in a heatmap's record, in place of those that its image and plane had; hidden until asked for.

    Whether they were shown, their name and opacity stay as the user left them. All prompts of a request share them.
    """
    source = find_layer(viewer.layers, source_id(heatmap))
    if source is None:
        return
    plane = info(heatmap).get("plane", [])
    kept: dict[str, Any] = {"name": f"{source.name}{f' {plane}' if plane else ''} | sinks", "visible": False}
    for layer in find_layers(viewer.layers, KIND, ensure_id(source)):
        if info(layer).get("plane") == plane:
            kept = {"name": layer.name, "visible": layer.visible, "opacity": layer.opacity}
            viewer.layers.remove(layer)
    corners = [] if isinstance(found, Answer) else sink_corners(found, plane)
    if not corners:
        return
    selected = list(viewer.layers.selection)
    layer = viewer.add_shapes(
        corners,
        shape_type="rectangle",
        edge_color=COLOUR,
        face_color="transparent",
        edge_width=max(1.0, max(found.geometry.source) / 300),  # type: ignore[union-attr]
        metadata=new_metadata(KIND, source, plane=plane),
        **geometry(source, source.ndim),
        **kept,
    )
    layer.mode = "pan_zoom"
    viewer.layers.selection = set(selected)


def sink_corners(found: Explanation, plane: list[int]) -> list[np.ndarray]:
    """Four corners (4, 2) of each sink patch in rows and columns of pixel centres, ``plane`` in front of them."""
    notes = found.provenance.get("notes", {}).get("sinks") or {"patches": []}
    height, width = found.geometry.patch
    boxes = [(c * width, r * height, (c + 1) * width, (r + 1) * height) for r, c in notes["patches"]]
    corners = []
    for x0, y0, x1, y1 in found.geometry.boxes_to_source(boxes) - 0.5:  # napari counts from pixel centres
        square = np.array([(y0, x0), (y0, x1), (y1, x1), (y1, x0)])
        corners.append(np.concatenate([np.tile(np.asarray(plane, float), (4, 1)), square], axis=1))
    return corners
