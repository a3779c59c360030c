"""The keys of the docks: free ones only, working everywhere but where somebody types."""

from __future__ import annotations

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QDockWidget,
    QGroupBox,
    QLabel,
    QLineEdit,
    QMainWindow,
    QPlainTextEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_vlexplain.widgets.viewer.docks import dock_class, python_names
from napari_vlexplain.widgets.viewer.keys import KEYS, Keys, with_keys

CODES = {"N": Qt.Key.Key_N, "PgDown": Qt.Key.Key_PageDown, "J": Qt.Key.Key_J, ",": Qt.Key.Key_Comma}


class Dock(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self.pressed: list[str] = []
        self.keys = Keys(self)
        self.keys.bind("next_case", lambda: self.pressed.append("next"))
        self.keys.bind("blink", lambda: self.pressed.append("blink"))


@pytest.fixture
def main(qtbot):
    """A main window with a button and fields in its middle, and a dock."""
    window = QMainWindow()
    qtbot.addWidget(window)
    middle = QWidget()
    window.setCentralWidget(middle)
    layout = QVBoxLayout(middle)
    window.parts = [QPushButton("x"), QLineEdit(), QPlainTextEdit(), QSpinBox()]
    for part in window.parts:
        layout.addWidget(part)
    window.dock, window.frame = Dock(), QDockWidget()
    window.frame.setWidget(window.dock)
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, window.frame)
    with qtbot.waitExposed(window):
        window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    return window


def press(qtbot, widget, *keys):
    widget.setFocus()
    qtbot.waitUntil(widget.hasFocus)
    for key in keys:
        QTest.keyClick(widget, CODES[key])


def test_keys_work_wherever_the_focus_is(main, qtbot):
    press(qtbot, main.parts[0], "N", "PgDown", "J")
    assert main.dock.pressed == ["next", "next", "blink"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_in_text_fields_letters_are_letters(main, qtbot, number):
    field = main.parts[number]
    press(qtbot, field, "N", "J", "PgDown")
    assert main.dock.pressed == []
    if number < 3:
        text = field.text() if number == 1 else field.toPlainText()
        assert text == "nj"
    press(qtbot, main.parts[0], "N")
    assert main.dock.pressed == ["next"]


@pytest.mark.parametrize("kind", [QLineEdit, QSpinBox, QPlainTextEdit])
@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Escape])
def test_escape_and_return_end_typing_in_a_field_of_the_dock(main, qtbot, kind, key):
    field = kind(main.dock)
    field.show()
    field.setFocus()
    qtbot.waitUntil(field.hasFocus)
    QTest.keyClick(field, Qt.Key.Key_7)
    QTest.keyClick(field, key)
    qtbot.wait(20)
    ended = key == Qt.Key.Key_Escape or kind is not QPlainTextEdit
    assert field.hasFocus() != ended and "7" in (field.toPlainText() if kind is QPlainTextEdit else field.text())
    QTest.keyClick(main if ended else field, Qt.Key.Key_N)
    assert main.dock.pressed == (["next"] if ended else [])


def test_a_read_only_text_is_no_text_field(main, qtbot):
    main.parts[2].setReadOnly(True)
    press(qtbot, main.parts[2], "N")
    assert main.dock.pressed == ["next"]


def test_a_dock_out_of_sight_keeps_its_keys(main, qtbot):
    main.frame.hide()
    press(qtbot, main.parts[0], "N")
    assert not main.dock.isVisible() and main.dock.pressed == ["next"]


def test_a_floating_dock_keeps_its_keys(main, qtbot):
    main.frame.setFloating(True)
    press(qtbot, main.parts[0], "N")
    assert main.dock.pressed == ["next"]


def test_a_removed_dock_takes_its_keys_along_and_brings_them_back(main, qtbot):
    main.dock.setParent(None)
    press(qtbot, main.parts[0], "N")
    assert main.dock.pressed == []
    main.frame.setWidget(main.dock)
    main.dock.show()
    qtbot.wait(20)
    press(qtbot, main.parts[0], "N")
    assert main.dock.pressed == ["next"]


def test_two_docks_of_a_kind_do_not_silence_each_other(main, qtbot):
    second, frame = Dock(), QDockWidget()
    frame.setWidget(second)
    main.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, frame)
    qtbot.wait(20)
    press(qtbot, main.parts[0], "N")
    assert main.dock.pressed + second.pressed == ["next"]


def test_an_unknown_action_is_refused(qtbot):
    dock = Dock()
    qtbot.addWidget(dock)
    with pytest.raises(KeyError):
        dock.keys.bind("fly", print)


def test_each_key_is_given_once():
    keys = [key for entry in KEYS for key in entry.keys]
    assert len(set(keys)) == len(keys) and len({entry.action for entry in KEYS}) == len(KEYS)


@pytest.mark.parametrize("name", sorted(python_names()))
def test_no_underlined_letter_takes_a_key(qtbot, name):
    """Two of one sequence in a window share it: each would work every other time, even from a tab behind."""
    dock = dock_class(name)(ViewerModel())
    qtbot.addWidget(dock)
    texts = [one.text() for kind in (QAbstractButton, QLabel) for one in dock.findChildren(kind)]
    texts += [one.title() for one in dock.findChildren(QGroupBox)]
    taken = {key for one in KEYS for key in one.keys}
    assert [text for text in texts if QKeySequence.mnemonic(text).toString() in taken] == []


def test_tooltips_name_the_keys():
    assert with_keys("Next", "next_case") == "Next (PgDown, N)"


def test_the_docs_have_the_same_table():
    from pathlib import Path

    from napari_vlexplain.widgets.viewer.keys_help import keys_table

    page = Path(__file__).resolve().parents[2] / "docs" / "keys.md"
    assert keys_table() in page.read_text(encoding="utf-8"), "write docs/keys.md anew"
