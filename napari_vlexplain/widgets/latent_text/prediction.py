"""The prediction before and after the edits, beside that of as many random ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPaintEvent
from qtpy.QtWidgets import QLabel, QLineEdit, QSizePolicy, QVBoxLayout, QWidget

from ...latent_text.plan import split_texts
from ...scale import written
from ..parts.layout import described

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


ROW, GAP = 34, 6
SHOWN = 8
AFTER = (86, 180, 233)


class ClassBars(QWidget):
    """Per class a pale bar (before), a bright one (after), and a tick for edits of random tokens."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: tuple[tuple[str, float, float, float], ...] = ()
        self._edited = False
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Probability of each class: pale before, bright after the edits; the tick is the mean of edits of as many "
            "random tokens."
        )
        self.setAccessibleName("Class probabilities before and after")

    def show_rows(self, rows: Sequence[tuple[str, float, float, float]], edited: bool) -> None:
        """(class, before, after, random control), in [0, 1]; the most probable come first."""
        ordered = sorted(rows, key=lambda row: -max(row[1], row[2]))[:SHOWN]
        self.rows, self._edited = tuple(ordered), edited
        said = "; ".join(f"{name} {written(before)} to {written(after)}" for name, before, after, _ in ordered)
        self.setAccessibleDescription(said)
        self.updateGeometry()
        self.update()

    def clear(self) -> None:
        """Show nothing."""
        self.show_rows((), False)

    def sizeHint(self) -> QSize:
        return QSize(240, max(1, len(self.rows)) * ROW + GAP)

    def minimumSizeHint(self) -> QSize:
        return QSize(160, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        text = self.palette().color(self.foregroundRole())
        accent = QColor(*AFTER)
        pale = QColor(text)
        pale.setAlpha(90)
        width = max(1, self.width() - 4)
        for number, (name, before, after, control) in enumerate(self.rows):
            top = number * ROW
            painter.setPen(text)
            figures = f"{before:.2f} → {after:.2f}" if self._edited else f"{before:.2f}"
            number_width = painter.fontMetrics().horizontalAdvance(figures)
            room = QRectF(2, top, width - number_width - GAP, ROW - 16)
            label = painter.fontMetrics().elidedText(name, Qt.TextElideMode.ElideRight, int(room.width()))
            painter.drawText(room, int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter), label)
            right = QRectF(2, top, width, ROW - 16)
            painter.drawText(right, int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter), figures)
            painter.fillRect(QRectF(2, top + ROW - 15, width * before, 4), pale)
            if self._edited:
                painter.fillRect(QRectF(2, top + ROW - 10, width * after, 6), accent)
                painter.fillRect(QRectF(2 + width * control - 1, top + ROW - 16, 2, 13), text)
        painter.end()
