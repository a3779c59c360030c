"""The *Look* dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .dock import LookDock

__all__ = ["LookDock"]
__getattr__ = lazy(__name__, {"LookDock": "dock"})
