"""Models: towers made of blocks, whichever library the weights came from. Importing this imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..running import Run
from .zoo import ModelInfo, list_models

if TYPE_CHECKING:
    from .dual_encoder import DualEncoder

__all__ = ["ModelInfo", "list_models", "load_model"]


def load_model(
    name: str = "mini", device: str | None = None, download: bool = False, run: Run | None = None
) -> DualEncoder:
    """Load a model, or return it if it is loaded already.

    Parameters
    ----------
    name : ``mini``; a folder or hub name of a ``transformers`` CLIP; ``open_clip:ARCH:PRETRAINED``, where PRETRAINED
        is a tag or the path of a checkpoint.
    device : ``cpu``, ``cuda``, ``cuda:1``, ``mps``; by default the fastest there is.
    download : may weights be fetched that are not on this machine?

    Raises
    ------
    VLExplainError : an unknown name, missing or damaged files, or weights that would run code.
    """
    from .loading import load

    return load(name, device, download, run or Run())
