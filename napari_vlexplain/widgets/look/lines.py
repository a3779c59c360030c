"""Isolines of heatmaps, as Shapes layers that follow their map: its values, its place, its end."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QWidget
from superqt.utils import qdebounced

from ...choices.look import Look, isolines
from ..jobs.latest import LatestOnly
from ..jobs.pieces import DRAW, PAUSE, Pieces, Piecewise
from ..parts.hooks import Hooks
from ..viewer.layers import ISOLINES, copy_geometry, find_layers, geometry, info, layer_id, new_metadata
from ..viewer.planes import GEOMETRY_EVENTS, plane
from .layers import colormap_of, is_map, look_of

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Shapes

Lines = list[tuple[float, NDArray[np.float64]]]


class Isolines(QObject):
    """Keeps a layer of lines for each map whose look asks for some. The lines are found on a thread."""

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._hooks: dict[str, Hooks] = {}
        self._work: dict[str, LatestOnly] = {}
        self._pieces = Piecewise(parent)

    @property
    def busy(self) -> bool:
        """Are lines being found?"""
        return self._pieces.busy or any(work.busy for work in self._work.values())

    def follow(self, layer: Image) -> None:
        """Draw what the map's look asks for, now and whenever its values change; nothing asked takes them away."""
        name = layer_id(layer)
        if name is None:
            return
        if not look_of(layer).levels:
            self.drop(name)
            return
        if name not in self._hooks:
            hooks = self._hooks[name] = Hooks()
            work = self._work[name] = LatestOnly(self)
            work.done.connect(lambda found: self._pieces.do(self._draw(layer, found)))
            redraw = qdebounced(partial(self._submit, layer), timeout=50)
            for emitter in (layer.events.data, layer.events.set_data):
                hooks.connect(emitter, redraw)
            hooks.connect(layer.events.visible, partial(self._show, layer))
            for event in GEOMETRY_EVENTS:
                if hasattr(layer.events, event):
                    hooks.connect(getattr(layer.events, event), partial(self._place, layer))
        self._submit(layer)

    def drop(self, name: str) -> None:
        """Take the lines of a map away."""
        self._let_go(name)
        if find_layers(self._viewer.layers, ISOLINES, name):
            self._pieces.do(self._remove(name))

    def _remove(self, name: str) -> Pieces:
        yield PAUSE  # napari takes long for each
        for lines in find_layers(self._viewer.layers, ISOLINES, name):
            self._viewer.layers.remove(lines)
        yield DRAW

    def prune(self) -> None:
        """Lines go with their map; call it when a layer was removed."""
        there = {layer_id(layer) for layer in self._viewer.layers if is_map(layer)}
        for lines in find_layers(self._viewer.layers, ISOLINES):
            if info(lines).get("source") not in there:
                self._viewer.layers.remove(lines)
        for name in set(self._hooks) - there:
            self._let_go(str(name))

    def close(self) -> None:
        """Follow no more; the lines stay."""
        self._pieces.finish()
        for name in list(self._hooks):
            self._let_go(name)

    def _let_go(self, name: str) -> None:
        if name in self._hooks:
            self._hooks.pop(name).clear()
            self._work.pop(name).close()

    def _submit(self, layer: Image, event: Any = None) -> None:
        work, look = self._work.get(layer_id(layer) or ""), look_of(layer)
        if work is not None:
            values, index = plane(layer, tuple(self._viewer.dims.point))
            work.submit(lambda: (look, index, isolines(np.asarray(values), look.levels)))

    def _draw(self, layer: Image, found: tuple[Look, tuple[int, ...], Lines]) -> Pieces:
        look, index, lines = found
        if layer not in self._viewer.layers:
            return
        made = self._lines_of(layer)
        if made is None:
            if not lines:
                return
            made = self._like(layer)
            yield PAUSE
            if layer_id(layer) not in self._hooks or layer not in self._viewer.layers:
                return  # they were taken away before they came
            self._add(made, layer)
            yield PAUSE
        paths = [np.concatenate([np.broadcast_to(index, (len(line), len(index))), line], axis=1) for _, line in lines]
        if len(made.data):
            made.data = []
            yield PAUSE
        if paths:
            colours = colormap_of(look)
            made.add(
                paths,
                shape_type="path",
                edge_color=np.array([_bright(colours.map(np.array([level]))[0]) for level, _ in lines]),
                edge_width=max(1.0, max(layer.data.shape[-2:]) / 250),
            )
            made.selected_data = set()
        info(made)["levels"] = list(look.levels)
        made.editable = False
        yield DRAW

    def _like(self, layer: Image) -> Shapes:
        """An empty layer of lines that lies where its map lies."""
        from napari.layers import Shapes

        return Shapes(
            name=f"{layer.name} | isolines",
            ndim=layer.ndim,
            face_color="transparent",
            visible=bool(layer.visible),
            metadata=new_metadata(ISOLINES, layer),
            **geometry(layer, layer.ndim),
        )

    def _add(self, made: Shapes, layer: Image) -> None:
        """Right above its map; whoever is painting goes on painting."""
        selected = list(self._viewer.layers.selection)
        self._viewer.layers.insert(list(self._viewer.layers).index(layer) + 1, made)
        self._viewer.layers.selection = set(selected)

    def _lines_of(self, layer: Image) -> Shapes | None:
        found: list[Any] = find_layers(self._viewer.layers, ISOLINES, layer_id(layer))
        return found[-1] if found else None

    def _show(self, layer: Image, event: Any = None) -> None:
        lines = self._lines_of(layer)
        if lines is not None:
            lines.visible = layer.visible

    def _place(self, layer: Image, event: Any = None) -> None:
        lines = self._lines_of(layer)
        if lines is not None:
            copy_geometry(layer, lines)


def _bright(colour: NDArray) -> NDArray[np.float64]:
    """A colour of the map, opaque, and light enough to be seen on a radiograph's black."""
    shown = np.asarray(colour, dtype=np.float64).copy()
    shown[:3] = 0.35 + 0.65 * shown[:3]
    shown[3] = 1.0
    return shown
