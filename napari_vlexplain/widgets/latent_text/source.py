"""What is read: an image, a model, the texts that a token may say, and how it is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFileDialog, QLineEdit, QPlainTextEdit, QPushButton, QWidget

from ...errors import VLExplainError
from ...latent_text.plan import split_texts
from ...latent_text.session_work import Asked
from ...latent_text.texts.vocabularies import packaged_vocabularies
from ..parts.layer_combo import LayerCombo
from ..parts.layout import described, form_layout, short_combo
from ..parts.model_box import ModelBox, SizeBox
from ..viewer.contrast import settle
from ..viewer.layers import layer_kind
from ..viewer.picture import is_picture
from ..viewer.settings import settings

if TYPE_CHECKING:
    import napari

OWN, PASTED, FILE = "what suits the model", "my own list…", "a file…"
DRIFT = "Images to measure it on…"
SMOOTHINGS = {"": "none", "final": "before the readout", "all": "before every block"}


class SourceBox(QWidget):
    """The upper part of the dock; ``asked`` is what its fields say."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.image = LayerCombo(
            viewer, is_picture, prefers=lambda layer: layer_kind(layer) == "source", empty="open an image first",
            offered=settle,
        )  # fmt: skip
        self.model = ModelBox(self, kinds=("dual_encoder",))
        self.input_size = SizeBox(
            "Of the pixels that the model is given, its positions interpolated: more pixels, more patches."
        )
        self.vocabulary, self.pasted, self.template = QComboBox(), QPlainTextEdit(), QLineEdit()
        self.smoothing, self.drift_button = QComboBox(), QPushButton(DRIFT)
        self.read_button = QPushButton("Read tokens")
        self._file = self._folder = ""
        self._fill()
        self._lay_out()
        self.vocabulary.activated.connect(self._on_vocabulary)
        self.smoothing.currentIndexChanged.connect(self._on_smoothing)
        self.drift_button.clicked.connect(self._on_drift)

    def asked(self) -> Asked:
        """What to read, as the fields are now.

        Raises
        ------
        VLExplainError : an own list without a text.
        """
        looks, chosen = settings(), self.vocabulary.currentData()
        if chosen == PASTED and not split_texts(self.pasted.toPlainText()):
            raise VLExplainError(
                "Your own list is empty: write at least one text into it, or choose another vocabulary."
            )
        smooth = self.smoothing.currentData()
        return Asked(
            model=self.model.name,
            vocabulary=self._file if chosen == FILE else "" if chosen == PASTED else chosen,
            pasted=self.pasted.toPlainText() if chosen == PASTED else "",
            template=self.template.text().strip(),
            smooth=smooth,
            drift_images=self._folder if smooth else "",
            device=looks.torch_device,
            download=self.model.tick.isChecked() and not looks.offline,
            dtype=looks.precision,
            size=self.input_size.size_chosen,
        )

    def _fill(self) -> None:
        self.vocabulary.addItem(OWN, "")
        for name, says in packaged_vocabularies().items():
            self.vocabulary.addItem(name, name)
            self.vocabulary.setItemData(self.vocabulary.count() - 1, says, Qt.ItemDataRole.ToolTipRole)
        self.vocabulary.addItem(PASTED, PASTED)
        self.vocabulary.addItem(FILE, FILE)
        for key, says in SMOOTHINGS.items():
            self.smoothing.addItem(says, key)
        short_combo(self.vocabulary, self.smoothing)
        self.pasted.setVisible(False)
        self.pasted.setPlaceholderText("One text a line")
        self.pasted.setMaximumHeight(80)
        self.pasted.setTabChangesFocus(True)
        self.template.setPlaceholderText("what suits the model, such as: a photo of {}")
        self.drift_button.setVisible(False)
        described(
            (self.image, "Image", "The image whose tokens are read."),
            (self.vocabulary, "Vocabulary", "The texts that a token may say; its texts are the nearest of these."),
            (self.pasted, "My own list", "One text a line, or one line with commas."),
            (self.template, "Sentence", "The sentence each text is put into, with {} for the text."),
            (
                self.smoothing,
                "Smoothing",
                "Average the readout over noise of the size of the drift that disabling attention causes. Slower.",
            ),
            (
                self.drift_button,
                "Images for smoothing",
                "A folder of images like those to read. The embedded model draws its own sticker scenes without.",
            ),
            (self.read_button, "Read tokens", "Read every patch at every layer."),
        )

    def _lay_out(self) -> None:
        form = form_layout(self)
        form.addRow("Imag&e", self.image)
        form.addRow("&Model", self.model.picker)
        form.addRow("", self.model.details)
        self.input_size.add_to(form)
        form.addRow("&Vocabulary", self.vocabulary)
        form.addRow("", self.pasted)
        form.addRow("&Sentence", self.template)
        form.addRow("Smoo&thing", self.smoothing)
        form.addRow("", self.drift_button)
        form.addRow(self.read_button)

    def _on_vocabulary(self) -> None:
        chosen = self.vocabulary.currentData()
        self.pasted.setVisible(chosen == PASTED)
        if chosen == FILE:
            self._file, _ = QFileDialog.getOpenFileName(self, "A vocabulary", "", "Texts (*.txt *.json);;All files (*)")
            self.vocabulary.setItemText(self.vocabulary.currentIndex(), Path(self._file).name or FILE)
            if not self._file:
                self.vocabulary.setCurrentIndex(0)

    def _on_smoothing(self) -> None:
        self.drift_button.setVisible(bool(self.smoothing.currentData()))

    def _on_drift(self) -> None:
        self._folder = QFileDialog.getExistingDirectory(self, "Images to measure the drift on", self._folder)
        self.drift_button.setText(f"Measured on {Path(self._folder).name}" if self._folder else DRIFT)
