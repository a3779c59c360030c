"""Which methods there are. Their code is imported when they run, so that listing them needs no torch.

A family is a folder here whose ``parameters.py`` has parameter dataclasses and a tuple ``METHODS``.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules

from ..errors import VLExplainError, unknown
from ..running.plugins import Offered, offered
from .info import MethodInfo

_FIRST = ("attention", "bottleneck", "spectral", "gradient", "black_box", "cam", "lrp", "clip")
"""Families in the order of the lists; others follow by name."""


def _families() -> list[str]:
    here = import_module(__package__ or "")
    found = sorted(module.name for module in iter_modules(here.__path__) if module.ispkg)
    return [*_FIRST, *(name for name in found if name not in _FIRST)]


_OWN: tuple[MethodInfo, ...] = tuple(
    info
    for family in _families()
    for info in getattr(import_module(f"{__package__}.{family}.parameters"), "METHODS", ())
)


@lru_cache(maxsize=1)
def _offered() -> Offered[MethodInfo]:
    return offered("napari_vlexplain.methods", MethodInfo, {info.name: info for info in _OWN})


def known_methods() -> dict[str, MethodInfo]:
    """Methods by name, those of other packages (entry points ``napari_vlexplain.methods``) included."""
    return _offered().found


def problems() -> tuple[str, ...]:
    """A sentence for each method of another package that was left out."""
    return _offered().problems


def list_methods() -> list[MethodInfo]:
    """The methods there are, those of other packages included.

    Returns
    -------
    list of MethodInfo : name, source, parameters and needs of each.

    Examples
    --------
    >>> from napari_vlexplain import list_methods
    >>> [parameter.name for info in list_methods() if info.name == "relevance" for parameter in info.parameters][:2]
    ['start_block', 'text_start_block']
    """
    return list(known_methods().values())


def method(name: str) -> MethodInfo:
    """The method of that name.

    Raises
    ------
    VLExplainError : there is none.
    """
    if name not in known_methods():
        raise unknown("method", name, known_methods())
    return known_methods()[name]


def refuse_unfit(info: MethodInfo, model_name: str, capabilities: frozenset[str]) -> None:
    """Raise if the model lacks what the method needs, naming the methods that fit."""
    missing = info.requires - capabilities
    if missing:
        fitting = [m.name for m in list_methods() if m.requires <= capabilities]
        alone = " (it has only an image tower: give its prompts as embeddings from a file)"
        note = "" if "prompts" in capabilities else alone
        raise VLExplainError(
            f"{info.name} needs {', '.join(sorted(missing))}, which {model_name} does not have{note}; "
            f"methods that fit it: {', '.join(fitting) or 'none'}."
        )
