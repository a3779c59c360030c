"""In which size a model looks: a number of pixels, or its own."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QSpinBox, QWidget

from .layout import described

OWN = "the model's own"
LARGEST, USUAL, STEP = 4096, 224, 16
"""Pixels; most patches are as large as a step. Whether a size fits a model is told by the run, which loads it."""


class SizeBox(QSpinBox):
    """``chosen`` carries the side of the model's input in pixels, or None for its own."""

    chosen = Signal(object)

    def __init__(self, tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setRange(0, LARGEST)
        self.setSingleStep(STEP)
        self.setSuffix(" px")
        self.setSpecialValueText(OWN)
        self.setKeyboardTracking(False)  # 384 is not 3, then 38
        described((self, "Input size", tip))
        self.valueChanged.connect(lambda _: self.chosen.emit(self.size_chosen))

    @property
    def size_chosen(self) -> int | None:
        """Pixels; None for the model's own."""
        return self.value() or None

    def stepBy(self, steps: int) -> None:
        """The step from the model's own goes to a size that a model may have been made for, not to 16 pixels."""
        if self.value() == 0 and steps > 0:
            self.setValue(USUAL)
        else:
            super().stepBy(steps)

    def add_to(self, form: QFormLayout) -> None:
        """Give a form its row."""
        form.addRow("Input size", self)
