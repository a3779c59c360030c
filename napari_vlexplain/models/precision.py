"""Models whose matrix products run in half precision; norms, softmax, sums and gradients of scores stay in float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import VLExplainError
from .blocks import Linear
from .dual_encoder import DualEncoder
from .precisions import PRECISIONS, resolved
from .questions.single_stream import SingleStream
from .questions.two_stream import TwoStream
from .towers import Tower

Model = DualEncoder | TwoStream | SingleStream
M = TypeVar("M", bound=Model)
_made: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


def in_precision(model: M, precision: str) -> M:
    """The model with its matrix products in ``precision``; made once, the original stays as it is.

    A transformer's projections and MLPs are kept in that dtype and give float32 back, so that the residual stream
    and all that methods do with it are float32. A convolutional tower runs under autocast. How mini-vqa sees an image
    is no part of the model that answers, and stays as it is.

    Raises
    ------
    VLExplainError : an unknown precision, or one that this model or its device does not run in.
    """
    wanted = resolved(precision)
    if wanted == PRECISIONS[0] or wanted == precision_of(model):
        return model
    made = _made.setdefault(model, {})
    if wanted not in made:
        dtype = getattr(torch, wanted)
        _refuse_unfit(model, wanted, dtype)
        made[wanted] = replace(model, **_parts(model, dtype))
    found: M = made[wanted]
    return found


def precision_of(model: Model) -> str:
    """What the matrix products run in: those of the image tower, or of the layers that answer."""
    if isinstance(model, SingleStream | TwoStream):
        layer = model.layers[0] if isinstance(model, SingleStream) else model.cross[0].language
        query = layer.attention.attention.query
    elif model.image.blocks:
        query = model.image.blocks[0].query
    else:
        return getattr(model.image.embed, "precision", PRECISIONS[0])
    return str(query.weight.dtype).removeprefix("torch.")


def _refuse_unfit(model: Model, precision: str, dtype: torch.dtype) -> None:
    if isinstance(model, DualEncoder) and model.lattice is not None:
        raise VLExplainError(
            f"{model.info.name} was trained to explain itself in float32 and runs in that alone; choose float32, "
            f"not {precision}."
        )
    if not _computes(model.device, dtype):
        raise VLExplainError(
            f"The device {model.device} does not compute in {precision}; choose float32, or another device."
        )


@lru_cache
def _computes(device: torch.device, dtype: torch.dtype) -> bool:
    try:
        one = torch.ones(1, 1, dtype=dtype, device=device)
        F.linear(one, one)
    except (RuntimeError, TypeError):
        return False
    return True


def _parts(model: Model, dtype: torch.dtype) -> dict[str, Any]:
    """The fields that change."""
    if isinstance(model, DualEncoder):
        text = _tower(model.text, dtype, model.device) if model.text.blocks else model.text
        return {"image": _tower(model.image, dtype, model.device), "text": text}
    names = ("layers", "head") if isinstance(model, SingleStream) else ("language", "vision", "cross", "head")
    return {name: _cast(getattr(model, name), dtype) for name in names}


def _tower(tower: Tower, dtype: torch.dtype, device: torch.device) -> Tower:
    if tower.blocks:
        return replace(tower, blocks=_cast(tower.blocks, dtype))
    return replace(tower, embed=_mixed(tower.embed, dtype, device))


def _cast(thing: Any, dtype: torch.dtype) -> Any:
    """Every :class:`Linear` in a block or in several, wherever it is."""
    if isinstance(thing, Linear):
        return Linear(thing.weight.to(dtype), None if thing.bias is None else thing.bias.to(dtype))
    if isinstance(thing, tuple):
        return tuple(_cast(each, dtype) for each in thing)
    if is_dataclass(thing) and not isinstance(thing, type):
        return replace(thing, **{f.name: _cast(getattr(thing, f.name), dtype) for f in fields(thing) if f.init})
    return thing


def _mixed(embed: Callable[[Tensor], Tensor], dtype: torch.dtype, device: torch.device) -> Callable[[Tensor], Tensor]:
    def mixed(pixels: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype=dtype):
            return embed(pixels).float()

    mixed.precision = str(dtype).removeprefix("torch.")  # type: ignore[attr-defined]
    return mixed
