"""A prompt's words, each on a ground as strong as its relevance."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QRect, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QHelpEvent, QMouseEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from ...drawing.colour import diverging, ink_on

PAD_X, PAD_Y, GAP = 4, 2, 3


class Words(QWidget):
    """Words in running lines: red speaks for the match, blue against it; the score is in the tooltip.

    The strongest word of a prompt takes the full colour, so colours compare words within a prompt only.
    """

    clicked = Signal()

    def __init__(self, scores: list[tuple[str, float]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.scores = scores
        self._strongest = max((abs(score) for _, score in scores), default=0.0)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(" ".join(word for word, _ in scores))
        self.setAccessibleDescription(", ".join(f"{word}: {score:.3g}" for word, score in scores))

    def strength(self, score: float) -> float:
        """Share of the strongest word's score, in [-1, 1]; 0 if all are 0."""
        return score / self._strongest if self._strongest > 0 else 0.0

    def word_at(self, point: QPoint) -> int | None:
        """The number of the word at a point of the widget."""
        return next((n for n, place in enumerate(self._places(self.width())) if place.contains(point)), None)

    def describe(self, number: int) -> str:
        """The tooltip of a word."""
        word, score = self.scores[number]
        return f"{word}: relevance {score:.4g}, {self.strength(score):.0%} of the strongest word"

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        return max((place.bottom() + 1 for place in self._places(width)), default=self._line())

    def sizeHint(self) -> QSize:
        return QSize(180, self.heightForWidth(180))

    def minimumSizeHint(self) -> QSize:
        widest = max((place.width() for place in self._places(10_000)), default=0)
        return QSize(min(widest, 160), self._line())

    def event(self, event: QEvent | None) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            number = self.word_at(event.pos())
            QToolTip.showText(event.globalPos(), "" if number is None else self.describe(number), self)
            return True
        return super().event(event)

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        self.clicked.emit()

    def keyPressEvent(self, event: object) -> None:
        if getattr(event, "key", int)() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.clicked.emit()
        else:
            super().keyPressEvent(event)  # type: ignore[arg-type]

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colours = diverging(np.array([score for _, score in self.scores]))
        for (word, _), place, colour in zip(self.scores, self._places(self.width()), colours, strict=True):
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(*map(int, colour)))
            painter.drawRoundedRect(QRectF(place), 3, 3)
            painter.setPen(QColor(*ink_on(colour)))
            painter.drawText(place, int(Qt.AlignmentFlag.AlignCenter), word)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(self.palette().highlight().color())
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

    def _line(self) -> int:
        return self.fontMetrics().height() + 2 * PAD_Y

    def _places(self, width: int) -> list[QRect]:
        metrics, line = self.fontMetrics(), self._line()
        x = y = 0
        found = []
        for word, _ in self.scores:
            wide = metrics.boundingRect(word).width() + 2 * PAD_X + 2
            if x and x + wide > width:
                x, y = 0, y + line + GAP
            found.append(QRect(x, y, wide, line))
            x += wide + GAP
        return found
