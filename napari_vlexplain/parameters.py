"""Parameters of methods: one dataclass feeds the dock's form, the command's ``--param`` and the docs. No torch here."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Union

from .errors import VLExplainError


@dataclasses.dataclass(frozen=True)
class Parameter:
    """What a person needs to know of one parameter.

    Attributes
    ----------
    name : of the field.
    kind : bool, int, float or str.
    default : its value where nobody says otherwise.
    help : what it is, in half a line.
    low, high : the least and the greatest value, or None where there is no limit.
    choices : the values that text can take.
    symbol : what the paper calls it.
    optional : is None allowed, which stands for "automatic"?

    Examples
    --------
    >>> from napari_vlexplain import list_methods
    >>> layer = next(each for info in list_methods() if info.name == "m2ib" for each in info.parameters)
    >>> layer.name, layer.kind.__name__, layer.range
    ('layer', 'int', '0 to 64')
    """

    name: str
    kind: type
    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    symbol: str = ""
    optional: bool = False

    @property
    def range(self) -> str:
        """For a table: ``0 to 1``, ``at least 1``, ``a, b or c``."""
        if self.choices:
            return ", ".join(self.choices)
        if self.kind is bool:
            return "true, false"
        low, high = (None if x is None else f"{x:g}" for x in (self.low, self.high))
        if low is not None and high is not None:
            return f"{low} to {high}"
        return f"at least {low}" if low is not None else f"at most {high}" if high is not None else "any"


def param(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    symbol: str = "",
) -> Any:
    """A field of a parameter dataclass.

    Parameters
    ----------
    default : its value where nobody says otherwise; its type is the annotation's.
    help : what it is, in half a line: shown in the dock, by ``vlexplain methods NAME`` and in the docs.
    low, high : the least and the greatest value, or None where there is no limit.
    choices : the values that text can take.
    symbol : what the paper calls it.

    Returns
    -------
    dataclasses.Field

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from napari_vlexplain.methods import param
    >>> @dataclass(frozen=True)
    ... class Form:
    ...     power: float = param(1.0, "of the norm", low=0, symbol="p")
    >>> Form().power
    1.0
    """
    metadata = {"help": help, "low": low, "high": high, "choices": choices, "symbol": symbol}
    return dataclasses.field(default=default, metadata=metadata)


def describe(form: type) -> list[Parameter]:
    """The parameters of a dataclass, in order."""
    hints = typing.get_type_hints(form)
    found = []
    for field in dataclasses.fields(form):
        hint = hints[field.name]
        alternatives = typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)
        (kind,) = (a for a in alternatives if a is not type(None))
        optional = type(None) in alternatives
        found.append(Parameter(field.name, kind, field.default, optional=optional, **field.metadata))
    return found


def fill(form: type, values: Mapping[str, Any], method: str) -> Any:
    """An instance of the dataclass with ``values`` checked.

    Raises
    ------
    VLExplainError : an unknown name, a wrong type, a value out of range.
    """
    known = {p.name: p for p in describe(form)}
    for name in values:
        if name not in known:
            offered = ", ".join(known) or "none"
            raise VLExplainError(f"The method {method} has no parameter {name!r}; it has {offered}.")
    return form(**{name: check(known[name], value) for name, value in values.items()})


def check(parameter: Parameter, value: Any) -> Any:
    """The value in the parameter's own type, or one sentence why not."""
    name, kind = parameter.name, parameter.kind
    if value is None:
        if parameter.optional:
            return None
        raise VLExplainError(f"{name} needs a value: {_wanted(parameter)}.")
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()  # NumPy scalars
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    checked: Any = value
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise VLExplainError(f"{name} is {value!r}, but it must be {_wanted(parameter)}.")
    outside = (
        (parameter.choices and checked not in parameter.choices)
        or (kind is float and not math.isfinite(checked))
        or (parameter.low is not None and checked < parameter.low)
        or (parameter.high is not None and checked > parameter.high)
    )
    if outside:
        raise VLExplainError(f"{name} is {value!r}, but it must be {_wanted(parameter)}.")
    return checked


def parse(parameter: Parameter, text: str) -> Any:
    """The value that a person typed."""
    word = text.strip()
    if parameter.optional and word.lower() in ("", "none", "auto"):
        return None
    try:
        if parameter.kind is bool:
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[word.lower()]
        return check(parameter, parameter.kind(word))
    except VLExplainError:
        raise
    except (KeyError, ValueError):
        raise VLExplainError(f"{parameter.name} is {text!r}, but it must be {_wanted(parameter)}.") from None


def _wanted(parameter: Parameter) -> str:
    nouns = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
    noun = "one of " + ", ".join(parameter.choices) if parameter.choices else nouns[parameter.kind]
    bounds = "" if parameter.choices or parameter.range in ("any", "true, false") else f" ({parameter.range})"
    return noun + bounds + (" or None for automatic" if parameter.optional else "")
