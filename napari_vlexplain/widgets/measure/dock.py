"""The *Measure* dock: a heatmap or a mask against a ground truth, while either is edited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...drawing.colour import label_colours
from ...errors import VLExplainError
from ...metrics.figures import Figures, Measured, Measurement
from ...results.reproduce import CutHeatmap
from ..jobs.latest import Job, LatestAfterPause
from ..parts.copying import Copier, CopyButtons
from ..parts.figures_table import FiguresTable
from ..parts.hooks import Hooks, Lifetime
from ..parts.layer_combo import LayerCombo
from ..parts.layout import fill_scrolling
from ..parts.status import StatusLine
from ..parts.threshold_box import ThresholdBox
from ..viewer.layers import geometry, info, layer_kind, new_metadata
from ..viewer.picture import Picture, picture_behind
from ..viewer.planes import CONTENT_EVENTS, GEOMETRY_EVENTS, Choice, is_heatmap, is_labels, is_truth, plane
from ..viewer.settings import settings
from .iou_curve import IoUCurve

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels, Layer


class MeasureDock(QWidget):
    """Figures that follow every brush stroke, fill, undo, redo, moved box and threshold.

    A change of a layer goes to a thread, newest first; a change of the threshold is a look-up. ``measured``
    carries the new ``Figures`` each time they are shown, or None when there is nothing to measure.
    """

    measured = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._measurement = Measurement()
        self._measured: Measured | None = None
        self._stamp = 0
        self._hooks = Hooks()
        self._measuring = LatestAfterPause(self, self._prepared)
        self.heatmap = LayerCombo(viewer, is_heatmap, prefers=_is_ours("heatmap"), empty="no heatmap yet")
        self.truth = LayerCombo(viewer, is_truth, prefers=_is_ours("truth"), empty="no Labels or Shapes yet")
        self.prediction = LayerCombo(viewer, is_labels, prefers=_is_ours("mask"), first="At threshold", empty="")
        self.selected_only = QCheckBox("only the selected label")
        self.threshold = ThresholdBox()
        self.status = StatusLine(3)
        self.figures = FiguresTable()
        self.curve = IoUCurve()
        self.make_mask_button, self.copy_button = QPushButton("Make mask"), QPushButton("Copy figures")
        self.copies = CopyButtons("computes this heatmap and cuts it at this threshold")
        self.copier = Copier(self)
        self._build()
        self._connect()
        self._lifetime = Lifetime(self, self._attach, self._release)

    @property
    def current_figures(self) -> Figures | None:
        """The figures shown now; None without heatmap or ground truth."""
        if self._measured is None or self.truth.layer is None:
            return None
        return self._measured.figures(self.threshold.edge)

    @property
    def busy(self) -> bool:
        """Whether a change is still to be measured."""
        return self._measuring.busy

    def make_mask(self) -> Labels | None:
        """Add an editable Labels layer of the heatmap at the threshold, and measure that from now on."""
        layer, threshold = self.heatmap.layer, self.threshold.threshold
        if layer is None or np.isnan(threshold):
            return None
        values = np.asarray(plane(layer, self._viewer.dims.point)[0])
        dtype = np.result_type(values, np.float32)
        kept = (values.astype(dtype, copy=False) >= threshold).astype(np.uint8)  # NaN is never kept
        mask = self._viewer.add_labels(
            kept,
            name=f"{layer.name} | mask",
            opacity=0.5,
            colormap=label_colours("model"),
            metadata=new_metadata("mask", layer, threshold=threshold, threshold_mode=self.threshold.mode),
            **geometry(layer, 2),
        )
        self.prediction.set_layer(mask)
        return mask

    def _asked(self) -> tuple[Picture, CutHeatmap]:
        heatmap: Any = self.heatmap.layer
        asked = CutHeatmap(dict(info(heatmap)), self.threshold.threshold, settings().torch_device)
        return picture_behind(self._viewer, heatmap), asked

    def _build(self) -> None:
        self.heatmap.setToolTip("The heatmap to measure. Explain's heatmaps come first; any one-channel image will do.")
        self.truth.setToolTip("What is right: painted labels, or boxes, polygons and ellipses of a Shapes layer.")
        self.prediction.setToolTip(
            "What is compared with the ground truth: the heatmap cut at the threshold, or a mask."
        )
        self.selected_only.setToolTip(
            "Count the layer's selected label alone as ground truth, not all that is painted."
        )
        self.make_mask_button.setToolTip(
            "Add the heatmap at this threshold as a Labels layer to edit; Measure follows it."
        )
        self.copy_button.setToolTip("Copy the figures to the clipboard, to paste into a table.")
        form = QFormLayout()
        form.addRow("Heat&map", self.heatmap)
        form.addRow("&Truth", self.truth)
        form.addRow(self.selected_only)
        form.addRow("&Prediction", self.prediction)
        form.addRow("Thresh&old", self.threshold.mode_combo)
        buttons = QHBoxLayout()
        buttons.addWidget(self.make_mask_button)
        buttons.addWidget(self.copy_button)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(form)
        layout.addWidget(self.threshold)
        layout.addWidget(self.curve)
        layout.addLayout(buttons)
        for part in (self.copies, self.status, self.figures):
            layout.addWidget(part)
        layout.addStretch(1)
        fill_scrolling(self, content)

    def _connect(self) -> None:
        for combo in (self.heatmap, self.truth, self.prediction):
            combo.layer_changed.connect(self._on_layers)
        self.selected_only.toggled.connect(self._touch)
        self.threshold.changed.connect(self._show)
        self.curve.edge_picked.connect(self.threshold.pick_edge)
        self.make_mask_button.clicked.connect(self.make_mask)
        self.copy_button.clicked.connect(self.figures.copy)
        self.copies.pressed.connect(lambda what: self.copier.copy(what, self._asked))
        self.copier.said.connect(self.status.say)
        self._measuring.done.connect(self._on_measured)
        self._measuring.failed.connect(self._on_failed)

    def _attach(self) -> None:
        for combo in (self.heatmap, self.truth, self.prediction):
            combo.follow()
        self._on_layers()

    def _release(self) -> None:
        for combo in (self.heatmap, self.truth, self.prediction):
            combo.unfollow()
        self._hooks.clear()
        self._measuring.close()
        self.copier.close()
        self._measurement = Measurement()  # its arrays are large

    def _on_layers(self) -> None:
        self._hooks.clear()
        self._stamp += 1
        self._measuring.drop()  # other layers are chosen while it is measured
        heatmap, truth, mask = self.heatmap.layer, self.truth.layer, self.prediction.layer
        if heatmap is not None:
            for name in ("data", "set_data"):
                self._hook(heatmap, name, self._on_heatmap)
        for layer in (heatmap, truth, mask):
            for name in (*GEOMETRY_EVENTS, *(CONTENT_EVENTS if layer is not heatmap else ()), "name"):
                self._hook(layer, name, self._touch)
        self.selected_only.setEnabled(truth is not None and is_labels(truth))
        for part in (self.threshold, self.threshold.mode_combo):
            part.setEnabled(mask is None)
        self._touch()

    def _hook(self, layer: Layer | None, name: str, callback: Any) -> None:
        emitter = getattr(layer.events, name, None) if layer is not None else None
        if emitter is not None:
            self._hooks.connect(emitter, callback)

    def _on_heatmap(self, event: Any = None) -> None:
        self._stamp += 1
        self._touch()

    def _touch(self, event: Any = None) -> None:
        self._measuring.touch()

    def _prepared(self) -> Job | None:
        if self.heatmap.layer is None:
            self._nothing("To measure, choose a heatmap: run Explain, or open an image with one channel.")
            return None
        choice = Choice(
            heatmap=self.heatmap.layer,
            truth=self.truth.layer,
            mask=self.prediction.layer,
            selected_only=self.selected_only.isChecked(),
            point=tuple(self._viewer.dims.point),
        )
        try:
            return choice.job(self._measurement, self._stamp)
        except VLExplainError as error:
            self._nothing(str(error))
            return None

    def _on_measured(self, measured: Measured) -> None:
        self._measured = measured
        self.threshold.show_counts(measured.counts)
        if self.truth.layer is None:
            self.curve.clear()
        else:
            self.curve.show_curve(measured.counts.edges, measured.counts.iou())
        self._show()

    def _on_failed(self, error: Exception) -> None:
        plain = str(error) if isinstance(error, VLExplainError) else f"{type(error).__name__}: {error}"
        self._nothing(f"Not measured. {plain}")

    def _nothing(self, why: str) -> None:
        self._measured = None
        self.threshold.show_counts(None)
        self.curve.clear()
        self._show(why)

    def _show(self, why: str = "") -> None:
        figures = self.current_figures
        self.figures.show_figures(figures)
        self.make_mask_button.setEnabled(self._measured is not None)
        self.copy_button.setEnabled(figures is not None)
        heatmap = self.heatmap.layer
        ours = heatmap is not None and "request" in info(heatmap)
        self.copies.setEnabled(self._measured is not None and ours)
        threshold = f"{self.threshold.threshold:.4g}"
        if figures is not None:
            self.curve.mark(self.threshold.edge, f"threshold {threshold}, IoU {figures.iou:.3f}")
        notes = () if figures is None or self._measured is None else (*self._measured.notes, *figures.notes)
        self.status.say(" ".join((why or self._what_is_measured(threshold), *notes)), bool(notes))
        self.measured.emit(figures)

    def _what_is_measured(self, threshold: str) -> str:
        heatmap, mask = self.heatmap.layer, self.prediction.layer
        if self.truth.layer is None:
            return f"Heatmap ≥ {threshold}. To measure it, paint a ground truth (Labels) or draw one (Shapes)."
        if mask is not None:
            return f"Measured: mask “{mask.name}”. Pointing, energy and curve are the heatmap's."
        return f"Measured: heatmap “{heatmap.name if heatmap else ''}” ≥ {threshold}."


def _is_ours(kind: str) -> Any:
    return lambda layer: layer_kind(layer) == kind
