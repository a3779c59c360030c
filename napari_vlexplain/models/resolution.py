"""Models that look at pictures in another resolution than their own: positions interpolated, as their library does."""

from __future__ import annotations

from dataclasses import replace
from math import lcm

from ..errors import VLExplainError
from ..geometry import Pair
from .dual_encoder import DualEncoder
from .vision.preprocess import Preprocess

MOST_PATCHES = 9_216
"""Of one picture, 96 x 96: what is kept of pairs of more of them does not fit into memory."""

LONGEST = 4
"""How many times the shorter side the longer one may be, where the whole picture is looked at."""


def at_size(model: DualEncoder, size: int | None) -> DualEncoder:
    """The model with an input of ``size`` x ``size`` pixels; None leaves it as it is. The original stays as it is.

    A picture is brought to it as to the model's own input, so the model sees the same part of it.

    Raises
    ------
    VLExplainError : no whole number of patches, more of them than can be, or a tower that takes one size alone.
    """
    if size is None:
        return model
    own = model.preprocess.own or model.preprocess
    wanted = (checked_size(size), size)
    if wanted != own.size:
        refuse_fixed(model)
        _refuse_part(model, size)
    return model if wanted == model.preprocess.size else looking(model, model.preprocess.at(wanted))


def looking(model: DualEncoder, preprocess: Preprocess) -> DualEncoder:
    """The model with pictures prepared in another way, and in another size; its texts stay what they are."""
    assert model.image.patch is not None
    height, width = (side // patch for side, patch in zip(preprocess.size, model.image.patch, strict=True))
    found = replace(model, image=model.image.on_grid((height, width)), preprocess=preprocess)
    found._texts = model._texts
    return found


def at_whole(model: DualEncoder, picture: Pair, size: int | None = None) -> DualEncoder:
    """The model with an input for one picture (H, W): all of it, in whole patches, proportions kept as far as these go.

    ``size`` is about the shorter side, by default that of the model's own input. A model of a fixed input stays as it
    is.

    Raises
    ------
    VLExplainError : no number of pixels, more patches than can be, or a size for a tower that takes one alone.
    """
    if size is not None:
        checked_size(size)
        refuse_fixed(model)
    if not model.image.any_size:
        return model
    assert model.image.patch is not None
    shorter = size or min(model.preprocess.size)
    scale = min(shorter / min(picture), LONGEST * shorter / max(picture))
    sides = [max(1, round(side * scale / patch)) for side, patch in zip(picture, model.image.patch, strict=True)]
    _refuse_many(shorter, sides[0], sides[1])
    height, width = (count * patch for count, patch in zip(sides, model.image.patch, strict=True))
    return looking(model, model.preprocess.whole((height, width)))


def size_of(model: DualEncoder) -> int | None:
    """The side of the model's input, where it is not its own."""
    return None if model.preprocess.own is None else model.preprocess.size[0]


def in_own_size(model: DualEncoder) -> DualEncoder:
    """The model with the input that it was made for."""
    own = model.preprocess.own
    return model if own is None else looking(model, own)


def checked_size(size: int) -> int:
    """
    Raises
    ------
    VLExplainError : no whole number of pixels.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise VLExplainError(f"size is {size!r}, but it must be a whole number of pixels, such as 384.")
    return size


def refuse_fixed(model: DualEncoder) -> None:
    """
    Raises
    ------
    VLExplainError : a tower that takes pictures of its own size alone.
    """
    if not model.image.any_size:
        height, width = model.preprocess.size
        raise VLExplainError(
            f"{model.info.name} takes pictures of {height} x {width} pixels alone; leave the size out, or choose a "
            "model with a ViT."
        )


def _refuse_part(model: DualEncoder, size: int) -> None:
    assert model.image.patch is not None
    height, width = model.image.patch
    step = lcm(height, width)
    if size % step:
        below, above = size // step * step, -(-size // step) * step
        near = f"{below} or {above}" if below else str(above)
        raise VLExplainError(
            f"size is {size}, but {model.info.name} looks at patches of {height} x {width} pixels: choose a multiple "
            f"of {step}, such as {near}."
        )
    _refuse_many(size, size // height, size // width)


def _refuse_many(size: int, rows: int, columns: int) -> None:
    if rows * columns > MOST_PATCHES:
        raise VLExplainError(
            f"size is {size}, which makes {rows} x {columns} patches, but at most {MOST_PATCHES} fit into memory: "
            "choose a smaller one."
        )
