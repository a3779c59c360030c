"""Which image gives the tokens that take the place of others: the edited one, another layer, or a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from ...latent_text.session_work import Donor
from ..parts.layer_combo import LayerCombo
from ..parts.layout import described
from ..viewer.contrast import settle
from ..viewer.picture import Picture, is_picture, picture_of

if TYPE_CHECKING:
    import napari

PICTURES = "Images (*.png *.jpg *.jpeg *.webp *.tif *.tiff *.bmp *.dcm);;All files (*)"


class DonorBox(QWidget):
    """``changed`` tells that another image was chosen."""

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.layers = LayerCombo(viewer, is_picture, first="this image", offered=settle)
        self.file_button = QPushButton("File…")
        self._file: Donor | None = None
        self._last: tuple[Picture, Donor] | None = None
        described(
            (self.layers, "Donor image", "The image whose tokens take their place."),
            (self.file_button, "Donor file", "Take them from an image file instead."),
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.layers, 1)
        row.addWidget(self.file_button)
        self.layers.layer_changed.connect(self._on_layer)
        self.file_button.clicked.connect(self._on_file)

    def donor(self) -> Donor | None:
        """The image, None for the edited one; the same object while nothing has changed.

        Raises
        ------
        VLExplainError : the viewer shows no plane of the chosen layer.
        """
        layer = self.layers.layer
        if self._file is not None or layer is None:
            return self._file
        now = picture_of(self._viewer, layer)
        if self._last is None or not _same(self._last[0], now):
            name = now.source.path or layer.name
            self._last = now, Donor(name, now.pixels, now.contrast_limits, origin=now.source)
        return self._last[1]

    def _on_layer(self) -> None:
        if self._file is not None:
            self._file = None
            self.file_button.setText("File…")
        self.changed.emit()

    def _on_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "The image that gives tokens", "", PICTURES)
        self._file = Donor(path, path) if path else None
        self.file_button.setText(Path(path).name or "File…")
        self.changed.emit()


def _same(a: Picture, b: Picture) -> bool:
    return a.data is b.data and (a.layer_id, a.index, a.contrast_limits) == (b.layer_id, b.index, b.contrast_limits)
