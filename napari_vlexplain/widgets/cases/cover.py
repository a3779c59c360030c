"""Layers out of sight until what they show belongs to the case, and then as the reader left them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.layers import Layer


class Cover:
    """Over some layers, by name: down (``closed``) or not. What is shown by hand beneath it waits until it opens."""

    def __init__(self) -> None:
        self.closed = True
        self._layers: dict[str, Layer] = {}
        self._wanted: dict[str, bool] = {}

    def add(self, name: str, layer: Layer, visible: bool) -> None:
        """A new layer, made invisible while the cover is closed; it looks as one of its name did, else as given."""
        self._layers[name] = layer
        if self.closed:
            self._wanted.setdefault(name, visible)
        layer.events.visible.connect(self._keep)

    def forget(self, name: str) -> None:
        """The layer is gone."""
        self._layers.pop(name, None)
        self._wanted.pop(name, None)

    def close(self) -> None:
        """Nothing beneath can be seen any more."""
        if not self.closed:
            self._wanted = {name: bool(layer.visible) for name, layer in self._layers.items()}
        self.closed = True
        for layer in self._layers.values():
            layer.visible = False

    def open(self, always: str = "") -> None:
        """Show the layers as they were, or as was wished meanwhile, and the one named in any case."""
        self.closed = False
        for name, layer in self._layers.items():
            layer.visible = name == always or self._wanted.get(name, True)

    def toggle(self, name: str) -> None:
        """Show or hide a layer, now or when the cover opens, whether or not it is there yet."""
        if self.closed or name not in self._layers:
            self._wanted[name] = not self._wanted.get(name, True)
        else:
            self._layers[name].visible = not self._layers[name].visible

    def _keep(self, event: Any = None) -> None:
        if self.closed:
            for name, layer in self._layers.items():
                if layer.visible:
                    self._wanted[name] = True
                    layer.visible = False
