"""What napari fetches when its first layers come, fetched beforehand on a thread: its units, its tables of features.

Either would hold the window for 0.1 to 0.5 s at the first picture.
"""

from __future__ import annotations

import gc
import importlib
from contextlib import suppress

import pint
from qtpy.QtCore import QTimer

from .latest import LatestOnly

MODULES = ("pandas", "scipy.ndimage", "skimage.draw", "skimage.color.colorconv")
LATER_MS = 200  # the dock is drawn first
_threads: list[LatestOnly] = []  # of the program, not of a dock: it may be closed while they are still at it


def warm_up() -> None:
    """Begin, unless this program has before."""
    if not _threads:
        thread = LatestOnly()
        _threads.append(thread)
        thread.done.connect(_keep)
        QTimer.singleShot(LATER_MS, lambda: thread.submit(_fetch))


def _fetch() -> pint.UnitRegistry:
    collecting = gc.isenabled()
    gc.disable()  # so much that is new would have it look at the whole heap, and the window wait for that
    try:
        for name in MODULES:
            with suppress(ImportError):
                importlib.import_module(name)
        return pint.UnitRegistry()
    finally:
        if collecting:
            gc.enable()


def _keep(registry: pint.UnitRegistry) -> None:
    """Take it for the program's own, where nobody has used that yet: units of two registries do not go together."""
    _threads[0].close()
    own = pint.get_application_registry().get()
    if type(own) is pint.registry.LazyRegistry:
        pint.set_application_registry(registry)
