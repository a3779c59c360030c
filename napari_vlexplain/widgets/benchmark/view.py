"""The parts of the *Benchmark* dock, and where they stand."""

from __future__ import annotations

import math

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ...benchmark.reporting.summary import better_of, title_of
from ...benchmark.reporting.text import ARROWS, number
from ...benchmark.session import Line, LiveTable, Session
from ...datasets.catalogue import list_datasets, problems
from ...methods import list_methods
from ...metrics.catalogue import GROUPS
from ...models import list_models
from ..parts.layout import fill_scrolling
from ..parts.lists import CheckList, tell_left_out
from ..parts.status import ProgressBar, StatusLine

DEFAULT_METRICS = "what the data allow"


class FolderBox(QWidget):
    """A path to type or to choose."""

    changed = Signal()

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = title
        self.edit = QLineEdit()
        button = QToolButton()
        button.setText("…")
        button.setToolTip("Choose the folder.")
        button.clicked.connect(self._choose)
        self.edit.textChanged.connect(self.changed)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.edit)
        layout.addWidget(button)

    def _choose(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, self._title, self.edit.text())
        if folder:
            self.edit.setText(folder)


class BenchmarkView(QWidget):
    """Choices above, the button, and two tables: means by method, and every case; ``picked`` carries a case's line."""

    picked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.dataset, self.root, self.folder = (
            QComboBox(),
            FolderBox("The data set's folder"),
            FolderBox("For the rows"),
        )
        self.limit, self.processes, self.metrics = QSpinBox(), QSpinBox(), QComboBox()
        self.model = QComboBox()
        self.methods = CheckList(6)
        self.floors = QCheckBox("floors beside them")
        self.run_button, self.report_button = QPushButton("Run"), QPushButton("Report")
        self.progress, self.status, self.dashboard = ProgressBar(), StatusLine(), QLabel()
        self.say = self.status.say
        self.means, self.cases = QTableWidget(), QTableWidget()
        self._lines: list[Line] = []
        self._fill()
        self._build()

    def session(self) -> Session:
        """What is chosen."""
        group = self.metrics.currentText()
        return Session(
            dataset=str(self.dataset.currentData()),
            root=self.root.edit.text(),
            limit=self.limit.value(),
            model=self.model.currentText().strip(),
            methods=self.methods.names,
            metrics=() if group == DEFAULT_METRICS else (group,),
            floors=self.floors.isChecked(),
            folder=self.folder.edit.text(),
            processes=self.processes.value(),
        )

    def show_live(self, live: LiveTable) -> None:
        """Both tables anew; the selection and the place in the list stay."""
        self.dashboard.setText(f'<a href="{live.dashboard}">Dask’s dashboard</a>' if live.dashboard else "")
        self.dashboard.setVisible(bool(live.dashboard))
        metrics = live.metrics
        heads = [f"{title_of(name)} {ARROWS[better_of(name)]}".strip() for name in metrics]
        means = live.means()
        _resize(self.means, len(means), ["method", *heads])
        for row, (method, found) in enumerate(sorted(means.items(), key=lambda x: (x[0].startswith("floor:"), x[0]))):
            _put(self.means, row, 0, method)
            for column, name in enumerate(metrics, start=1):
                value, missing = found.get(name, (math.nan, 0))
                tip = f"{missing} without a value" if missing else ""
                _put(self.means, row, column, number(value) + ("*" if missing else ""), tip)
        self._lines = live.lines
        _resize(self.cases, len(self._lines), ["case", "prompt", "method", *heads])
        for row, line in enumerate(self._lines):
            for column, text in enumerate((line.item.case, line.item.text, line.arm.method)):
                _put(self.cases, row, column, text, text)
            for column, name in enumerate(metrics, start=3):
                value_of = line.values.get(name)
                _put(self.cases, row, column, number(math.nan if value_of is None else value_of), line.why)

    def _fill(self) -> None:
        for info in list_datasets():
            self.dataset.addItem(info.title, info.name)
            tip = f"Ground truth: {info.truth}. {info.access}."
            self.dataset.setItemData(self.dataset.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        tell_left_out(self.dataset, "data sets", problems())
        self.dataset.setCurrentIndex(max(0, self.dataset.findData("phantom-study")))
        self.model.setEditable(True)
        self.model.addItems([info.name for info in list_models() if info.kind == "dual_encoder"])
        for method in list_methods():
            self.methods.add(method.name, method.title, method.summary, method.name in ("relevance", "raw_attention"))
        self.metrics.addItems([DEFAULT_METRICS, *GROUPS])
        self.limit.setRange(1, 1_000_000)
        self.limit.setValue(Session().limit)
        self.processes.setRange(0, 256)
        self.processes.setSpecialValueText("in this one")
        self.floors.setChecked(True)
        self.folder.edit.setText(Session().folder)
        self.progress.keep_place()
        self.dashboard.setOpenExternalLinks(True)
        self.dashboard.hide()

    def _build(self) -> None:
        tips = {
            self.root: "Where the data set lies.",
            self.model: "A name, or the folder of a model; one that is not on this computer is not fetched.",
            self.limit: "At most so many cases, drawn by the seed 0; a larger number keeps the ones before.",
            self.metrics: "Perturbation, confidence, stability and randomisation run the model again and again.",
            self.processes: "Workers of a local Dask cluster; 0 computes one case after the other in this process.",
            self.folder: "Rows are kept here; the same folder goes on where it stopped.",
            self.floors: "Uniform, random, centre, edges: maps that know neither model nor prompt, to be beaten.",
            self.report_button: "Write report.html, .md and .csv into the folder.",
            self.cases: "Click a row to open its image, heatmap and ground truth.",
        }
        for part, tip in tips.items():
            part.setToolTip(tip)
        for box in (self.dataset, self.model, self.metrics):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(6)
        self.floors.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        form = QFormLayout()
        for title, row in (("&Data set", self.dataset), ("&Folder", self.root), ("Ca&ses", self.limit),
                           ("M&odel", self.model),
                           ("&Methods", self.methods), ("", self.floors), ("Me&trics", self.metrics),
                           ("&Rows in", self.folder), ("&Processes", self.processes)):  # fmt: skip
            form.addRow(title, row)
        buttons = QHBoxLayout()
        buttons.addWidget(self.run_button)
        buttons.addWidget(self.report_button)
        content = QWidget()
        inner = QVBoxLayout(content)
        inner.addLayout(form)
        inner.addLayout(buttons)
        for part in (self.progress, self.status, self.dashboard):
            inner.addWidget(part)
        for heading, listed in (("Means", self.means), ("Cases", self.cases)):
            inner.addWidget(QLabel(heading))
            inner.addWidget(listed)
        for table in (self.means, self.cases):
            table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
            table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
            header = table.verticalHeader()
            if header is not None:
                header.setVisible(False)
            table.setMinimumHeight(110)
        self.cases.cellClicked.connect(self._on_clicked)
        fill_scrolling(self, content)

    def _on_clicked(self, row: int, column: int) -> None:
        if 0 <= row < len(self._lines):
            self.picked.emit(self._lines[row])


def _resize(table: QTableWidget, rows: int, heads: list[str]) -> None:
    table.setRowCount(rows)
    if table.columnCount() == len(heads):
        return
    table.setColumnCount(len(heads))
    table.setHorizontalHeaderLabels(heads)
    for column, head in enumerate(heads):
        table.setColumnWidth(column, max(90, table.fontMetrics().horizontalAdvance(head) + 24))


def _put(table: QTableWidget, row: int, column: int, text: str, tip: str = "") -> None:
    item = table.item(row, column)
    if item is None:
        item = QTableWidgetItem()
        table.setItem(row, column, item)
    if item.text() != text:
        item.setText(text)
    item.setToolTip(tip)
