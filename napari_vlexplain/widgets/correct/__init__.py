"""The *Correct* dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .dock import CorrectDock

__all__ = ["CorrectDock"]
__getattr__ = lazy(__name__, {"CorrectDock": "dock"})
