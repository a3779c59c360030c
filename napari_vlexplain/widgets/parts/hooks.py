"""Connections that are let go together, when a dock is closed, removed or destroyed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakMethod

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget

from ..jobs.warm import warm_up
from ..viewer.drops import watch_drops
from .wheel import WheelGuard


class Hooks:
    """A bag of napari event connections; ``clear`` undoes them all, once."""

    def __init__(self) -> None:
        self._held: list[tuple[Any, Callable[..., Any]]] = []

    def connect(self, emitter: Any, callback: Callable[..., Any]) -> None:
        emitter.connect(callback)
        self._held.append((emitter, callback))

    def clear(self) -> None:
        while self._held:
            emitter, callback = self._held.pop()
            emitter.disconnect(callback)

    def __len__(self) -> int:
        return len(self._held)


class Lifetime(QObject):
    """Calls ``attach`` when a dock comes into use and ``release`` when it goes, each once per change.

    Every dock has one, so it is also what keeps the wheel from their values and asks about folders that are dropped.

    napari takes a dock away by giving it no parent, without a close event, so that counts as going. When Qt has
    destroyed the widget with its window, ``release`` runs on what is left: Python attributes work, Qt calls raise
    RuntimeError, which is swallowed, so let ``release`` drop connections first and touch widgets last.
    """

    def __init__(self, widget: QWidget, attach: Callable[[], None], release: Callable[[], None]) -> None:
        super().__init__(widget)
        self._widget, self._attach, self._release = widget, attach, release
        self._attached = False
        self._guard = WheelGuard(widget)
        widget.installEventFilter(self)
        widget.destroyed.connect(_last_rites(release))
        self._set(True)

    def _set(self, attached: bool) -> None:
        if attached != self._attached:
            self._attached = attached
            if attached:
                warm_up()
            (self._attach if attached else self._release)()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if watched is self._widget and event is not None:
            kind = event.type()
            if kind == QEvent.Type.ParentChange:
                self._set(self._widget.parent() is not None)
            elif kind == QEvent.Type.Show:
                self._set(True)
                watch_drops(self._widget)
            elif kind in (QEvent.Type.Close, QEvent.Type.DeferredDelete):
                self._set(False)
        return False


_awaited: set[Callable[[], None]] = set()


def _last_rites(release: Callable[[], None]) -> Callable[[], None]:
    """``release`` as a slot that outlives its widget, and does not keep it alive.

    It is kept where the collector sees it as long as the widget's Python half lives: otherwise it is taken apart
    together with that half, PyQt5 calls a closure without its cells, and the program ends.
    """
    method = WeakMethod(release, lambda _: _awaited.discard(rites))

    def rites() -> None:
        _awaited.discard(rites)
        last = method()
        if last is not None:
            with suppress(RuntimeError):
                last()

    _awaited.add(rites)
    return rites
