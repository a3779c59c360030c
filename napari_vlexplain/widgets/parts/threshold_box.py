"""The threshold, by value, by quantile or by Otsu: a choice, a slider and a number that agree."""

from __future__ import annotations

import math

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QSlider, QWidget

from ...metrics.histogram import Counts
from ...metrics.thresholds import Mode

MODES: dict[Mode, tuple[str, str]] = {
    "value": ("by value", "Keep pixels at or above a heatmap value."),
    "quantile": (
        "by quantile",
        "Keep the highest pixels: 0.9 keeps at most the top tenth of the area.",
    ),
    "otsu": (
        "by Otsu",
        "Split the heatmap's values into two heaps as well as possible (Otsu 1979).",
    ),
}
STEPS = 1000  # of the slider, by quantile


class ThresholdBox(QWidget):
    """Slider and number; which bin edge they mean depends on the heatmap, given by ``show_counts``.

    ``mode_combo`` is made here for the dock to place.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._counts: Counts | None = None
        self._value: float | None = None  # None: the middle of whatever range comes
        self._quantile = 0.9
        self.mode_combo, self.slider, self.number = (
            QComboBox(),
            QSlider(Qt.Orientation.Horizontal),
            QDoubleSpinBox(),
        )
        for mode, (label, tip) in MODES.items():
            self.mode_combo.addItem(label, mode)
            self.mode_combo.setItemData(self.mode_combo.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.mode_combo.setToolTip("How the threshold is set.")
        self.mode_combo.setAccessibleName("Threshold mode")
        self.slider.setAccessibleName("Threshold")
        self.number.setAccessibleName("Threshold as a number")
        self.number.setKeyboardTracking(False)
        self.slider.setToolTip("Move the threshold; the figures follow. Arrow keys move it by one step.")
        self.number.setToolTip("Type the threshold. It moves to the nearest of the heatmap's bin edges.")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.slider, 1)
        layout.addWidget(self.number)
        self.mode_combo.currentIndexChanged.connect(self._on_mode)
        self.slider.valueChanged.connect(self._on_slider)
        self.number.valueChanged.connect(self._on_number)
        self._show()

    @property
    def mode(self) -> Mode:
        """ "value", "quantile" or "otsu"."""
        return self.mode_combo.currentData()

    @property
    def edge(self) -> int:
        """The number of the bin edge that mode and value come to; 0 with no heatmap."""
        if self._counts is None:
            return 0
        if self.mode == "value" and self._value is None:
            return len(self._counts.edges) // 2
        return self._counts.edge(self.mode, self._quantile if self.mode == "quantile" else self._value or 0.0)

    @property
    def threshold(self) -> float:
        """The threshold itself; NaN with no heatmap."""
        return math.nan if self._counts is None else float(self._counts.edges[self.edge])

    def show_counts(self, counts: Counts | None) -> None:
        """Take the range and the pixel counts of a heatmap; mode and value stay."""
        self._counts = counts
        self._show()

    def set_threshold(self, mode: Mode, value: float | None = None) -> None:
        """Set mode and value as the user would."""
        with QSignalBlocker(self.mode_combo):
            self.mode_combo.setCurrentIndex(list(MODES).index(mode))
        if value is not None and mode == "value":
            self._value = value
        elif value is not None and mode == "quantile":
            self._quantile = min(max(value, 0.0), 1.0)
        self._show()
        self.changed.emit()

    def pick_edge(self, edge: int) -> None:
        """Set the threshold to a bin edge, by value."""
        if self._counts is not None:
            self.set_threshold("value", float(self._counts.edges[edge]))

    def _on_mode(self) -> None:
        self._show()
        self.changed.emit()

    def _on_slider(self, position: int) -> None:
        if self.mode == "quantile":
            self.set_threshold("quantile", position / STEPS)
        else:
            self.pick_edge(position)

    def _on_number(self, number: float) -> None:
        self.set_threshold(self.mode, number)

    def _show(self) -> None:
        counts, mode = self._counts, self.mode
        with QSignalBlocker(self.slider), QSignalBlocker(self.number):
            for control in (self.slider, self.number):
                control.setEnabled(counts is not None and mode != "otsu")
            if mode == "quantile":
                self._range(0.0, 1.0, STEPS, decimals=3)
                self.number.setValue(self._quantile)
                self.slider.setValue(round(self._quantile * STEPS))
            elif counts is not None:
                low, high, last = float(counts.edges[0]), float(counts.edges[-1]), len(counts.edges) - 1
                step = (high - low) / max(last, 1)
                self._range(low, high, last, decimals=min(max(4, 1 - math.floor(math.log10(step or 1))), 12))
                self.number.setValue(self.threshold)
                self.slider.setValue(self.edge)

    def _range(self, low: float, high: float, steps: int, decimals: int) -> None:
        self.number.setDecimals(decimals)
        self.number.setRange(low, high)
        self.number.setSingleStep((high - low) / 100)
        self.slider.setRange(0, steps)
        self.slider.setPageStep(max(1, steps // 20))
