"""The keys on one page."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from .keys import KEYS

NOTE = (
    "They work whatever layer is active, while their dock is open, and rest while you type in a text field: "
    "Esc or Return end that. "
    "napari's own keys are under Help > Show Key Bindings."
)


def show_keys(parent: QWidget) -> QDialog:
    """Open the page beside the window; it does not block."""
    dialog = QDialog(parent)
    dialog.setWindowTitle("Keys of VL Explain")
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    table = QTableWidget(len(KEYS), 3)
    table.setHorizontalHeaderLabels(["Key", "What it does", "Dock"])
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
    for row, key in enumerate(KEYS):
        for column, text in enumerate((written(key.keys), key.what, key.where)):
            table.setItem(row, column, QTableWidgetItem(text))
    for side in (table.verticalHeader(), table.horizontalHeader()):
        if side is not None:
            side.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            side.setVisible(side is table.horizontalHeader())
    note = QLabel(NOTE)
    note.setWordWrap(True)
    buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
    buttons.rejected.connect(dialog.reject)
    layout = QVBoxLayout(dialog)
    for part in (table, note, buttons):
        layout.addWidget(part)
    dialog.resize(520, 560)
    dialog.show()
    return dialog


def written(keys: tuple[str, ...]) -> str:
    """Keys as this computer's keyboard has them."""
    native = QKeySequence.SequenceFormat.NativeText
    return ", ".join(QKeySequence(key).toString(native) for key in keys)


def keys_table() -> str:
    """The keys as a table in Markdown, for the docs."""
    rows = [f"| {', '.join(f'`{key}`' for key in one.keys)} | {one.what} | {one.where} |" for one in KEYS]
    return "\n".join(["| key | what it does | dock |", "|---|---|---|", *rows, ""])
