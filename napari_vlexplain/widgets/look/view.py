"""How the *Look* dock looks. What its fields do is in ``look``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from ...choices.look import COLOUR_MAPS, DIVERGING, FASTEST_BLINK, Look, parse_levels
from ..parts.layer_combo import LayerCombo
from ..parts.layout import fill_scrolling, form_layout
from ..parts.status import StatusLine
from ..viewer.keys import with_keys
from .grid import ALL, METHODS, PROMPTS
from .layers import is_map

if TYPE_CHECKING:
    import napari

GRIDS = {
    ALL: "all maps of the image",
    METHODS: "the methods, for this prompt",
    PROMPTS: "the prompts, by this method",
}


class LookView(QWidget):
    """The fields, laid out. ``edited`` tells that the user changed the look; it knows no layers."""

    edited = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        empty = "no heatmap yet: run Explain"
        self.map, self.a, self.b = (LayerCombo(viewer, is_map, empty=empty) for _ in range(3))
        self.alike = QCheckBox("All of the image alike")
        self.colormap = QComboBox()
        self.opacity, self.low, self.full = _slider(0.05, 1.0), _slider(0.0, 0.99), _slider(0.01, 1.0)
        self.gamma = _number(0.1, 10.0, 0.1)
        self.constant = QCheckBox("Same opacity all over")
        self.bar, self.levels = QCheckBox("Colour bar"), QLineEdit()
        self.reset_button, self.keys_button = QPushButton("Reset look"), QPushButton("Keys")
        self.fade = _slider(0.0, 1.0)
        self.fade_button, self.blink_button, self.grid_button = (
            QPushButton("Fade"),
            QPushButton("Blink"),
            QPushButton("Tiles"),
        )
        self.rate = _number(0.2, FASTEST_BLINK, 0.1)
        self.which = QComboBox()
        self.status = StatusLine()
        self.say = self.status.say
        self._fill()
        self._explain()
        self._lay_out()
        self._connect()

    def show_look(self, look: Look) -> None:
        """Show a look, without telling of an edit."""
        parts: tuple[Any, ...] = (
            self.colormap, self.opacity, self.low, self.full, self.gamma, self.constant, self.bar, self.levels,
        )  # fmt: skip
        blockers = [QSignalBlocker(part) for part in parts]
        if self.colormap.findData(look.colormap) < 0:
            self.colormap.addItem(look.colormap, look.colormap)
        self.colormap.setCurrentIndex(self.colormap.findData(look.colormap))
        for slider, value in ((self.opacity, look.opacity), (self.low, look.low), (self.full, look.full)):
            if abs(slider.value() - value) > 1e-6:
                slider.setValue(value)
        self.gamma.setValue(look.gamma)
        self.constant.setChecked(look.constant)
        self.bar.setChecked(look.bar)
        if _levels(self.levels.text()) != look.levels:
            self.levels.setText(", ".join(f"{level:g}" for level in look.levels))
        for part in (self.full, self.gamma):
            part.setEnabled(not look.constant)
        del blockers

    def look(self) -> Look:
        """The look that the fields ask for.

        Raises
        ------
        VLExplainError : the levels cannot be read.
        """
        look = Look(
            colormap=self.colormap.currentData(),
            opacity=self.opacity.value(),
            full=1.0,
            gamma=self.gamma.value(),
            constant=self.constant.isChecked(),
            bar=self.bar.isChecked(),
            levels=parse_levels(self.levels.text()),
        ).with_low(self.low.value())
        return replace(look, full=min(1.0, max(self.full.value(), look.low + 0.01)))

    def show_mode(self, mode: str, count: int) -> None:
        """Which of the three ways of comparing is on, and what can be done with ``count`` maps."""
        for name, button in (("fade", self.fade_button), ("blink", self.blink_button), ("grid", self.grid_button)):
            with QSignalBlocker(button):
                button.setChecked(mode == name)
            button.setEnabled(count > 1)
        self.fade.setEnabled(count > 1)

    def _fill(self) -> None:
        for name in COLOUR_MAPS:
            self.colormap.addItem(f"{name} (blue – 0 – red)" if name == DIVERGING else name, name)
        for key, says in GRIDS.items():
            self.which.addItem(says, key)
        for combo in (self.colormap, self.which):
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            combo.setMinimumContentsLength(8)
        self.alike.setChecked(True)
        self.rate.setValue(1.5)
        self.rate.setSuffix(" changes/s")
        self.levels.setPlaceholderText("none; such as: 0.5, 0.75")
        for button in (self.fade_button, self.blink_button, self.grid_button):
            button.setCheckable(True)

    def _explain(self) -> None:
        for part, name, tip in (
            (self.map, "Map", "The heatmap whose look is changed."),
            (self.alike, "All maps alike", "Give every heatmap of the image the look, so that they can be compared."),
            (self.colormap, "Colour map", "All of these can be read by people with colour-blindness. The last is for "
             "signed maps: its middle lies at raw score 0."),
            (self.opacity, "Opacity", "Of the whole map."),
            (self.low, "Nothing below", "Values below this share of the map's range are not shown at all; with the "
             "blue and red colours, of the distance from 0."),
            (self.full, "Full from", "From this share of the range on the map hides the image as far as its opacity "
             "says; below, it comes in gradually."),
            (self.gamma, "Curve", "How it comes in: 1 evenly, more is late, less is early."),
            (self.constant, "Same opacity", "No gradual rise: all that is above the threshold is shown alike."),
            (self.bar, "Colour bar", "Show the colours with their values beside the map (napari 0.9 or newer)."),
            (self.levels, "Isolines", "Draw lines where the map has these values, between 0 and 1."),
            (self.reset_button, "Reset look", with_keys("Give the maps the display back that they had at first",
                                                        "reset_look")),
            (self.keys_button, "Keys", "All keys of VL Explain."),
            (self.a, "Map A", "The one that the slider starts from."),
            (self.b, "Map B", "The one that the slider ends at."),
            (self.fade, "Fade", with_keys("From map A to map B", "fade_to_a") + with_keys("", "fade_to_b")),
            (self.fade_button, "Fade", "Show map A and map B in one place, mixed as the slider says."),
            (self.blink_button, "Blink", with_keys("Show map A and map B in turn", "blink")),
            (self.grid_button, "Side by side", with_keys("A tile for each map, moved and zoomed as one", "grid")),
            (self.rate, "Blink rate", "Changes a second; never faster than is safe for people with photosensitive "
             "epilepsy."),
            (self.which, "Which maps", "Which maps stand side by side."),
        ):  # fmt: skip
            part.setAccessibleName(name)
            part.setToolTip(tip)

    def _connect(self) -> None:
        for slider in (self.opacity, self.low, self.full, self.gamma):
            slider.valueChanged.connect(lambda *_: self.edited.emit())
        for box in (self.constant, self.bar, self.alike):
            box.toggled.connect(lambda *_: self.edited.emit())
        self.colormap.currentIndexChanged.connect(lambda *_: self.edited.emit())
        self.levels.editingFinished.connect(self.edited.emit)

    def _lay_out(self) -> None:
        look, pair = QGroupBox("Look"), QGroupBox("Two maps, or more")
        form = _form(look)
        form.addRow("&Map", self.map)
        form.addRow(self.alike)
        form.addRow("C&olours", self.colormap)
        form.addRow("O&pacity", self.opacity)
        form.addRow("Nothin&g below", self.low)
        form.addRow("&Full from", self.full)
        form.addRow("Cur&ve", self.gamma)
        form.addRow(self.constant)
        form.addRow("I&solines", self.levels)
        form.addRow(self.bar)
        form.addRow(_row(self.reset_button, self.keys_button))
        form = _form(pair)
        form.addRow("&A", self.a)
        form.addRow("&B", self.b)
        form.addRow("A to B", self.fade)
        form.addRow(_row(self.fade_button, self.blink_button, self.grid_button))
        form.addRow("Blink", self.rate)
        form.addRow("Tiles of", self.which)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(2, 2, 2, 2)
        for part in (look, pair, self.status):
            layout.addWidget(part)
        layout.addStretch(1)
        fill_scrolling(self, content)


def _slider(low: float, high: float) -> Any:
    slider: Any = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    slider.setRange(low, high)
    slider.setDecimals(2)
    slider.setSingleStep(0.01)
    return slider


def _number(low: float, high: float, step: float) -> QDoubleSpinBox:
    number = QDoubleSpinBox()
    number.setRange(low, high)
    number.setDecimals(1)
    number.setSingleStep(step)
    return number


def _form(group: QGroupBox) -> QFormLayout:
    form = form_layout(group)
    form.setContentsMargins(6, 6, 6, 6)
    return form


def _row(*parts: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        layout.addWidget(part)
    return row


def _levels(text: str) -> tuple[float, ...] | None:
    try:
        return parse_levels(text)
    except ValueError:
        return None
