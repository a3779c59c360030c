"""Maps side by side in napari's grid: a tile for each, with the image, the masks and the boxes under it again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from ..jobs.pieces import DRAW, PAUSE, Pieces
from ..parts.hooks import Hooks
from ..viewer.grid import begins_with_the_first, grid_of
from ..viewer.layers import find_layers, info, layer_id, layer_kind, new_metadata

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Layer

TILE = "tile"
MOST = 16
SHARED = {
    "Image": ("contrast_limits", "gamma", "colormap", "opacity", "visible"),
    "Labels": ("opacity", "visible", "contour", "selected_label", "colormap"),
    "Shapes": ("opacity", "visible"),
}
FOLLOWED = {"Image": ("data",), "Labels": ("labels_update", "set_data", "data"), "Shapes": ("data",)}
ALL, METHODS, PROMPTS = "all", "methods", "prompts"


def choose(layers: Sequence[Layer], chosen: Image, which: str) -> list[Layer]:
    """The maps that stand beside ``chosen``, itself included, in the order of the list.

    ``which``: ``all`` maps of its image, those of other ``methods`` for its prompt, or of other ``prompts`` by its
    method.
    """
    entry = info(chosen)
    found = []
    for layer in _siblings(layers, entry.get("source")) or [chosen]:
        other = info(layer)
        same_prompt, same_method = other.get("prompt") == entry.get("prompt"), _method(other) == _method(entry)
        if which == ALL or (which == METHODS and same_prompt) or (which == PROMPTS and same_method):
            found.append(layer)
    return found[:MOST]


def _siblings(layers: Sequence[Layer], source: str | None) -> list[Layer]:
    return find_layers(layers, "heatmap", source, copies=True) if source else []


class Tiles:
    """napari's grid, filled with maps; ``leave`` gives every layer its place and its visibility back.

    Either goes on in pieces, and may be left off: ``leave`` clears up after it.
    """

    def __init__(self, viewer: napari.viewer.Viewer, ended: Callable[[], None] = lambda: None) -> None:
        """``ended`` is called when somebody else turns the grid off."""
        self._viewer, self._ended = viewer, ended
        self._hooks = Hooks()
        self._order: list[Layer] = []
        self._visible: list[tuple[Layer, bool, bool]] = []
        self._names: list[tuple[Any, Any]] = []
        self.building = False

    @property
    def shown(self) -> bool:
        """Is the grid ours now?"""
        return bool(self._order)

    def enter(self, maps: Sequence[Layer]) -> Pieces:
        """One tile for each of ``maps``: what is visible of image, masks and boxes, and the map on top."""
        layers = self._viewer.layers
        self.building = True
        selected = set(layers.selection)
        try:
            self._order = list(layers)
            self._visible = [(x, bool(x.visible), _bar(x)) for x in layers]
            lines = {info(x).get("source"): x for x in find_layers(layers, "isolines")}
            under = [x for x in layers if x.visible and type(x).__name__ in SHARED and _may_be_repeated(x)]
            tiles, copies = [*under, maps[0]], []
            if lines:
                tiles.append(lines.get(layer_id(maps[0])) or self._spacer())
            for one in maps[1:]:
                for layer in under:
                    made = _like(layer)
                    yield PAUSE
                    copies.append((layer, self._viewer.add_layer(made)))
                    yield PAUSE
                tiles += [*(copy for _, copy in copies[-len(under) :]), one] if under else [one]
                if lines:
                    tiles.append(lines.get(layer_id(one)) or self._spacer())
            for layer in self._order:
                seen = layer == maps[0] or (layer.visible and layer in tiles and layer not in maps)
                if layer.visible != seen:
                    layer.visible = seen
                    yield PAUSE
            self._arrange([*tiles, *(x for x in self._order if x not in tiles)])
            yield PAUSE
            layers.selection = selected
            self._one_bar(maps)
            self._turn_on(len(maps), len(tiles) // len(maps))
            for one in maps:  # tile by tile, for each layer builds its shaders when it is drawn there
                one.visible = True
                yield DRAW
            for layer, copy in copies:
                self._follow(layer, copy)
                yield DRAW
            for one in maps:
                self._name(one)
                yield DRAW
        finally:
            self.building = False
        self._hooks.connect(grid_of(self._viewer).events.enabled, self._on_grid)

    def leave(self) -> Pieces:
        """The layers as they were; what was added or deleted meanwhile stays so."""
        if not self._order:
            return
        self._hooks.clear()
        self.building = True
        try:
            grid_of(self._viewer).enabled = False
            yield PAUSE
            grid_of(self._viewer).shape = (-1, -1)
            for copy in find_layers(self._viewer.layers, TILE):
                yield PAUSE
                self._viewer.layers.remove(copy)
            for layer, visible, bar in self._visible:
                if layer.visible != visible:
                    yield PAUSE
                    layer.visible = visible
                if hasattr(layer, "colorbar"):
                    layer.colorbar.visible = bar
            for overlay, position in self._names:
                overlay.visible, overlay.position = False, position
            yield PAUSE
            new = [x for x in self._viewer.layers if x not in self._order]
            self._arrange([*(x for x in self._order if x in self._viewer.layers), *new])
            self._order, self._visible, self._names = [], [], []
        finally:
            self.building = False
        yield DRAW

    def _on_grid(self, event: Any = None) -> None:
        if not self.building and not grid_of(self._viewer).enabled:
            self._ended()

    def _turn_on(self, count: int, each: int) -> None:
        grid, columns = grid_of(self._viewer), math.ceil(math.sqrt(count))
        grid.shape, grid.stride = (math.ceil(count / columns), columns), each
        grid.enabled = True
        if not begins_with_the_first(grid, list(self._viewer.layers)):
            grid.stride = -each
        self._viewer.reset_view()

    def _follow(self, layer: Layer, copy: Layer) -> None:
        """Show a copy and link it, so that window, level and strokes are seen in every tile."""
        for name in SHARED[type(layer).__name__]:  # a layer's data tuple lacks some of them
            setattr(copy, name, getattr(layer, name))
        with suppress(ValueError):  # an older napari may lack one of the attributes
            self._viewer.layers.link_layers([layer, copy], SHARED[type(layer).__name__])
        for event in FOLLOWED[type(layer).__name__]:
            self._hooks.connect(getattr(layer.events, event), partial(_repeat, layer, copy))
        copy.editable = False

    def _spacer(self) -> Layer:
        """Nothing, for a tile without lines beside tiles with them: all have as many layers."""
        return self._viewer.add_shapes(name="no isolines | tile", metadata=new_metadata(TILE))

    def _arrange(self, wanted: list[Layer]) -> None:
        layers = self._viewer.layers
        for place, layer in enumerate(wanted):
            now = layers.index(layer)
            if now != place:
                layers.move(now, place)

    def _one_bar(self, maps: Sequence[Layer]) -> None:
        """One colour bar for all, where there is one."""
        for x in [x for x in maps if _bar(x)][1:]:
            x.colorbar.visible = False

    def _name(self, layer: Layer) -> None:
        """A map's name in its tile."""
        overlay = getattr(layer, "name_overlay", None)  # napari 0.9
        if overlay is not None and not overlay.visible:
            self._names.append((overlay, overlay.position))
            overlay.position = "bottom_left"  # the colour bar is on top
            overlay.visible = True


def _like(layer: Layer) -> Layer:
    """The same data once more, out of sight."""
    from napari.layers import Layer as Made

    data, options, kind = layer.as_layer_data_tuple()
    shown = {"metadata": new_metadata(TILE, layer), "name": f"{layer.name} | tile", "visible": False}
    return Made.create(data, {**options, **shown}, kind)


def _may_be_repeated(layer: Layer) -> bool:
    return layer_kind(layer) not in ("heatmap", "isolines", TILE)


def _method(entry: dict[str, Any]) -> Any:
    return entry.get("method") or entry.get("request", {}).get("method")


def _bar(layer: Layer) -> bool:
    return bool(layer.colorbar.visible) if hasattr(layer, "colorbar") else False


def _repeat(layer: Any, copy: Any, event: Any = None) -> None:
    """What changed in the layer shows in its copy."""
    if copy.data is layer.data and not isinstance(layer.data, list):
        copy.refresh()
    else:
        copy.data = layer.data
