"""Where the mouse points on an image: hovering, and clicks that belong to neither brush nor camera."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import napari
    from napari.layers import Image


class Pointer:
    """Calls ``hovered`` and ``clicked`` with a world position while attached."""

    def __init__(
        self, viewer: napari.viewer.Viewer, hovered: Callable[[Any], None], clicked: Callable[[Any], None]
    ) -> None:
        self._viewer, self._hovered, self._clicked = viewer, hovered, clicked

    def attach(self) -> None:
        """Start to listen; more than once is once."""
        if self._on_move not in self._viewer.mouse_move_callbacks:
            self._viewer.mouse_move_callbacks.append(self._on_move)
            self._viewer.mouse_drag_callbacks.append(self._on_press)

    def release(self) -> None:
        """Stop listening."""
        for callbacks, own in (
            (self._viewer.mouse_move_callbacks, self._on_move),
            (self._viewer.mouse_drag_callbacks, self._on_press),
        ):
            if own in callbacks:
                callbacks.remove(own)

    def _on_move(self, viewer: Any, event: Any) -> None:
        self._hovered(event.position)

    def _on_press(self, viewer: Any, event: Any) -> Iterator[None]:
        active = viewer.layers.selection.active
        busy = active is not None and str(getattr(active, "mode", "pan_zoom")) not in ("pan_zoom", "transform")
        moved = False
        yield
        while event.type == "mouse_move":
            moved = True
            yield
        if not moved and not busy:
            self._clicked(event.position)


def source_pixel(layer: Image, position: Any) -> tuple[float, float]:
    """A world position as (row, column) of the layer's plane, continuous: pixel i covers [i, i + 1)."""
    row, column = np.asarray(layer.world_to_data(position))[-2:] + 0.5
    return float(row), float(column)
