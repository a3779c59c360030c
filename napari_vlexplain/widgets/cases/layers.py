"""A case as layers: its image, boxes, ground truth, heatmap and the reader's mask, each replaced in place.

The same layer objects go from case to case, so that whatever follows them (the Measure dock, a comparison, the
window that the reader chose) follows the cases too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...drawing.colour import hex_of, label_colours
from ...layers.dicom import described
from ...layers.explanations import record_of
from ...reading_room.ahead import Prepared
from ...reading_room.labelled import Mask
from ...reading_room.opened import Opened
from ...reading_room.sight import Looks
from ...reading_room.study import Item
from ..jobs.pieces import DRAW, PAUSE, Pieces
from ..viewer.heatmaps import faded
from ..viewer.layers import (
    ISOLINES,
    copy_geometry,
    ensure_id,
    find_layers,
    geometry,
    layer_id,
    layer_kind,
    mark,
    new_metadata,
    outline,
    source_id,
)
from ..viewer.settings import settings
from .others import Cover

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels, Layer, Shapes

READER = "reader"
NO_MAP = "no map yet"
BRUSHES = 60  # a brush is this part of the picture's longer side
SHORT = 24  # letters of a case's id in layer names


class CaseLayers:
    """The layers of the case in view. All pixels come ready: nothing here computes on them."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self.viewer = viewer
        self.image: Image | None = None
        self.heatmap: Image | None = None
        self.boxes: Shapes | None = None
        self.truth: Labels | None = None
        self.reader: Labels | None = None
        self._limits: tuple[float, float] | None = None
        self._pixels: NDArray[Any] | None = None
        self._picture, self._map = Cover(), Cover()  # over image, boxes and truth; over the heatmap
        self._earlier: set[int] = set()  # layers of others that were there before this case, by hash

    def owns(self, layer: Layer) -> bool:
        """Is it one of these?"""
        return any(layer == mine for mine in self._ours())  # never "is": a dock gets stand-ins of layers

    def belongs(self, layer: Layer) -> bool:
        """Is it one of these, or made of one of them since this case is in view?"""
        if self.owns(layer):
            return True
        ids = {layer_id(mine) for mine in self._ours() if mine is not None}
        if layer_kind(layer) == ISOLINES and source_id(layer) in ids:
            return True
        return hash(layer) not in self._earlier and source_id(layer) in ids

    def looks(self) -> Looks:
        """The canvas as it is now."""
        image, heatmap, layers = self.image, self.heatmap, self.viewer.layers
        if image is None or image not in layers or self._picture.closed:
            return Looks()
        others = [layer for layer in layers if layer.visible and not self.belongs(layer)]
        above = [layer for layer in others if layers.index(layer) > layers.index(image) and _is_opaque(layer)]
        low, high = (float(limit) for limit in image.contrast_limits)
        return Looks(
            picture=bool(image.visible and image.opacity > 0 and image.data[0] is self._pixels),
            window=None if image.rgb else (low, high),
            heatmap=bool(not self._map.closed and heatmap is not None and heatmap in layers and heatmap.visible),
            others=len(others),
            covering=above[-1].name if above else "",
        )

    def leave(self) -> None:
        """From this moment nothing of the last case can be seen, measured or painted on."""
        self._forget_removed()
        self.hide_heatmap()
        self.drop_reader()
        self._picture.close()
        self._remove_made_elsewhere()
        self._earlier = {hash(layer) for layer in self.viewer.layers if not self.owns(layer)}

    def show_case(self, opened: Opened, item: Item) -> Pieces:
        """The image, its boxes and its ground truth, in pieces, and all at once in sight when they are whole.

        Left off before its end, it shows nothing: no picture may stand under what belongs to another.
        """
        self._forget_removed()
        active = self.viewer.layers.selection.active
        if not self._picture.closed:
            self.leave()
        yield PAUSE
        # The first layer of a kind builds its shaders when it is drawn: one at a time.
        pause = DRAW if self.image is None and self.boxes is None and self.truth is None else PAUSE
        self._show_image(opened, item)
        yield pause
        self._show_boxes(opened, item)
        yield pause
        self._show_truth(opened, item)
        self._pixels = opened.levels[0]
        self._picture.open(always="image")
        if active is None or active not in self.viewer.layers or not self.belongs(active):
            self.viewer.layers.selection.active = self.image

    def show_heatmap(self, prepared: Prepared, item: Item) -> bool:
        """The explanation of the item's prompt, above the image; False where there is no image to lie on."""
        self._forget_removed()
        image = self.image
        if image is None or self._picture.closed:
            return False
        explanation, levels = prepared.explanations[item.number], prepared.heatmaps[item.number]
        name = f"{image.name} | {explanation.request.method} | {explanation.prompt}"
        details = {**record_of(explanation), "plane": []}
        if self.heatmap is None:
            self.heatmap = self._add_heatmap(image, list(levels), name, details)
        else:
            self.heatmap.data = list(levels)
            copy_geometry(image, self.heatmap)
            mark(self.heatmap, "heatmap", image, **details)
            self.heatmap.name = name
        self._map.open()
        return True

    def hide_heatmap(self) -> None:
        """No explanation is known of this case: what is there belongs to another, and must not be seen or measured."""
        heatmap = self.heatmap
        if heatmap is None or self._map.closed:
            return
        self._map.close()
        for lines in find_layers(self.viewer.layers, ISOLINES, layer_id(heatmap)):
            lines.data = []  # they follow the map, but later
        # Without values, without memory, and without the record of what it showed.
        heatmap.data = [np.broadcast_to(np.float32(np.nan), level.shape) for level in heatmap.data]
        mark(heatmap, "heatmap", self.image, plane=[])
        heatmap.name = NO_MAP

    def show_reader(self, mask: Mask, reader: str, paint: bool = False) -> Labels:
        """The reader's mask, an outline over the map, to be edited; ``paint`` : with the brush in hand."""
        self.drop_reader()
        assert self.image is not None
        with nullcontext() if paint else _selection_kept(self.viewer):
            self.reader = self.viewer.add_labels(
                mask.astype(np.uint8),
                name=f"{self.image.name} | {reader or 'reader'}",
                colormap=label_colours(READER),
                metadata=new_metadata("mask", self.image, role=READER),
                **geometry(self.image, 2),
            )
        outline(self.reader)
        if paint:
            self.viewer.layers.selection.active = self.reader
            self.reader.brush_size = max(3, round(max(mask.shape) / BRUSHES))
            self.reader.mode = "paint"
        return self.reader

    def drop_reader(self) -> None:
        """Take the reader's mask away; it was kept before."""
        layer, self.reader = self.reader, None
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)

    def toggle_truth(self) -> None:
        """Show or hide what is known to be right: the boxes, or the mask where there are none."""
        self._forget_removed()
        boxed = self.boxes is not None and len(self.boxes.data) > 0
        layer = self.boxes if boxed else self.truth
        if layer is not None:
            layer.visible = not layer.visible

    def toggle_heatmap(self) -> None:
        """Show or hide the heatmap of this case."""
        self._forget_removed()
        self._map.toggle("heatmap")

    def _ours(self) -> tuple[Layer | None, ...]:
        return self.image, self.heatmap, self.boxes, self.truth, self.reader

    def _show_image(self, opened: Opened, item: Item) -> None:
        image, levels, spacing = self.image, list(opened.levels), opened.scale
        name = short(item.entry.id)
        details: dict[str, Any] = {
            "prompts": list(item.entry.prompts or (item.prompt,)),
            "case": item.entry.id,
            "path": str(opened.source) if opened.source is not None else None,
        }
        if opened.dicom is not None and opened.source is not None:  # its windows, for the Window level dock
            details["dicom"] = described(opened.dicom, opened.source)
        if image is not None and (image.rgb != opened.rgb or image.dtype.kind != opened.pixels.dtype.kind):
            self.viewer.layers.remove(image)
            image = self.image = None
        if image is None:
            self.image = self._add_image(opened, levels, name, details, spacing)
            self._fit()
            return
        same_place = image.level_shapes[0][:2].tolist() == list(opened.shape) and np.allclose(image.scale, spacing)
        kept = self._limits is not None and tuple(image.contrast_limits) != self._limits
        mark(image, "source", None, **details)  # before the pixels, which whoever follows them may measure by it
        image.data = levels
        if not np.array_equal(image.scale, spacing):
            image.scale = spacing
        if not opened.rgb and not kept:  # a window that the reader chose stays
            _set_limits(image, opened)
        self._limits = None if opened.rgb else self._limits if kept else opened.shown_limits
        image.name = name
        if not same_place:
            self._fit()

    def _fit(self) -> None:
        """The picture as large as the canvas, whatever lies out of sight beside it."""
        try:
            self.viewer.reset_view(layers=[self.image])
        except TypeError:  # before napari 0.9
            self.viewer.reset_view()

    def _add_image(self, opened: Opened, levels: list[Any], name: str, details: dict[str, Any], scale: Any) -> Image:
        looks: dict[str, Any] = {} if opened.rgb else {"contrast_limits": opened.shown_limits, "colormap": "gray"}
        if opened.spacing is not None:
            looks["units"] = "mm"
        layer: Image = self.viewer.add_image(
            levels, rgb=opened.rgb, multiscale=True, name=name, scale=scale, visible=False,
            metadata=new_metadata("source", None, **details), **looks,
        )  # fmt: skip
        if not opened.rgb:
            _set_limits(layer, opened)
            self._limits = opened.shown_limits
        self._picture.add("image", layer, True)
        family = [other for other in (self.heatmap, self.truth, self.boxes) if other is not None]
        if family:  # an image that replaces one of another kind lies below what was above that
            lowest = min(self.viewer.layers.index(other) for other in family)
            self.viewer.layers.move(len(self.viewer.layers) - 1, lowest)
            for other in family:
                mark(other, layer_kind(other) or "truth", layer)
        return layer

    def _show_truth(self, opened: Opened, item: Item) -> None:
        """What is known to be right, as a mask to be edited; out of sight where boxes say it too."""
        truth = opened.truths[item.number]
        if truth is None:
            self._remove("truth")
            return
        if self.image is None:
            return
        name = f"{self.image.name} | truth"
        told = {"doubt": opened.doubt(item.number), "notes": opened.truth_notes, "void": opened.ignored}
        if self.truth is not None:
            mark(self.truth, "truth", self.image, **told)  # before the pixels: they are measured by it
            self.truth.data = truth.copy()
            copy_geometry(self.image, self.truth)
            self.truth.name = name
            return
        boxed = len(opened.boxes[item.number]) > 0
        with _selection_kept(self.viewer):
            self.truth = self.viewer.add_labels(
                truth.copy(), name=name, opacity=0.35, colormap=label_colours("truth"), visible=False,
                metadata=new_metadata("truth", self.image, **told), **geometry(self.image, 2),
            )  # fmt: skip
        self._picture.add("truth", self.truth, not boxed)

    def _show_boxes(self, opened: Opened, item: Item) -> None:
        boxes = opened.boxes[item.number]
        assert self.image is not None
        corners = [_corners(box) for box in boxes]
        width = max(opened.shape) / 300
        name = f"{self.image.name} | boxes"
        if self.boxes is None and not corners:
            return
        if self.boxes is None:
            with _selection_kept(self.viewer):
                self.boxes = self.viewer.add_shapes(
                    corners, shape_type="rectangle", edge_width=width, edge_color=hex_of("truth"),
                    face_color="transparent", name=name, metadata=new_metadata("boxes", self.image),
                    visible=False, **geometry(self.image, 2),
                )  # fmt: skip
                self.boxes.mode = "pan_zoom"
            self._picture.add("boxes", self.boxes, True)
            return
        self.boxes.selected_data = set()
        self.boxes.data = corners
        if corners and set(self.boxes.edge_width) != {width}:
            self.boxes.edge_width = width
        copy_geometry(self.image, self.boxes)
        self.boxes.name = name

    def _add_heatmap(self, image: Image, levels: list[Any], name: str, details: dict[str, Any]) -> Image:
        looks = settings()
        with _selection_kept(self.viewer):
            layer: Image = self.viewer.add_image(
                levels, name=name, rgb=False, multiscale=True, contrast_limits=(0, 1),
                colormap=faded(looks.colormap) if looks.fade else looks.colormap, opacity=looks.opacity,
                blending="translucent", interpolation2d="linear", visible=False,
                metadata=new_metadata("heatmap", image, **details), **geometry(image, 2),
            )  # fmt: skip
            self.viewer.layers.move(len(self.viewer.layers) - 1, self.viewer.layers.index(image) + 1)
        self._map.add("heatmap", layer, True)
        return layer

    def _remove_made_elsewhere(self) -> None:
        """Maps that other docks made of the last case are of a picture that is gone; what was painted is kept."""
        if self.image is None:
            return
        for layer in find_layers(self.viewer.layers, source=ensure_id(self.image)):
            if not self.owns(layer) and layer_kind(layer) not in ("mask", "truth", None):
                self.viewer.layers.remove(layer)

    def _remove(self, name: str) -> None:
        layer = getattr(self, name)
        setattr(self, name, None)
        self._picture.forget(name)
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)

    def _forget_removed(self) -> None:
        """The user may take away any layer; it comes back with the next case."""
        for name in ("image", "heatmap", "boxes", "truth", "reader"):
            layer = getattr(self, name)
            if layer is not None and layer not in self.viewer.layers:
                setattr(self, name, None)
                self._picture.forget(name)


