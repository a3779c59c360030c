"""Our docks opened in a viewer's window, and brought to the front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .docks import dock_class
from .settings import PLUGIN

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
