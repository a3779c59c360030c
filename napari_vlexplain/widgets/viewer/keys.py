"""The keys: one table, from which docks are bound and their tooltips, the help page and the docs are written.

They are taken from those that napari leaves free. Bound with Qt's own shortcuts on the main window they work whatever
layer is active (napari's viewer keys do not: a layer's come first), and rest while somebody types in a text field.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QMainWindow,
    QPlainTextEdit,
    QShortcut,
    QTextEdit,
    QWidget,
)


@dataclass(frozen=True)
class Key:
    """One action: its keys as Qt writes them, what it does, in which dock, and whether holding the key repeats it."""

    action: str
    keys: tuple[str, ...]
    what: str
    where: str
    repeats: bool = False


KEYS = (
    Key("next_case", ("PgDown", "N"), "Next case", "Cases"),
    Key("previous_case", ("PgUp",), "Previous case", "Cases"),
    Key("first_case", ("Home",), "First case", "Cases"),
    Key("last_case", ("End",), "Last case", "Cases"),
    Key("next_frame", ("Alt+.",), "Next frame of the case", "Cases", repeats=True),
    Key("previous_frame", ("Alt+,",), "Previous frame of the case", "Cases", repeats=True),
    Key("next_undecided", ("Alt+U",), "Next case without a verdict", "Cases"),
    Key("agree", ("K",), "Verdict: agree", "Cases"),
    Key("partly", ("Alt+K",), "Verdict: partly", "Cases"),
    Key("disagree", ("Alt+N",), "Verdict: disagree", "Cases"),
    Key("flag", ("Alt+Q",), "Verdict: flag, to be looked at again", "Cases"),
    Key("confidence_1", ("Ctrl+1",), "Confidence 1, a guess", "Cases"),
    Key("confidence_2", ("Ctrl+2",), "Confidence 2", "Cases"),
    Key("confidence_3", ("Ctrl+3",), "Confidence 3", "Cases"),
    Key("confidence_4", ("Ctrl+4",), "Confidence 4", "Cases"),
    Key("confidence_5", ("Ctrl+5",), "Confidence 5, certain", "Cases"),
    Key("comment", ("Alt+J",), "Write a comment; Esc ends it", "Cases"),
    Key("undo_verdict", ("Alt+Z",), "Take the last verdict, confidence or comment back", "Cases"),
    Key("truth", ("G",), "Show or hide the ground truth", "Cases"),
    Key("heatmap", ("H",), "Show or hide the heatmap", "Cases"),
    Key("window_tool", ("W",), "Window and level by dragging, on or off", "Cases, Window level"),
    Key("preset_1", ("Alt+1",), "First window preset", "Cases, Window level"),
    Key("preset_2", ("Alt+2",), "Second window preset", "Cases, Window level"),
    Key("preset_3", ("Alt+3",), "Third window preset", "Cases, Window level"),
    Key("preset_4", ("Alt+4",), "Fourth window preset", "Cases, Window level"),
    Key("preset_5", ("Alt+5",), "Fifth window preset", "Cases, Window level"),
    Key("preset_6", ("Alt+6",), "Sixth window preset", "Cases, Window level"),
    Key("invert", ("Alt+I",), "Invert black and white", "Cases, Window level"),
    Key("fade_to_a", (",",), "Fade towards map A", "Look", repeats=True),
    Key("fade_to_b", (".",), "Fade towards map B", "Look", repeats=True),
    Key("blink", ("J",), "Blink between map A and map B, or stop", "Look"),
    Key("grid", ("U",), "Maps side by side, or back", "Look"),
    Key("reset_look", ("Q",), "Give the maps their first look back", "Look"),
)

_BY_ACTION = {key.action: key for key in KEYS}
_TEXT_FIELDS = (QLineEdit, QTextEdit, QPlainTextEdit, QAbstractSpinBox)


def with_keys(text: str, action: str) -> str:
    """A tooltip that ends with the action's keys: ``Next case (PgDown, N)``."""
    return f"{text} ({', '.join(_BY_ACTION[action].keys)})"


