"""Explanations as heatmap layers above the image that they explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...choices.look import Look, colours
from ...layers.explanations import record_of
from ...results.answer import Answer
from ...results.explanation import Explanation
from .grid import grid_of
from .layers import (
    copy_geometry,
    ensure_id,
    find_layers,
    geometry,
    info,
    layer_id,
    mark,
    new_metadata,
    outline,
    source_id,
)
from .settings import Settings

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Layer
    from napari.utils import Colormap

KIND = "heatmap"


def show_heatmap(
    viewer: napari.viewer.Viewer,
    source: Image,
    explanation: Explanation | Answer,
    index: tuple[int, ...],
    keep: bool,
    looks: Settings,
) -> Image:
    """Put an explanation's heatmap onto its image, as a new layer or into the one of the same question.

    The same question is the same image, plane, method and prompt. ``keep`` leaves earlier answers alone. A layer
    that is updated keeps its name, its place, and how the user made it look.
    """
    heatmap = explanation.heatmap[(np.newaxis,) * len(index)]
    details = {**record_of(explanation), "plane": list(index)}
    earlier = [] if keep else _of_the_same_question(viewer, source, explanation, index)
    if earlier:
        layer = earlier[-1]
        layer.data = heatmap
        copy_geometry(source, layer)
        mark(layer, KIND, source, **details)
    else:
        layer = _add(viewer, source, heatmap, name_of(source, explanation, index), looks, details)
    if index:
        layer.translate = place_of_plane(source, index)
    return layer


def name_of(source: Layer, explanation: Explanation | Answer, index: tuple[int, ...]) -> str:
    """``image | method | prompt``, with the plane of a stack behind the image."""
    plane = f" {list(index)}" if index else ""
    return f"{source.name}{plane} | {explanation.request.method} | {explanation.prompt}"


def show_only(viewer: napari.viewer.Viewer, layer: Layer) -> None:
    """Show a heatmap and hide the others of its image; a grid shows them all side by side anyway."""
    layer.visible = True
    if not grid_of(viewer).enabled:
        for other in find_layers(viewer.layers, KIND, source_id(layer), copies=True):
            if layer_id(other) != layer_id(layer):
                other.visible = False


def faded(name: str) -> Colormap:
    """A colormap of napari's, transparent at 0 and opaque from ``looking.OPAQUE_FROM`` on."""
    from napari.utils.colormaps import Colormap, ensure_colormap

    return Colormap(colours(Look(name), lambda steps: ensure_colormap(name).map(steps)), name=f"{name}, faded")


def _of_the_same_question(
    viewer: napari.viewer.Viewer, source: Layer, explanation: Explanation | Answer, index: tuple[int, ...]
) -> list[Any]:
    def asked(layer: Layer) -> tuple[Any, ...]:
        entry = info(layer)
        return entry.get("prompt"), entry.get("request", {}).get("method"), tuple(entry.get("plane", ()))

    wanted = explanation.prompt, explanation.request.method, index
    return [x for x in find_layers(viewer.layers, KIND, ensure_id(source)) if asked(x) == wanted]


def _add(
    viewer: napari.viewer.Viewer,
    source: Image,
    heatmap: np.ndarray,
    name: str,
    looks: Settings,
    details: dict[str, Any],
) -> Image:
    selected = list(viewer.layers.selection)
    layer = viewer.add_image(
        heatmap,
        name=name,
        rgb=False,
        multiscale=False,
        contrast_limits=(0, 1),
        colormap=faded(looks.colormap) if looks.fade else looks.colormap,
        opacity=looks.opacity,
        blending="translucent",
        interpolation2d="linear",
        metadata=new_metadata(KIND, source, **details),
        **geometry(source, heatmap.ndim),
    )
    # Above its image but below masks and boxes; and whoever is painting goes on painting.
    family = [source, *find_layers(viewer.layers, KIND, ensure_id(source), copies=True)]
    ids = {layer_id(member) for member in family} - {layer_id(layer)}
    top = max(place for place, other in enumerate(viewer.layers) if layer_id(other) in ids)
    viewer.layers.move(len(viewer.layers) - 1, top + 1)
    viewer.layers.selection = set(selected)
    if len(family) == 2:
        _outline_truth(viewer, source)
    return layer


def _outline_truth(viewer: napari.viewer.Viewer, source: Image) -> None:
    """Filled masks of the sample data would hide the first heatmap; outlines do not."""
    for truth in find_layers(viewer.layers, "truth", ensure_id(source), copies=True):
        if getattr(truth, "contour", None) == 0:
            outline(truth)


def place_of_plane(source: Layer, index: tuple[int, ...]) -> np.ndarray:
    """The translate of a stack of one plane that lies where plane ``index`` of the source lies."""
    corner = np.zeros(source.ndim)
    corner[: len(index)] = index
    linear = np.asarray(source.affine.affine_matrix)[:-1, :-1]
    moved = np.asarray(source.data_to_world(corner)) - np.asarray(source.data_to_world(np.zeros(source.ndim)))
    # The affine comes after the translation, so the way is measured before it.
    return np.asarray(source.translate) + np.linalg.solve(linear, moved)
