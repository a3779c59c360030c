"""What the reader says of a case: name, verdict, confidence, comment. Fields only; nothing is kept here."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QCoreApplication, QEvent, QObject, QSignalBlocker, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QButtonGroup,
    QCompleter,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...reading_room.records import VERDICTS, Judgement, Verdict
from ..viewer.keys import with_keys
from .table import COLOURS

MEANINGS: dict[Verdict, str] = {
    "agree": "The map shows what the phrase says",
    "partly": "The map shows a part of it, or more than that",
    "disagree": "The map shows something else",
    "flag": "To be looked at again: the image, the phrase or the truth is in doubt",
}


class Judging(QWidget):
    """``said`` carries what was changed, as keyword arguments of a judgement; ``reader_changed`` a name."""

    said = Signal(dict)
    reader_changed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.reader = QLineEdit()
        self.verdicts: dict[Verdict, QPushButton] = {}
        self.confidence: dict[int, QPushButton] = {}
        self.comment = QPlainTextEdit()
        self.undo_button = QPushButton("Undo")
        self.progress = QProgressBar()
        self.saved = QLabel()
        self._names = QCompleter([])
        self._build()

    def show_judgement(self, judgement: Judgement | None) -> None:
        """Show what was said so far; None for no case at all."""
        with QSignalBlocker(self.comment):
            for verdict, button in self.verdicts.items():
                button.setChecked(judgement is not None and judgement.verdict == verdict)
            for number, button in self.confidence.items():
                button.setChecked(judgement is not None and judgement.confidence == number)
            comment = "" if judgement is None else judgement.comment
            if self.comment.toPlainText() != comment:
                self.comment.setPlainText(comment)
        for part in (*self.verdicts.values(), *self.confidence.values(), self.comment):
            part.setEnabled(judgement is not None)

    def show_progress(self, judged: int, total: int) -> None:
        """How much of the study is judged."""
        self.progress.setRange(0, max(1, total))
        self.progress.setValue(judged)
        self.progress.setFormat(f"{judged} of {total} judged")

    def offer_readers(self, names: list[str]) -> None:
        """Names to complete what is typed."""
        self._names = QCompleter(names, self)
        self._names.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.reader.setCompleter(self._names)
        popup = self._names.popup()
        assert popup is not None
        popup.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Return takes the name as it is typed, also while others are offered: Qt would only close their list."""
        popup = self._names.popup()
        if popup is None or watched is not popup or not isinstance(event, QKeyEvent):
            return False
        returned = event.type() == QEvent.Type.KeyPress and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if not returned or popup.currentIndex().isValid():
            return False
        popup.hide()
        QCoreApplication.sendEvent(self.reader, event)
        return True

    def show_saved(self, text: str, bad: bool = False) -> None:
        """Where it is kept, or why not."""
        self.saved.setText(text)
        self.saved.setStyleSheet("color: #e8503a" if bad else "")

    def _build(self) -> None:
        self.reader.setPlaceholderText("your name or initials")
        self.reader.setToolTip("Who judges; what each reader says is kept apart.")
        self.reader.editingFinished.connect(lambda: self.reader_changed.emit(self.reader.text()))
        self.comment.setPlaceholderText("Comment")
        self.comment.setToolTip(with_keys("Kept with every letter that you type", "comment"))
        self.comment.setStyleSheet("QPlainTextEdit { border: 1px solid gray }")  # as a field: napari's style hides it
        self.comment.setTabChangesFocus(True)
        self.comment.setFixedHeight(2 * self.fontMetrics().lineSpacing() + 14)
        self.comment.textChanged.connect(lambda: self.said.emit({"comment": self.comment.toPlainText()}))
        self.undo_button.setToolTip(with_keys("Take your last change back", "undo_verdict"))
        self.saved.setWordWrap(True)
        self.saved.setTextFormat(Qt.TextFormat.PlainText)
        self.progress.setTextVisible(True)
        self.progress.setAccessibleName("Progress of the set")
        verdicts, marks = QHBoxLayout(), QHBoxLayout()
        for verdict in VERDICTS[1:]:
            button = QPushButton(verdict.capitalize())
            button.setCheckable(True)
            button.setToolTip(with_keys(f"{MEANINGS[verdict]}; again to take it back", verdict))
            button.setStyleSheet(f"QPushButton:checked {{ background: {COLOURS[verdict]}; color: white }}")
            button.clicked.connect(lambda on, verdict=verdict: self.said.emit({"verdict": verdict if on else ""}))
            self.verdicts[verdict] = button
            verdicts.addWidget(button, 1)
        group = QButtonGroup(self)
        group.setExclusive(False)
        marks.addWidget(QLabel("Confidence"))
        for number in range(1, 6):
            button = QPushButton(str(number))
            button.setCheckable(True)
            button.setMaximumWidth(34)
            tip = f"{number} of 5, from 1 (a guess) to 5 (certain); again to take it back"
            button.setToolTip(with_keys(tip, f"confidence_{number}"))
            button.setStyleSheet("QPushButton:checked { background: #3b82c4; color: white }")
            button.clicked.connect(lambda on, number=number: self.said.emit({"confidence": number if on else 0}))
            self.confidence[number] = button
            marks.addWidget(button)
        marks.addStretch(1)
        marks.addWidget(self.undo_button)
        form: Any = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Reader", self.reader)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(form)
        layout.addLayout(verdicts)
        layout.addLayout(marks)
        for part in (self.comment, self.progress, self.saved):
            layout.addWidget(part)
