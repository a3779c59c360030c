"""What the *Correct* dock reads from layers and writes into them: planes, labels on one grid, undoable changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from ...errors import VLExplainError
from ...metrics.regions import Grid, in_pixels_of, nearest, shape_2d, take
from ...reading_room.agreement import PAIRS, Agreement, Box, agreements
from ...reading_room.correcting import Spacing
from ...truth.outlines import fill
from ..viewer.layers import find_layer, find_layers, info, layer_id, layer_kind, pixel_to_world, source_id
from ..viewer.planes import in_units_of, is_heatmap, is_labels, outlines, plane, void_in, void_known

if TYPE_CHECKING:
    from napari.layers import Labels, Layer

READER = "reader"
PIECE = 200_000  # pixels written between two looks at the mouse
Index = tuple[int, ...]


def is_reader(layer: Layer) -> bool:
    """Is this a mask that the reader draws?"""
    return is_labels(layer) and (info(layer).get("role") == READER or layer_kind(layer) == READER)


def is_model(layer: Layer) -> bool:
    """Is this a mask made from a heatmap?"""
    return is_labels(layer) and layer_kind(layer) == "mask" and info(layer).get("role") is None


def is_truth(layer: Layer) -> bool:
    """Was this marked as a ground truth, painted or drawn?"""
    return layer_kind(layer) == "truth" and (is_labels(layer) or is_shapes(layer))


def is_shapes(layer: Layer) -> bool:
    """Does it hold boxes or other outlines?"""
    from napari.layers import Shapes

    return isinstance(layer, Shapes)


def is_mask(layer: Layer) -> bool:
    """Is it painted, or a heatmap of ours, which is a mask at the threshold?"""
    return is_labels(layer) or (is_heatmap(layer) and layer_kind(layer) == "heatmap")


def cut_heatmap(values: NDArray[Any], threshold: float) -> NDArray[np.uint8]:
    """1 where the heatmap is at or above the threshold; never where it has no value."""
    with np.errstate(invalid="ignore"):
        return (values >= np.result_type(values, np.float32).type(threshold)).astype(np.uint8)


def masked(layer: Layer, point: tuple[float, ...], threshold: float) -> Callable[[], NDArray[Any]]:
    """Read the plane in view of a mask now, uncopied, and return the work for a thread: its labels."""
    pixels = plane(layer, point)[0]
    if is_labels(layer):
        return lambda: np.asarray(pixels)
    return lambda: cut_heatmap(np.asarray(pixels), threshold)


def readers_mask(layers: Any, source: Layer) -> Labels | None:
    """The reader's mask of the image that ``source`` belongs to, if there is one."""
    family = {layer_id(image_of(layers, source)), source_id(source), layer_id(source)} - {None}
    found = [one for one in find_layers(layers) if is_reader(one) and source_id(one) in family]
    return found[-1] if found else None


def image_of(layers: Any, layer: Layer) -> Layer:
    """The image that a mask belongs to: its source, else an image of the same size, else the mask itself."""
    from napari.layers import Image

    everything = list(layers)
    source = find_layer(everything, source_id(layer))
    while source is not None and find_layer(everything, source_id(source)) is not None:
        source = find_layer(everything, source_id(source))
    if source is not None:
        return source
    size = tuple(np.shape(layer.data))[-2:]
    alike = (one for one in everything if isinstance(one, Image) and tuple(one.extent.data[1][-2:] + 0.5) == size)
    return next(alike, layer)


def spacing_of(layer: Layer) -> Spacing | None:
    """(row, column) in mm of a layer whose units are lengths, else None."""
    units = getattr(layer, "units", None)
    if units is None:
        return None
    try:
        row, column = (float((1 * units[axis]).to("mm").magnitude) for axis in (-2, -1))
    except Exception:  # pixels, or whatever else is no length
        return None
    scale = np.abs(np.asarray(layer.scale, dtype=float))
    return row * float(scale[-2]), column * float(scale[-1])


def editable(layer: Labels, point: tuple[float, ...]) -> tuple[NDArray[Any], Index]:
    """The plane in view of a Labels layer, uncopied, and its leading indices.

    Raises VLExplainError for a layer whose pixels cannot be written.
    """
    pixels, index = plane(layer, point)
    if not isinstance(pixels, np.ndarray) or not pixels.flags.writeable or layer.multiscale:
        raise VLExplainError(f"The pixels of “{layer.name}” cannot be changed in place; copy it as the reader's mask.")
    return pixels, index


