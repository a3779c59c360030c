"""The prediction before and after the edits, beside that of as many random ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QLineEdit, QVBoxLayout, QWidget

from ...latent_text.plan import split_texts
from ..parts.parts import described
from .class_bars import ClassBars

if TYPE_CHECKING:
    from ...latent_text.edit_result import EditResult


class PredictionBox(QWidget):
    """``classes`` as typed and the bars of the last result; ``classes_changed`` when the user is through typing."""

    classes_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.names, self.bars, self.control = QLineEdit(), ClassBars(), QLabel()
        self.names.setPlaceholderText("a cat, a dog, a car")
        self.control.setWordWrap(True)
        self.control.setTextFormat(Qt.TextFormat.PlainText)
        self.control.setVisible(False)
        described((self.names, "Classes", "What the image may show, with commas."))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self.names, self.bars, self.control):
            column.addWidget(part)
        self.names.editingFinished.connect(self.classes_changed)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, without repeats."""
        return split_texts(self.names.text())

    def show_classes(self, classes: tuple[str, ...]) -> None:
        """Put names into the line, the first of them in view."""
        self.names.setText(", ".join(classes))
        self.names.setCursorPosition(0)

    def show_result(self, result: EditResult | None, edited: bool) -> None:
        """Bars of a result; None shows nothing."""
        self.control.setVisible(edited and result is not None)
        if result is None:
            self.bars.clear()
            return
        numbers = (result.before.tolist(), result.after.tolist(), result.control.tolist())
        self.bars.show_rows(list(zip(result.classes, *numbers, strict=True)), edited)
        best = int(np.argmax(result.control))
        self.control.setText(
            f"Pale before, bright after; the tick is the mean of {result.provenance['controls']} edits of as many "
            f"random tokens: {result.classes[best]} {result.control[best]:.2f}."
        )
