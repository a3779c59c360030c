"""The *Window level* dock: width and level by numbers, presets, keys and dragging."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ...errors import VLExplainError
from ...io.voi import Window
from ..parts.hooks import Lifetime
from ..parts.layout import fill_scrolling
from ..viewer.dicom_choice import open_dicom, opened_by_another
from ..viewer.keys import Keys, with_keys
from .control import COLOURS, NO_IMAGE, WindowControl, window_control

if TYPE_CHECKING:
    import napari

    from ...reading_room.windowing import Preset

_KEYED = 6  # presets that have a key
_COLUMNS = 2


class WindowLevelDock(QWidget):
    """The part below, alone, with its keys."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.part = WindowLevel(viewer)
        fill_scrolling(self, self.part)
        self.keys = Keys(self)
        self.part.bind(self.keys)
        self._lifetime = Lifetime(self, self._attach, self.part.release)

    def _attach(self) -> None:
        self.part.attach()


class WindowLevel(QWidget):
    """Numbers, presets, inversion and the drag tool for the picture in view, for a dock to hold.

    ``control`` is the viewer's, shared by all such parts. The dock calls ``attach`` and ``release`` as it comes and
    goes, and ``bind`` once, to give it keys.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.control: WindowControl = window_control(viewer)
        self._offered: tuple[Preset, ...] = ()
        self.width_box, self.level_box = _number_box(), _number_box()
        self.preset_buttons: list[QPushButton] = []
        self.tool_button, self.invert_button = _toggle("Drag"), _toggle("Invert")
        self.reset_button = QPushButton("Reset")
        self.again_button = QPushButton("Open it as DICOM")
        self.text_box = QCheckBox("Write it on the image")
        self.name, self.state = QLabel(), QLabel()
        self._build()
        self._connect()

    def bind(self, keys: Keys) -> None:
        """W for the tool, Alt+1 and so on for presets, Alt+I to invert."""
        keys.bind("window_tool", self.control.tool.toggle)
        keys.bind("invert", self.control.toggle_inverted)
        for number in range(_KEYED):
            keys.bind(f"preset_{number + 1}", partial(self.control.apply_number, number))

    def attach(self) -> None:
        """Begin to follow the viewer."""
        self.control.changed.connect(self._show)
        self.control.said.connect(self.state.setText)
        self.control.tool.switched.connect(self.tool_button.setChecked)
        self.control.attach()
        self._show()

    def release(self) -> None:
        """Let go of the viewer; the last one gives the mouse and the canvas' text back."""
        self.control.release()
        for signal, slot in (
            (self.control.changed, self._show),
            (self.control.said, self.state.setText),
            (self.control.tool.switched, self.tool_button.setChecked),
        ):
            with suppress(RuntimeError, TypeError):  # went with the window
                signal.disconnect(slot)

    def _build(self) -> None:
        self.width_box.setToolTip("The range of values from black to white: narrow for contrast.")
        self.level_box.setToolTip("The value in the middle of the greys: higher is darker.")
        self.tool_button.setToolTip(
            with_keys("Drag on the image: sideways for width, up and down for level; painting rests", "window_tool")
        )
        self.invert_button.setToolTip(with_keys("Swap black and white; the pixels stay as they are", "invert"))
        self.reset_button.setToolTip("Back to the window that the image was opened with.")
        self.again_button.setToolTip(
            "Another reader opened this file, without its window, spacing and MONOCHROME1: open it once more with ours."
        )
        self.text_box.setToolTip("Show width and level in a corner of the canvas.")
        self.text_box.setChecked(self.control.text_shown)
        for label in (self.name, self.state):
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setWordWrap(True)
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)  # a long name is cut
        numbers = QFormLayout()
        numbers.addRow("&Width", self.width_box)
        numbers.addRow("&Level", self.level_box)
        tools = QHBoxLayout()
        for button in (self.tool_button, self.invert_button, self.reset_button):
            tools.addWidget(button)
        self._grid = QGridLayout()
        layout = QVBoxLayout(self)
        layout.addWidget(self.name)
        for part in (numbers, self._grid, tools):
            layout.addLayout(part)
        layout.addWidget(self.again_button)
        layout.addWidget(self.text_box)
        layout.addWidget(self.state)
        layout.addStretch(1)

    def _connect(self) -> None:
        for box in (self.width_box, self.level_box):
            box.valueChanged.connect(self._on_numbers)
        self.tool_button.clicked.connect(self.control.tool.set_on)
        self.invert_button.clicked.connect(self.control.toggle_inverted)
        self.reset_button.clicked.connect(self.control.reset)
        self.again_button.clicked.connect(lambda: self._open_again())
        self.text_box.toggled.connect(self._on_text)

    def _show(self) -> None:
        layer, window = self.control.layer, self.control.window
        self.name.setText("" if layer is None else layer.name)
        self.again_button.setVisible(opened_by_another(layer) is not None)
        self._offer(self.control.presets)
        for part in (self.width_box, self.level_box, self.tool_button, self.invert_button, self.reset_button):
            part.setEnabled(window is not None)
        self.invert_button.setChecked(self.control.inverted)
        if window is None:
            self.state.setText(NO_IMAGE if layer is None else COLOURS)
            return
        self.state.setText(" ".join(self.control.warnings))
        whole = window.function == "LINEAR"
        for box, value in ((self.width_box, window.width), (self.level_box, window.centre)):
            box.blockSignals(True)
            box.setDecimals(_decimals(window.width) if not whole else 0 if value.is_integer() else 1)
            box.setSingleStep(max(1.0, round(window.width / 50)) if whole else window.width / 50)
            if box is self.width_box:
                box.setMinimum(1 if whole else 0.1 ** box.decimals())
            box.setValue(value)
            box.blockSignals(False)

    def _offer(self, offered: tuple[Preset, ...]) -> None:
        """Buttons for the presets; made anew only where they are others, so that a click is not lost."""
        if [(one.name, one.what) for one in offered] == [(one.name, one.what) for one in self._offered]:
            self._offered = offered
            return
        self._offered = offered
        for button in self.preset_buttons:
            self._grid.removeWidget(button)
            button.deleteLater()
        self.preset_buttons = []
        for number, preset in enumerate(offered):
            button = QPushButton(preset.name)
            tip = f"{preset.what}"
            button.setToolTip(with_keys(tip, f"preset_{number + 1}") if number < _KEYED else tip)
            button.clicked.connect(partial(self._on_preset, number))
            self._grid.addWidget(button, number // _COLUMNS, number % _COLUMNS)
            self.preset_buttons.append(button)

    def _on_preset(self, number: int, checked: bool = False) -> None:
        self.control.apply_number(number)

    def _on_numbers(self, value: float = 0.0) -> None:
        window = self.control.window
        if window is None:
            return
        asked = Window(self.level_box.value(), self.width_box.value(), window.function)
        if abs(asked.width - window.width) > 1e-9 or abs(asked.centre - window.centre) > 1e-9:
            self.control.set_window(asked)

    def _open_again(self) -> None:
        path = opened_by_another(self.control.layer)
        try:
            if path is not None:
                open_dicom(self._viewer, path)
        except VLExplainError as error:
            self.state.setText(str(error))

    def _on_text(self, shown: bool) -> None:
        self.control.text_shown = shown


def _number_box() -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(-1e9, 1e9)
    box.setKeyboardTracking(False)
    return box


def _toggle(text: str) -> QPushButton:
    button = QPushButton(text)
    button.setCheckable(True)
    return button


def _decimals(width: float) -> int:
    """Three digits of the width."""
    from math import floor, log10

    return min(9, max(0, 2 - floor(log10(width)))) if width > 0 else 3
