"""The list of methods to choose from."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox

from ...methods.catalogue import problems
from ...methods.info import MethodInfo


def offer_methods(combo: QComboBox, methods: Iterable[MethodInfo], chosen: str) -> None:
    """Offer these, with one chosen (the first, if it is not among them), and emit nothing; say which were left out."""
    blocker = QSignalBlocker(combo)
    combo.clear()
    for number, info in enumerate(methods):
        combo.addItem(info.title, info.name)
        combo.setItemData(number, f"{info.summary} ({info.source})", Qt.ItemDataRole.ToolTipRole)
    tell_left_out(combo, "methods", problems())
    combo.setCurrentIndex(max(0, combo.findData(chosen)))
    blocker.unblock()


def tell_left_out(combo: QComboBox, what: str, problems: tuple[str, ...]) -> None:
    """At the end of a list, not to be chosen, what of other packages is not in it, and in its tool tip why."""
    if problems:
        combo.addItem(f"Left out: {what} of other packages")
        combo.setItemData(combo.count() - 1, "\n".join(problems), Qt.ItemDataRole.ToolTipRole)
        combo.setItemData(combo.count() - 1, Qt.ItemFlag.NoItemFlags, Qt.ItemDataRole.UserRole - 1)
