"""Small things that several docks do to their parts."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QFormLayout, QGroupBox, QVBoxLayout, QWidget
from superqt import QCollapsible


def hold(dock: QWidget, view: QWidget) -> None:
    """Make a view all that a dock shows."""
    layout = QVBoxLayout(dock)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(view)
    dock.setMinimumWidth(view.minimumWidth())


def form_layout(parent: QWidget | None = None) -> QFormLayout:
    """A form without margins, whose fields are as wide as the dock, below their labels where it is narrow."""
    form = QFormLayout() if parent is None else QFormLayout(parent)
    form.setContentsMargins(0, 0, 0, 0)
    form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form


def fold(section: QCollapsible, content: QWidget) -> None:
    """Let a section hold a part, without margins, and open at once."""
    section.setCollapsedIcon("▶")  # superqt's own points up, as if it were open
    section.setDuration(0)
    section.addWidget(content)
    for part in (section, section.content()):
        inner = part.layout()
        if inner is not None:
            inner.setContentsMargins(0, 0, 0, 0)


def described(*parts: tuple[QWidget, str, str]) -> None:
    """Give parts their name for screen readers and their tool tip: (part, name, tip)."""
    for part, name, tip in parts:
        part.setAccessibleName(name)
        part.setToolTip(tip)


def short_combo(*combos: QComboBox) -> None:
    """Let drop-downs be narrower than their longest entry."""
    for combo in combos:
        combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        combo.setMinimumContentsLength(8)


def group(title: str, content: QWidget) -> QGroupBox:
    """A titled frame around a part."""
    frame = QGroupBox(title)
    layout = QVBoxLayout(frame)
    layout.setContentsMargins(4, 4, 4, 4)
    layout.addWidget(content)
    return frame
