"""Our docks by their names in napari's menu, as the manifest has them, opened and brought to the front."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...errors import unknown
from ...shipped import MANIFEST
from .settings import PLUGIN


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


if TYPE_CHECKING:
    import napari


def place_dock(viewer: napari.Viewer, name: str) -> tuple[Any, Any]:
    """(dock, our widget); by way of the plugin where it is installed, so that its menu knows of it."""
    from npe2 import PluginManager

    if PLUGIN in PluginManager.instance():
        return viewer.window.add_plugin_dock_widget(PLUGIN, name)
    widget = dock_class(name)(viewer)
    return viewer.window.add_dock_widget(widget, name=name, area="right"), widget


def open_dock(viewer: napari.Viewer, name: str) -> Any:
    """One of our docks by its name in the menu, in front of the others; the one that is open already, if it is."""
    place, dock = place_dock(viewer, name)
    place.show()
    _in_front(place)
    return dock


def add_cases(viewer: napari.Viewer, study: str) -> Any:
    """The *Cases* dock, in front of the others, on a study."""
    place, cases = place_dock(viewer, "Cases")
    _in_front(place)
    cases.open_study(study)
    return cases


def _in_front(place: Any) -> None:
    """Make a dock the tab in front of those beside it."""
    from qtpy.QtCore import QTimer

    window = place.parent()
    others = [one for one in window.findChildren(type(place)) if one is not place and one.widget() is not None]
    # In a window that has just been made all of them are still hidden; those that can be seen come first.
    right = sorted((one for one in others if window.dockWidgetArea(one) == window.dockWidgetArea(place)),
                   key=lambda one: one.isHidden())  # fmt: skip
    if right:
        window.tabifyDockWidget(right[0], place)
    place.raise_()
    if place.isHidden():  # napari shows docks a turn later, and raises none
        QTimer.singleShot(0, place.raise_)
