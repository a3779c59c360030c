"""Small things that several docks do to their parts."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QGroupBox, QVBoxLayout, QWidget


def hold(dock: QWidget, view: QWidget) -> None:
    """Make a view all that a dock shows."""
    layout = QVBoxLayout(dock)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(view)
    dock.setMinimumWidth(view.minimumWidth())


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
