"""Layers out of sight while cases are read, then as they were: those of a case until they belong to it, and others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from ..parts.hooks import Hooks

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

NAMED = 2
BACK = "when this dock is closed"


class OtherLayers(QObject):
    """``came`` carries a sentence on layers that somebody laid over the case in view."""

    came = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer, belongs: Callable[[Layer], bool], parent: QObject) -> None:
        """``belongs`` : is a layer the case's own, or made of it since it is in view?"""
        super().__init__(parent)
        self._viewer, self._belongs = viewer, belongs
        self._hidden: list[Layer] = []
        self._hooks = Hooks()
        self._look = QTimer(self)  # whoever adds a layer has not told yet whose it is
        self._look.setSingleShot(True)
        self._look.setInterval(0)
        self._look.timeout.connect(self._on_added)

    @property
    def visible(self) -> list[Layer]:
        """Those that can be seen now."""
        return [layer for layer in self._viewer.layers if layer.visible and not self._belongs(layer)]

    def attach(self) -> None:
        """Begin to look out for layers that are added."""
        self._hooks.connect(self._viewer.layers.events.inserted, lambda _: self._look.start())

    def hide(self) -> str:
        """Take all of them out of sight, those too that were shown again by hand; a sentence on them, "" for none."""
        found = self.visible
        for layer in found:
            layer.visible = False
            if not any(layer == one for one in self._hidden):  # never "is": a dock sees stand-ins of layers
                self._hidden.append(layer)
        return f"{_named(found)} out of sight while you read, and back {BACK}." if found else ""

    def give_back(self) -> None:
        """Show again what was hidden here, and look out no longer."""
        self._hooks.clear()
        hidden, self._hidden = self._hidden, []
        for layer in hidden:
            if layer in self._viewer.layers:
                layer.visible = True

    def _on_added(self, event: Any = None) -> None:
        found = self.visible
        if found:
            self.came.emit(f"{_named(found)} no part of this case; hidden with the next one, and back {BACK}.")


def _named(layers: list[Layer]) -> str:
    names = ", ".join(f"“{layer.name}”" for layer in layers[:NAMED])
    more = f" and {len(layers) - NAMED} more" if len(layers) > NAMED else ""
    return f"{names}{more} {'are' if len(layers) > 1 else 'is'}"


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
