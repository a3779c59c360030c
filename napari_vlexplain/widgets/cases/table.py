"""The list of a study: a table that sorts and filters by :mod:`napari_vlexplain.reading_room.navigation`."""

from __future__ import annotations

import math
from typing import Any, get_args

from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, QSignalBlocker, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from ...reading_room.navigation import BROKEN, UNDECIDED, Key, Row, SortBy, View, categories, shown
from ...reading_room.records import VERDICTS

COLUMNS: tuple[tuple[str, SortBy, str], ...] = (
    ("Phrase", "prompt", "What is looked for"),
    ("Status", "status", "What you said of it"),
    ("IoU", "iou", "Overlap of the heatmap, cut at the threshold, with the ground truth"),
    ("Category", "category", "The study's class of the case"),
    ("Dice", "dice", "The same as Dice coefficient"),
    ("Point", "pointing", "Pointing game: does the heatmap's maximum lie in the ground truth?"),
    ("Conf", "confidence", "How certain you are, from 1 (a guess) to 5 (certain)"),
    ("Case", "id", "The case's id"),
)
COLOURS = {"agree": "#2e9e5b", "partly": "#c9a227", "disagree": "#d9534f", "flag": "#a05ad6", BROKEN: "#d9534f"}
assert all(by in get_args(SortBy) for _, by, _ in COLUMNS)


class CaseModel(QAbstractTableModel):
    """Rows that are already in order; clicks on the header are told by ``sorted_by`` and leave them as they are."""

    sorted_by = Signal(str, bool)

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []

    def show_rows(self, rows: list[Row]) -> None:
        """Show these; where only their contents differ, selection and scroll position stay."""
        same = [row.key for row in rows] == [row.key for row in self.rows]
        if same and rows:
            self.rows = rows
            self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(COLUMNS) - 1))
        elif not same:
            self.beginResetModel()
            self.rows = rows
            self.endResetModel()

    def place_of(self, key: Key | None) -> int:
        """The row's place, or -1."""
        return next((place for place, row in enumerate(self.rows) if row.key == key), -1)

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(COLUMNS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row, by = self.rows[index.row()], COLUMNS[index.column()][1]
        if role == Qt.ItemDataRole.DisplayRole:
            return _text(row, by)
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.problem or f"{row.key[1] or 'no phrase yet'}\n{row.key[0]}"
        if role == Qt.ItemDataRole.ForegroundRole and by == "status" and row.status in COLOURS:
            return QColor(COLOURS[row.status])
        if role == Qt.ItemDataRole.TextAlignmentRole and by in ("iou", "dice", "pointing", "confidence"):
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        title, _, tip = COLUMNS[section]
        return title if role == Qt.ItemDataRole.DisplayRole else tip if role == Qt.ItemDataRole.ToolTipRole else None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        by = COLUMNS[column][1] if 0 <= column < len(COLUMNS) else "study"
        self.sorted_by.emit(by, order == Qt.SortOrder.DescendingOrder)


class CaseTable(QTableView):
    """``picked`` carries the key of a row that was clicked or moved to with the arrow keys."""

    picked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.cases = CaseModel()
        self.setModel(self.cases)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAccessibleName("Cases")
        self.setWordWrap(False)
        numbers, header = self.verticalHeader(), self.horizontalHeader()
        assert numbers is not None and header is not None
        numbers.hide()
        numbers.setDefaultSectionSize(self.fontMetrics().lineSpacing() + 6)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        letter = self.fontMetrics().averageCharWidth()
        for column, wide in enumerate((20, 13, 6, 14, 6, 6, 5, 30)):
            self.setColumnWidth(column, wide * letter)
        self.setMinimumHeight(5 * (self.fontMetrics().lineSpacing() + 6))
        selection = self.selectionModel()
        assert selection is not None
        selection.currentRowChanged.connect(self._on_row)

    def select(self, key: Key | None) -> None:
        """Mark a row without telling of it, and see to it that it is in sight."""
        place, selection = self.cases.place_of(key), self.selectionModel()
        assert selection is not None
        with QSignalBlocker(selection):
            if place < 0:
                selection.clear()
            else:
                flags = QItemSelectionModel.SelectionFlag
                index = self.cases.index(place, self.horizontalHeader().logicalIndex(0))  # type: ignore[union-attr]
                selection.setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)  # type: ignore[arg-type]
                self.scrollTo(index)
        viewport = self.viewport()
        assert viewport is not None
        viewport.update()

    def begin_with(self, first: SortBy) -> None:
        """Show phrases or ids on the left, the others on the right: cases without phrases are told apart by ids."""
        header = self.horizontalHeader()
        assert header is not None
        if COLUMNS[header.logicalIndex(0)][1] != first:
            header.swapSections(0, len(COLUMNS) - 1)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Up and Down go through the list; all other keys are the window's."""
        if event is not None and event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            super().keyPressEvent(event)
        elif event is not None:
            event.ignore()

    def _on_row(self, now: QModelIndex, before: QModelIndex) -> None:
        if now.isValid():
            self.picked.emit(self.cases.rows[now.row()].key)


