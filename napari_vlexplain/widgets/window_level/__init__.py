"""The *Window level* dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .dock import WindowLevelDock

__all__ = ["WindowLevelDock"]
__getattr__ = lazy(__name__, {"WindowLevelDock": "dock"})
