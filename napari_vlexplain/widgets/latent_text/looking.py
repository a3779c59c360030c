"""Looking at a read image: the layer in view in colours, and what the patch under the pointer says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .layers import show_colours
from .pointer import Pointer, source_pixel
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
