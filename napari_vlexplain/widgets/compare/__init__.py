"""The *Compare* dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .dock import CompareDock

__all__ = ["CompareDock"]
__getattr__ = lazy(__name__, {"CompareDock": "dock"})
