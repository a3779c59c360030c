"""Masks and boxes that the *Correct* dock adds, each where the layer that it was made from lies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...drawing.colour import hex_of, label_colours
from ...errors import VLExplainError
from ...reading_room.correcting import Box
from ...truth.outlines import fill
from ..viewer.layers import find_layer, geometry, new_metadata, source_id
from ..viewer.planes import is_labels
from .layers import image_of, in_pixels

if TYPE_CHECKING:
    from napari.layers import Labels, Layer, Shapes


def mask_layer(
    pixels: NDArray[Any],
    name: str,
    place: Layer,
    source: Layer,
    colours_of: str | None,
    **details: Any,
) -> Labels:
    """A mask (H, W) where ``place`` lies, in a role's colour; None: napari's own, which tell many labels apart."""
    from napari.layers import Labels

    looks: dict[str, Any] = {} if colours_of is None else {"colormap": label_colours(colours_of)}
    values = pixels.astype(np.uint8) if pixels.dtype == bool else pixels
    metadata = new_metadata("mask", source, **details)
    return Labels(values, name=name, opacity=0.5, metadata=metadata, **looks, **geometry(place, 2))


def boxes_layer(layers: Iterable[Layer], mask: Labels, found: list[tuple[int, Box]]) -> Shapes:
    """A rectangle for each box, around the pixels that it is of; ``features`` hold the label."""
    from napari.layers import Shapes

    corners = [np.array([(y, x), (y, x + w), (y + h, x + w), (y + h, x)]) - 0.5 for _, (x, y, w, h) in found]
    return Shapes(
        corners,
        shape_type="rectangle",
        name=f"{mask.name} | boxes",
        edge_color=hex_of("truth"),
        edge_width=max(1.0, max(mask.data.shape[-2:]) / 300),
        face_color="transparent",
        features={"label": [label for label, _ in found]},
        metadata=new_metadata("truth", image_of(layers, mask)),
        **geometry(mask, 2),
    )


def size_for(layers: Iterable[Layer], shapes: Shapes) -> Layer | None:
    """The image that shapes were drawn for, else any image or mask of this view: it says how large a mask is."""
    from napari.layers import Image

    everything = list(layers)
    own = find_layer(everything, source_id(shapes))
    images = [layer for layer in everything if isinstance(layer, Image) and not layer.rgb] or [
        layer for layer in everything if isinstance(layer, Image) or is_labels(layer)
    ]
    return own if own is not None and not is_shapes_layer(own) else next(iter(images), None)


def is_shapes_layer(layer: Layer) -> bool:
    """Is it one of shapes, which has no pixels?"""
    return not hasattr(layer.data, "shape")


def painted_shapes(shapes: Shapes, like: Any, point: tuple[float, ...]) -> Callable[[], NDArray[np.uint16]]:
    """Read the shapes in view now, and return the work for a thread: labels 1, 2, ..., the earlier on top."""
    level = like.data[0] if like.multiscale else like.data
    rgb = bool(getattr(like, "rgb", False))
    height, width = level.shape[-3:-1] if rgb else level.shape[-2:]
    drawn = in_pixels(shapes, like, point)

    def work() -> NDArray[np.uint16]:
        labels = np.zeros((int(height), int(width)), dtype=np.uint16)
        for number, outline in reversed(list(enumerate(drawn, start=1))):
            top, left = (max(int(edge), 0) for edge in np.floor(outline.min(axis=0)))
            bottom, right = (max(int(edge) + 1, 0) for edge in np.ceil(outline.max(axis=0)))
            window = labels[top:bottom, left:right]
            window[fill([outline - (top, left)], window.shape)] = number
        if not labels.any():
            raise VLExplainError("The shapes enclose no pixel of the image; lines and paths do not count.")
        return labels

    return work
