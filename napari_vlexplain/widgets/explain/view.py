"""How the *Explain* dock looks: its fields, from the image down to the answers. What they do is in ``explain``."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from ...choices.explain import Explaining
from ...choices.prompt_history import PromptHistory
from ...methods.info import MethodInfo
from ...methods.targets import TARGETS
from ...parameters import Parameter
from ..parts.copying import CopyButtons
from ..parts.form import WIDEST_INT, ParameterForm
from ..parts.layer_combo import ImageCombo
from ..parts.layout import fill_scrolling, fold, form_layout, short_combo
from ..parts.lists import offer_methods
from ..parts.model_box import ModelBox, SizeBox
from ..parts.prompt_box import PromptBox, PromptEdit
from ..parts.status import ProgressBar, StatusLine
from .checking import CheckBox
from .embeddings import EmbeddingsBox
from .results import Results

if TYPE_CHECKING:
    import napari

ADVICE = 'Several prompts: <a href="softmax" style="color: #4c9be8">softmax</a> shows what tells them apart.'
"""Blue that can be read on light and dark themes."""


class ExplainView(QWidget):
    """The fields, laid out. It knows neither jobs nor layers."""

    def __init__(self, viewer: napari.viewer.Viewer, history: PromptHistory) -> None:
        super().__init__()
        self.image = ImageCombo(viewer)
        self.model = ModelBox()
        self.prompts = PromptBox(history)
        self.embeddings = EmbeddingsBox()
        self.method, self.target = QComboBox(), QComboBox()
        short_combo(self.method, self.target)
        self.summary = QLabel()
        self.advice = QLabel(ADVICE)
        self.against = PromptEdit(lines=2)
        self.against_label = QLabel("Compare wit&h")
        self.parameters = QCollapsible("Parameters")
        self.form = ParameterForm([])
        self.seed = QSpinBox()
        self.input_size = SizeBox(
            "Of the pixels that the model is given, its positions interpolated: more pixels, finer maps."
        )
        self.truncate = QCheckBox("cut prompts that are too long")
        self.keep = QCheckBox("keep earlier")
        self.run_button = QPushButton("Run")
        self.progress, self.status = ProgressBar(), StatusLine()
        self.say = self.status.say
        self.results = Results()
        self.check = CheckBox()
        self.copies = CopyButtons("computes these maps")
        self.save_button = QPushButton("Save…")
        self.compare_button = QPushButton("Compare methods…")
        self._fill()
        self._explain()
        self._lay_out()
        asked = Explaining()
        self.offer(asked.methods, asked.method, questions=False)

    def offer_parameters(self, parameters: list[Parameter]) -> None:
        """Have fields for a method's parameters."""
        self.form.offer(parameters)
        self._order_tabs()

    def offer(self, methods: list[MethodInfo], chosen: str, questions: bool) -> None:
        """Offer these methods, with one chosen; questions have no target, size or embeddings, and need no seed."""
        offer_methods(self.method, methods, chosen)
        own = (self.embeddings, self.input_size, self.seed)
        self.prompts.expect(questions)
        for form, editor in ((self._fields, self.target), *((self._options, each) for each in own)):
            editor.setVisible(not questions)
            label = form.labelForField(editor)
            if label is not None:
                label.setVisible(not questions)

    def enable_fields(self, enabled: bool) -> None:
        """Let the user change what is asked, or not while it runs."""
        for part in (self.model.picker, self.model.details, self.prompts, self.method, self.target, self.against):
            part.setEnabled(enabled)
        self.image.allow(enabled)
        self.parameters.setEnabled(enabled)

    def _fill(self) -> None:
        for number, (name, meaning) in enumerate(TARGETS.items()):
            self.target.addItem(name, name)
            self.target.setItemData(number, meaning, Qt.ItemDataRole.ToolTipRole)
        self.seed.setRange(0, WIDEST_INT)
        self.summary.setWordWrap(True)
        self.summary.setTextFormat(Qt.TextFormat.PlainText)
        self.advice.setWordWrap(True)
        self.advice.setVisible(False)
        self.advice.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.against.setPlaceholderText("a photo of a cat")

    def _explain(self) -> None:
        tips = {
            self.run_button: "Explain every prompt (Ctrl+Return in the prompts)",
            self.method: "How the model is asked what it looked at.",
            self.target: "Which of the model's numbers is explained.",
            self.against: "Prompts that only serve as contrast, one a line; they get no heatmap.",
            self.seed: "Of every random number: the same seed gives the same heatmap.",
            self.truncate: "Otherwise a prompt that is longer than the model reads is an error.",
            self.keep: "Add new layers, instead of updating those of the same image, method and prompt.",
            self.save_button: "Save what is shown, with the masks painted for it: scores, overlay, masks, provenance.",
            self.compare_button: "Open the Compare dock with this image and these prompts: methods side by side.",
        }
        for widget, tip in tips.items():
            widget.setToolTip(tip)

    def _lay_out(self) -> None:
        self._options = options = form_layout()
        options.addRow("Embeddings", self.embeddings)
        self.input_size.add_to(options)
        options.addRow("&Seed", self.seed)
        options.addRow("", self.truncate)
        inside = QWidget()
        parameters = QVBoxLayout(inside)
        parameters.setContentsMargins(0, 0, 0, 0)
        parameters.addWidget(self.form)
        parameters.addLayout(options)
        fold(self.parameters, inside)

        self._fields = form = form_layout()
        form.addRow("Imag&e", self.image)
        self.model.add_to(form)
        form.addRow(self.prompts)
        form.addRow("&Method", self.method)
        form.addRow(self.summary)
        form.addRow("Tar&get", self.target)
        form.addRow(self.advice)
        self.against_label.setBuddy(self.against)
        form.addRow(self.against_label, self.against)

        start = QHBoxLayout()
        start.addWidget(self.run_button, 1)
        start.addWidget(self.keep)
        last = QHBoxLayout()
        last.addWidget(self.save_button, 1)
        last.addWidget(self.compare_button, 2)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(form)
        layout.addWidget(self.parameters)
        layout.addLayout(start)
        for part in (self.progress, self.status, self.results, self.check, self.copies):
            layout.addWidget(part)
        layout.addLayout(last)
        layout.addStretch(1)
        fill_scrolling(self, content)
        self._order_tabs()

    def _order_tabs(self) -> None:
        order: list[QWidget] = [self.image, self.model.combo, self.model.folder_button, self.model.tick]
        order += [self.prompts.edit, self.prompts.history_button, self.method, self.target, self.against]
        for row in self.form.rows.values():
            order += [row.editor, row.reset_button]
        order += [
            self.embeddings.button,
            self.embeddings.clear_button,
            self.input_size,
            self.seed,
            self.truncate,
            self.run_button,
            self.keep,
            self.check.button,
        ]
        order += [self.copies.python, self.copies.command, self.save_button, self.compare_button]
        for one, following in pairwise(order):
            QWidget.setTabOrder(one, following)
