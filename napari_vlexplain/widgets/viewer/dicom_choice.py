"""DICOM files by our reader, whichever the user has chosen for them; that choice stays the user's.

napari brings a reader of its own, without window, MONOCHROME1 and spacing, and asks which one to take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Layer

from ...io.dicom.content import is_dicom
from ...layers.dicom import read_dicom_layers
from .layers import info
from .settings import PLUGIN

if TYPE_CHECKING:
    import napari


def open_dicom(viewer: napari.viewer.Viewer, path: str) -> None:
    """Open a file or folder with our reader, by way of napari where it knows us, so that it keeps the path.

    Raises
    ------
    VLExplainError : it cannot be read.
    """
    from npe2 import PluginManager

    if PLUGIN not in PluginManager.instance():
        for data in read_dicom_layers(path):
            viewer.add_layer(Layer.create(*data))
    elif not viewer.open(path, plugin=PLUGIN):
        read_dicom_layers(path)  # says why


def opened_by_another(layer: Layer | None) -> str | None:
    """The path of the DICOM file that another reader made the layer of, else None."""
    path = None if layer is None else layer.source.path
    return str(path) if path and "dicom" not in info(layer) and is_dicom(path) else None
