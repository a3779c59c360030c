"""The *Explain* dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .dock import ExplainDock

__all__ = ["ExplainDock"]
__getattr__ = lazy(__name__, {"ExplainDock": "dock"})
