"""Looking at a read image: the layer in view in colours, and what the patch under the pointer says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .layers import show_colours
from .says import POINT, SaysBox

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from ...latent_text.session import Session


class Looking:
    """Follows the slider, the search and the pointer; ``source`` gives the image that was read, while it is there."""

    def __init__(
        self, viewer: napari.viewer.Viewer, says: SaysBox, session: Session, source: Callable[[], Image | None]
    ) -> None:
        self._viewer, self._says, self._session, self._source = viewer, says, session, source
        self._pinned: int | None = None
        self.pointer = Pointer(viewer, self._on_hover, self._on_click)
        says.layer_chosen.connect(self._on_layer)
        says.searched.connect(self.show_layer)

    def start(self) -> None:
        """Another image was read."""
        self._pinned = None
        assert self._session.read is not None
        self._says.start(self._session.read.found.depth, self._session.layer)
        self.show_layer()

    def stop(self) -> None:
        """The image is gone."""
        self._pinned = None
        self._says.clear()

    def show_layer(self, event: Any = None) -> None:
        """Colours, legend, search and token texts of the layer in view."""
        read, source = self._session.read, self._source()
        if read is not None and source is not None:
            colours = self._says.show_layer(read, self._session.layer)
            show_colours(self._viewer, source, read.shown.geometry, colours, "latent text")
            self.show_token()

    def show_token(self) -> None:
        """The texts of the patch that was clicked, if one was."""
        self._show(self._pinned)

    def _show(self, token: int | None) -> None:
        session = self._session
        if session.read is None or token is None:
            self._says.token_texts.setText(POINT)
        else:
            self._says.show_token(session.read, session.layer, token, token == self._pinned, session.result)

    def _on_layer(self, layer: int) -> None:
        self._session.layer = layer
        self.show_layer()

    def _on_hover(self, position: Any) -> None:
        token = self._under(position)
        self._show(token if token is not None else self._pinned)

    def _on_click(self, position: Any) -> None:
        self._pinned = self._under(position)
        self.show_token()

    def _under(self, position: Any) -> int | None:
        """The token of the patch at a position of the world."""
        read, source = self._session.read, self._source()
        if read is None or source is None:
            return None
        patch = read.found.patch_at(*source_pixel(source, position))
        return None if patch is None else read.found.token_of(*patch)


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
