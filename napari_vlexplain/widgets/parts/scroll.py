"""A dock's parts in a scroll area, so that it shrinks with the window and nothing of it gets out of reach."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

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
