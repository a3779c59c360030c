"""A parameter of a command that is a dataclass is folded: typer sees its fields, as options of their own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields, replace
from functools import wraps
from typing import Any, get_args

_LAST = ("out", "as_json")


@dataclass(frozen=True)
class Fields:
    """Beside a dataclass in ``Annotated``: what typer is to know of those of its fields that a command offers.

    kind : the dataclass, whose defaults hold; what has none is an argument.
    offered : an annotation for each field that can be given, by its name.
    made : the dataclass from what was typed; by default its class.
    """

    kind: type
    offered: dict[str, Any]
    made: Callable[..., Any] | None = None

    def only(self, *names: str, **otherwise: Any) -> Fields:
        """Of these fields alone; ``otherwise`` are those that a command describes in its own words."""
        return replace(self, offered={**{name: self.offered[name] for name in names}, **otherwise})

    def parameters(self) -> Iterator[inspect.Parameter]:
        """One for each field that is offered."""
        defaults = {field.name: field.default for field in fields(self.kind)}
        for name, annotation in self.offered.items():
            default = defaults[name]
            if default is MISSING:
                default = inspect.Parameter.empty
            elif not isinstance(default, bool | int | str):
                default = None
            yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

    def given(self, value: Any) -> dict[str, Any]:
        """The fields of a dataclass that a command offers, as keywords."""
        return {name: getattr(value, name) for name in self.offered}


def folded(command: Callable[..., None]) -> Callable[..., None]:
    """A command for typer: dataclasses among its parameters, marked by :class:`Fields`, are made from options.

    Arguments come first and stay in order; the options of dataclasses stand before ``--out`` and ``--json``.
    """
    own = dict(inspect.signature(command, eval_str=True).parameters)
    groups = {name: mark for name, one in own.items() if (mark := _mark(one.annotation)) is not None}

    @wraps(command)
    def unfolded(**given: Any) -> None:
        for name, group in groups.items():
            typed = {field: given.pop(field) for field in group.offered}
            given[name] = (group.made or group.kind)(**typed)
        command(**given)

    parameters = list(_unfolded(own, groups))
    unfolded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    unfolded.__annotations__ = {one.name: one.annotation for one in parameters}
    return unfolded


def _unfolded(own: dict[str, inspect.Parameter], groups: dict[str, Fields]) -> Iterator[inspect.Parameter]:
    of_groups = [one for group in groups.values() for one in group.parameters()]
    yield from (one for one in of_groups if one.default is inspect.Parameter.empty)
    options = [one for one in of_groups if one.default is not inspect.Parameter.empty]
    plain = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own.values() if one.name not in groups]
    yield from (one for one in plain if one.name not in _LAST)
    yield from options
    yield from (one for one in plain if one.name in _LAST)


def _mark(annotation: Any) -> Fields | None:
    return next((each for each in get_args(annotation) if isinstance(each, Fields)), None)
