"""The *Cases* dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .dock import CasesDock

__all__ = ["CasesDock"]
__getattr__ = lazy(__name__, {"CasesDock": "dock"})
