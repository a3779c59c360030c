"""How the *Cases* dock looks: study, list, way through it, judgement, explanation. What it does is in ``cases``."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible, QElidingLabel, QLabeledSlider

from ...choices.explain import Explaining
from ...datasets.dataset import Problem
from ...reading_room.journal import Journal
from ...reading_room.study import PACKAGED, Item, Study
from ..parts.form import ParameterForm
from ..parts.layout import fill_scrolling, fold, form_layout, short_combo
from ..parts.lists import offer_methods
from ..parts.model_box import ModelBox
from ..parts.status import ProgressBar, StatusLine
from ..parts.threshold_box import ThresholdBox
from ..viewer.keys import with_keys
from .judging import Judging
from .table import CaseList

MOST_PROBLEMS = 500
MASKS = {
    "Draw on nothing": "nothing",
    "Begin with the ground truth": "truth",
    "Begin with the heatmap at the threshold": "model",
    "Take my mask away": "none",
}


class CasesView(QWidget):
    """The fields, laid out; it knows no layers.

    ``opened`` carries a study's folder or name, ``drawn`` what the reader's mask shall begin with, ``frame_chosen`` the
    frame (from 0) that the reader goes to.
    """

    opened = Signal(str)
    drawn = Signal(str)
    frame_chosen = Signal(int)

    def __init__(self, window: QWidget) -> None:
        """``window`` : what the picture's window is chosen by."""
        super().__init__()
        self.windowing = QCollapsible("Window level")
        fold(self.windowing, window)
        self.open_button, self.phantom_button = QPushButton("Open…"), QPushButton("Phantom study")
        self.recent_button = QPushButton("Recent")
        self.title = QLabel("No study yet.")
        self.problems = QCollapsible("")
        self.problem_list = QListWidget()
        self.list = CaseList()
        self.first, self.previous, self.next, self.last = (QPushButton(text) for text in ("|◀", "◀", "Next ▶", "▶|"))
        self.undecided = QPushButton("Undecided")
        self.place = QElidingLabel()
        self.frames, self.frame, self.frame_count = QWidget(), QLabeledSlider(Qt.Orientation.Horizontal), QLabel()
        self.phrase, self.own_prompt = QLabel(), QLineEdit()
        self.figures = QLabel()
        self.judging = Judging()
        self.mask_button, self.export_button = QPushButton("My mask"), QPushButton("Export…")
        self.explanation = QCollapsible("How it is explained")
        self.model = ModelBox(kinds=("dual_encoder",))
        self.method = QComboBox()
        self.form = ParameterForm([])
        self.threshold = ThresholdBox()
        self.at_once = QCheckBox("explain every case that I open")
        self.all_button, self.run_button = QPushButton("Explain all"), QPushButton("Run")
        self.progress, self.status = ProgressBar(), StatusLine()
        self.say = self.status.say
        self._fill()
        self._lay_out()

    def show_recent(self, folders: list[str]) -> None:
        """Offer studies that were opened before."""
        menu = QMenu(self.recent_button)
        menu.setToolTipsVisible(True)
        for folder in folders:
            action = menu.addAction(Path(folder).name or folder)
            assert action is not None
            action.setToolTip(folder)
            action.triggered.connect(lambda _=False, folder=folder: self.opened.emit(folder))
        self.recent_button.setMenu(menu)
        self.recent_button.setEnabled(bool(folders))

    def show_study(self, study: Study, count: int, journal: Journal) -> None:
        """Its title, where notes on it are kept, and what is wrong with it."""
        self.title.setText(f"{study.title}: {count} to judge")
        self.title.setToolTip(f"{study.folder or study.title}\nNotes are kept in {journal.folder}")
        self.show_problems([*study.problems, *journal.problems])
        self.list.table.begin_with("prompt" if any(entry.prompts for entry in study.entries) else "id")

    def show_problems(self, problems: list[Problem]) -> None:
        """What the loader skipped, line by line."""
        count = len(problems)
        self.problems.setText(f"{count} problem{'s' if count != 1 else ''} with this study")
        self.problem_list.clear()
        self.problem_list.addItems([str(one) for one in problems[:MOST_PROBLEMS]])
        if count > MOST_PROBLEMS:
            self.problem_list.addItem(f"… and {count - MOST_PROBLEMS} more")
        self.problems.setVisible(bool(problems))

    def show_item(self, item: Item) -> None:
        """Place, id and phrase; where the case has no phrase, a field for one of the reader's."""
        self.place.setText(f"Case {self.list.place_of(item.key)}: {item.entry.id}")
        self.place.setToolTip(item.entry.id)
        own = not item.entry.prompts
        self.phrase.setVisible(not own)
        self.own_prompt.setVisible(own)
        self.phrase.setText(item.prompt)
        if own and self.own_prompt.text().strip() != item.prompt:
            with QSignalBlocker(self.own_prompt):
                self.own_prompt.setText(item.prompt)

    def show_frames(self, count: int, frame: int) -> None:
        """Which frame is in view, of how many; nothing of it where there is one."""
        with QSignalBlocker(self.frame):
            self.frame.setRange(1, max(count, 1))
            self.frame.setValue(frame + 1)
        self.frame_count.setText(f"of {count}")
        self.frames.setVisible(count > 1)

    def show_state(self, study: bool, case: bool, reading: bool, mine: bool, busy: bool, cancelling: bool) -> None:
        """What can be pressed.

        ``case``: a picture is in view; ``reading``: it is under way. ``mine``: a job of this dock runs; ``busy``: any.
        """
        self.run_button.setText("Cancelling…" if cancelling else "Cancel" if mine else "Run")
        self.run_button.setEnabled(study and not cancelling and (mine or not busy))
        self.all_button.setEnabled(study and not busy)
        self.progress.setVisible(mine or reading)
        if not mine:
            self.progress.show_share(0.0)
        for part in (self.first, self.previous, self.next, self.last, self.undecided, self.export_button):
            part.setEnabled(study)
        self.mask_button.setEnabled(case)
        self.threshold.mode_combo.setEnabled(case)

    def show_progress(self, share: float, what: str) -> None:
        """Show how far it is."""
        self.progress.show_share(share)
        self.say(f"{what}…")

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "The folder of a study")
        if folder:
            self.opened.emit(folder)

    def _fill(self) -> None:
        self.open_button.clicked.connect(lambda: self._browse())
        self.phantom_button.clicked.connect(lambda: self.opened.emit(PACKAGED))
        asked = Explaining()
        offer_methods(self.method, asked.methods, asked.method)
        short_combo(self.method)
        for label in (self.title, self.phrase, self.figures):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.phrase.setStyleSheet("font-weight: bold")
        self.progress.keep_place()
        self.frames.setVisible(False)
        self.frame.valueChanged.connect(lambda number: self.frame_chosen.emit(number - 1))
        self.own_prompt.setPlaceholderText("What to look for, such as “pleural effusion”")
        self.at_once.setChecked(True)
        self.threshold.set_threshold("value", 0.5)
        self.problem_list.setWordWrap(True)
        self.problem_list.setMaximumHeight(6 * self.fontMetrics().lineSpacing())
        self.problems.setVisible(False)
        menu = QMenu(self.mask_button)
        for text, start in MASKS.items():
            action = menu.addAction(text)
            assert action is not None
            action.triggered.connect(lambda _=False, start=start: self.drawn.emit(start))
        self.mask_button.setMenu(menu)
        for button in (self.first, self.previous, self.last):
            button.setMaximumWidth(40)
        tips: dict[QWidget, str] = {
            self.open_button: "Open a folder: MS-CXR, one with a prompts.csv, or images (DICOM, PNG, JPEG, TIFF)",
            self.phantom_button: "Open the study on board: 24 drawn radiographs with boxes, not for clinical use",
            self.recent_button: "Studies that you opened before",
            self.first: with_keys("First case", "first_case"),
            self.previous: with_keys("Previous case", "previous_case"),
            self.next: with_keys("Next case", "next_case"),
            self.last: with_keys("Last case", "last_case"),
            self.undecided: with_keys("Next case without a verdict", "next_undecided"),
            self.frame: with_keys("Frame of the file", "next_frame"),
            self.own_prompt: "The cases come without a phrase: this one is asked of all of them (Return)",
            self.at_once: "Otherwise press Run on each; what was explained before is always shown",
            self.all_button: "Explain every case of the list, so that figures and maps are there at once",
            self.mask_button: "Draw what you see: from nothing, the ground truth, or the heatmap at the threshold",
            self.export_button: "Write out rows, masks, figures and DICOM objects, of this case or the whole study",
            self.figures: "The heatmap, cut at the threshold, and your mask: against the ground truth and each other",
        }
        for widget, tip in tips.items():
            widget.setToolTip(tip)

    def _lay_out(self) -> None:
        studies, way, start, ends = QHBoxLayout(), QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        for part in (self.open_button, self.phantom_button):
            studies.addWidget(part, 1)
        studies.addWidget(self.recent_button)
        for part in (self.first, self.previous):
            way.addWidget(part)
        way.addWidget(self.next, 1)
        way.addWidget(self.last)
        way.addWidget(self.undecided)
        start.addWidget(self.run_button, 1)
        start.addWidget(self.all_button)
        ends.addWidget(self.mask_button)
        ends.addStretch(1)
        ends.addWidget(self.export_button)
        fold(self.problems, self.problem_list)
        inside = QWidget()
        parameters = QVBoxLayout(inside)
        parameters.setContentsMargins(0, 0, 0, 0)
        choices = form_layout()
        choices.addRow("Model", self.model.picker)
        choices.addRow(self.model.details)
        choices.addRow("Method", self.method)
        parameters.addLayout(choices)
        parameters.addWidget(self.form)
        parameters.addWidget(self.at_once)
        fold(self.explanation, inside)
        cut = form_layout()
        cut.addRow("Threshold", self.threshold.mode_combo)

        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setSpacing(5)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addLayout(studies)
        for part in (self.title, self.problems):
            layout.addWidget(part)
        layout.addWidget(self.list, 1)
        layout.addLayout(way)
        frames = QHBoxLayout(self.frames)
        frames.setContentsMargins(0, 0, 0, 0)
        for part in (QLabel("Frame"), self.frame, self.frame_count):
            frames.addWidget(part)
        for part in (self.place, self.frames, self.phrase, self.own_prompt, self.progress, self.status, self.figures):
            layout.addWidget(part)
        for part in (self.judging, _line()):
            layout.addWidget(part)
        layout.addLayout(start)
        layout.addLayout(cut)
        for section in (self.threshold, self.windowing, self.explanation):
            layout.addWidget(section)
        layout.addLayout(ends)
        fill_scrolling(self, content)


def _line() -> QFrame:
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    return line
