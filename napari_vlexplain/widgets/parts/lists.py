"""Lists to choose from: methods in a drop-down, what was left out at its end, and names to tick."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import QSignalBlocker, QSize, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QComboBox, QListWidget, QListWidgetItem, QWidget

from ...methods.catalogue import problems
from ...methods.info import MethodInfo


def offer_methods(combo: QComboBox, methods: Iterable[MethodInfo], chosen: str) -> None:
    """Offer these, with one chosen (the first, if it is not among them), and emit nothing; say which were left out."""
    blocker = QSignalBlocker(combo)
    combo.clear()
    for number, info in enumerate(methods):
        combo.addItem(info.title, info.name)
        combo.setItemData(number, "\n".join((info.summary, *info.limits, info.source)), Qt.ItemDataRole.ToolTipRole)
    tell_left_out(combo, "methods", problems())
    combo.setCurrentIndex(max(0, combo.findData(chosen)))
    blocker.unblock()


def tell_left_out(combo: QComboBox, what: str, problems: tuple[str, ...]) -> None:
    """At the end of a list, not to be chosen, what of other packages is not in it, and in its tool tip why."""
    if problems:
        combo.addItem(f"Left out: {what} of other packages")
        combo.setItemData(combo.count() - 1, "\n".join(problems), Qt.ItemDataRole.ToolTipRole)
        combo.setItemData(combo.count() - 1, Qt.ItemFlag.NoItemFlags, Qt.ItemDataRole.UserRole - 1)


class CheckList(QListWidget):
    """Names with a box each; ``changed`` when one was ticked or cleared."""

    changed = Signal()

    def __init__(self, rows: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows = rows
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.itemChanged.connect(self.changed)

    def add(self, name: str, title: str, tip: str, ticked: bool = False) -> None:
        """Another name, at the end; one that is there already is only ticked."""
        for row in range(self.count()):
            if self._name(row) == name:
                self._item(row).setCheckState(_state(ticked))
                return
        item = QListWidgetItem(title)
        item.setData(Qt.ItemDataRole.UserRole, name)
        item.setToolTip(tip)
        item.setCheckState(_state(ticked))
        self.addItem(item)

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are ticked, in order."""
        ticked = Qt.CheckState.Checked
        return tuple(self._name(row) for row in range(self.count()) if self._item(row).checkState() == ticked)

    def tick(self, names: Iterable[str]) -> None:
        """Tick these and clear all others."""
        wanted = set(names)
        for row in range(self.count()):
            self._item(row).setCheckState(_state(self._name(row) in wanted))

    def sizeHint(self) -> QSize:
        """Room for the first rows."""
        return QSize(200, self._rows * (self.fontMetrics().lineSpacing() + 4) + 6)

    def minimumSizeHint(self) -> QSize:
        return QSize(120, 3 * self.fontMetrics().lineSpacing())

    def _item(self, row: int) -> QListWidgetItem:
        item = self.item(row)
        assert item is not None
        return item

    def _name(self, row: int) -> str:
        return str(self._item(row).data(Qt.ItemDataRole.UserRole))


def _state(ticked: bool) -> Qt.CheckState:
    return Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked
