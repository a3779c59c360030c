"""How the *Segments* dock looks. What its fields do is in ``segments``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QGroupBox,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...choices.segments import CUT, EIGEN
from ..parts.copying import CopyButtons
from ..parts.form import ParameterForm
from ..parts.layer_combo import ImageCombo, LayerCombo
from ..parts.layout import fill_scrolling, form_layout
from ..parts.model_box import ModelBox, SizeBox
from ..parts.status import ProgressBar, StatusLine
from ..viewer.layers import layer_kind
from ..viewer.planes import is_heatmap

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

CLICK = "Click a region to see its size and what a heatmap says of it."


class SegmentsView(QWidget):
    """The fields, laid out. It knows neither jobs nor layers."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.image = ImageCombo(viewer)
        self.model = ModelBox(kinds=("dual_encoder",))
        self.input_size = SizeBox(
            "About the shorter side of what the model looks at, in pixels; the whole picture is seen."
        )
        self.form, self.cut = ParameterForm(EIGEN), ParameterForm(CUT)
        self.run_button = QPushButton("Run")
        self.progress, self.status = ProgressBar(), StatusLine()
        self.say = self.status.say
        self.summary, self.region = QLabel(), QLabel(CLICK)
        self.heatmap = LayerCombo(
            viewer, _is_score, prefers=lambda layer: layer_kind(layer) == "heatmap", empty="no heatmap yet"
        )
        self.mask_button = QPushButton("Region as mask")
        self.copies = CopyButtons("computes these segments")
        self._explain()
        self._lay_out()

    def enable_fields(self, enabled: bool) -> None:
        """Let the user change what is asked, or not while it runs."""
        for part in (self.model.picker, self.model.details, self.input_size, self.form, self.cut):
            part.setEnabled(enabled)
        self.image.allow(enabled)

    def _explain(self) -> None:
        for label in (self.summary, self.region):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.mask_button.setEnabled(False)
        self.run_button.setToolTip("Let the model look, and cut what it sees as alike")
        self.heatmap.setToolTip("Whose mean over a region is shown when the region is clicked.")
        self.mask_button.setToolTip("Add the region that was clicked as a mask of its own; Measure takes it up.")
        self.region.setAccessibleName("Region")

    def _lay_out(self) -> None:
        top = form_layout()
        top.addRow("Imag&e", self.image)
        self.model.add_to(top)
        self.input_size.add_to(top)
        again, clicked = QGroupBox("Cut again, without the model"), QGroupBox("Regions")
        inside = QVBoxLayout(again)
        inside.addWidget(self.cut)
        below = QVBoxLayout(clicked)
        below.addWidget(self.summary)
        scores = form_layout()
        scores.addRow("&Heatmap", self.heatmap)
        below.addLayout(scores)
        below.addWidget(self.region)
        below.addWidget(self.mask_button)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(top)
        for part in (self.form, self.run_button, self.progress, self.status, again, clicked, self.copies):
            layout.addWidget(part)
        layout.addStretch(1)
        fill_scrolling(self, content)


def _is_score(layer: Layer) -> bool:
    return is_heatmap(layer) and layer_kind(layer) != "eigenvectors"
