"""What napari fetches when its first layers come, fetched beforehand on a thread: its units, its tables of features.

Either would hold the window for 0.1 to 0.5 s at the first picture.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Any

from qtpy.QtCore import QObject, QTimer

from ._latest import LatestOnly

MODULES = ("pandas", "scipy.ndimage", "skimage.draw", "skimage.color.colorconv")
LATER_MS = 200  # the dock is drawn first
_fetched = False


def warm_up(parent: QObject) -> None:
    """Begin, unless this program has before."""
    global _fetched
    if _fetched:
        return
    _fetched = True
    thread = LatestOnly(parent)

    thread.done.connect(_keep)
    QTimer.singleShot(LATER_MS, lambda: thread.submit(_fetch))


def _fetch() -> Any:
    for name in MODULES:
        with suppress(ImportError):
            importlib.import_module(name)
    with suppress(ImportError):
        import pint

        return pint.UnitRegistry()
    return None


def _keep(registry: Any) -> None:
    """Take it for the program's own, where nobody has used that yet: units of two registries do not go together."""
    import pint

    own = pint.get_application_registry().get()
    if registry is not None and type(own) is pint.registry.LazyRegistry:
        pint.set_application_registry(registry)
