"""The parts of the *Latent text* dock and how they are laid out; what they do is the dock's business."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from ..latent_text.vocabularies import packaged_vocabularies
from ._class_bars import ClassBars
from ._layer_combo import LayerCombo
from ._layers import layer_kind
from ._model_box import ModelBox
from ._picture import is_picture

if TYPE_CHECKING:
    import napari

Colour = tuple[int, int, int]
OWN, PASTED, FILE = "what suits the model", "my own list…", "a file…"
ACTIONS = {"zero": "zero them", "remove": "remove them", "replace": "replace them by tokens that say"}
WHENS = {
    "ahead": ("read once, edit everywhere", "Read the untouched image; edit the tokens found at every layer."),
    "sequential": ("layer by layer", "Read each layer of the image as edited so far, as published."),
}


class LatentView(QWidget):
    """Widgets only."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.image = LayerCombo(
            viewer, is_picture, prefers=lambda layer: layer_kind(layer) == "source", empty="open an image first"
        )
        self.model = ModelBox(self, kinds=("dual_encoder",))
        self.vocabulary, self.pasted, self.template = QComboBox(), QPlainTextEdit(), QLineEdit()
        self.read_button = QPushButton("Read tokens")
        self.state, self.note = QLabel(), QLabel()
        self.layer, self.layer_name = QSlider(Qt.Orientation.Horizontal), QLabel("layer –")
        self.token_texts, self.legend = QLabel(), QListWidget()
        self.search, self.search_found = QLineEdit(), QLabel()
        self.find_texts, self.action, self.with_text, self.when = QLineEdit(), QComboBox(), QLineEdit(), QComboBox()
        self.edit_button, self.paint_button = QPushButton("Edit these tokens"), QPushButton("Paint tokens")
        self.edits = QListWidget()
        self.undo_button, self.clear_button = QPushButton("Undo"), QPushButton("Clear edits")
        self.classes, self.bars = QLineEdit(), ClassBars()
        self.save_button = QPushButton("Save…")
        self._fill()
        self._explain()
        self._lay_out()

    def show_legend(self, rows: Sequence[tuple[str, int, Colour]]) -> None:
        """Texts with their colours and how many patches say them."""
        self.legend.clear()
        for text, count, colour in rows:
            swatch = QPixmap(QSize(14, 14))
            swatch.fill(QColor(*colour))
            item = QListWidgetItem(QIcon(swatch), f"{text}  ({count})")
            item.setData(Qt.ItemDataRole.UserRole, text)
            self.legend.addItem(item)

    def say(self, text: str, bad: bool = False) -> None:
        """One line of what happens."""
        self.state.setText(text)
        self.state.setStyleSheet("color: #e5484d" if bad else "")

    def _fill(self) -> None:
        self.vocabulary.addItem(OWN, "")
        for name, says in packaged_vocabularies().items():
            self.vocabulary.addItem(name, name)
            self.vocabulary.setItemData(self.vocabulary.count() - 1, says, Qt.ItemDataRole.ToolTipRole)
        self.vocabulary.addItem(PASTED, PASTED)
        self.vocabulary.addItem(FILE, FILE)
        for key, says in ACTIONS.items():
            self.action.addItem(says, key)
        for key, (says, tip) in WHENS.items():
            self.when.addItem(says, key)
            self.when.setItemData(self.when.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        for combo in (self.vocabulary, self.action, self.when):
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            combo.setMinimumContentsLength(8)
        self.pasted.setVisible(False)
        self.pasted.setPlaceholderText("One text a line")
        self.pasted.setMaximumHeight(80)
        self.pasted.setTabChangesFocus(True)
        self.template.setPlaceholderText("what suits the model, such as: a photo of {}")
        self.search.setPlaceholderText("a text, such as: a cat")
        self.find_texts.setPlaceholderText("texts with commas; @words is a list")
        self.with_text.setPlaceholderText("a text, such as: an airplane")
        self.with_text.setVisible(False)
        self.classes.setPlaceholderText("a cat, a dog, a car")
        self.legend.setMaximumHeight(110)
        self.edits.setMaximumHeight(70)
        for label in (self.state, self.note, self.token_texts, self.search_found):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.note.setStyleSheet("font-style: italic")
        self.token_texts.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.token_texts.setMinimumHeight(6 * self.fontMetrics().lineSpacing())  # hovering must not move the rest
        self.token_texts.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.layer.setEnabled(False)
        self.layer.setPageStep(1)

    def _explain(self) -> None:
        for part, name, tip in (
            (self.image, "Image", "The image whose tokens are read."),
            (self.vocabulary, "Vocabulary", "The texts that a token may say; its texts are the nearest of these."),
            (self.pasted, "My own list", "One text a line, or one line with commas."),
            (self.template, "Sentence", "The sentence each text is put into, with {} for the text."),
            (self.read_button, "Read tokens", "Read every patch at every layer."),
            (self.layer, "Layer", "0 is before the first block; the last is what the model's readout sees."),
            (self.legend, "Legend", "Texts that patches say at this layer. Click one to search for it."),
            (self.search, "Search", "Show where, and in which layers, a text is among the nearest."),
            (self.find_texts, "Texts to edit", "Edit the tokens whose nearest text is one of these."),
            (self.action, "What to do", "What becomes of the tokens."),
            (self.with_text, "Put in place", "Tokens of this image that say this take their place."),
            (self.when, "Order", "Which tokens are meant, when edits change what later layers say."),
            (self.edit_button, "Edit these tokens", "Add this edit; the probabilities follow."),
            (self.paint_button, "Paint tokens", "Paint patches to edit them by hand at every layer."),
            (self.edits, "Edits", "What is done to the tokens, in order."),
            (self.undo_button, "Undo", "Take the last change back."),
            (self.clear_button, "Clear edits", "Take all edits away."),
            (self.classes, "Classes", "What the image may show, with commas."),
            (self.save_button, "Save", "Save the texts, and what the edits did, as JSON or CSV."),
        ):
            part.setAccessibleName(name)
            part.setToolTip(tip)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        form.addRow("&Image", self.image)
        form.addRow("&Model", self.model.picker)
        form.addRow("", self.model.details)
        form.addRow("&Vocabulary", self.vocabulary)
        form.addRow("", self.pasted)
        form.addRow("&Sentence", self.template)
        content = QWidget()
        column = QVBoxLayout(content)
        column.addLayout(form)
        column.addWidget(self.read_button)
        column.addWidget(self.state)
        column.addWidget(self._group("What patches say", self._reading()))
        column.addWidget(self._group("Prediction", self._predicting()))  # in view while tokens are painted
        column.addWidget(self._group("Edit", self._editing()))
        column.addWidget(self.save_button)
        column.addWidget(self.note)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidget(content)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)
        self.setMinimumWidth(270)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def _reading(self) -> QVBoxLayout:
        column, row = QVBoxLayout(), QHBoxLayout()
        row.addWidget(self.layer_name)
        row.addWidget(self.layer, 1)
        column.addLayout(row)
        for part in (self.legend, self.token_texts, self.search, self.search_found):
            column.addWidget(part)
        return column

    def _editing(self) -> QVBoxLayout:
        column, row = QVBoxLayout(), QHBoxLayout()
        for part in (self.find_texts, self.action, self.with_text, self.when):
            column.addWidget(part)
        for part in (self.edit_button, self.paint_button, self.edits):
            column.addWidget(part)
        row.addWidget(self.undo_button)
        row.addWidget(self.clear_button)
        column.addLayout(row)
        return column

    def _predicting(self) -> QVBoxLayout:
        column = QVBoxLayout()
        column.addWidget(self.classes)
        column.addWidget(self.bars)
        return column

    @staticmethod
    def _group(title: str, layout: QVBoxLayout) -> QGroupBox:
        group = QGroupBox(title)
        layout.setContentsMargins(4, 4, 4, 4)
        group.setLayout(layout)
        return group
