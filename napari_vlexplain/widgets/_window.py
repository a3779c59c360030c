"""The window that the command opens: napari with our docks beside the canvas."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import napari
from napari.layers import Layer
from qtpy.QtWidgets import QWidget

from ..errors import VLExplainError
from ..io.napari_bundle import napari_get_reader, read_bundles
from . import _samples
from .explain import ExplainDock
from .measure import MeasureDock

PLUGIN = "napari-vlexplain"
DOCKS = {"Explain": ExplainDock, "Measure": MeasureDock}
DEMO_PROMPTS = ("a photo of a dog", "a photo of a sunflower")


def show_window(files: Sequence[str] = (), demo: bool = False) -> napari.Viewer:
    """A viewer with both docks, the files' layers, and in a demo a run that has begun.

    Raises
    ------
    VLExplainError : a file cannot be opened.
    """
    missing = [file for file in files if not Path(file).expanduser().exists()]
    if missing:
        raise VLExplainError(f"There is no file {missing[0]!r}.")
    viewer = napari.Viewer(title="napari - VL Explain")
    explain, _ = add_docks(viewer)
    for file in files:
        _open(viewer, file)
    if demo:
        add_layers(viewer, _samples.sticker_scene())
        explain.view.prompts.set_prompts(DEMO_PROMPTS)
        explain.run()
    return viewer


def add_docks(viewer: napari.Viewer) -> tuple[ExplainDock, MeasureDock]:
    """Both docks, one above the other as tabs, *Explain* in front."""
    placed = [_dock(viewer, name) for name in DOCKS]
    (explain_place, explain), (measure_place, measure) = placed
    window = explain_place.parent()
    if hasattr(window, "tabifyDockWidget"):
        window.tabifyDockWidget(explain_place, measure_place)
        explain_place.raise_()
    return explain, measure


def add_layers(viewer: napari.Viewer, data: list[_samples.LayerData]) -> None:
    """Add layer data as napari's sample menu does."""
    for one in data:
        viewer.add_layer(Layer.create(*one))
    viewer.reset_view()


def _dock(viewer: napari.Viewer, name: str) -> tuple[Any, Any]:
    """(dock, our widget); by way of the plugin where it is installed, so that its menu knows of it."""
    from npe2 import PluginManager

    if PLUGIN in PluginManager.instance():
        return viewer.window.add_plugin_dock_widget(PLUGIN, name)
    widget: QWidget = DOCKS[name](viewer)
    return viewer.window.add_dock_widget(widget, name=name, area="right"), widget


def _open(viewer: napari.Viewer, file: str) -> None:
    path = str(Path(file).expanduser())
    if napari_get_reader(path) is not None:
        add_layers(viewer, read_bundles(path))
        return
    try:
        viewer.open(path)
    except Exception as error:
        raise VLExplainError(f"{file} cannot be opened: {error}") from None
