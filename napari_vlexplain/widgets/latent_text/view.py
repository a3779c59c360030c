"""The parts of the *Latent text* dock, from top to bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from ..parts.copying import CopyButtons
from ..parts.layout import described, fill_scrolling, group
from ..parts.status import ProgressBar, StatusLine
from .edit_box import EditBox
from .prediction import PredictionBox
from .says import SaysBox
from .source import SourceBox

if TYPE_CHECKING:
    import napari


class LatentView(QWidget):
    """Widgets only; what they do is the dock's business."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.source, self.says, self.prediction = SourceBox(viewer), SaysBox(), PredictionBox()
        self.edit = EditBox(viewer)
        self.progress, self.status, self.note = ProgressBar(), StatusLine(), QLabel()
        self.say = self.status.say
        self.json_button, self.csv_button = QPushButton("Save JSON…"), QPushButton("Save CSV…")
        self.copies = CopyButtons("reads these tokens, and makes these edits,")
        self.status.setContentsMargins(9, 4, 9, 4)
        self.note.setWordWrap(True)
        self.note.setTextFormat(Qt.TextFormat.PlainText)
        self.note.setStyleSheet("font-style: italic")
        described(
            (self.json_button, "Save JSON", "Save the texts, and what the edits did, as JSON."),
            (self.csv_button, "Save CSV", "Save the texts, and what the edits did, as tables."),
        )
        self._lay_out()

    def _lay_out(self) -> None:
        scrolling, content, saving = QWidget(), QWidget(), QHBoxLayout()
        saving.addWidget(self.json_button)
        saving.addWidget(self.csv_button)
        column = QVBoxLayout(content)
        column.addWidget(self.source)
        column.addWidget(group("What patches say", self.says))
        column.addWidget(group("Prediction", self.prediction))  # in view while patches are painted
        column.addWidget(group("Edit", self.edit))
        column.addLayout(saving)
        column.addWidget(self.copies)
        column.addWidget(self.note)
        column.addStretch(1)
        fill_scrolling(scrolling, content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scrolling, 1)
        self.progress.keep_place()
        outer.addWidget(self.progress)
        outer.addWidget(self.status)  # in view wherever the rest is scrolled to
        self.setMinimumWidth(scrolling.minimumWidth())
        self.setSizePolicy(scrolling.sizePolicy())
