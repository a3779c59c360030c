"""Answers as layers above the image that they are about: the painted relevance, and the boxes over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...layers.answers import box_corners, box_options
from ...results.answer import Answer
from ..viewer.heatmaps import name_of, show_heatmap
from ..viewer.layers import ensure_id, find_layers, geometry, info, new_metadata
from ..viewer.settings import Settings

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

KIND = "boxes"


def show_answer(
    viewer: napari.viewer.Viewer,
    source: Image,
    answer: Answer,
    index: tuple[int, ...],
    keep: bool,
    looks: Settings,
) -> Image:
    """Put an answer onto its image: its heatmap as any explanation's, and its boxes as shapes; returns the heatmap.

    Boxes of the same image, plane, method and question are replaced unless ``keep``; the user's opacity, name and
    visibility stay.
    """
    heatmap = show_heatmap(viewer, source, answer, index, keep, looks)
    kept: dict[str, Any] = {}
    for layer in [] if keep else boxes_of(viewer, source, answer, index):
        kept = {"name": layer.name, "opacity": layer.opacity, "visible": layer.visible}
        viewer.layers.remove(layer)
    if len(answer.boxes):
        _add_boxes(viewer, source, answer, index, kept)
    return heatmap


def follow_boxes(viewer: napari.viewer.Viewer, heatmap: Any) -> None:
    """Show the boxes of this heatmap's question and hide those of the image's other questions."""
    entry = info(heatmap)
    wanted = entry.get("prompt"), entry.get("request", {}).get("method"), entry.get("plane")
    for layer in find_layers(viewer.layers, KIND, entry.get("source")):
        own = info(layer)
        layer.visible = (own.get("prompt"), own.get("method"), own.get("plane")) == wanted


def boxes_of(viewer: napari.viewer.Viewer, source: Image, answer: Answer, index: tuple[int, ...]) -> list[Any]:
    """The box layers of the same question: same image, plane, method and words."""
    wanted = (answer.question, answer.request.method, list(index))
    return [
        layer
        for layer in find_layers(viewer.layers, KIND, ensure_id(source))
        if (info(layer).get("prompt"), info(layer).get("method"), info(layer).get("plane")) == wanted
    ]


def _add_boxes(
    viewer: napari.viewer.Viewer, source: Image, answer: Answer, index: tuple[int, ...], kept: dict[str, Any]
) -> None:
    selected = list(viewer.layers.selection)
    details = {
        "prompt": answer.question,
        "method": answer.request.method,
        "plane": list(index),
        "answer": answer.answer,
        "probability": answer.probability,
    }
    options = {
        **box_options(answer),
        "name": f"{name_of(source, answer, index)} | boxes",
        "metadata": new_metadata(KIND, source, **details),
        **geometry(source, source.ndim),
        **kept,
    }
    layer = viewer.add_shapes(box_corners(answer, index), **options)
    layer.mode = "pan_zoom"
    viewer.layers.selection = set(selected)
