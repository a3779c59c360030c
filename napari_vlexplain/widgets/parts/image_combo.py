"""Which image a model looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import VLExplainError
from ..viewer.contrast import settle
from ..viewer.layers import info
from ..viewer.picture import Picture, is_picture, picture_of
from .layer_combo import LayerCombo

if TYPE_CHECKING:
    import napari

NO_IMAGE = "Open an image first, or one of File > Open Sample > VL Explain."


class ImageCombo(LayerCombo):
    """The layers that a model can look at; it follows the one that the user makes active."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer, is_picture, offered=settle, empty="no image yet: open one, or a sample")
        self.setToolTip("The image to look at; of a stack, the plane in view.")
        self.setAccessibleName("Image")

    def follow(self) -> None:
        super().follow()
        self._list_hooks.connect(self._viewer.layers.selection.events.active, self._on_active)

    def picture(self) -> Picture:
        """The plane in view.

        Raises
        ------
        VLExplainError : no image, or no plane of it is in view.
        """
        layer: Any = self.layer
        if layer is None:
            raise VLExplainError(NO_IMAGE)
        return picture_of(self._viewer, layer)

    @property
    def prompts(self) -> tuple[str, ...]:
        """What one would ask of it: a sample knows."""
        return () if self.layer is None else tuple(info(self.layer).get("prompts", ()))

    def _on_active(self, event: Any = None) -> None:
        self.set_layer(self._viewer.layers.selection.active)
