"""The answers below the Run button: each prompt's words and score."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget

from ...choices.explain import SCORE_NAMES
from ...methods.targets import TARGETS
from ...results.answer import Answer
from ...results.cautions import beside
from ...results.explanation import Explanation
from ...scale import percent, written
from ..parts.status import StatusLine
from ..parts.words import Words


class Results(QWidget):
    """A row a prompt; ``picked`` carries the number of the row that was clicked."""

    picked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[tuple[Words, QLabel]] = []
        self.neutrals: list[QLabel] = []
        self.warnings = StatusLine(lines=0)
        self.warnings.setAccessibleName("Warnings")
        self._prompt_title, self._score_title, self._neutral_title = (
            QLabel("Prompt"),
            QLabel("Score"),
            QLabel("Neutral"),
        )
        self._neutral_title.setToolTip("What a prompt that fits every picture scores here: a match must beat it.")
        for title in (self._prompt_title, self._score_title, self._neutral_title):
            title.setStyleSheet("font-weight: bold")
        self._prompt_title.setToolTip(
            "Words by relevance: the stronger the orange, the more the word speaks for the match; blue speaks against "
            "it. Click a row to show its heatmap."
        )
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(0, 1)
        self._grid.addWidget(self._prompt_title, 0, 0)
        self._grid.addWidget(self._score_title, 0, 1)
        self._grid.addWidget(self._neutral_title, 0, 2)
        self.setVisible(False)

    def show_results(self, explanations: list[Explanation | Answer]) -> None:
        """Show these instead of what was shown."""
        self._grid.removeWidget(self.warnings)
        for part in (*(part for row in self.rows for part in row), *self.neutrals):
            self._grid.removeWidget(part)
            part.hide()
            part.deleteLater()
        self.rows, self.neutrals = [], []
        for number, explanation in enumerate(explanations):
            words, score = Words(explanation.word_scores()), _score(explanation)
            words.clicked.connect(lambda number=number: self.picked.emit(number))
            self._grid.addWidget(words, number + 1, 0)
            self._grid.addWidget(score, number + 1, 1, Qt.AlignmentFlag.AlignTop)
            self.rows.append((words, score))
            if (neutral := _neutral(explanation)) is not None:
                self._grid.addWidget(neutral, number + 1, 2, Qt.AlignmentFlag.AlignTop)
                self.neutrals.append(neutral)
        self._neutral_title.setVisible(bool(self.neutrals))
        told = list(dict.fromkeys(line for one in explanations for line in one.warnings))
        self._grid.addWidget(self.warnings, len(explanations) + 1, 0, 1, 3)
        self.warnings.say("\n".join(told), bad=True)
        self.warnings.setVisible(bool(told))
        first = explanations[0] if explanations else None
        self._prompt_title.setText("Question" if isinstance(first, Answer) else "Prompt")
        if isinstance(first, Answer):
            self._score_title.setText("Answer")
            self._score_title.setToolTip(
                "The most probable answer, and its probability among all that the model knows."
            )
        elif first is not None:
            target = first.request.target.name
            self._score_title.setText(SCORE_NAMES[target])
            self._score_title.setToolTip(TARGETS[target])
        self.setVisible(bool(explanations))


def _neutral(explanation: Explanation | Answer) -> QLabel | None:
    found = None if isinstance(explanation, Answer) else beside(explanation.provenance, explanation.request.target.name)
    if found is None:
        return None
    label = QLabel(written(found[1]))
    label.setToolTip(f"“{found[0]}”")
    label.setAccessibleName(f"Neutral, {found[0]}: {label.text()}")
    return label


def _score(explanation: Explanation | Answer) -> QLabel:
    text, tip = _told(explanation)
    label = QLabel(text)
    label.setAlignment(Qt.AlignmentFlag.AlignRight)
    label.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setToolTip(tip)
    label.setAccessibleName(f"{explanation.prompt}: {text}")
    return label


def _told(explanation: Explanation | Answer) -> tuple[str, str]:
    """What stands beside the words, and in its tooltip."""
    if isinstance(explanation, Answer):
        others = "; ".join(f"{text or '(nothing)'} {percent(chance, 1)}" for text, chance in explanation.top)
        return f"{explanation.answer or '(nothing)'} {percent(explanation.probability)}", others
    record = explanation.provenance
    logit = f", logit {record['logit']:.3f}" if "logit" in record else ""
    return written(explanation.score), f"Cosine {record['similarity']:.4f}{logit}"
