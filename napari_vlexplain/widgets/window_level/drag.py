"""The window tool: dragging sideways changes the width, up and down the level; painting and panning rest meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from ...io.voi import sample_of
from ...reading_room.windowing import dragged
from ..parts.hooks import Hooks
from ..viewer.planes import plane

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

    from .control import WindowControl

CURSOR = "cross"
_PIXELS = 1000.0  # of the screen, that stand for the image's whole range
_REST = "pan_zoom"


class DragTool(QObject):
    """``switched``: on (True) or off. Choosing a mode of a layer, such as its brush, switches it off."""

    switched = Signal(bool)

    def __init__(self, viewer: napari.viewer.Viewer, control: WindowControl) -> None:
        super().__init__()
        self._viewer, self._control = viewer, control
        self._held: Layer | None = None
        self._mode: str = _REST
        self._hooks, self._mode_hooks = Hooks(), Hooks()
        self.on = False

    def set_on(self, on: bool) -> None:
        """Switch; twice is once."""
        if on == self.on:
            return
        self.on = on
        callbacks = self._viewer.mouse_drag_callbacks
        if on:
            callbacks.append(self._on_drag)
            self._hooks.connect(self._viewer.layers.selection.events.active, self._on_active)
            self._hold()
        else:
            if self._on_drag in callbacks:
                callbacks.remove(self._on_drag)
            self._hooks.clear()
            self._let_go()
            self._show_cursor()
        self.switched.emit(on)

    def toggle(self) -> None:
        self.set_on(not self.on)

    def _hold(self) -> None:
        """Put the active layer's own tool to rest, and remember it."""
        layer = self._viewer.layers.selection.active
        self._held, self._mode = layer, str(getattr(layer, "mode", _REST))
        if layer is not None and self._mode != _REST:
            layer.mode = _REST
        if layer is not None and hasattr(layer.events, "mode"):
            self._mode_hooks.connect(layer.events.mode, self._on_mode)
        _camera(self._viewer).mouse_pan = False
        self._viewer.cursor.style = CURSOR

    def _let_go(self) -> None:
        self._mode_hooks.clear()
        layer, self._held = self._held, None
        if layer is not None and self._mode != _REST and layer in self._viewer.layers:
            layer.mode = self._mode

    def _show_cursor(self) -> None:
        """The camera and the cursor as the active layer would have them."""
        active = self._viewer.layers.selection.active
        _camera(self._viewer).mouse_pan = True if active is None else active.mouse_pan
        self._viewer.cursor.style = "standard" if active is None else active.cursor

    def _on_active(self, event: Any = None) -> None:
        self._let_go()
        self._hold()

    def _on_mode(self, event: Any = None) -> None:
        if self._held is not None and str(self._held.mode) != _REST:
            self._mode = _REST  # the user took another tool: it stays
            self.set_on(False)

    def _on_drag(self, viewer: Any, event: Any) -> Iterator[None]:
        window, layer = self._control.window, self._control.layer
        if event.button != 1 or event.modifiers or window is None or layer is None:
            return
        pace = _pace(layer, viewer, self._control.padding)
        start = np.asarray(event.pos, dtype=float)
        yield
        while event.type == "mouse_move" and self.on:
            right, down = np.asarray(event.pos, dtype=float) - start
            self._control.set_window(dragged(window, right / _PIXELS, down / _PIXELS, pace))
            event.handled = True
            yield


def _pace(layer: Any, viewer: Any, padding: Any) -> float:
    """The image's range; of one that is read when needed, what its limits span, for a drag may not wait."""
    pixels, _ = plane(layer, viewer.dims.point)
    if isinstance(pixels, np.ndarray):
        sample = sample_of(pixels, padding)
        if sample.size and sample.max() > sample.min():
            return float(sample.max()) - float(sample.min())
    low, high = layer.contrast_limits_range
    return float(high - low)


def _camera(viewer: Any) -> Any:
    """napari 0.9 keeps it in the scene."""
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera
