"""What people type after ``--param`` and ``--threshold``, understood."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..errors import VLExplainError
from ..methods.catalogue import method
from ..methods.info import MethodInfo
from ..methods.parameters import Parameter, parse
from ..metrics.thresholds import Mode

DtypeOption = Annotated[str, typer.Option(help="Of the model's matrix products: float32 (auto), bfloat16 or float16.")]


def parameters_of(name: str, typed: list[str]) -> dict[str, Any]:
    """``K=V`` pairs as values for a method.

    Raises
    ------
    VLExplainError : no such method or parameter, no ``=``, a name given twice, a wrong value.
    """
    return values_of(method(name), typed)


def values_of(info: MethodInfo, typed: list[str]) -> dict[str, Any]:
    """As :func:`parameters_of`, for a method that is at hand."""
    return typed_values(info.parameters, typed, f"The method {info.name}")


def typed_values(offered: list[Parameter], typed: list[str], owner: str, noun: str = "parameter") -> dict[str, Any]:
    """``K=V`` pairs as values of the parameters that are ``offered``; raises as :func:`parameters_of`."""
    known = {each.name: each for each in offered}
    found: dict[str, Any] = {}
    for pair in typed:
        key, equals, text = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not equals:
            raise VLExplainError(f"--param {pair!r} should be NAME=VALUE, such as {_example(offered)}.")
        if key not in known:
            raise VLExplainError(f"{owner} has no {noun} {key!r}; it has {', '.join(known) or 'none'}.")
        if key in found:
            raise VLExplainError(f"--param {key} is given twice; give it once.")
        found[key] = parse(known[key], text)
    return found


def threshold_of_text(text: str) -> tuple[Mode, float]:
    """``0.5``, ``q0.75`` or ``otsu`` as the mode and value that :func:`napari_vlexplain.measuring.measure` takes.

    Raises
    ------
    VLExplainError : none of these.
    """
    word = text.strip().lower()
    if word == "otsu":
        return "otsu", 0.5
    mode: Mode = "quantile" if word.startswith("q") else "value"
    try:
        value = float(word.removeprefix("q"))
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise VLExplainError(
            f"--threshold is {text!r}, but it must be a value in 0 to 1, a quantile such as q0.75, or otsu."
        )
    return mode, value


def plane_of_text(text: str | None) -> tuple[int, ...]:
    """``3`` or ``3,1`` as indices of a plane; nothing as none.

    Raises
    ------
    VLExplainError : not whole numbers from 0.
    """
    words = [word.strip() for word in (text or "").split(",")] if text is not None else []
    if not all(word.isdecimal() for word in words):
        raise VLExplainError(f"--plane is {text!r}, but it must be whole numbers from 0, such as 3 or 3,1.")
    return tuple(int(word) for word in words)


def _example(offered: list[Parameter]) -> str:
    first = next(iter(offered), None)
    return "NAME=VALUE" if first is None else f"{first.name}={first.default}"
