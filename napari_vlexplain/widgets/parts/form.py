"""A form for a method's parameters, made from their descriptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QWidget,
)

from ...parameters import Parameter
from .layout import form_layout

AUTOMATIC = "automatic"
WIDEST_INT = 2**31 - 1


class ParameterForm(QWidget):
    """One row a parameter: name and symbol, editor, and a button back to the default while it differs.

    ``edited`` carries a parameter's name and new value, ``reset`` the name of one to set back; the form itself
    decides nothing, ``show_values`` tells it what holds.
    """

    edited = Signal(str, object)
    reset = Signal(str)

    def __init__(self, parameters: list[Parameter], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: dict[str, ParameterRow] = {}
        self._layout = form_layout(self)
        self.offer(parameters)

    def offer(self, parameters: list[Parameter]) -> None:
        """Have rows for these parameters, in place of those that there are."""
        self.rows.clear()
        while self._layout.rowCount():
            self._layout.removeRow(0)
        for parameter in parameters:
            row = ParameterRow(parameter)
            row.edited.connect(lambda value, name=parameter.name: self.edited.emit(name, value))
            row.reset.connect(lambda name=parameter.name: self.reset.emit(name))
            label = QLabel(label_of(parameter))
            label.setToolTip(row.toolTip())
            label.setBuddy(row.editor)
            self._layout.addRow(label, row)
            self.rows[parameter.name] = row
        if not parameters:
            self._layout.addRow(QLabel("This method has no parameters."))

    def show_values(self, values: dict[str, Any], defaults: dict[str, Any]) -> None:
        """Show what holds, without telling of it as an edit."""
        for name, row in self.rows.items():
            row.show_value(values[name], defaults[name])


class ParameterRow(QWidget):
    """An editor and its reset button."""

    edited = Signal(object)
    reset = Signal()

    def __init__(self, parameter: Parameter) -> None:
        super().__init__()
        self.parameter = parameter
        self.editor, self._show, changed = _editor(parameter)
        self.editor.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.editor.setAccessibleName(label_of(parameter))
        changed(self.edited.emit)
        self.reset_button = QToolButton()
        self.reset_button.setText("↺")
        self.reset_button.setAutoRaise(True)
        self.reset_button.clicked.connect(self.reset)
        keep = self.reset_button.sizePolicy()
        keep.setRetainSizeWhenHidden(True)  # the editors must not jump
        self.reset_button.setSizePolicy(keep)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.editor, 1)
        layout.addWidget(self.reset_button)
        self._explain(parameter.default)

    def show_value(self, value: Any, default: Any) -> None:
        """Show a value, and offer the default if it is another."""
        self.editor.blockSignals(True)
        self._show(value)
        self.editor.blockSignals(False)
        self.reset_button.setVisible(value != default)
        self._explain(default)

    def _explain(self, default: Any) -> None:
        parameter = self.parameter
        shown = AUTOMATIC if default is None else default
        self.setToolTip(
            f"<p><b>{parameter.name}</b>: {parameter.help}</p><p>Range: {parameter.range}. Default: {shown}.</p>"
        )
        self.editor.setToolTip(self.toolTip())
        self.reset_button.setToolTip(f"Back to the default: {shown}")


def label_of(parameter: Parameter) -> str:
    """``learning_rate`` -> ``learning rate``; the paper's symbol follows."""
    words = parameter.name.replace("_", " ")
    return f"{words}, {parameter.symbol}" if parameter.symbol else words


Editor = tuple[QWidget, Callable[[Any], None], Callable[[Callable[[Any], Any]], Any]]


def _editor(parameter: Parameter) -> Editor:
    """The widget, how to show a value in it, and how to be told of a new one."""
    if parameter.choices or (parameter.kind is bool and parameter.optional):
        return _choice(parameter)
    if parameter.kind is bool:
        box = QCheckBox()
        return box, lambda value: box.setChecked(bool(value)), box.toggled.connect
    return _number(parameter)


def _choice(parameter: Parameter) -> Editor:
    box = QComboBox()
    choices: list[Any] = list(parameter.choices) or [True, False]
    if parameter.optional:
        choices.insert(0, None)
    for choice in choices:
        box.addItem(AUTOMATIC if choice is None else str(choice))

    def tell(callback: Callable[[Any], Any]) -> None:
        box.currentIndexChanged.connect(lambda index: callback(choices[index]))

    return box, lambda value: box.setCurrentIndex(choices.index(value)), tell


def _number(parameter: Parameter) -> Editor:
    # An optional number has one step more below its range, and that says "automatic".
    low = -WIDEST_INT if parameter.low is None else parameter.low
    high = WIDEST_INT if parameter.high is None else parameter.high
    box: Any = QSpinBox() if parameter.kind is int else _Decimal()
    if parameter.kind is int:
        box.setRange(int(low) - int(parameter.optional), int(high))
    else:
        box.setRange(low - float(parameter.optional), high)
    automatic = low - 1
    if parameter.optional:
        box.setSpecialValueText(AUTOMATIC)
    box.setKeyboardTracking(False)  # a number half typed is no value
    box.setMinimumWidth(60)
    kind = parameter.kind

    def show(value: Any) -> None:
        box.setValue(automatic if value is None else value)

    def tell(callback: Callable[[Any], Any]) -> None:
        box.valueChanged.connect(
            lambda value: callback(None if parameter.optional and value <= automatic else kind(value))
        )

    return box, show, tell


class _Decimal(QDoubleSpinBox):
    """Shows as many digits as the number needs."""

    def __init__(self) -> None:
        super().__init__()
        self.setDecimals(6)
        self.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)

    def textFromValue(self, value: float) -> str:
        return f"{value:.6g}" if abs(value) < 1e15 else super().textFromValue(value)
