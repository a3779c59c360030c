"""Drop-downs of layers, of images among them, that follow the layer list and keep their choice by identity."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy, QWidget

from ...errors import VLExplainError
from ..viewer.contrast import settle
from ..viewer.layers import info, meet
from ..viewer.picture import Picture, is_picture, picture_of
from .hooks import Hooks

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

NO_IMAGE = "Open an image first, or one of File > Open Sample > VL Explain."


class LayerCombo(QComboBox):
    """Lists the viewer's layers that ``accepts`` says yes to, ``prefers`` first, newest first among equals.

    The choice survives renaming and reordering; when its layer is deleted, the first of the list takes over. Until
    the user has chosen, a preferred layer that arrives takes over from one that is not. With no layer to offer the
    box is disabled and shows ``empty``. ``first`` adds an entry above the layers, which counts as "no layer".
    ``offered`` hears of every layer that is listed. Call ``follow`` to start and ``unfollow`` to stop.
    """

    layer_changed = Signal()

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        accepts: Callable[[Layer], bool],
        *,
        prefers: Callable[[Layer], bool] = lambda layer: False,
        empty: str = "no such layer yet",
        first: str | None = None,
        offered: Callable[[Layer], None] = lambda layer: None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._accepts, self._prefers = viewer, accepts, prefers
        self._empty, self._first, self._offered = empty, first, offered
        self._choices: list[Layer | None] = []
        self._chosen: Layer | None = None
        self._by_user = False
        self._list_hooks, self._name_hooks = Hooks(), Hooks()
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(6)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.currentIndexChanged.connect(self._on_index)

    @property
    def layer(self) -> Layer | None:
        """The chosen layer, or None."""
        return self._chosen

    def set_layer(self, layer: Layer | None) -> None:
        """Choose a layer of the list (by identity); one that is not in the list is ignored."""
        for index, choice in enumerate(self._choices):
            if choice == layer:
                self._by_user = True
                self.setCurrentIndex(index)

    def allow(self, allowed: bool) -> None:
        """Let the user choose, if there is something to choose."""
        self.setEnabled(allowed and bool(self._choices))

    def follow(self) -> None:
        """Start to follow the viewer's layer list."""
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered):
            self._list_hooks.connect(emitter, self.refresh)
        self.refresh()

    def unfollow(self) -> None:
        """Let go of every event; the choice stays as it is."""
        self._list_hooks.clear()
        self._name_hooks.clear()

    def refresh(self, event: Any = None) -> None:
        """List the layers anew, keeping the choice where it still exists."""
        meet(self._viewer.layers)
        layers = [layer for layer in reversed(list(self._viewer.layers)) if self._accepts(layer)]
        for layer in layers:
            self._offered(layer)
        layers.sort(key=lambda layer: not self._prefers(layer))
        before, had_choices = self._chosen, bool(self._choices)
        self._choices = [*([None] if self._first is not None else []), *layers]
        gone = not had_choices or not any(choice == before for choice in self._choices)
        if gone or (not self._by_user and self._first is None and self._worse_than_first(layers)):
            self._chosen, self._by_user = self._default(layers), False
        self._name_hooks.clear()
        for layer in layers:
            self._name_hooks.connect(layer.events.name, self._relabel)
        self._relabel()
        if self._chosen != before:
            self.layer_changed.emit()

    def _worse_than_first(self, layers: list[Layer]) -> bool:
        return bool(layers) and self._prefers(layers[0]) and not (self._chosen and self._prefers(self._chosen))

    def _default(self, layers: list[Layer]) -> Layer | None:
        if self._first is not None or not layers:
            return None
        active = self._viewer.layers.selection.active
        rivals = [layer for layer in layers if self._prefers(layer) == self._prefers(layers[0])]
        return next((layer for layer in rivals if layer == active), layers[0])

    def _relabel(self, event: Any = None) -> None:
        self.blockSignals(True)
        self.clear()
        for choice in self._choices:
            self.addItem(self._first or "" if choice is None else choice.name)
            self.setItemData(self.count() - 1, self.itemText(self.count() - 1), Qt.ItemDataRole.ToolTipRole)
        self.setEnabled(bool(self._choices))
        if self._choices:
            places = [index for index, choice in enumerate(self._choices) if choice == self._chosen]
            self.setCurrentIndex(places[0] if places else 0)
        else:
            self.addItem(self._empty)
        self.blockSignals(False)

    def _on_index(self, index: int) -> None:
        chosen = self._choices[index] if 0 <= index < len(self._choices) else None
        if chosen != self._chosen:
            self._chosen, self._by_user = chosen, True
            self.layer_changed.emit()


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