def comparison(
    chosen: Mapping[str, Layer], point: tuple[float, ...], threshold: float = 0.5
) -> Callable[[], list[Agreement]]:
    """Read the layers by role now (no copies), and return the work for another thread: every pair compared.

    A heatmap is the mask of what is at or above ``threshold``.

    Everything is put on the finest grid among the painted layers, by nearest pixel. Boxes, where the ground truth is
    made of rectangles, are the parts. A ground truth that no figure may count, as its layer says, is left out, and so
    is the border of a label picture.
    """
    chosen = {role: layer for role, layer in chosen.items() if not (role == "truth" and doubt_of(layer))}
    painted = {role: layer for role, layer in chosen.items() if is_mask(layer)}
    if not painted:
        return list
    home = min(painted.values(), key=lambda layer: _grid(layer, layer, point).pixel_area)
    grid = _grid(home, home, point)
    planes = {role: (masked(layer, point, threshold), _grid(layer, home, point)) for role, layer in painted.items()}
    known = void_known(chosen.get("truth"))
    drawn = {role: in_pixels(layer, home, point) for role, layer in chosen.items() if role not in painted}

    def work() -> list[Agreement]:
        masks: dict[str, Any] = {}
        ignored = None
        for role, (read, own) in planes.items():
            labels = read()
            void = void_in(labels, known) if role == "truth" else None
            if void is not None:
                ignored = void if own.same_as(grid) else take(void, *nearest(own, grid), False)
            masks[role] = labels if own.same_as(grid) else take(labels, *nearest(own, grid), 0)
        for role, shapes in drawn.items():
            masks[role] = fill(shapes, grid.shape)
        boxes = [box for shapes in drawn.values() for box in _boxes(shapes)]
        whole = all(len(shapes) == len(_boxes(shapes)) for shapes in drawn.values())
        return agreements(masks, None, boxes if whole else (), PAIRS, ignored)

    return work


def doubt_of(layer: Layer | None) -> str:
    """Why no figure may count a ground truth's layer; "" where figures may."""
    return "" if layer is None else str(info(layer).get("doubt") or "")


def in_pixels(layer: Any, home: Layer, point: tuple[float, ...]) -> list[NDArray[Any]]:
    """The closed shapes in view, each (N, 2), in pixels of another layer."""
    return in_pixels_of(outlines(layer, point), in_units_of(home, layer), pixel_to_world(home))


class Writer(QObject):
    """Writes changes into a Labels layer through napari's own history: one Ctrl+Z takes one change back.

    Large changes are written piece by piece, so that the window never stands still. ``written`` tells that all is in.
    """

    written = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._left: list[tuple[tuple[NDArray[Any], ...], NDArray[Any]]] = []
        self._layer: Labels | None = None
        self._history = ExitStack()

    @property
    def busy(self) -> bool:
        return self._layer is not None

    def write(self, layer: Labels, where: tuple[NDArray[Any], ...], values: NDArray[Any]) -> None:
        """Set the pixels at ``where`` (an array of indices for each axis) to ``values``."""
        if not len(values):
            self.written.emit()
            return
        pieces = range(0, len(values), PIECE)
        self._left = [(tuple(x[k : k + PIECE] for x in where), values[k : k + PIECE]) for k in reversed(pieces)]
        self._layer = layer
        self._history.enter_context(layer.block_history())
        self._step()

    def _step(self) -> None:
        layer = self._layer
        if layer is None:
            return
        where, values = self._left.pop()
        one = values[0] if (values == values[0]).all() else values  # a single number is written faster
        layer.data_setitem(where, one, refresh=not self._left)
        if self._left:
            QTimer.singleShot(0, self._step)
            return
        self._layer = None
        self._history.close()
        self.written.emit()


def _grid(layer: Layer, home: Layer, point: tuple[float, ...]) -> Grid:
    return Grid(shape_2d(plane(layer, point)[0]), in_units_of(home, layer))


def _boxes(shapes: list[NDArray[Any]]) -> list[Box]:
    """Upright rectangles among outlines, as x, y, width, height from the edge of the first pixel."""
    found = []
    for corners in shapes:
        low, high = corners.min(axis=0), corners.max(axis=0)
        at_corner = np.isclose(corners, low) | np.isclose(corners, high)
        if len(corners) == 4 and at_corner.all():
            found.append((low[1] + 0.5, low[0] + 0.5, high[1] - low[1], high[0] - low[0]))
    return found
