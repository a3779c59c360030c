"""The figures, one a line, each with what it means."""

from __future__ import annotations

import math

from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from ...metrics.figures import Figures

ROWS = {
    "iou": (
        "IoU",
        "Intersection over union of prediction and ground truth. 1 is perfect; n/a when both are empty.",
    ),
    "dice": (
        "Dice",
        "Twice the intersection over the sum of both areas. 1 is perfect; n/a when both are empty.",
    ),
    "precision": (
        "Precision",
        "Share of the prediction that lies in the ground truth; n/a without prediction.",
    ),
    "recall": ("Recall", "Share of the ground truth that is predicted; n/a without ground truth."),
    "pointing": (
        "Pointing game",
        "1 when the heatmap's maximum lies in the ground truth; tied maxima share the hit.",
    ),
    "energy": (
        "Energy in truth",
        "Share of the heatmap's positive mass in the ground truth; compare with chance.",
    ),
    "chance": (
        "Chance level",
        "What pointing and energy give for a constant heatmap: the ground truth's area share.",
    ),
    "predicted": ("Area predicted", "Share of the area that the prediction covers."),
    "lost": ("Truth not seen", "Share of the ground truth outside what the model saw; no figure counts it."),
}


class FiguresTable(QWidget):
    """Shows a ``Figures``; every number can be selected, and ``copy`` takes all."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(2)
        layout.setColumnStretch(0, 1)
        self._shown: Figures | None = None
        self.values: dict[str, QLabel] = {}
        for row, (key, (name, tip)) in enumerate(ROWS.items()):
            label, value = QLabel(name), QLabel("n/a")
            value.setAlignment(Qt.AlignmentFlag.AlignRight)
            value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            for part in (label, value):
                part.setToolTip(tip)
            value.setAccessibleName(name)
            layout.addWidget(label, row, 0)
            layout.addWidget(value, row, 1)
            self.values[key] = value
        self.show_figures(None)

    def show_figures(self, figures: Figures | None) -> None:
        """Show figures, or none."""
        self._shown = figures
        for key, label in self.values.items():
            label.setText(written(key, math.nan if figures is None else getattr(figures, key)))

    def copy(self) -> None:
        """Put the figures on the clipboard: a line each, name and number, a tab between."""
        clipboard = QGuiApplication.clipboard()
        if self._shown is not None and clipboard is not None:
            rows = self._shown.as_dict().items()
            clipboard.setText("\n".join(f"{name}\t{value:.6g}" for name, value in rows if value is not None))


def written(key: str, value: float) -> str:
    """A figure as shown: three decimals, shares of area in per cent, n/a for NaN."""
    if math.isnan(value):
        return "n/a"
    return f"{value:.1%}" if key in ("chance", "predicted", "lost") else f"{value:.3f}"
