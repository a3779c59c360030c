"""What happens in a dock: a line of words, and a bar while something goes on."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QProgressBar

THIN = 5  # pixels
BAD = "color: #e8503a"


class StatusLine(QLabel):
    """A sentence or two that can be selected, red where they are bad; ``lines`` of them do not move what is below."""

    def __init__(self, lines: int = 2) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.setMinimumHeight(lines * self.fontMetrics().lineSpacing() + 2)

    def say(self, text: str, bad: bool = False) -> None:
        """Show this instead of what was said before."""
        self.setText(text)
        self.setStyleSheet(BAD if bad else "")


class ProgressBar(QProgressBar):
    """Hidden until something goes on; at 0 it only moves to and fro."""

    def __init__(self) -> None:
        super().__init__()
        self.setVisible(False)

    def keep_place(self) -> None:
        """A thin bar whose place is kept, so that nothing below it moves when it comes and goes."""
        policy = self.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.setSizePolicy(policy)
        self.setTextVisible(False)
        self.setFixedHeight(THIN)

    def show_share(self, share: float) -> None:
        """How far it is, in [0, 1]."""
        self.setRange(0, 100 if share > 0 else 0)
        self.setValue(round(100 * share))
