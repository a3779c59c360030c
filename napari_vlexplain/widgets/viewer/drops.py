"""A folder that is dropped on the window while one of our docks is open: one question, in place of napari's dialog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QMessageBox, QWidget

from ...errors import VLExplainError
from ...io.dicom.series import holds_dicom
from ...layers.dicom import read_dicom_layers
from .folders import LAYERS, STUDY, is_pictures, is_volume, open_as_study

_NAME = "vlexplain_folder_drops"


def watch_drops(dock: QWidget) -> None:
    """Ask about folders that are dropped on the canvas of this dock's window, from now on."""
    window = dock.window()
    for canvas in [] if window is None else window.findChildren(QWidget):
        if type(canvas).__name__ == "QtViewer" and canvas.findChild(QObject, _NAME) is None:
            canvas.installEventFilter(FolderDrops(canvas))


class FolderDrops(QObject):
    """Sits on napari's canvas, and takes the folders of pictures."""

    def __init__(self, canvas: Any) -> None:
        super().__init__(canvas)
        self.setObjectName(_NAME)
        self._canvas = canvas

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if isinstance(event, QDropEvent) and event.type() == QEvent.Type.Drop:
            mime = event.mimeData()
            paths = [url.toLocalFile() for url in mime.urls()] if mime is not None else []
            if len(paths) == 1 and is_pictures(Path(paths[0])):
                event.acceptProposedAction()
                QTimer.singleShot(0, lambda: self._open(paths[0]))  # who dropped it waits until this returns
                return True
        return False

    def _open(self, folder: str) -> None:
        how = ask(self._canvas, folder)
        if how == STUDY:
            open_as_study(self._canvas.viewer, folder)
        elif how == LAYERS:
            open_as_layers(self._canvas.viewer, folder)


def ask(parent: QWidget, folder: str) -> str | None:
    """The one question: "study", "layers", or None for neither. A volume is offered as layers first."""
    box = QMessageBox(parent)
    box.setWindowTitle("VL Explain")
    box.setText(f"Open “{Path(folder).name}” as a study or as layers?")
    box.setInformativeText("A study shows one picture at a time, in the Cases dock. Layers lie on each other.")
    role = QMessageBox.ButtonRole.AcceptRole
    buttons = {box.addButton("&Study", role): STUDY, box.addButton("&Layers", role): LAYERS}
    box.addButton(QMessageBox.StandardButton.Cancel)
    wanted = LAYERS if is_volume(Path(folder)) else STUDY
    box.setDefaultButton(next(button for button, how in buttons.items() if how == wanted))
    box.exec()
    return buttons.get(box.clickedButton())


def open_as_layers(viewer: Any, folder: str) -> None:
    """DICOM by our reader, other pictures by napari's own."""
    from napari.utils.notifications import show_error

    if not holds_dicom(Path(folder)):
        viewer.open(folder, plugin="napari")
        return
    try:
        for data in read_dicom_layers(folder):
            viewer.add_layer(Layer.create(*data))
    except VLExplainError as error:
        show_error(str(error))