def short(case: str) -> str:
    """A case's id as a layer's name bears it."""
    last = case.replace("\\", "/").strip("/")
    return last if len(last) <= SHORT else f"{last[: SHORT - 1]}…"


def _is_opaque(layer: Layer) -> bool:
    """Is it a picture through which nothing can be seen?"""
    from napari.layers import Image

    return isinstance(layer, Image) and layer.opacity > 0.95 and layer.blending not in ("additive", "minimum")


def _set_limits(layer: Image, opened: Opened) -> None:
    low, high = opened.shown_limits
    lowest, highest = _range(opened)
    layer.contrast_limits_range = (min(low, lowest), max(high, highest))
    layer.contrast_limits = (low, high)


def _range(opened: Opened) -> tuple[float, float]:
    """The values there are, seen on the coarsest level: for the ends of a slider that is exact enough."""
    coarse = opened.levels[-1]
    return float(coarse.min()), float(coarse.max())


def _corners(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """A rectangle of napari's: half a pixel beyond the centres of its outer pixels."""
    x, y, width, height = box
    return np.array([(y, x), (y, x + width), (y + height, x + width), (y + height, x)]) - 0.5


@contextmanager
def _selection_kept(viewer: Any) -> Iterator[None]:
    """Layers that are added do not take over from the one that the user works on."""
    selected = list(viewer.layers.selection)
    yield
    viewer.layers.selection = {one for one in selected if one in viewer.layers}
