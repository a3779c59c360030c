"""Segments as layers: eigenvectors with a slider, regions to edit, the object's mask and its box."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...drawing.colour import hex_of, label_colours, table
from ...results.segment_pictures import region_colours
from ...results.segmentation import Segmentation
from ..viewer.heatmaps import place_of_plane
from ..viewer.layers import copy_geometry, ensure_id, find_layers, geometry, info, mark, new_metadata, outline

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels, Layer, Shapes

EIGENVECTORS, REGIONS, OBJECT, BOX = "eigenvectors", "segments", "mask", "object box"
ROLE = "segments_role"


def show_eigenvectors(
    viewer: napari.viewer.Viewer, source: Image, found: Segmentation, maps: NDArray[np.float32], index: tuple[int, ...]
) -> Image:
    """v_1 .. v_K (K, H, W) as one image with a slider over k, blue below 0 and red above."""
    from napari.utils.colormaps import Colormap

    values = maps.reshape(len(maps), *(1,) * len(index), *maps.shape[1:])
    largest = float(np.abs(found.eigenvectors.vectors).max()) or 1.0
    details = {ROLE: EIGENVECTORS, "plane": list(index), "key": found.request.key}
    layer: Any = _earlier(viewer, source, EIGENVECTORS, index)
    if layer is not None and layer.data.shape == values.shape:
        layer.data, layer.contrast_limits = values, (-largest, largest)
        mark(layer, EIGENVECTORS, source, **details)
        for name, value in _with_slider(source, index).items():
            setattr(layer, name, value)
        return layer
    if layer is not None:
        viewer.layers.remove(layer)
    return viewer.add_image(
        values,
        name=f"{source.name} | eigenvectors",
        rgb=False,
        multiscale=False,
        contrast_limits=(-largest, largest),
        colormap=Colormap(table("balance") / 255.0, name="balance"),
        opacity=0.8,
        blending="translucent",
        metadata=new_metadata(EIGENVECTORS, source, **details),
        **_with_slider(source, index),
    )


def show_regions(viewer: napari.viewer.Viewer, source: Image, found: Segmentation, index: tuple[int, ...]) -> Labels:
    """Regions as Labels. Those that the user painted in since are kept, and new ones lie beside them."""
    data = found.regions.astype(np.uint8)[(np.newaxis,) * len(index)]
    layer: Any = _earlier(viewer, source, REGIONS, index)
    if layer is not None and info(layer).get("fingerprint") != fingerprint(np.asarray(layer.data)):
        mark(layer, REGIONS, source, **{**_own(layer), ROLE: "edited"})
        layer = None
    layer = _labels(viewer, source, layer, data, index, REGIONS, REGIONS, f"{source.name} | regions", found)
    count = int(found.regions.max(initial=0))
    colours: dict[int | None, Any] = {0: "transparent", None: hex_of("model")}
    colours |= {k: (*colour, 1.0) for k, colour in enumerate((region_colours(count) / 255.0).tolist(), start=1)}
    layer.colormap = colours
    return layer


def show_object(viewer: napari.viewer.Viewer, source: Image, found: Segmentation, index: tuple[int, ...]) -> Labels:
    """The object as a mask, for *Measure* like any other."""
    data = found.object_mask.astype(np.uint8)[(np.newaxis,) * len(index)]
    earlier = _earlier(viewer, source, OBJECT, index)
    layer = _labels(viewer, source, earlier, data, index, "mask", OBJECT, f"{source.name} | object", found)
    if earlier is None:
        outline(layer)
        layer.colormap = label_colours("model")
    return layer


def show_box(viewer: napari.viewer.Viewer, source: Image, found: Segmentation, index: tuple[int, ...]) -> Shapes:
    """The object's box as a Shapes layer."""
    x0, y0, x1, y1 = found.box - 0.5  # napari counts from pixel centres
    corners = np.array([(y0, x0), (y0, x1), (y1, x1), (y1, x0)])
    data = [np.concatenate([np.zeros((4, len(index))), corners], axis=1)]
    details = {ROLE: BOX, "plane": list(index), "key": found.request.key}
    layer: Any = _earlier(viewer, source, BOX, index)
    if layer is not None:
        layer.data = data
        mark(layer, BOX, source, **details)
        copy_geometry(source, layer)
    else:
        layer = viewer.add_shapes(
            data,
            shape_type="rectangle",
            name=f"{source.name} | object box",
            edge_color=hex_of("model"),
            edge_width=max(1, round(max(found.regions.shape) / 200)),
            face_color="transparent",
            metadata=new_metadata(BOX, source, **details),
            **geometry(source, source.ndim),
        )
    if index:
        layer.translate = place_of_plane(source, index)
    return layer


def region_mask(viewer: napari.viewer.Viewer, regions: Labels, label: int) -> Labels:
    """One region as a mask of its own, which *Measure* takes up."""
    return viewer.add_labels(
        (np.asarray(regions.data) == label).astype(np.uint8),
        name=f"{regions.name} {label}",
        opacity=0.5,
        colormap=label_colours("model"),
        metadata=new_metadata("mask", regions, region=label),
        **geometry(regions, regions.ndim),
    )


def fingerprint(data: NDArray) -> int:
    """Of a layer's values, to see whether somebody painted in them."""
    import zlib

    return zlib.crc32(np.ascontiguousarray(data).data)


def _labels(
    viewer: napari.viewer.Viewer,
    source: Image,
    layer: Any,
    data: NDArray,
    index: tuple[int, ...],
    kind: str,
    role: str,
    name: str,
    found: Segmentation,
) -> Any:
    details = {ROLE: role, "plane": list(index), "key": found.request.key, "fingerprint": fingerprint(data)}
    if layer is not None:
        layer.data = data
        mark(layer, kind, source, **details)
        copy_geometry(source, layer)
    else:
        layer = viewer.add_labels(
            data, name=name, opacity=0.5, metadata=new_metadata(kind, source, **details), **geometry(source, data.ndim)
        )
    if index:
        layer.translate = place_of_plane(source, index)
    return layer


def _earlier(viewer: napari.viewer.Viewer, source: Layer, role: str, index: tuple[int, ...]) -> Layer | None:
    """The layer of this role that was made from the same plane of the same image, or None."""
    family = find_layers(viewer.layers, source=ensure_id(source))
    fitting = [x for x in family if info(x).get(ROLE) == role and tuple(info(x).get("plane", ())) == index]
    return fitting[-1] if fitting else None


def _own(layer: Layer) -> dict[str, Any]:
    return {name: value for name, value in info(layer).items() if name not in ("id", "kind", "source")}


def _with_slider(source: Layer, index: tuple[int, ...]) -> dict[str, Any]:
    """Where the source lies, with an axis for k in front of it."""
    placed = geometry(source, source.ndim)
    if index:
        placed["translate"] = place_of_plane(source, index)
    for name in ("rotate", "shear", "affine"):
        placed[name] = _grown(np.asarray(placed[name]))
    placed["scale"] = np.concatenate([[1.0], np.asarray(placed["scale"])])
    placed["translate"] = np.concatenate([[0.0], np.asarray(placed["translate"])])
    if "units" in placed:
        placed["units"] = ("pixel", *placed["units"])
    if "axis_labels" in placed:
        placed["axis_labels"] = ("eigenvector", *placed["axis_labels"])
    return placed


def _grown(matrix: NDArray) -> NDArray:
    """With a row and a column of the identity in front."""
    larger = np.eye(len(matrix) + 1)
    larger[1:, 1:] = matrix
    return larger
