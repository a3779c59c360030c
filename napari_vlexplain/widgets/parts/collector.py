"""Python's collector kept short: with torch and napari loaded, a full look at the heap holds the window for 0.2 s.

napari asks for one with every layer that is removed.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from .hooks import Hooks

if TYPE_CHECKING:
    import napari

_holding: set[Settled] = set()


class Settled:
    """While any one of these is held, the collector passes over what was there when it took hold.

    What dies is freed as ever, but for cycles among those objects, which wait until the last one lets go. Layers are
    such, so when one is removed that was there, the collector looks at everything once.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self._occasions: set[str] = set()
        self._there: set[int] = set()  # by hash: a dock sees stand-ins of layers
        self._hooks = Hooks()

    def hold(self, occasion: str) -> None:
        """Take hold of all there is now, once for each occasion: a first picture, a model that was loaded."""
        if occasion not in self._occasions:
            self._occasions.add(occasion)
            if len(self._hooks) == 0:
                self._hooks.connect(self._viewer.layers.events.removing, self._on_removing)
            _holding.add(self)
            self._freeze()

    def let_go(self) -> None:
        """The collector looks at everything again, unless another one holds."""
        self._occasions.clear()
        self._hooks.clear()
        if self in _holding:
            _holding.remove(self)
            if not _holding:
                gc.unfreeze()

    def _freeze(self) -> None:
        self._there.update(hash(layer) for layer in self._viewer.layers)
        gc.freeze()

    def _on_removing(self, event: Any) -> None:
        removed = hash(self._viewer.layers[event.index])
        if removed in self._there:
            self._there.remove(removed)
            gc.unfreeze()
            QTimer.singleShot(0, self._again)

    def _again(self) -> None:
        if self in _holding:
            self._freeze()
