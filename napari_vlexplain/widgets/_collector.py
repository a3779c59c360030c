"""Python's collector kept short: with torch and napari loaded, a full look at the heap holds the window for 0.2 s."""

from __future__ import annotations

import gc

_holding: set[Settled] = set()


class Settled:
    """While any one of these is held, the collector passes over what was there when it took hold.

    What dies is freed as ever, but for cycles among those objects, which wait until the last one lets go.
    """

    def __init__(self) -> None:
        self._occasions: set[str] = set()

    def hold(self, occasion: str) -> None:
        """Take hold of all there is now, once for each occasion: a first picture, a model that was loaded."""
        if occasion not in self._occasions:
            self._occasions.add(occasion)
            _holding.add(self)
            gc.freeze()

    def let_go(self) -> None:
        """The collector looks at everything again, unless another one holds."""
        self._occasions.clear()
        if self in _holding:
            _holding.remove(self)
            if not _holding:
                gc.unfreeze()