class Keys(QObject):
    """The keys of one dock: they come with it, work wherever the focus is in its window, and go when it is closed.

    They rest while somebody types; in the dock's own fields Esc ends that, and Return where it is no new line.

    ``keys = Keys(self)`` in the dock's constructor, then ``keys.bind("next_case", self.next)`` for actions of
    :data:`KEYS`.
    """

    def __init__(self, dock: QWidget) -> None:
        super().__init__(dock)
        self._dock = dock
        self._bound: dict[str, Callable[[], object]] = {}
        self._shortcuts: list[QShortcut] = []
        self._host: QWidget | None = None
        self._field: QWidget | None = None
        dock.installEventFilter(self)
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.focusChanged.connect(self._on_focus)

    def bind(self, action: str, callback: Callable[[], object]) -> None:
        """Call ``callback`` when one of the action's keys is pressed; KeyError for an action that KEYS lacks."""
        self._bound[_BY_ACTION[action].action] = callback
        self._move(None)
        self._place()

    def _place(self) -> None:
        """Bind to the main window that the dock is in now, or, where there is none, to its own window."""
        if self._host is None and self._bound:
            self._move(_main_window(self._dock))

    def _move(self, host: QWidget | None) -> None:
        for shortcut in self._shortcuts:
            with suppress(RuntimeError):  # it went with its window
                shortcut.setEnabled(False)
                shortcut.deleteLater()
        self._shortcuts, self._host = [], host
        if host is None:
            return
        for action, callback in self._bound.items():
            for key in _BY_ACTION[action].keys:
                shortcut = QShortcut(QKeySequence(key), host)
                shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
                shortcut.setAutoRepeat(_BY_ACTION[action].repeats)
                # Two docks of a kind in one window would otherwise silence each other.
                for pressed in (shortcut.activated, shortcut.activatedAmbiguously):
                    pressed.connect(partial(_call, callback))
                self._shortcuts.append(shortcut)
        self._on_focus(None, QApplication.focusWidget())

    def _on_focus(self, before: QWidget | None, now: QWidget | None) -> None:
        typing = is_text_field(now)
        for shortcut in self._shortcuts:
            with suppress(RuntimeError):
                shortcut.setEnabled(not typing)
        with suppress(RuntimeError):  # the field, or the dock, is gone
            mine = now if typing and now is not None and self._dock.isAncestorOf(now) else None
            left, self._field = self._field, mine
            if mine is not None:
                mine.installEventFilter(self)
            if left is not None and left is not mine:
                left.removeEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if isinstance(event, QKeyEvent) and watched is self._field and event.type() == QEvent.Type.KeyPress:
            return self._ends_typing(event)
        if watched is self._dock and event is not None:
            kind = event.type()
            if kind == QEvent.Type.ParentChange:
                self._move(None)
                if self._dock.parent() is not None:
                    QTimer.singleShot(0, self._place)  # by then what holds the dock has its place too
            elif kind == QEvent.Type.Show:
                if self._host is not _main_window(self._dock):
                    self._move(None)
                self._place()
            elif kind in (QEvent.Type.Close, QEvent.Type.DeferredDelete):
                self._move(None)
        return False

    def _ends_typing(self, event: QKeyEvent) -> bool:
        """Leave the field; True where the key is for nothing else."""
        field, key = self._field, event.key()
        assert field is not None
        if key == Qt.Key.Key_Escape:
            field.clearFocus()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not isinstance(field, QTextEdit | QPlainTextEdit):
            QTimer.singleShot(0, field.clearFocus)  # when the field has taken it in
        return bool(key == Qt.Key.Key_Escape)


def is_text_field(widget: QWidget | None) -> bool:
    """Does somebody type here? Then letters are letters."""
    if isinstance(widget, QComboBox):
        return widget.isEditable()
    return isinstance(widget, _TEXT_FIELDS) and not widget.isReadOnly()


def _call(callback: Callable[[], object]) -> None:
    callback()


def _main_window(widget: QWidget) -> QWidget:
    """napari's window around a dock, floating or not; a widget without one is its own."""
    around: QWidget | None = widget
    while around is not None and not isinstance(around, QMainWindow):
        around = around.parentWidget()
    return around or widget.window() or widget
