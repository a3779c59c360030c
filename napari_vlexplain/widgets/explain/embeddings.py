"""A file of prompts that were embedded elsewhere: chosen, shown by its name, and left out again."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from ..parts.layout import described

NONE = "none…"


class EmbeddingsBox(QWidget):
    """``chosen`` carries the path of a ``.npy`` or safetensors file, or None. It is read when it is run."""

    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.file: str | None = None
        self.button, self.clear_button = QPushButton(NONE), QPushButton("Leave out")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.button, 1)
        row.addWidget(self.clear_button)
        described(
            (
                self.button,
                "Embeddings of prompts",
                "A .npy or .safetensors file of prompts that were embedded elsewhere. Prompts that are written choose "
                "among their names; none take all. They have no words to colour.",
            ),
            (self.clear_button, "Leave the embeddings out", "Have the model read the prompts again."),
        )
        self.button.clicked.connect(self._browse)
        self.clear_button.clicked.connect(lambda: self.choose(None))
        self.choose(None)

    def choose(self, file: str | None) -> None:
        """Take a file, or none."""
        self.file = file
        self.button.setText(Path(file).name if file else NONE)
        self.clear_button.setVisible(file is not None)
        self.chosen.emit(file)

    def _browse(self) -> None:
        file, _ = QFileDialog.getOpenFileName(
            self, "Embeddings of prompts", self.file or "", "Embeddings (*.npy *.safetensors);;All files (*)"
        )
        if file:
            self.choose(file)
