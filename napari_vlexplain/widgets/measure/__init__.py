"""The *Measure* dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .dock import MeasureDock

__all__ = ["MeasureDock"]
__getattr__ = lazy(__name__, {"MeasureDock": "dock"})
