"""The *Latent text* dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .dock import LatentTextDock

__all__ = ["LatentTextDock"]
__getattr__ = lazy(__name__, {"LatentTextDock": "dock"})
