"""Copies of unpacked models with other numbers in them: for randomisation and fine-tuning. The originals stay as is."""

from __future__ import annotations

import copy
import dataclasses
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Change = Callable[[Tensor], Tensor]
"""A floating-point tensor -> the one that takes its place: same shape, dtype and device."""


def changed(thing: Any, change: Change, memo: dict[int, Any] | None = None) -> Any:
    """A copy of a tower, block, pool or function with every parameter replaced.

    Looks into dataclasses, tuples, modules, bound methods, partial functions and what functions close over. A tensor
    that occurs twice is changed once. Integer tensors and everything else are shared with the original.
    """
    seen: dict[int, Any] = {} if memo is None else memo
    if id(thing) in seen:
        return seen[id(thing)]
    found = _changed(thing, change, seen)
    seen[id(thing)] = found
    seen.setdefault(-1, []).append(thing)  # ids are unique only among the living
    return found


def _changed(thing: Any, change: Change, memo: dict[int, Any]) -> Any:
    if isinstance(thing, Tensor):
        return change(thing.detach()) if thing.is_floating_point() else thing
    if isinstance(thing, nn.Module):
        return _module(thing, change, memo)
    if isinstance(thing, tuple | list):
        return type(thing)(changed(item, change, memo) for item in thing)
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        fields = {f.name: getattr(thing, f.name) for f in dataclasses.fields(thing) if f.init}
        return dataclasses.replace(thing, **{name: changed(value, change, memo) for name, value in fields.items()})
    if isinstance(thing, types.MethodType):
        return types.MethodType(thing.__func__, changed(thing.__self__, change, memo))
    if isinstance(thing, types.FunctionType) and thing.__closure__:
        return _closure(thing, change, memo)
    if hasattr(thing, "func") and hasattr(thing, "keywords"):  # functools.partial
        keywords = {name: changed(value, change, memo) for name, value in thing.keywords.items()}
        return type(thing)(changed(thing.func, change, memo), *changed(thing.args, change, memo), **keywords)
    return thing


def _module(module: nn.Module, change: Change, memo: dict[int, Any]) -> nn.Module:
    """A deep copy whose parameters are the changed ones; buffers are shared, so that position numbers stay numbers."""
    known: dict[int, Any] = {id(buffer): buffer for buffer in module.buffers()}
    for parameter in module.parameters():
        # A plain tensor in a module's list of parameters works, and takes gradients if it asks for them.
        known[id(parameter)] = changed(parameter, change, memo)
    return copy.deepcopy(module, known)


def _closure(function: types.FunctionType, change: Change, memo: dict[int, Any]) -> types.FunctionType:
    cells = tuple(types.CellType(changed(cell.cell_contents, change, memo)) for cell in function.__closure__ or ())
    found = types.FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, cells)
    found.__kwdefaults__ = function.__kwdefaults__
    return found


def trainable(thing: Any) -> tuple[Any, list[Tensor]]:
    """A copy whose parameters take gradients, and the list of them."""
    found: list[Tensor] = []

    def change(tensor: Tensor) -> Tensor:
        found.append(tensor.clone().requires_grad_())
        return found[-1]

    with torch.enable_grad():
        return changed(thing, change), found
