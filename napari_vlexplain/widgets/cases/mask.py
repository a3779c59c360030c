"""The reader's own mask of a case: a Labels layer that is kept while it is painted, and comes back with its case."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from ...errors import VLExplainError
from ...reading_room.journal import Key
from ...reading_room.labelled import Mask, as_mask
from ...reading_room.session import ReadingSession
from ...reading_room.study import Item
from ..parts.hooks import Hooks
from ..viewer.layers import info, layer_id, source_id
from .layers import READER, CaseLayers

KEEP_MS = 400  # a long stroke is kept now and then, not at every pixel
EVENTS = ("labels_update", "set_data", "data")


class ReaderMask(QObject):
    """``changed`` tells that the journal has something to save, ``refused`` carries why no mask can be drawn.

    ``edited`` tells of every stroke, fill and undo, and of masks that come and go.
    """

    changed = Signal()
    edited = Signal()
    refused = Signal(str)

    def __init__(self, layers: CaseLayers, parent: QObject) -> None:
        super().__init__(parent)
        self._layers = layers
        self._session: ReadingSession | None = None
        self._key: Key | None = None
        self._dirty = False
        self._showing = False
        self._hooks, self._list_hooks = Hooks(), Hooks()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(KEEP_MS)
        self._timer.timeout.connect(self.keep)

    def follow(self, session: ReadingSession) -> None:
        """Masks go into this session's journal from now on."""
        self.let_go()
        self._session = session

    def show(self, item: Item, mask: Mask, paint: bool = False) -> None:
        """A mask that is in the journal already, as a layer to paint on, with the brush in hand or not."""
        self.let_go()
        assert self._session is not None
        self._showing = True
        layer = self._layers.show_reader(mask, self._session.reader, paint)
        self._showing = False
        self._watch(layer, item)

    def attach(self) -> None:
        """Begin to look out for masks that the reader makes elsewhere, in the *Correct* dock."""
        self._list_hooks.connect(self._layers.viewer.layers.events.inserted, self._on_inserted)

    def release(self) -> None:
        """Keep what was painted, and look out no longer."""
        self._list_hooks.clear()
        self.keep()

    def draw(self, start: str) -> None:
        """Begin a new mask from "nothing", the "truth" or the "model"'s; "none" takes the reader's away."""
        session = self._session
        item = None if session is None else session.item
        if session is None or item is None:
            return
        why = session.sight.refusal() or ("" if session.sight.opened else "There is no picture to draw on.")
        if why:
            self.refused.emit(why)
            return
        if start == "none":
            self.take_away()
            return
        mask = session.starting_mask(item, start)
        if mask is None:
            self.refused.emit("Explain the case first." if start == "model" else "No ground truth is known.")
        else:
            self.show(item, mask, paint=True)
            self._dirty = True
            self.keep()

    def take_away(self) -> None:
        """The reader's mask is no more."""
        session, key = self._session, self._key
        self._dirty = False
        self.let_go()
        self._layers.drop_reader()
        self.edited.emit()
        if session is not None and key is not None:
            session.journal.draw(*key[:3], None, key[3])
            self.changed.emit()

    def keep(self) -> None:
        """Put what was painted into the journal."""
        layer = self._layers.reader
        if self._dirty and layer is not None and self._session is not None and self._key is not None:
            self._dirty = False
            try:
                mask = as_mask(np.array(layer.data))
            except VLExplainError as error:
                self.refused.emit(str(error))
                return
            self._session.journal.draw(*self._key[:3], mask, self._key[3])
            self.changed.emit()

    def let_go(self) -> None:
        """Keep what was painted and follow the layer no longer."""
        self.keep()
        self._hooks.clear()
        self._key = None

    def _watch(self, layer: Any, item: Item) -> None:
        assert self._session is not None
        self._key = (*item.key, self._session.reader, item.entry.frame)
        for name in EVENTS:
            self._hooks.connect(getattr(layer.events, name), self._on_edit)
        self.edited.emit()

    def _on_inserted(self, event: Any) -> None:
        layer, image = event.value, self._layers.image
        item = None if self._session is None else self._session.item
        if self._showing or image is None or item is None or self._layers.reader is not None:
            return
        if self._session is None or self._session.sight.refusal():
            return  # made of a case that is not in view any more
        if info(layer).get("role") == READER and source_id(layer) == layer_id(image):
            self._layers.reader = layer
            self._watch(layer, item)
            self._dirty = True
            self.keep()

    def _on_edit(self, event: Any = None) -> None:
        self._dirty = True
        self.edited.emit()
        if not self._timer.isActive():
            self._timer.start()
