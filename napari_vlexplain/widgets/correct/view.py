"""The parts of the *Correct* dock and where they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QDoubleSpinBox,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from ...reading_room.agreement import Agreement
from ...reading_room.correcting import Spacing
from ..parts.layer_combo import LayerCombo
from ..parts.layout import fill_scrolling, form_layout
from ..parts.status import StatusLine
from ..viewer.layers import layer_kind
from ..viewer.planes import is_heatmap, is_labels
from .layers import doubt_of, is_mask, is_model, is_reader, is_shapes, is_truth
from .table import AgreementTable

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

MIDDLE = 0
LEAST = 64  # pixels: side by side, the parts must fit the narrowest dock


class CorrectView(QWidget):
    """Widgets only; the dock connects them."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.edited = LayerCombo(viewer, is_labels, prefers=is_reader, empty="no Labels yet")
        self.other = LayerCombo(viewer, is_mask, prefers=is_labels, empty="no other Labels")
        self.boxes = LayerCombo(viewer, is_shapes, empty="no Shapes yet")
        self.heatmap = LayerCombo(viewer, is_heatmap, prefers=_kind("heatmap"), empty="no heatmap yet")
        self.truth = LayerCombo(viewer, _is_drawn, prefers=is_truth, first="none", empty="")
        self.model = LayerCombo(viewer, is_mask, prefers=is_model, first="none", empty="")
        self.reader = LayerCombo(viewer, is_labels, prefers=is_reader, first="none", empty="")
        self.threshold = QDoubleSpinBox()
        self.radius = QDoubleSpinBox()
        self.smallest = QDoubleSpinBox()
        self.column = QSpinBox()
        self.selected_only = QCheckBox("&only the selected label")
        self.copy_mask = QPushButton("&Copy as reader's mask")
        self.from_heatmap = QPushButton("&Heat to mask")
        self.from_boxes, self.to_boxes = QPushButton("&Boxes to mask"), QPushButton("Mask to bo&xes")
        self.smooth, self.remove = QPushButton("&Smooth"), QPushButton("&Remove")
        self.largest, self.fill = QPushButton("&Largest part"), QPushButton("&Fill holes")
        self.split = QPushButton("S&plit")
        self.unite, self.intersect = QPushButton("Unite"), QPushButton("Intersect")
        self.subtract = QPushButton("Subtract")
        self.undo, self.redo = QPushButton("Undo"), QPushButton("Redo")
        self.table = AgreementTable()
        self.doubt = StatusLine()
        self.copy_table = QPushButton("Copy table")
        self.status = StatusLine()
        self.say = self.status.say
        self.doubt.hide()
        self._explain()
        content = QWidget()
        self._lay_out(QVBoxLayout(content))
        for part in (*content.findChildren(QPushButton), *content.findChildren(QAbstractSpinBox)):
            part.setMinimumWidth(LEAST)
        fill_scrolling(self, content)

    @property
    def combos(self) -> tuple[LayerCombo, ...]:
        """All that list layers."""
        return (self.edited, self.other, self.boxes, self.heatmap, self.truth, self.model, self.reader)

    def show_units(self, millimetres: bool) -> None:
        """Lengths are in mm where the mask knows its size, else in pixels."""
        self.radius.setSuffix(" mm" if millimetres else " px")
        self.smallest.setSuffix(" mm²" if millimetres else " px")

    def show_agreements(self, found: list[Agreement], spacing: Spacing | None) -> None:
        """Show figures, and above them why none counts the ground truth, if that is so."""
        self.table.show_agreements(found, spacing)
        why = doubt_of(self.truth.layer)
        if why != self.doubt.text():
            self.doubt.say(why, bad=bool(why))
        self.doubt.setVisible(bool(why))

    def _explain(self) -> None:
        self.threshold.setRange(0, 1)
        self.threshold.setSingleStep(0.05)
        self.threshold.setDecimals(3)
        self.threshold.setValue(0.5)
        self.radius.setRange(0.1, 500)
        self.radius.setValue(5)
        self.smallest.setRange(0, 1e8)
        self.smallest.setDecimals(1)
        self.smallest.setValue(100)
        self.column.setRange(MIDDLE, 1 << 20)
        self.column.setSpecialValueText("middle")
        tips = {
            self.edited: "The mask that the buttons below change; napari's brush works on the layer that is selected.",
            self.other: "The mask to combine it with, or a heatmap at the threshold; that one stays as it is.",
            self.boxes: "Boxes, polygons or ellipses to make a mask of.",
            self.heatmap: "The heatmap to cut.",
            self.threshold: "Heatmap values at or above this are in the mask; of a heatmap chosen as a mask too.",
            self.truth: "What is right: painted labels or boxes.",
            self.model: "The model's mask, or a heatmap: what is at or above the threshold under Make.",
            self.reader: "Your mask.",
            self.radius: "Bumps and notches smaller than about this go.",
            self.smallest: "Connected parts smaller than this go.",
            self.column: "The first image column on the right side; 0 is the middle of the image.",
            self.selected_only: "Change the layer's selected label alone; the others stay as they are.",
            self.copy_mask: "Copy the mask above into your own, to correct it; the original stays. Into yours that is "
            "there already, which Undo takes back.",
            self.from_heatmap: "Add the heatmap at this threshold as the model's mask.",
            self.from_boxes: "Add a mask with a label for each box.",
            self.to_boxes: "Add a box around each connected part of the mask.",
            self.smooth: "Smooth the outline.",
            self.remove: "Remove small parts: those below this area.",
            self.largest: "Keep the largest connected part of each label.",
            self.fill: "Fill holes.",
            self.split: "Split left from right: make two labels of one that lies on both sides of a column. Left and "
            "right are the image's: on a frontal radiograph the patient's left is on the right.",
            self.unite: "Add what lies in the other mask.",
            self.intersect: "Keep what lies in the other mask too.",
            self.subtract: "Take away what lies in the other mask.",
            self.undo: "Take the last change of the mask back, a stroke of the brush or a button (Ctrl+Z).",
            self.redo: "Make it again (Ctrl+Shift+Z).",
            self.copy_table: "Copy the table to the clipboard.",
        }
        for part, tip in tips.items():
            part.setToolTip(tip)
        names = {
            self.threshold: "Threshold", self.radius: "Radius", self.smallest: "Smallest part", self.column: "Column",
            self.edited: "Mask", self.other: "Other mask", self.boxes: "Boxes", self.heatmap: "Heatmap",
            self.truth: "Truth", self.model: "Model", self.reader: "Reader",
        }  # fmt: skip
        for part, name in names.items():
            part.setAccessibleName(name)
        for spin in (self.threshold, self.radius, self.smallest, self.column):
            spin.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def _lay_out(self, layout: QVBoxLayout) -> None:
        top = form_layout()
        top.addRow("&Mask", self.edited)
        layout.addLayout(top)
        layout.addWidget(self.selected_only)
        layout.addWidget(self.copy_mask)

        change = QGroupBox("Correct")
        grid = QGridLayout(change)
        grid.setContentsMargins(6, 6, 6, 6)
        for row, (button, value) in enumerate(
            ((self.smooth, self.radius), (self.remove, self.smallest), (self.split, self.column))
        ):
            grid.addWidget(button, row, 0)
            grid.addWidget(value, row, 1)
        grid.addWidget(self.largest, 3, 0)
        grid.addWidget(self.fill, 3, 1)
        grid.addWidget(self.undo, 4, 0)
        grid.addWidget(self.redo, 4, 1)
        layout.addWidget(change)
        layout.addWidget(self.status)

        agree = QGroupBox("Agreement")
        inside = QVBoxLayout(agree)
        inside.setContentsMargins(6, 6, 6, 6)
        roles = form_layout()
        roles.addRow("&Truth", self.truth)
        roles.addRow("Mode&l", self.model)
        roles.addRow("Rea&der", self.reader)
        inside.addLayout(roles)
        inside.addWidget(self.doubt)
        inside.addWidget(self.table)
        inside.addWidget(self.copy_table)
        layout.addWidget(agree)

        sets = QGroupBox("Combine")
        others = QVBoxLayout(sets)
        others.setContentsMargins(6, 6, 6, 6)
        others.addWidget(self.other)
        row_of_three = QHBoxLayout()
        for button in (self.unite, self.intersect, self.subtract):
            row_of_three.addWidget(button)
        others.addLayout(row_of_three)
        layout.addWidget(sets)

        make = QGroupBox("Make")
        made = QGridLayout(make)
        made.setContentsMargins(6, 6, 6, 6)
        made.addWidget(self.heatmap, 0, 0, 1, 2)
        made.addWidget(self.threshold, 1, 0)
        made.addWidget(self.from_heatmap, 1, 1)
        made.addWidget(self.boxes, 2, 0, 1, 2)
        made.addWidget(self.from_boxes, 3, 0)
        made.addWidget(self.to_boxes, 3, 1)
        layout.addWidget(make)
        layout.addStretch(1)


def _kind(kind: str) -> Callable[[Layer], bool]:
    return lambda layer: layer_kind(layer) == kind


def _is_drawn(layer: Layer) -> bool:
    return is_labels(layer) or is_shapes(layer)
