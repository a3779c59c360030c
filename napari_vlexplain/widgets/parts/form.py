"""A form for a method's parameters, made from their descriptions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

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

from ...errors import VLExplainError
from ...parameters import Parameter
from .layout import form_layout

AUTOMATIC = "automatic"
WIDEST_INT = 2**31 - 1


class Settings(Protocol):
    """What a form edits: values by name, over defaults that may depend on the model."""

    def value(self, name: str) -> Any: ...

    def default(self, name: str) -> Any: ...

    def set_value(self, name: str, value: Any) -> None: ...

    def reset(self, name: str) -> None: ...


class ParameterForm(QWidget):
    """One row a parameter: name and symbol, editor, and a button back to the default while it differs.

    It edits what it follows. ``changed`` carries the name of a parameter that may hold another value now, ``refused`` a
    sentence on a value that it cannot have.
    """

    changed = Signal(str)
    refused = Signal(str)

    def __init__(self, parameters: list[Parameter], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: dict[str, ParameterRow] = {}
        self._settings: Settings | None = None
        self._layout = form_layout(self)
        self.offer(parameters)

    def offer(self, parameters: list[Parameter]) -> None:
        """Have rows for these parameters, in place of those that there are."""
        self.rows.clear()
        while self._layout.rowCount():
            self._layout.removeRow(0)
        for parameter in parameters:
            row = ParameterRow(parameter)
            row.edited.connect(partial(self._edit, parameter.name))
            row.reset.connect(partial(self._reset, parameter.name))
            label = QLabel(label_of(parameter))
            label.setToolTip(row.toolTip())
            label.setBuddy(row.editor)
            self._layout.addRow(label, row)
            self.rows[parameter.name] = row
        if not parameters:
            self._layout.addRow(QLabel("This method has no parameters."))

    def follow(self, settings: Settings) -> None:
        """Edit these from now on."""
        self._settings = settings
        self.show_values()

    def show_values(self) -> None:
        """Show what holds, without telling of it as an edit."""
        if self._settings is not None:
            for name, row in self.rows.items():
                row.show_value(self._settings.value(name), self._settings.default(name))

    def _edit(self, name: str, value: Any) -> None:
        assert self._settings is not None
        try:
            self._settings.set_value(name, value)
        except VLExplainError as error:
            self.refused.emit(str(error))
        self.show_values()
        self.changed.emit(name)

    def _reset(self, name: str) -> None:
        assert self._settings is not None
        self._settings.reset(name)
        self.show_values()
        self.changed.emit(name)


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
