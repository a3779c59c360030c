"""Class probabilities before and after, as bars."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from ...scale import written

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
