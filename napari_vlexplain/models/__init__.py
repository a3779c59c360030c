"""Models: towers made of blocks, whichever library the weights came from. Importing this imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy
from ..running.entrance import entrance
from ..running.run import Run
from .zoo import ModelInfo, list_models

if TYPE_CHECKING:
    from .dual_encoder import DualEncoder
    from .files.identity import note
    from .loading import open_folder
    from .towers import Tower

__all__ = ["DualEncoder", "ModelInfo", "Tower", "list_models", "load_model", "note", "open_folder"]
__getattr__ = lazy(
    __name__,
    {"DualEncoder": "dual_encoder", "Tower": "towers", "note": "files.identity", "open_folder": "loading"},
)


@entrance("Loading the model")
def load_model(
    name: str = "mini",
    device: str | None = None,
    download: bool = False,
    run: Run | None = None,
    dtype: str = "auto",
    size: int | None = None,
) -> DualEncoder:
    """Load a model, or return it if it is loaded already.

    Parameters
    ----------
    name : one of :func:`list_models`; a folder of ``transformers``, open_clip or timm, or a hub name of one;
        ``open_clip:ARCH:PRETRAINED`` with a tag or the path of a checkpoint; ``timm:ARCH[:FILE]``; a state dict of
        OpenAI's layout (``chexzero:FILE``, ``cxr-repair:FILE``, ``remoteclip:FILE``). See docs/models.md.
    device : ``cpu``, ``cuda``, ``cuda:1``, ``mps``; by default the fastest there is.
    download : may weights be fetched that are not on this machine?
    run : progress, and cancellation between pieces of a download; what has arrived is kept.
    dtype : of its matrix products: float32 (auto), bfloat16 or float16.
    size : of its input, size x size pixels, its positions interpolated; by default its own.

    Returns
    -------
    DualEncoder : frozen, unpacked into towers, in evaluation mode; the same object as long as its files are the same.

    Raises
    ------
    Cancelled : the run was cancelled.
    VLExplainError : an unknown name, missing or damaged files, weights that would run code, or a precision or a
        size that it does not run in.

    Examples
    --------
    >>> from napari_vlexplain import load_model
    >>> model = load_model("mini", device="cpu")
    >>> model.image.depth, model.image.grid
    (12, (14, 14))
    """
    from .loading import load
    from .precision import in_precision
    from .precisions import resolved
    from .resolution import at_size

    resolved(dtype)
    return at_size(in_precision(load(name, device, download, run or Run()), dtype), size)
