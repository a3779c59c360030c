"""The figures of a comparison, one way a line, and the legend that all tiles share."""

from __future__ import annotations

import math

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication, QImage, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...tasks.compare import Comparison
from ..parts.figures_table import ROWS

SHOWN = ("pointing", "energy", "iou", "dice", "chance")
TITLES = {
    "method": "Method",
    "pointing": "Pointing",
    "energy": "Energy",
    "iou": "IoU",
    "dice": "Dice",
    "chance": "Chance",
    "unrelated": "Unrelated",
    "seconds": "Seconds",
}


class ComparisonTable(QWidget):
    """Means over prompts; columns sort by a click on their title. The buttons copy the figures and save the picture."""

    def __init__(self, comparison: Comparison, colormap: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.comparison = comparison
        self.table = QTableWidget(len(comparison.ways), 0)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setAccessibleName("Figures of the comparison")
        self.status = QLabel()
        self.status.setWordWrap(True)
        self.status.setTextFormat(Qt.TextFormat.PlainText)
        self.copy_button, self.save_button = QPushButton("Copy figures"), QPushButton("Save picture…")
        self.copy_button.clicked.connect(self.copy)
        self.save_button.clicked.connect(self.ask_where_to_save)
        self.rows = self._rows()
        self._fill()
        buttons = QHBoxLayout()
        buttons.addWidget(self.copy_button)
        buttons.addWidget(self.save_button)
        layout = QVBoxLayout(self)
        layout.addWidget(self.table, 1)
        layout.addWidget(legend(colormap))
        layout.addWidget(self.status)
        layout.addLayout(buttons)
        self.status.setText("\n".join(self.remarks()))

    def remarks(self) -> list[str]:
        """What is to be told of ground truths, what does not fit, and what the sanity checks found."""
        found = [str(note) for told in self.comparison.truth_notes for note in told]
        for row in self.comparison.cells:
            for cell, title in zip(row, self.comparison.titles, strict=True):
                if cell.explanation is None:
                    found.append(f"{title}: {cell.problem}")
                else:
                    sanity = cell.explanation.provenance.get("sanity") or {}
                    found += [f"{title}: {line}" for line in (*cell.explanation.warnings, *sanity.get("warnings", ()))]
        first = next(c.explanation for row in self.comparison.cells for c in row if c.explanation is not None)
        return [*dict.fromkeys(found), str(first.provenance.get("warning", ""))]

    def copy(self) -> None:
        """Put the figures on the clipboard: a line each, tabs between."""
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            lines = [["method", *self.rows[0][1]], *([name, *row.values()] for name, row in self.rows)]
            clipboard.setText("\n".join("\t".join(line) for line in lines))

    def ask_where_to_save(self) -> None:
        """Save the grid as a picture, where the user says."""
        path, _ = QFileDialog.getSaveFileName(self, "Save the comparison", "comparison.png", "Pictures (*.png)")
        if path:
            self.save(path)

    def save(self, path: str) -> None:
        """Save the grid as a picture."""
        try:
            self.comparison.figure().save(path)
        except (OSError, ValueError) as error:
            self.status.setText(f"The picture cannot be saved as {path}: {error}.")
        else:
            self.status.setText(f"Saved {path}.")

    def _rows(self) -> list[tuple[str, dict[str, str]]]:
        found = []
        for number, (title, seconds) in enumerate(zip(self.comparison.titles, self.comparison.seconds, strict=True)):
            cells = [row[number] for row in self.comparison.cells]
            row: dict[str, str] = {}
            if self.comparison.measured:
                row = {name: _written(self.comparison.mean(number, name)) for name in SHOWN}
            known = [c.explanation.provenance.get("sanity") for c in cells if c.explanation is not None]
            if any(known):
                values = [s["random_prompt"] for s in known if s and s["random_prompt"] is not None]
                row["unrelated"] = _written(float(np.mean(values))) if values else "n/a"
            row["seconds"] = "n/a" if math.isnan(seconds) else f"{seconds:.1f}"
            found.append((title, row))
        columns = list(dict.fromkeys(name for _, row in found for name in row))
        return [(title, {name: row.get(name, "n/a") for name in columns}) for title, row in found]

    def _fill(self) -> None:
        names = list(self.rows[0][1])
        self.table.setColumnCount(1 + len(names))
        tips = {
            **{key: tip for key, (_, tip) in ROWS.items()},
            "unrelated": "Rank correlation with the maps of unrelated prompts; above 0.95 the prompt is not heard.",
            "seconds": "For all prompts together.",
        }
        for column, name in enumerate(["method", *names]):
            header = QTableWidgetItem(TITLES[name])
            header.setToolTip(tips.get(name, ""))
            self.table.setHorizontalHeaderItem(column, header)
        for line, (title, row) in enumerate(self.rows):
            self.table.setItem(line, 0, QTableWidgetItem(title))
            for column, value in enumerate(row.values(), start=1):
                item = QTableWidgetItem(value)
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(line, column, item)
        self.table.setSortingEnabled(True)
        self.table.resizeColumnsToContents()
        numbers = self.table.verticalHeader()
        if numbers is not None:
            numbers.setVisible(False)


def legend(colormap: str) -> QLabel:
    """The colours of all tiles, low to high."""
    from napari.utils.colormaps import ensure_colormap

    colours = np.repeat(ensure_colormap(colormap).map(np.linspace(0, 1, 256))[None, :, :3], 12, axis=0)
    data = np.ascontiguousarray((colours * 255).astype(np.uint8))
    image = QImage(data.tobytes(), 256, 12, 3 * 256, QImage.Format.Format_RGB888).copy()
    label = QLabel()
    label.setPixmap(QPixmap.fromImage(image))
    label.setToolTip("Every heatmap runs from its own lowest to its own highest value.")
    label.setAccessibleName("Legend: low to high")
    return label


def _written(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.3f}"
