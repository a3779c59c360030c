"""The window that the command opens: napari with our docks beside the canvas."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import napari
from napari.layers import Layer

from ..errors import VLExplainError
from ..io.dicom.content import is_dicom
from ..layers import samples as _samples
from ..layers.explanations import napari_get_reader, read_bundles
from ..reading_room.study import PACKAGED, is_study
from .explain.dock import ExplainDock
from .measure.dock import MeasureDock
from .viewer.dicom_choice import open_dicom
from .viewer.docks import add_cases, dock_named, open_dock, place_dock

DEMO_PROMPTS = ("a photo of a dog", "a photo of a sunflower")


def show_window(files: Sequence[str] = (), demo: bool = False, docks: Sequence[str] = ()) -> napari.Viewer:
    """A viewer with both docks, the files' layers, and in a demo a run that has begun.

    A folder that is a study, or the name of the one on board, opens the *Cases* dock on it. ``docks`` are further
    ones, the last in front.

    Raises
    ------
    VLExplainError : a file cannot be opened, or there is no such dock.
    """
    further = [dock_named(name) for name in docks]
    missing = [file for file in files if file != PACKAGED and not Path(file).expanduser().exists()]
    if missing:
        raise VLExplainError(f"There is no file {missing[0]!r}.")
    viewer = napari.Viewer(title="napari - VL Explain")
    explain, _ = add_docks(viewer)
    for file in files:
        _open(viewer, file)
    for name in further:
        open_dock(viewer, name)
    if demo:
        add_layers(viewer, _samples.sticker_scene())
        explain.view.prompts.set_prompts(DEMO_PROMPTS)
        explain.run()
    return viewer


def add_docks(viewer: napari.Viewer) -> tuple[ExplainDock, MeasureDock]:
    """Both docks, one above the other as tabs, *Explain* in front."""
    placed = [place_dock(viewer, name) for name in ("Explain", "Measure")]
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


def _open(viewer: napari.Viewer, file: str) -> None:
    path = str(Path(file).expanduser())
    if napari_get_reader(path) is not None:
        add_layers(viewer, read_bundles(path))
        return
    if file == PACKAGED or is_study(path):
        add_cases(viewer, file if file == PACKAGED else path)
        return
    if is_dicom(path):
        open_dicom(viewer, path)
        return
    try:
        viewer.open(path)
    except Exception as error:
        raise VLExplainError(f"{file} cannot be opened: {error}") from None
