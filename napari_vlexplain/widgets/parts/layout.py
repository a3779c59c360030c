"""How a dock lays out its parts: forms, frames, sections that fold, and all of it in a scroll area above the notice."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QGroupBox,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
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


NARROWEST = 285
"""Pixels: every dock's least width, for screens of 1,280."""

NOTICE = "Research tool, not for clinical decisions."
"""Below every dock, where people look."""


def fill_scrolling(widget: QWidget, content: QWidget) -> None:
    """Make ``content`` all that ``widget`` shows, above the notice; it scrolls up and down, never sideways."""
    scroll = QScrollArea()
    scroll.setWidget(content)
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    layout = QVBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(scroll)
    layout.addWidget(notice())
    widget.setMinimumWidth(NARROWEST)
    widget.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)


def notice() -> QLabel:
    """What this is not for, in one line."""
    label = QLabel(NOTICE)
    label.setWordWrap(True)
    label.setStyleSheet("font-style: italic; padding: 0 4px 2px 4px")
    return label
