"""IoU against threshold, drawn; a click or the arrow keys set the threshold."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

LEFT, RIGHT, TOP, BOTTOM = 30, 8, 8, 32
CURVE_COLOUR = "#e8833a"  # stands out on napari's dark and light themes alike


class IoUCurve(QWidget):
    """The curve over all thresholds, with the current one marked. ``edge_picked`` carries the edge's number."""

    edge_picked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._thresholds: NDArray[np.floating] = np.empty(0)
        self._iou: NDArray[np.float64] = np.empty(0)
        self._edge = 0
        self._name = ""
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setToolTip("IoU at every threshold. Click, drag, or use the arrow keys to set the threshold.")
        self.setAccessibleName("IoU by threshold")

    def sizeHint(self) -> QSize:
        return QSize(240, 124)

    def minimumSizeHint(self) -> QSize:
        return QSize(160, 124)

    def show_curve(self, thresholds: NDArray[np.floating], iou: NDArray[np.float64]) -> None:
        """Draw a curve: (K,) thresholds, rising, and the (K,) IoU at each, NaN where undefined."""
        self._thresholds, self._iou = np.asarray(thresholds, dtype=np.float64), iou
        self.update()

    def clear(self) -> None:
        """Draw the empty axes."""
        self.show_curve(np.empty(0), np.empty(0))

    def mark(self, edge: int, name: str = "") -> None:
        """Mark the current threshold by its number, and say what it is for screen readers."""
        if (edge, name) != (self._edge, self._name):
            self._edge, self._name = edge, name
            self.setAccessibleDescription(name)
            self.update()

    @property
    def edge(self) -> int:
        """The number of the marked threshold."""
        return self._edge

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        if event is not None and event.buttons() & Qt.MouseButton.LeftButton:
            self._pick(event.pos().x())

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        self.mousePressEvent(event)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        if event is None:
            return
        key, last = event.key(), len(self._thresholds) - 1
        step = max(1, last // 100)
        moves = {
            Qt.Key.Key_Left: self._edge - step,
            Qt.Key.Key_Right: self._edge + step,
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: last,
        }
        if key in moves and last >= 0:
            self.edge_picked.emit(min(max(moves[Qt.Key(key)], 0), last))
        else:
            super().keyPressEvent(event)

    def _pick(self, x: float) -> None:
        if not len(self._thresholds):
            return
        low, high = self._thresholds[0], self._thresholds[-1]
        area = self._area()
        value = low + (x - area.left()) / area.width() * (high - low)
        self.edge_picked.emit(int(np.argmin(np.abs(self._thresholds - value))))

    def _area(self) -> QRectF:
        return QRectF(LEFT, TOP, max(1, self.width() - LEFT - RIGHT), max(1, self.height() - TOP - BOTTOM))

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        small = self.font()
        small.setPointSizeF(max(7.0, small.pointSizeF() * 0.85))
        painter.setFont(small)
        area, text = self._area(), self.palette().color(self.foregroundRole())
        faint = QColor(text)
        faint.setAlpha(60)
        for share in (0.0, 0.5, 1.0):
            y = area.bottom() - share * area.height()
            painter.setPen(faint)
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(text)
            where = QRectF(0, y - 8, LEFT - 4, 16)
            painter.drawText(where, int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter), f"{share:g}")
        self._label_threshold_axis(painter, area)
        if len(self._thresholds):
            self._draw_curve(painter, area, faint)
        if self.hasFocus():
            painter.setPen(QPen(QColor(CURVE_COLOUR), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

    def _label_threshold_axis(self, painter: QPainter, area: QRectF) -> None:
        row = QRectF(area.left(), area.bottom() + 2, area.width(), 14)
        if len(self._thresholds):
            low, high = self._thresholds[[0, -1]]
            decimals = max(0, 1 - math.floor(math.log10(high - low))) if high > low else 3
            painter.drawText(row, int(Qt.AlignmentFlag.AlignLeft), f"{low:.{decimals}f}")
            painter.drawText(row, int(Qt.AlignmentFlag.AlignRight), f"{high:.{decimals}f}")
        painter.drawText(row.translated(0, 13), int(Qt.AlignmentFlag.AlignHCenter), "IoU by threshold")

    def _draw_curve(self, painter: QPainter, area: QRectF, faint: QColor) -> None:
        low, high = self._thresholds[0], self._thresholds[-1]
        span = high - low if high > low else 1.0
        x = area.left() + (self._thresholds - low) / span * area.width()
        y = area.bottom() - self._iou * area.height()
        defined = np.isfinite(y)
        painter.setPen(QPen(QColor(CURVE_COLOUR), 2))
        painter.drawPolyline(QPolygonF([QPointF(*p) for p in zip(x[defined], y[defined], strict=True)]))
        edge = min(self._edge, len(x) - 1)
        painter.setPen(QPen(self.palette().color(self.foregroundRole()), 1, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(x[edge], area.top()), QPointF(x[edge], area.bottom()))
        if defined[edge]:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self.palette().color(self.foregroundRole()))
            painter.drawEllipse(QPointF(x[edge], y[edge]), 4, 4)
