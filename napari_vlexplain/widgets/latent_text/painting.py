"""The Labels layer of patches to edit, followed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...geometry import Geometry
from ..parts.hooks import Hooks
from .layers import painting, show_painting

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels


class PaintedPatches:
    """Shows which patches are edited, and calls ``changed`` with (gh, gw) bool after a stroke of the user's."""

    def __init__(self, viewer: napari.viewer.Viewer, changed: Callable[[NDArray[np.bool_]], None]) -> None:
        self._viewer, self._changed = viewer, changed
        self._hooks = Hooks()
        self._layer: Labels | None = None

    def show(self, source: Image, lies: Geometry, patches: NDArray[np.bool_], create: bool = False) -> Labels | None:
        """Show these patches, without taking that for a stroke; add the layer only if ``create``."""
        if not create and painting(self._viewer, source) is None:
            self.release()
            return None
        self.release()
        layer = show_painting(self._viewer, source, lies, patches)
        self._follow(layer)
        return layer

    def resume(self, source: Image | None) -> None:
        """Follow the layer of an image again, if it has one."""
        self.release()
        layer = None if source is None else painting(self._viewer, source)
        if layer is not None:
            self._follow(layer)

    @property
    def patches(self) -> NDArray[np.bool_] | None:
        """(gh, gw), what is painted now; None without a layer."""
        return None if self._layer is None else np.asarray(self._layer.data) != 0

    def release(self) -> None:
        """Let go of the layer; it stays."""
        self._hooks.clear()
        self._layer = None

    def _follow(self, layer: Labels) -> None:
        self._layer = layer
        for name in ("data", "set_data", "labels_update", "paint"):
            emitter = getattr(layer.events, name, None)
            if emitter is not None:
                self._hooks.connect(emitter, self._on_stroke)

    def _on_stroke(self, event: Any = None) -> None:
        if self.patches is not None:
            self._changed(self.patches)
