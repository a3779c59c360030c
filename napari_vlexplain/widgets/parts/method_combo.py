"""The list of methods to choose from."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox

from ...methods.info import MethodInfo


def offer_methods(combo: QComboBox, methods: Iterable[MethodInfo], chosen: str) -> None:
    """Offer these, with one chosen (the first, if it is not among them), and emit nothing."""
    blocker = QSignalBlocker(combo)
    combo.clear()
    for number, info in enumerate(methods):
        combo.addItem(info.title, info.name)
        combo.setItemData(number, f"{info.summary} ({info.source})", Qt.ItemDataRole.ToolTipRole)
    combo.setCurrentIndex(max(0, combo.findData(chosen)))
    blocker.unblock()
