"""The *Benchmark* dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .dock import BenchmarkDock

__all__ = ["BenchmarkDock"]
__getattr__ = lazy(__name__, {"BenchmarkDock": "dock"})
