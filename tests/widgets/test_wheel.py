"""The wheel changes no value of any dock that was not clicked or reached by a key; it scrolls the dock."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDialog,
    QDoubleSpinBox,
    QLineEdit,
    QScrollArea,
    QScrollBar,
    QSlider,
    QSpinBox,
    QTableWidget,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleRangeSlider, QLabeledSlider

from napari_vlexplain.widgets.parts.wheel import WheelGuard
from napari_vlexplain.widgets.viewer.docks import dock_class, python_names
from napari_vlexplain.widgets.viewer.layers import new_metadata


def wheel(widget: QWidget, turn: int = -120) -> None:
    """Turn it over a widget's middle; as long as nobody takes it, it goes on to the parent, as one of a mouse does."""
    over: QWidget | None = widget
    while over is not None:
        middle = over.mapFromGlobal(widget.mapToGlobal(widget.rect().center()))
        event = QWheelEvent(QPointF(middle), QPointF(over.mapToGlobal(middle)), QPoint(), QPoint(0, turn),
                            Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase,
                            False)  # fmt: skip
        QApplication.sendEvent(over, event)
        over = None if event.isAccepted() or over.isWindow() else over.parentWidget()


def values(root: QWidget) -> dict[QWidget, Any]:
    """Everything in a tree that has a value."""
    found: dict[QWidget, Any] = {}
    for one in root.findChildren(QWidget):
        if isinstance(one, QAbstractSlider) and not isinstance(one, QScrollBar):
            found[one] = one.value()
        elif isinstance(one, QAbstractSpinBox):
            found[one] = one.text()
        elif isinstance(one, QComboBox | QTabWidget):
            found[one] = one.currentIndex()
    return found


def filled(viewer: Any) -> None:
    """Layers enough that every drop-down of layers has two to choose from."""
    rng = np.random.default_rng(0)
    for number in range(2):
        image = viewer.add_image(rng.random((32, 32)), name=f"image {number}")
        viewer.add_image(rng.random((32, 32)), name=f"map {number}", metadata=new_metadata("heatmap", image))
        for kind in ("mask", "truth"):
            viewer.add_labels(np.eye(32, dtype=np.uint8), metadata=new_metadata(kind, image))
        viewer.add_shapes([np.array([(1, 1), (9, 9)])], shape_type="rectangle")


def shown(qtbot: Any, widget: QWidget) -> QWidget:
    """In a window with the focus elsewhere."""
    outer = QWidget()
    qtbot.addWidget(outer)
    qtbot.kept = [*getattr(qtbot, "kept", ()), outer]  # Python owns it, and with it what it holds
    layout = QVBoxLayout(outer)
    outer.elsewhere = QLineEdit()  # type: ignore[attr-defined]
    layout.addWidget(outer.elsewhere)  # type: ignore[attr-defined]
    layout.addWidget(widget)
    outer.resize(330, 420)
    with qtbot.waitExposed(outer):
        outer.show()
    outer.activateWindow()
    qtbot.waitUntil(outer.isActiveWindow)
    outer.elsewhere.setFocus()  # type: ignore[attr-defined]
    return outer


@pytest.mark.parametrize("name", python_names())
def test_no_value_of_a_dock_turns_under_the_wheel(qtbot: Any, name: str) -> None:
    viewer = ViewerModel()
    filled(viewer)
    dock = dock_class(name)(viewer)
    shown(qtbot, dock)
    for part in dock.findChildren(QWidget):  # what is folded is turned over too
        if part.isHidden() and not part.isWindow():
            part.show()
    QApplication.processEvents()
    before = values(dock)
    assert len(before) > 1
    for one in before:
        for turn in (-120, 120, -120):
            wheel(one, turn)
    assert values(dock) == before
    area = dock.findChild(QScrollArea)
    bar = area.verticalScrollBar()
    if bar.maximum() > 0:
        bar.setValue(0)
        inside = [one for one in before if area.widget().isAncestorOf(one) and one.isVisible()]
        wheel(inside[0])
        assert bar.value() > 0, "the dock scrolls instead"


class Own(QSpinBox):
    """One that is made in its parent, and not yet what it is when its parent hears of it."""


