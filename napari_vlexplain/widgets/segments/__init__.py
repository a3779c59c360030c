"""The *Segments* dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .dock import SegmentsDock

__all__ = ["SegmentsDock"]
__getattr__ = lazy(__name__, {"SegmentsDock": "dock"})
