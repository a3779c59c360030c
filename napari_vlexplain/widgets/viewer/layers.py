"""Which layer is which, and where it lies.

A layer of ours, or one that ours came from, carries ``layer.metadata["napari_vlexplain"]``, a dict with

- ``id``: a uuid, the layer's identity; names are the user's to change,
- ``kind``: ``"source"``, ``"heatmap"``, ``"mask"``, ``"truth"``, ``"segments"``, ...,
- ``source``: the id of the layer it was made from, or None,

and whatever else the maker wants to keep there (plain, serialisable values). An id is one layer's alone, and a kind
fits its layer's type, whatever napari copied: see :mod:`.identity`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from ...layers.explanations import LayerData
from .identity import KEY, entry_of

if TYPE_CHECKING:
    from napari.layers import Labels, Layer

OUTLINED = 1 << 20  # pixels

ISOLINES = "isolines"
"""The kind of the lines that the *Look* dock draws on a heatmap."""


def new_metadata(kind: str, source: Layer | None = None, **details: Any) -> dict[str, dict[str, Any]]:
    """The ``metadata=`` of a layer about to be made: a fresh id, its kind and the id of its source."""
    origin = None if source is None else ensure_id(source)
    return {KEY: {"id": str(uuid4()), "kind": kind, "source": origin, **details}}


def mark(layer: Layer, kind: str, source: Layer | None = None, **details: Any) -> str:
    """Mark a layer that exists, keeping its id if it has one; returns the id."""
    entry = new_metadata(kind, source, **details)[KEY]
    entry["id"] = layer_id(layer) or entry["id"]
    layer.metadata[KEY] = entry
    return str(info(layer)["id"])


def ensure_id(layer: Layer) -> str:
    """The id of any layer; one of the user's own is marked as ``"source"`` on first use."""
    return layer_id(layer) or mark(layer, "source")


def info(layer: Layer) -> dict[str, Any]:
    """Our entry in the layer's metadata; empty for a layer that is not marked."""
    return entry_of(layer)


def layer_id(layer: Layer) -> str | None:
    """The layer's id, or None."""
    return info(layer).get("id")


def layer_kind(layer: Layer) -> str | None:
    """The layer's kind, or None."""
    return info(layer).get("kind")


def source_id(layer: Layer) -> str | None:
    """The id of the layer this one was made from, or None."""
    return info(layer).get("source")


def find_layer(layers: Iterable[Layer], wanted: str | None) -> Layer | None:
    """The layer with this id, or None."""
    return next((layer for layer in layers if wanted is not None and layer_id(layer) == wanted), None)


def find_layers(
    layers: Iterable[Layer], kind: str | None = None, source: str | None = None, copies: bool = False
) -> list[Layer]:
    """All marked layers of a kind and/or made from one source, in the order of the layer list.

    Those that the user copied are the user's: ``copies`` are for looking only, never to update or to remove.
    """
    return [
        layer
        for layer in layers
        if layer_id(layer) is not None
        and (kind is None or layer_kind(layer) == kind)
        and (source is None or source_id(layer) == source)
        and (copies or not is_copy(layer))
    ]


def is_copy(layer: Layer) -> bool:
    """Did the user copy it from a layer of ours?"""
    return "copy_of" in info(layer)


def meet(layers: Iterable[Layer]) -> None:
    """Take note of who is who, from the bottom up: of two with one id the lower one is the original."""
    for layer in layers:
        info(layer)


def geometry(layer: Layer, ndim: int | None = None) -> dict[str, Any]:
    """Keyword arguments that put a new layer where ``layer`` is.

    scale, translate, rotate, shear, affine, and units and axis_labels where this napari has them.
    ``ndim`` keeps the trailing axes only: 2 for a heatmap made from one slice of a stack.
    """
    count = layer.ndim
    keep = slice(count - min(ndim or count, count), count)
    affine = np.asarray(layer.affine.affine_matrix)
    rows = [*range(count)[keep], count]
    placed: dict[str, Any] = {
        "scale": np.asarray(layer.scale)[keep],
        "translate": np.asarray(layer.translate)[keep],
        "rotate": np.asarray(layer.rotate)[keep, keep],
        "shear": _shear_matrix(layer)[keep, keep],
        "affine": affine[np.ix_(rows, rows)],
    }
    for name in ("units", "axis_labels"):
        if hasattr(layer, name):
            placed[name] = tuple(getattr(layer, name))[keep]
    return placed


def copy_geometry(source: Layer, target: Layer) -> None:
    """Move a layer that exists to where ``source`` is (a heatmap updated in place)."""
    before = geometry(target)
    for name, value in geometry(source, target.ndim).items():
        same = np.array_equal(before[name], value) if isinstance(value, np.ndarray) else before[name] == value
        if not same:  # each setting redraws the layer
            setattr(target, name, value)


def pixel_to_world(layer: Layer) -> np.ndarray:
    """The (3, 3) matrix from (row, column, 1) in data pixels to world, over the last two axes."""
    origin, *corners = (np.asarray(layer.data_to_world(p))[-2:] for p in _unit_points(layer.ndim))
    matrix = np.eye(3)
    matrix[:2, 2] = origin
    matrix[:2, :2] = np.column_stack([corner - origin for corner in corners])
    return matrix


def outline(layer: Labels, share: int = 300) -> None:
    """Show a mask by its outlines, as wide as one part in ``share`` of it; a large one as a thin veil.

    napari finds outlines on the whole mask at each change, which takes seconds on a large radiograph.
    """
    height, width = layer.data.shape[-2:]
    if height * width <= OUTLINED:
        layer.contour, layer.opacity = max(2, round(max(height, width) / share)), 1.0
    else:
        layer.opacity = 0.3


def _unit_points(ndim: int) -> list[np.ndarray]:
    points = np.zeros((3, ndim))
    points[1, -2] = points[2, -1] = 1
    return list(points)


def _shear_matrix(layer: Layer) -> np.ndarray:
    # napari gives the strict upper triangle as a vector, or a matrix, or (ndim,) zeros for no shear at all.
    shear, count = np.asarray(layer.shear), layer.ndim
    if shear.ndim == 2:
        return shear
    matrix = np.eye(count)
    if shear.any():
        matrix[np.triu_indices(count, 1)] = shear
    return matrix


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