class CaseList(QWidget):
    """The table with its filters; ``viewed`` carries another view, ``picked`` a key."""

    viewed = Signal(object)
    picked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._view = View()
        self.search, self.category, self.status = QLineEdit(), QComboBox(), QComboBox()
        self.low, self.high = QDoubleSpinBox(), QDoubleSpinBox()
        self.table = CaseTable()
        self._build()
        self.search.textChanged.connect(lambda text: self._change(search=text))
        self.search.returnPressed.connect(self._on_found)
        self.category.currentIndexChanged.connect(lambda _: self._change(category=self.category.currentData() or ""))
        self.status.currentIndexChanged.connect(lambda _: self._change(status=self.status.currentData() or ""))
        for box in (self.low, self.high):
            box.valueChanged.connect(lambda _: self._change(iou=(self.low.value(), self.high.value())))
        self.table.cases.sorted_by.connect(lambda by, down: self._change(sort=by, descending=down))
        self.table.picked.connect(self.picked.emit)

    @property
    def current_view(self) -> View:
        """Filters and order."""
        return self._view

    def place_of(self, key: Key) -> str:
        """``3 of 24``, or that it is not among those shown."""
        place = self.table.cases.place_of(key)
        return f"{place + 1} of {len(self.table.cases.rows)}" if place >= 0 else "not in the list shown"

    def show_rows(self, rows: list[Row], current: Key | None) -> None:
        """Show those of the rows that the filters let through, and mark the current one."""
        self.table.cases.show_rows(shown(rows, self._view))
        self.table.select(current)

    def offer_categories(self, rows: list[Row]) -> None:
        """Let one of the rows' categories be chosen, and set every filter back."""
        with QSignalBlocker(self.category):
            self.category.clear()
            self.category.addItem("all categories", "")
            for name in categories(rows):
                self.category.addItem(name, name)
        self.search.clear()
        self.status.setCurrentIndex(0)
        self.low.setValue(0)
        self.high.setValue(1)
        self.category.setEnabled(self.category.count() > 1)
        self._change(category="")

    def _build(self) -> None:
        self.search.setPlaceholderText("Search")
        self.search.setClearButtonEnabled(True)
        self.search.setMinimumWidth(60)
        self.search.setToolTip("Show cases in whose id, phrase or category all these words occur; Return goes there.")
        self.category.addItem("all categories", "")
        self.category.setToolTip("Show cases of this category alone.")
        self.status.addItem("any status", "")
        for name in (UNDECIDED, *VERDICTS[1:], BROKEN):
            self.status.addItem(name, name)
        self.status.setToolTip("Show cases of which you said this, or nothing yet.")
        for box, name, value in ((self.low, "Lowest IoU", 0.0), (self.high, "Highest IoU", 1.0)):
            box.setRange(0, 1)
            box.setDecimals(2)
            box.setSingleStep(0.05)
            box.setValue(value)
            box.setAccessibleName(name)
            box.setToolTip("Show cases whose IoU lies in this range; from 0 to 1 also those without one.")
            box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
            box.setStyleSheet("min-width: 36px; max-width: 36px")  # napari's style would leave no room for the search
        for combo in (self.category, self.status):
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            combo.setMinimumContentsLength(4)
        choices, numbers = QHBoxLayout(), QHBoxLayout()
        for combo in (self.category, self.status):
            choices.addWidget(combo, 1)
        numbers.addWidget(self.search, 1)
        for part in (QLabel("IoU"), self.low, QLabel("to"), self.high):
            numbers.addWidget(part)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(numbers)
        layout.addLayout(choices)
        layout.addWidget(self.table, 1)

    def _on_found(self) -> None:
        """Go to the first row, unless the case in view is among them."""
        selection = self.table.selectionModel()
        if self.table.cases.rows and selection is not None and not selection.hasSelection():
            self.picked.emit(self.table.cases.rows[0].key)

    def _change(self, **changes: Any) -> None:
        view = View(**{**self._view.__dict__, **changes})
        if view != self._view:
            self._view = view
            self.viewed.emit(view)


def _text(row: Row, by: SortBy) -> str:
    if by in ("iou", "dice", "pointing"):
        value = float(getattr(row, by))
        return "" if math.isnan(value) else f"{value:.2f}"
    if by == "confidence":
        return str(row.confidence or "")
    texts = {"id": row.key[0], "prompt": row.key[1] or "—", "category": row.category, "status": row.status}
    return "" if by == "status" and row.status == UNDECIDED else texts[by]
