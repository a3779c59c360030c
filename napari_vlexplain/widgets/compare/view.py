"""How the *Compare* dock looks: what to compare, from the image down to the Run button."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QCheckBox,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...choices.prompt_history import PromptHistory
from ...methods.catalogue import list_methods
from ...models.zoo import MINI, known_models
from ..parts.copying import CopyButtons
from ..parts.layer_combo import ImageCombo, LayerCombo
from ..parts.layout import fill_scrolling, form_layout
from ..parts.lists import CheckList
from ..parts.model_box import SizeBox
from ..parts.prompt_box import PromptBox
from ..parts.status import ProgressBar, StatusLine
from ..viewer.layers import layer_kind
from ..viewer.planes import is_truth

if TYPE_CHECKING:
    import napari

FIRST = ("relevance", "attention_grad_cam", "raw_attention", "rollout")
"""Methods that are quick on any computer."""


class CompareView(QWidget):
    """The fields, laid out. It knows neither jobs nor layers."""

    def __init__(self, viewer: napari.viewer.Viewer, history: PromptHistory) -> None:
        super().__init__()
        self.image = ImageCombo(viewer)
        self.prompts = PromptBox(history)
        self.methods, self.models = CheckList(9), CheckList(3)
        self.folder_button = QPushButton("Add a model's folder…")
        self.input_size = SizeBox("Of the pixels that every model is given, its positions interpolated.")
        self.truth = LayerCombo(viewer, is_truth, prefers=lambda layer: layer_kind(layer) == "truth", first="none")
        self.one_each = QCheckBox("one label a prompt, in order")
        self.check = QCheckBox("sanity checks too (slower)")
        self.run_button = QPushButton("Compare")
        self.copies = CopyButtons("computes this comparison")
        self.progress, self.status = ProgressBar(), StatusLine()
        self.say = self.status.say
        self._fill()
        self._lay_out()

    def enable_fields(self, enabled: bool) -> None:
        """Let the user change what is compared, or not while it runs."""
        asked = (
            self.prompts,
            self.methods,
            self.models,
            self.folder_button,
            self.input_size,
            self.one_each,
            self.check,
        )
        for part in asked:
            part.setEnabled(enabled)
        for combo in (self.image, self.truth):
            combo.allow(enabled)

    def _fill(self) -> None:
        for info in list_methods():
            self.methods.add(info.name, info.title, f"{info.summary} ({info.source})", info.name in FIRST)
        for model in known_models().values():
            if model.local and model.kind == "dual_encoder":
                self.models.add(model.name, model.title, f"Good for {model.good_for}.", model is MINI)
        self.one_each.setChecked(True)
        tips = {
            self.truth: "What is right, if it is known: then every heatmap is measured against it.",
            self.one_each: "Otherwise everything that is painted is the answer to every prompt.",
            self.check: "Does the heatmap change with the prompt, and with the model's weights?",
            self.run_button: "Explain every prompt in every way, and open a window with all of them side by side.",
        }
        for widget, tip in tips.items():
            widget.setToolTip(tip)

    def _lay_out(self) -> None:
        form = form_layout()
        form.addRow("Imag&e", self.image)
        form.addRow(self.prompts)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(form)
        for title, widget in (("&Methods", self.methods), ("M&odels", self.models)):
            label = QLabel(title)
            label.setBuddy(widget)
            layout.addWidget(label)
            layout.addWidget(widget)
        layout.addWidget(self.folder_button)
        truths = form_layout()
        self.input_size.add_to(truths)
        truths.addRow("&Truth", self.truth)
        layout.addLayout(truths)
        for widget in (self.one_each, self.check, self.run_button, self.progress, self.status, self.copies):
            layout.addWidget(widget)
        layout.addStretch(1)
        fill_scrolling(self, content)
