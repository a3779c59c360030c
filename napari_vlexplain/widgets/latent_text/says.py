"""What patches say: the layer in view, its legend, one token's texts, and a text searched for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QListWidget, QListWidgetItem, QSlider, QVBoxLayout, QWidget

from ...latent_text.legend import entries, painted
from ..parts.layout import described

if TYPE_CHECKING:
    from ...latent_text.edit_result import EditResult
    from ...latent_text.session_work import Read

DIMMED = 40
"""Grey of patches that do not say what is searched for."""
POINT = "Point at a patch to see what it says; click to keep it in view."


class SaysBox(QWidget):
    """Shows one layer of what was read; ``layer_chosen`` and ``searched`` tell that it should be shown anew."""

    layer_chosen = Signal(int)
    searched = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.layer_name = QSlider(Qt.Orientation.Horizontal), QLabel("layer –")
        self.legend, self.token_texts = QListWidget(), QLabel(POINT)
        self.search, self.search_found = QLineEdit(), QLabel()
        self.search.setPlaceholderText("a text, such as: a cat")
        self.search.setClearButtonEnabled(True)
        self.search_found.setVisible(False)
        self.legend.setMaximumHeight(110)
        for label in (self.token_texts, self.search_found):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.token_texts.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.token_texts.setMinimumHeight(7 * self.fontMetrics().lineSpacing())  # hovering must not move the rest
        self.token_texts.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.layer.setEnabled(False)
        self.layer.setPageStep(1)
        described(
            (self.layer, "Layer", "0 is before the first block; the last is what the model's readout sees."),
            (self.legend, "Legend", "Texts that patches say at this layer. Click one to search for it."),
            (self.search, "Search", "Show where, and in which layers, a text is among the nearest."),
        )
        column, row = QVBoxLayout(self), QHBoxLayout()
        column.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.layer_name)
        row.addWidget(self.layer, 1)
        column.addLayout(row)
        for part in (self.legend, self.token_texts, self.search, self.search_found):
            column.addWidget(part)
        self.layer.valueChanged.connect(self.layer_chosen)
        self.search.textChanged.connect(self.searched)
        self.legend.itemClicked.connect(self._on_legend)

    def start(self, depth: int, layer: int) -> None:
        """Offer layers 0 to ``depth``."""
        with QSignalBlocker(self.layer):
            self.layer.setRange(0, depth)
            self.layer.setValue(layer)

    def clear(self) -> None:
        """Show nothing."""
        self.legend.clear()
        self.search_found.setVisible(False)
        self.token_texts.setText(POINT)

    def show_layer(self, read: Read, layer: int) -> NDArray[np.uint8]:
        """Legend and search of a layer; returns its patches' colours (gh, gw, 3)."""
        found, wanted = read.found, self.search.text().strip()
        self.layer_name.setText(f"layer {layer}")
        self._show_legend(read, layer)
        colours = painted(found, layer, read.shades)
        self.search_found.setText(_searched(read, wanted) if wanted else "")
        self.search_found.setVisible(bool(wanted))
        if wanted:
            ranks = found.ranks(wanted)[found.at(layer), found.prefix :].reshape(found.grid)
            colours = np.where((ranks >= 0)[..., None], colours, np.uint8(DIMMED))
            colours[ranks == 0] = _shade_of(read, wanted)
        return colours

    def show_token(self, read: Read, layer: int, token: int, kept: bool, result: EditResult | None) -> None:
        """The texts of one patch, and what an edit made of it at this layer."""
        found = read.found
        row, column = divmod(token - found.prefix, found.grid[1])
        said = "\n".join(f"{score:.3f}  {text}" for text, score in found.says(layer, token))
        lines = [f"patch {row},{column} at layer {layer}{', kept' if kept else ''}", said]
        for change in () if result is None else result.changes:
            if (change.layer, change.token) == (layer, token):
                lines.append(f"edited: {'now says nothing' if change.after is None else change.after}")
        self.token_texts.setText("\n".join(lines))

    def _show_legend(self, read: Read, layer: int) -> None:
        self.legend.clear()
        for text, count, colour in entries(read.found, layer, read.shades):
            swatch = QPixmap(QSize(14, 14))
            swatch.fill(QColor(*colour))
            item = QListWidgetItem(QIcon(swatch), f"{text}  ({count})")
            item.setData(Qt.ItemDataRole.UserRole, text)
            self.legend.addItem(item)

    def _on_legend(self, item: QListWidgetItem) -> None:
        text = item.data(Qt.ItemDataRole.UserRole)
        self.search.setText("" if text == self.search.text() else text)


def _shade_of(read: Read, text: str) -> tuple[int, int, int]:
    wanted = text.casefold()
    index = next((i for i, said in read.found.table.items() if said.casefold() == wanted), -1)
    return read.shades.get(index, (255, 255, 255))


def _searched(read: Read, wanted: str) -> str:
    found = read.found
    ranks = found.ranks(wanted)[:, found.prefix :]
    first, near = (ranks == 0).sum(1), (ranks >= 0).sum(1)
    if not near.any():
        return f"No patch has “{wanted}” among its {found.indices.shape[2]} nearest texts."
    layers = ", ".join(f"{layer}: {f}/{n}" for layer, f, n in zip(found.layers, first, near, strict=True) if n)
    return f"“{wanted}”, patches nearest/near by layer: {layers}"
