"""Keywords that many functions share are a frozen dataclass: taken out of ``**options``, and seen in signatures."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any, TypeVar

K = TypeVar("K")


def keywords_of(kind: type, *without: str) -> tuple[inspect.Parameter, ...]:
    """The fields of a dataclass that have a default, as keywords of a signature; those named are left out."""
    return tuple(
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
        for field in fields(kind)
        if field.default is not MISSING and field.name not in without
    )


def taken(kind: type[K], options: dict[str, Any], *first: Any, without: tuple[str, ...] = ()) -> K:
    """The dataclass of those ``options`` that are its own, which are gone from there; ``first`` are its first fields.

    What is named in ``without`` stays where it is, for whoever takes what is left to refuse it.
    """
    own = [keyword.name for keyword in keywords_of(kind, *without) if keyword.name in options]
    return kind(*first, **{name: options.pop(name) for name in own})


def with_keywords(signature: inspect.Signature, keywords: tuple[inspect.Parameter, ...]) -> inspect.Signature:
    """A signature in which these stand before its ``**options``, which go if nothing else is left for them."""
    return signature.replace(parameters=list(_merged(signature, keywords)))


def _merged(signature: inspect.Signature, keywords: tuple[inspect.Parameter, ...]) -> Iterator[inspect.Parameter]:
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            yield from keywords
            if parameter.name == "options" and keywords:
                continue
        yield parameter
