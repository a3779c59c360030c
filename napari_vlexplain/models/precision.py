"""Models whose matrix products run in half precision; norms, softmax, sums and gradients of scores stay in float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..errors import VLExplainError
from .blocks import Linear
from .dual_encoder import DualEncoder
from .towers import Tower

PRECISIONS = ("float32", "bfloat16", "float16")
_made: WeakKeyDictionary[DualEncoder, dict[str, DualEncoder]] = WeakKeyDictionary()


def resolved(precision: str) -> str:
    """``auto`` is float32, the one that gives the same maps on every device.

    Raises
    ------
    VLExplainError : an unknown precision.
    """
    if precision == "auto":
        return PRECISIONS[0]
    if precision not in PRECISIONS:
        raise VLExplainError(f"The precision is {precision!r}, but it must be auto, {', '.join(PRECISIONS)}.")
    return precision


def in_precision(model: DualEncoder, precision: str) -> DualEncoder:
    """The model with its towers' matrix products in ``precision``; made once, the original stays as it is.

    A transformer's projections and MLPs are kept in that dtype and give float32 back, so that the residual stream
    and all that methods do with it are float32. A convolutional tower runs under autocast. A model that was trained
    to explain itself (a lattice) is left in float32.
    """
    wanted = resolved(precision)
    if wanted == PRECISIONS[0] or getattr(model, "lattice", None) is not None:
        return model
    made = _made.setdefault(model, {})
    if wanted not in made:
        dtype = getattr(torch, wanted)
        made[wanted] = replace(
            model,
            image=_tower(model.image, dtype, model.device),
            text=_tower(model.text, dtype, model.device) if model.text.blocks else model.text,
        )
    return made[wanted]


def precision_of(model: DualEncoder) -> str:
    """What the image tower's matrix products run in."""
    tower = model.image
    if not tower.blocks:
        return getattr(tower.embed, "precision", PRECISIONS[0])
    return str(tower.blocks[0].query.weight.dtype).removeprefix("torch.")


def _tower(tower: Tower, dtype: torch.dtype, device: torch.device) -> Tower:
    if tower.blocks:
        return replace(tower, blocks=tuple(_cast(block, dtype) for block in tower.blocks))
    return replace(tower, embed=_mixed(tower.embed, dtype, device))


def _cast(thing: Any, dtype: torch.dtype) -> Any:
    """Every :class:`Linear` in a block, wherever it is."""
    if isinstance(thing, Linear):
        return Linear(thing.weight.to(dtype), None if thing.bias is None else thing.bias.to(dtype))
    if is_dataclass(thing) and not isinstance(thing, type):
        return replace(thing, **{f.name: _cast(getattr(thing, f.name), dtype) for f in fields(thing) if f.init})
    return thing


def _mixed(embed: Callable[[Tensor], Tensor], dtype: torch.dtype, device: torch.device) -> Callable[[Tensor], Tensor]:
    def mixed(pixels: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype=dtype):
            return embed(pixels).float()

    mixed.precision = str(dtype).removeprefix("torch.")  # type: ignore[attr-defined]
    return mixed
