"""The form of an edit: which tokens, at which layers, what becomes of them; and the edits so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from ...errors import VLExplainError
from ...latent_text.plan import split_texts
from ...latent_text.session_work import Edit, Treatment
from ..parts.layout import described, form_layout, short_combo
from .donor_box import DonorBox

if TYPE_CHECKING:
    import napari

SAYING, OTHERS, PAINTED = "saying", "others", "painted"
WHICH = {SAYING: "tokens that say", OTHERS: "tokens that do not say", PAINTED: "patches that I paint"}
ACTIONS = {"zero": "zero them", "remove": "remove them", "replace": "replace them by tokens that say"}
WHENS = {
    "ahead": ("read once, edit everywhere", "Read the untouched image; edit the tokens found at every layer."),
    "sequential": ("layer by layer", "Read each layer of the image as edited so far, as published."),
}


class EditBox(QWidget):
    """``treated`` tells that what becomes of painted patches has changed."""

    add_clicked = Signal()
    paint_clicked = Signal()
    undo_clicked = Signal()
    clear_clicked = Signal()
    treated = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.which, self.find_texts = QComboBox(), QLineEdit()
        self.action, self.with_text, self.donor = QComboBox(), QLineEdit(), DonorBox(viewer)
        self.first, self.last, self.when = QSpinBox(), QSpinBox(), QComboBox()
        self.protect = QCheckBox("Spare the class token")
        self.edit_button, self.paint_button = QPushButton("Edit these tokens"), QPushButton("Paint patches")
        self.edits, self.undo_button, self.clear_button = QListWidget(), QPushButton("Undo"), QPushButton("Clear edits")
        self._fill()
        self._lay_out()
        self._connect()
        self._show_fields()

    @property
    def painting(self) -> bool:
        """Does the form speak of painted patches?"""
        return bool(self.which.currentData() == PAINTED)

    def set_painting(self) -> None:
        """Let the form speak of painted patches."""
        self.which.setCurrentIndex(self.which.findData(PAINTED))

    def set_depth(self, depth: int) -> None:
        """Offer layers 0 to ``depth`` - 1; all of them if the depth is another than before."""
        if depth - 1 != self.last.maximum():
            with QSignalBlocker(self.first), QSignalBlocker(self.last):
                self.first.setRange(0, depth - 1)
                self.last.setRange(0, depth - 1)
                self.first.setValue(0)
                self.last.setValue(depth - 1)

    def treatment(self) -> Treatment:
        """What becomes of the tokens.

        Raises
        ------
        VLExplainError : nothing to put in their place, or layers in the wrong order.
        """
        action, span = self.action.currentData(), (self.first.value(), self.last.value())
        with_texts = split_texts(self.with_text.text()) if action == "replace" else ()
        donor = self.donor.donor() if action == "replace" else None
        if action == "replace" and not with_texts and donor is None:
            raise VLExplainError(
                "Name the text whose tokens take their place, such as: an airplane; or choose another image."
            )
        if span[0] > span[1]:
            raise VLExplainError(f"The layers are {span[0]} to {span[1]}, but the first must not exceed the last.")
        return Treatment(
            action=action,
            with_texts=with_texts,
            donor=donor,
            layers=None if span == (0, self.last.maximum()) else span,
            when=self.when.currentData(),
            protect_cls=self.protect.isChecked(),
        )

    def edit(self) -> Edit:
        """The edit of tokens by what they say.

        Raises
        ------
        VLExplainError : no text to find, a list that there is not, or a treatment that cannot be.
        """
        texts = split_texts(self.find_texts.text())
        if not texts:
            raise VLExplainError("Name the texts whose tokens to edit, such as: a cat; or paint patches.")
        edit = self.treatment().of_texts(texts, others=self.which.currentData() == OTHERS)
        _ = edit.plan.found_texts, edit.plan.donor_texts  # a list that there is not is refused here
        return edit

    def show_edits(self, edits: Sequence[Edit], can_undo: bool, ready: bool) -> None:
        """What is done so far, and which buttons serve."""
        self.edits.clear()
        for edit in edits:
            self.edits.addItem(edit.describe())
            item = self.edits.item(self.edits.count() - 1)
            if item is not None:
                item.setToolTip(edit.describe())
        self.edits.setVisible(bool(edits))
        self.undo_button.setEnabled(can_undo)
        self.clear_button.setEnabled(bool(edits))
        self.edit_button.setEnabled(ready)
        self.paint_button.setEnabled(ready)

    def _fill(self) -> None:
        for combo, entries in ((self.which, WHICH), (self.action, ACTIONS)):
            for key, says in entries.items():
                combo.addItem(says, key)
        for key, (says, tip) in WHENS.items():
            self.when.addItem(says, key)
            self.when.setItemData(self.when.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        short_combo(self.which, self.action, self.when)
        self.find_texts.setPlaceholderText("texts with commas; @words is a list")
        self.with_text.setPlaceholderText("a text, such as: an airplane")
        self.protect.setChecked(True)
        self.edits.setMaximumHeight(70)
        self.edits.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        for spin in (self.first, self.last):
            spin.setRange(0, 0)
        described(
            (self.which, "Which tokens", "Choose tokens by what they say, or paint patches."),
            (self.find_texts, "Texts to edit", "The tokens whose nearest text is one of these."),
            (self.action, "What to do", "What becomes of the tokens."),
            (self.with_text, "Put in place", "Tokens that say this take their place; any of another image without."),
            (self.first, "First layer", "The first layer that is edited: the tokens before this block."),
            (self.last, "Last layer", "The last layer that is edited."),
            (self.when, "Order", "Which tokens are meant, when edits change what later layers say."),
            (self.protect, "Spare the class token", "The published way edits the class token like any other."),
            (self.edit_button, "Edit these tokens", "Add this edit; the probabilities follow."),
            (self.paint_button, "Paint patches", "Paint patches to edit; the probabilities follow every stroke."),
            (self.edits, "Edits", "What is done to the tokens, in order."),
            (self.undo_button, "Undo", "Take the last change back."),
            (self.clear_button, "Clear edits", "Take all edits away."),
        )

    def _lay_out(self) -> None:
        column, span, row = QVBoxLayout(self), form_layout(), QHBoxLayout()
        column.setContentsMargins(0, 0, 0, 0)
        span.addRow("first layer", self.first)
        span.addRow("last layer", self.last)
        for part in (self.which, self.find_texts, self.action, self.with_text, self.donor):
            column.addWidget(part)
        column.addLayout(span)
        for part in (self.when, self.protect, self.edit_button, self.paint_button, self.edits):
            column.addWidget(part)
        row.addWidget(self.undo_button)
        row.addWidget(self.clear_button)
        column.addLayout(row)

    def _connect(self) -> None:
        self.which.currentIndexChanged.connect(self._show_fields)
        self.action.currentIndexChanged.connect(self._show_fields)
        self.edit_button.clicked.connect(self.add_clicked)
        self.find_texts.returnPressed.connect(self.add_clicked)
        self.paint_button.clicked.connect(self.paint_clicked)
        self.undo_button.clicked.connect(self.undo_clicked)
        self.clear_button.clicked.connect(self.clear_clicked)
        self.action.currentIndexChanged.connect(self._on_treatment)
        self.with_text.editingFinished.connect(self._on_treatment)
        self.donor.changed.connect(self._on_treatment)
        self.first.valueChanged.connect(self._on_treatment)
        self.last.valueChanged.connect(self._on_treatment)

    def _show_fields(self) -> None:
        replacing = self.action.currentData() == "replace"
        for part in (self.with_text, self.donor):
            part.setVisible(replacing)
        for part in (self.find_texts, self.when, self.protect, self.edit_button):
            part.setVisible(not self.painting)

    def _on_treatment(self) -> None:
        if self.painting:
            self.treated.emit()
