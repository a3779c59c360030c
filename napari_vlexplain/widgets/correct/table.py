"""Who differs from whom, by how much, and where: a small tree that follows every stroke."""

from __future__ import annotations

import math

from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from ...reading_room.agreement import PAIRS, Agreement
from ...reading_room.correcting import Spacing

COLUMNS = ("", "IoU", "Dice", "± px")
INDENT = 8
WHOLE = "all"
TIPS = (
    "Of each pair the whole, and below it labels, boxes or connected parts.",
    "Intersection over union; n/a where both are empty.",
    "Twice the intersection over the sum of both areas; n/a where both are empty.",
    "Area of the first minus area of the second: above 0 where the first covers more.",
)


class AgreementTable(QTreeWidget):
    """For each pair a line for the whole and one for each part; ``copy`` takes all of it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setColumnCount(len(COLUMNS))
        self.setHeaderLabels(COLUMNS)
        self.setAccessibleName("Agreement")
        self.setIndentation(INDENT)
        self.setRootIsDecorated(False)
        self.setSelectionMode(QTreeWidget.SelectionMode.NoSelection)
        self.setMinimumHeight(10 * self.fontMetrics().lineSpacing())
        header = self.header()
        if header is not None:
            header.setStretchLastSection(False)
            for column in range(len(COLUMNS)):
                mode = QHeaderView.ResizeMode.Stretch if column == 0 else QHeaderView.ResizeMode.ResizeToContents
                header.setSectionResizeMode(column, mode)
        head = self.headerItem()
        for column, tip in enumerate(TIPS):
            if head is not None:
                head.setToolTip(column, tip)
        self._pairs: dict[tuple[str, str], QTreeWidgetItem] = {}
        for first, second in PAIRS:
            item = QTreeWidgetItem([f"{first} against {second}"])
            self.addTopLevelItem(item)
            item.setFirstColumnSpanned(True)  # names are long, docks are narrow
            item.addChild(QTreeWidgetItem([WHOLE]))
            item.setExpanded(True)
            self._pairs[first, second] = item
        self.show_agreements([], None)

    def show_agreements(self, found: list[Agreement], spacing: Spacing | None) -> None:
        """Show figures; pairs that are not among them are empty. Areas are mm² where spacing is known, else pixels."""
        head = self.headerItem()
        if head is not None:
            head.setText(3, "± px" if spacing is None else "± mm²")
        known = {(one.first, one.second): one for one in found}
        for pair, item in self._pairs.items():
            one = known.get(pair)
            parts = () if one is None or len(one.parts) < 2 else one.parts
            while item.childCount() > 1 + len(parts):
                item.takeChild(item.childCount() - 1)
            while item.childCount() < 1 + len(parts):
                item.addChild(QTreeWidgetItem())
            whole = item.child(0)
            if whole is None:
                continue
            if one is None:
                _fill(whole, ("", "", ""))
                continue
            _fill(whole, (_number(one.counts.iou), _number(one.counts.dice), area(one.difference, spacing)))
            for place, part in enumerate(parts, start=1):
                child = item.child(place)
                if child is None:
                    continue
                child.setText(0, part.name)
                child.setToolTip(0, f"around row {part.row:.0f}, column {part.column:.0f}")
                _fill(child, (_number(part.iou), _number(part.dice), area(part.difference, spacing)))

    def texts(self) -> dict[str, tuple[str, ...]]:
        """What is shown: pair, or pair and part -> IoU, Dice, area."""
        found = {}
        for item in self._pairs.values():
            for place in range(item.childCount()):
                child = item.child(place)
                if child is not None:
                    name = f"{item.text(0)}, {child.text(0)}" if place else item.text(0)
                    found[name] = tuple(child.text(column) for column in (1, 2, 3))
        return found

    def copy(self) -> None:
        """Put the lines on the clipboard, with tabs between."""
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            head = self.headerItem()
            lines = ["\t".join(COLUMNS if head is None else [head.text(column) for column in range(len(COLUMNS))])]
            clipboard.setText("\n".join([*lines, *("\t".join((name, *cells)) for name, cells in self.texts().items())]))


def area(pixels: int, spacing: Spacing | None) -> str:
    """A signed area for people: in mm² where spacing is known, else in pixels."""
    if not pixels:
        return "0"
    return f"{pixels:+,}" if spacing is None else f"{pixels * spacing[0] * spacing[1]:+,.1f}"


def _fill(item: QTreeWidgetItem, texts: tuple[str, str, str]) -> None:
    for column, text in enumerate(texts, start=1):
        if item.text(column) != text:
            item.setText(column, text)
        item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight)


def _number(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.3f}"
