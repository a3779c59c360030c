"""Prompts, one a line, with those used before at hand."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAction, QHBoxLayout, QLabel, QMenu, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from ...choices.explain import split_prompts
from ...choices.prompt_history import PromptHistory

SHOWN = 25


class PromptEdit(QPlainTextEdit):
    """Text of a few lines; Ctrl+Return says ``submitted``, Tab goes on to the next field."""

    submitted = Signal()

    def __init__(self, lines: int = 3) -> None:
        super().__init__()
        self._lines = lines
        self.setTabChangesFocus(True)
        self.setStyleSheet("QPlainTextEdit { border: 1px solid rgba(128, 128, 128, 150); border-radius: 2px }")
        self.setFixedHeight(self.sizeHint().height())

    def sizeHint(self) -> QSize:
        return QSize(180, self.fontMetrics().lineSpacing() * self._lines + 14)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        if event is None:
            return
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if enter and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.submitted.emit()
        else:
            super().keyPressEvent(event)


class PromptBox(QWidget):
    """``changed`` when the prompts did, ``submitted`` to run them."""

    changed = Signal()
    submitted = Signal()

    def __init__(self, history: PromptHistory, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.history = history
        self._suggested: tuple[str, ...] = ()
        self.edit = PromptEdit()
        self.history_button = QPushButton("History")
        self.history_button.setToolTip("Add a prompt that was used before, or that suits this image")
        self.menu = QMenu(self.history_button)
        self.menu.aboutToShow.connect(self._fill_menu)
        self.history_button.setMenu(self.menu)
        self.title = title = QLabel()
        title.setBuddy(self.edit)
        row = QHBoxLayout()
        row.addWidget(title, 1)
        row.addWidget(self.history_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(row)
        layout.addWidget(self.edit)
        self.expect(questions=False)
        self.edit.textChanged.connect(self.changed)
        self.edit.submitted.connect(self.submitted.emit)

    def expect(self, questions: bool) -> None:
        """Say whether prompts are wanted, or questions."""
        what, example = ("question", "what is in the picture?") if questions else ("prompt", "a photo of a dog")
        self.title.setText(f"&{what.capitalize()}s, one a line")
        self.edit.setPlaceholderText(f"One {what} a line, such as\n{example}")
        does = "What to ask" if questions else "What to look for"
        self.edit.setToolTip(f"{does}, one {what} a line. Each gets a heatmap. Ctrl+Return runs.")
        self.edit.setAccessibleName(f"{what.capitalize()}s, one a line")

    @property
    def prompts(self) -> tuple[str, ...]:
        """What is written."""
        return split_prompts(self.edit.toPlainText())

    def set_prompts(self, prompts: Sequence[str]) -> None:
        """Write these instead."""
        self.edit.setPlainText("\n".join(prompts))

    def suggest(self, prompts: Sequence[str]) -> None:
        """Prompts that suit the image; written if the user has written none of their own."""
        untouched = self.prompts in ((), self._suggested)
        self._suggested = tuple(prompts)
        if untouched and prompts:
            self.set_prompts(prompts)

    def remember(self) -> None:
        """Put the prompts into the history."""
        self.history.add(self.prompts)

    def _fill_menu(self) -> None:
        self.menu.clear()
        before = [prompt for prompt in self.history.prompts if prompt not in self._suggested][:SHOWN]
        for title, prompts in (("For this image:", self._suggested), ("Used before:", before)):
            if prompts:
                self._add(title, False)
            for prompt in prompts:
                action = self._add(prompt.replace("&", "&&"), prompt not in self.prompts)
                action.triggered.connect(lambda _=False, prompt=prompt: self.set_prompts([*self.prompts, prompt]))
        if self.menu.isEmpty():
            self._add("No prompt was used yet", False)
        if self.history.prompts:
            self.menu.addSeparator()
            self._add("Clear history").triggered.connect(self.history.clear)

    def _add(self, text: str, enabled: bool = True) -> QAction:
        action = QAction(text, self.menu)
        action.setEnabled(enabled)
        self.menu.addAction(action)
        return action