def everything(parent: QWidget) -> list[QWidget]:
    layout = QVBoxLayout(parent)
    slider, labeled, ranged = QSlider(Qt.Orientation.Horizontal), QLabeledSlider(), QLabeledDoubleRangeSlider()
    labeled.setOrientation(Qt.Orientation.Horizontal)
    ranged.setOrientation(Qt.Orientation.Horizontal)
    combo, editable, tabs = QComboBox(), QComboBox(), QTabWidget()
    for box in (combo, editable):
        box.addItems(list("abc"))
    editable.setEditable(True)
    for letter in "abc":
        tabs.addTab(QWidget(), letter)
    found: list[QWidget] = [Own(parent), QDoubleSpinBox(), slider, labeled, ranged, combo, editable, tabs]
    for one in found:
        layout.addWidget(one)
    return found


def guarded(qtbot: Any) -> tuple[QWidget, QWidget, list[QWidget]]:
    """(window, what is guarded, what came into it after it was)"""
    root = QWidget()
    root.guard = WheelGuard(root)  # type: ignore[attr-defined]
    outer = shown(qtbot, root)
    late = QWidget(root)
    parts = everything(late)
    QVBoxLayout(root).addWidget(late)
    late.show()
    outer.resize(330, 700)
    QApplication.processEvents()
    return outer, root, parts


def test_children_that_come_later_are_kept_from_it_too(qtbot: Any) -> None:
    _, root, _ = guarded(qtbot)
    before = values(root)
    assert len(before) > 8
    for one in [*before, *root.findChildren(QWidget)]:
        if one.isVisible():
            wheel(one)
            wheel(one, 120)
    assert values(root) == before


def test_a_number_in_a_table_s_cell_and_in_a_dialog(qtbot: Any) -> None:
    _, root, _ = guarded(qtbot)
    table = QTableWidget(3, 1)
    root.layout().addWidget(table)
    box = QSpinBox()
    table.setCellWidget(0, 0, box)
    dialog = QDialog(root)
    inside = QSpinBox(dialog)
    dialog.show()
    QApplication.processEvents()
    for one in (box, inside):
        wheel(one, 120)
        assert one.value() == 0


def test_it_turns_what_was_clicked_or_reached_by_a_key(qtbot: Any) -> None:
    outer, _, parts = guarded(qtbot)
    first, second, slider = parts[:3]
    QTest.mouseClick(first, Qt.MouseButton.LeftButton, pos=QPoint(8, first.height() // 2))
    wheel(first, 120)
    wheel(second, 120)
    assert (first.value(), second.value()) == (1, 0)
    QTest.keyClick(first, Qt.Key.Key_Tab)
    assert second.hasFocus()
    wheel(first, 120)
    wheel(second, 120)
    assert (first.value(), second.value()) == (1, 1)
    QTest.mouseClick(slider, Qt.MouseButton.LeftButton, pos=QPoint(2, slider.height() // 2))
    at = slider.value()
    wheel(slider, 120)
    assert slider.value() != at
    outer.elsewhere.setFocus()
    at = slider.value()
    wheel(slider, 120)
    assert slider.value() == at and not slider.hasFocus()


def test_focus_that_comes_with_the_window_is_nobody_s(qtbot: Any) -> None:
    _, _, parts = guarded(qtbot)
    box = parts[1]
    box.setFocus(Qt.FocusReason.ActiveWindowFocusReason)
    assert box.hasFocus()
    wheel(box, 120)
    assert box.value() == 0
    QTest.keyClick(box, Qt.Key.Key_Up)
    wheel(box, 120)
    assert box.value() == 2


def test_a_click_that_brings_the_window_to_the_front_takes_the_box_in_hand(qtbot: Any) -> None:
    outer, _, parts = guarded(qtbot)
    box = parts[1]
    other = QWidget()
    qtbot.addWidget(other)
    other.show()
    other.activateWindow()
    qtbot.waitUntil(other.isActiveWindow)
    line = box.findChild(QLineEdit)
    QTest.mouseClick(line, Qt.MouseButton.LeftButton)
    outer.activateWindow()
    qtbot.waitUntil(outer.isActiveWindow)
    box.setFocus(Qt.FocusReason.ActiveWindowFocusReason)
    wheel(box, 120)
    assert box.value() == 1


def test_a_box_that_went_while_it_was_in_hand(qtbot: Any) -> None:
    _, _, parts = guarded(qtbot)
    QTest.mouseClick(parts[1], Qt.MouseButton.LeftButton, pos=QPoint(8, parts[1].height() // 2))
    parts[1].deleteLater()
    qtbot.wait(20)
    QTest.mouseClick(parts[2], Qt.MouseButton.LeftButton)
    wheel(parts[0], 120)
    assert parts[0].value() == 0
