"""Which model: its name, what one should know of it, leave to download it, and the size in which it looks."""

from __future__ import annotations

from contextlib import suppress
from html import escape
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from ...choices.explain import model_info, needs_download
from ...models.zoo import list_models, problems
from ..viewer.settings import settings, watch
from .layout import described, short_combo
from .lists import tell_left_out

OWN = "the model's own"
LARGEST, USUAL, STEP = 4096, 224, 16
"""Pixels; most patches are as large as a step. Whether a size fits a model is told by the run, which loads it."""


class ModelBox(QObject):
    """``picker`` chooses a model and ``details`` tells of it.

    Listed are models of these ``kinds``. ``chosen`` carries a model's name (from the list, typed, or a folder),
    ``download`` whether it may be fetched.
    """

    chosen = Signal(str)
    download = Signal(bool)

    def __init__(self, parent: QObject | None = None, *, kinds: tuple[str, ...] = ("dual_encoder", "question")) -> None:
        super().__init__(parent)
        self.picker, self.details = QWidget(), QWidget()
        self.combo = QComboBox()
        self.combo.setEditable(True)
        self.combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        short_combo(self.combo)
        self.combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.combo.setToolTip(
            "The model that looks, or answers questions. Choose one, type the name of another (ORG/NAME of a CLIP on "
            "the Hugging Face hub, open_clip:ARCH:PRETRAINED), or take a folder."
        )
        self.combo.setAccessibleName("Model")
        for number, info in enumerate(info for info in list_models() if info.kind in kinds):
            self.combo.addItem(info.name)
            self.combo.setItemData(number, info.title, Qt.ItemDataRole.ToolTipRole)
        tell_left_out(self.combo, "models", problems())
        self.combo.setMaxVisibleItems(20)
        names = self.combo.view()
        if names is not None:
            names.setTextElideMode(Qt.TextElideMode.ElideNone)
            names.setMinimumWidth(names.sizeHintForColumn(0) + 30)  # the box is narrow, its list need not be
        self.folder_button = QPushButton("Folder…")
        self.folder_button.setToolTip("Take the folder of a CLIP model that lies on this computer")
        self.facts, self.warning = QLabel(), QLabel()
        for label in (self.facts, self.warning):
            label.setWordWrap(True)
        self.warning.setStyleSheet("background: #f5c542; color: black; padding: 3px; border-radius: 2px")
        self.tick = QCheckBox()
        self._offline = settings().offline
        self._device = ""
        self._build()
        self.combo.activated.connect(self._on_activated)
        line = self.combo.lineEdit()
        if line is not None:
            line.editingFinished.connect(self._on_typed)
        self.folder_button.clicked.connect(self._browse)
        self.tick.toggled.connect(self.download.emit)
        self._name = self.combo.currentText()
        self.show_model(self._name)
        watch(self._on_settings)

    @property
    def name(self) -> str:
        """Of the chosen model."""
        return self._name

    def set_offline(self, offline: bool) -> None:
        """Take away the leave to download."""
        if offline != self._offline:
            self._offline = offline
            if offline:
                self.tick.setChecked(False)
            self.show_model(self._name)

    def set_device(self, device: str) -> None:
        """Say where models run."""
        if device != self._device:
            self._device = device
            self.show_model(self._name)

    def choose(self, name: str) -> None:
        """Choose a model by name, as a user does."""
        if name != self._name:
            self.tick.setChecked(False)  # leave is given for one model
            self.show_model(name)
            self.chosen.emit(name)

    def show_model(self, name: str) -> None:
        """Show a model and its facts."""
        self._name = name
        self.combo.setCurrentIndex(self.combo.findText(name))
        self.combo.setEditText(name)  # after the index, which clears it for a name that is not in the list
        line = self.combo.lineEdit()
        if line is not None:
            line.setCursorPosition(0)  # the start of a name says more than its end
        info = model_info(name)
        fetch = needs_download(name)
        size = f", {info.size_mb} MB to download" if fetch and info.size_mb else ""
        size += ", once its terms are accepted on the hub" if fetch and info.gated else ""
        self.facts.setText(
            f"<b>Good for</b> {escape(info.good_for)}.<br><b>Licence</b> {escape(info.licence)}{size}."
            f"<br><b>Device</b> {escape(self._device)}"
        )
        tip = ". ".join(part for part in (info.title, info.towers, info.intended_use, info.source) if part)
        self.facts.setToolTip(f"<p>{escape(tip)}</p>")
        self.warning.setText(info.warning)
        self.warning.setVisible(bool(info.warning))
        self.tick.setVisible(fetch and not self._offline)
        self.tick.setText(f"Download {info.size_mb} MB if needed" if info.size_mb else "Download if needed")
        self.tick.setToolTip(f"Fetch {name} ({info.licence}) when Run is pressed, unless it is on this computer.")

    def add_to(self, form: QFormLayout) -> None:
        """Give a form the rows of both parts."""
        label = QLabel("M&odel")
        label.setBuddy(self.combo)
        form.addRow(label, self.picker)
        form.addRow(self.details)

    def _build(self) -> None:
        row = QHBoxLayout(self.picker)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.combo, 1)
        row.addWidget(self.folder_button)
        column = QVBoxLayout(self.details)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for part in (self.facts, self.tick, self.warning):
            column.addWidget(part)

    def _on_settings(self, event: object = None) -> None:
        with suppress(RuntimeError):  # this box went with its window
            self.set_offline(settings().offline)

    def _on_activated(self, index: int) -> None:
        self.choose(self.combo.itemText(index))

    def _on_typed(self) -> None:
        typed = self.combo.currentText().strip()
        if typed:
            self.choose(typed)
        else:
            self.show_model(self._name)

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self.picker, "The folder of a CLIP model (it holds config.json)")
        if folder:
            self.choose(folder)


def follow_settings(asked: Any, model: ModelBox) -> None:
    """Let a request, and the box that its model is chosen in, have device, precision and offline as they are now."""
    looks = settings()
    asked.device, asked.dtype = looks.torch_device, looks.precision
    model.set_offline(looks.offline)
    if looks.offline:
        asked.download = False


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
