"""Our docks by their names in napari's menu, as the manifest has them. No Qt here."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any

from ...errors import unknown
from ...shipped import MANIFEST


@lru_cache(maxsize=1)
def python_names() -> dict[str, str]:
    """Name in the menu -> ``module:class``."""
    from npe2 import PluginManifest

    found = PluginManifest.from_file(MANIFEST).contributions
    classes = {command.id: command.python_name for command in found.commands or ()}
    return {widget.display_name: str(classes[widget.command]) for widget in found.widgets or ()}


def dock_named(text: str) -> str:
    """The name in the menu that somebody typed: case, hyphens and underscores do not matter.

    Raises
    ------
    VLExplainError : there is no such dock.
    """
    wanted = text.replace("-", " ").replace("_", " ").strip().lower()
    for name in python_names():
        if name.lower() == wanted:
            return name
    raise unknown("dock", text, [name.lower().replace(" ", "-") for name in python_names()])


def dock_class(name: str) -> Any:
    """The widget's class of a name in the menu."""
    module, _, attribute = python_names()[name].partition(":")
    return getattr(import_module(module), attribute)
