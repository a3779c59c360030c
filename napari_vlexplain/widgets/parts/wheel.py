"""The wheel scrolls a dock. It turns a value only in the box or slider that was clicked, or reached by a key."""

from __future__ import annotations

from qtpy.QtCore import QChildEvent, QEvent, QObject, Qt
from qtpy.QtGui import QFocusEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLabel,
    QScrollBar,
    QTabBar,
    QWidget,
)

VALUES = (QAbstractSlider, QAbstractSpinBox, QComboBox, QTabBar)
"""What the wheel would change, in Qt and in what superqt and magicgui make of it; not the bars that scroll."""
CHILDLESS = (QLabel, QAbstractButton, QScrollBar)
# Focus that comes with a window or comes back from a menu was given by nobody.
_PASSING = (
    Qt.FocusReason.ActiveWindowFocusReason,
    Qt.FocusReason.PopupFocusReason,
    Qt.FocusReason.MenuBarFocusReason,
)
_TOUCHED = (QEvent.Type.MouseButtonPress, QEvent.Type.KeyPress)


class WheelGuard(QObject):
    """Keeps the wheel from all values of a widget's tree, later children included, but for the one in hand."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self._in_hand: QWidget | None = None
        self._watch(widget)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is None:
            return False
        kind = event.type()
        if kind in (QEvent.Type.ChildAdded, QEvent.Type.ChildPolished):
            # A child being constructed is a plain widget yet; once polished it is what it is.
            child = event.child() if isinstance(event, QChildEvent) else None
            if isinstance(child, QWidget):
                self._watch(child)
        elif kind in _TOUCHED:
            # A click that also brings the window to the front gives focus by the window, not by the mouse.
            touched, focused = _value_at(watched), QApplication.focusWidget()
            if touched is not None and (focused in (None, touched) or not touched.isAncestorOf(focused)):
                self._in_hand = touched  # not the parent that a touch goes on to when nobody takes it
        elif isinstance(watched, VALUES):
            if kind == QEvent.Type.Wheel and not (watched is self._in_hand and watched.hasFocus()):
                event.ignore()  # it goes on to the parents, and so to the scroll area
                return True
            if isinstance(event, QFocusEvent) and event.reason() not in _PASSING:
                self._in_hand = watched if event.gotFocus() else None
        return False

    def _watch(self, widget: QWidget) -> None:
        for each in (widget, *widget.findChildren(QWidget)):
            if isinstance(each, CHILDLESS):
                continue
            each.installEventFilter(self)
            if isinstance(each, VALUES) and each.focusPolicy() == Qt.FocusPolicy.WheelFocus:
                each.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # the wheel gives no focus either


def _value_at(touched: QObject | None) -> QWidget | None:
    """The box or slider that was touched, by itself or by what is inside it."""
    while touched is not None and not isinstance(touched, VALUES):
        touched = touched.parent()
    return touched
