"""The *Segments* dock: what a vision tower sees as alike, without a prompt."""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from ...choices.explain import remedy
from ...choices.segments import CUT, SegmentChoices, compute
from ...errors import VLExplainError
from ...results.segmentation import Segmentation
from ..jobs.jobs import jobs_of
from ..jobs.latest import LatestOnly
from ..parts.copying import Copier
from ..parts.hooks import Lifetime
from ..parts.layer_combo import NO_IMAGE
from ..parts.layout import hold
from ..parts.model_box import follow_settings
from ..parts.runner import Runner
from ..viewer.layers import find_layer, layer_id, layer_kind, pixel_to_world
from ..viewer.picture import Picture
from ..viewer.planes import plane
from ..viewer.settings import settings
from .layers import region_mask, show_box, show_eigenvectors, show_object, show_regions
from .view import CLICK, SegmentsView

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

STILL = 4  # screen pixels that a hand may tremble in a click


class SegmentsDock(QWidget):
    """A view over :class:`napari_vlexplain.choices.segments.SegmentChoices`.

    ``finished`` carries "done", "failed", "cancelled" or "dropped" when a run has ended and everything is shown,
    ``cut_again`` tells that other regions are shown, ``told`` carries what was said of a region that was clicked.
    """

    finished = Signal(str)
    cut_again = Signal()
    told = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.asked = SegmentChoices()
        self.jobs = jobs_of(viewer)
        self.view = SegmentsView(viewer)
        self.shown: tuple[Segmentation, Picture] | None = None
        self._picked: tuple[str, int] | None = None
        self._cutting, self._measuring, self.copier = LatestOnly(self), LatestOnly(self), Copier(self)
        view = self.view
        self.runner = Runner(self.jobs, view.run_button, view.progress, view.status, self._problem, self.run)
        hold(self, view)
        self._connect()
        self._lifetime = Lifetime(self, self._attach, self._release)

    @property
    def busy(self) -> bool:
        """Is something still to be cut or measured?"""
        return self.runner.mine or self._cutting.busy or self._measuring.busy

    def run(self) -> None:
        """Segment the image in view; what comes of it is told by ``finished``."""
        found = self.runner.choices(self._asked_now)
        if found is None:
            return
        picture, asked = found
        self.runner.start(
            f"Segments of {self.view.image.currentText()}",
            lambda progress, cancelled: compute(
                asked, picture.pixels, picture.name, picture.contrast_limits, progress, cancelled
            ),
            partial(self._on_done, picture),
        )

    def make_mask(self) -> Labels | None:
        """Add the region that was clicked as a mask of its own."""
        if self._picked is None:
            return None
        regions: Any = find_layer(self._viewer.layers, self._picked[0])
        return None if regions is None else region_mask(self._viewer, regions, self._picked[1])

    def _asked_now(self) -> tuple[Picture, SegmentChoices]:
        follow_settings(self.asked, self.view.model)
        return self.view.image.picture(), copy.deepcopy(self.asked)

    def _connect(self) -> None:
        view = self.view
        view.image.layer_changed.connect(self.runner.refresh)
        view.model.chosen.connect(self._on_model)
        view.model.download.connect(lambda on: setattr(self.asked, "download", on))
        view.input_size.chosen.connect(lambda size: setattr(self.asked, "size", size))
        for form in (view.form, view.cut):
            form.follow(self.asked)
            form.refused.connect(lambda why: view.say(why, bad=True))
            form.changed.connect(self._recut)
        view.mask_button.clicked.connect(self.make_mask)
        view.copies.pressed.connect(lambda what: self.copier.copy(what, self._asked_now))
        self.copier.said.connect(view.say)
        view.heatmap.layer_changed.connect(self._tell)
        self.runner.changed.connect(self._refresh)
        self.runner.ended.connect(self.finished)
        self._cutting.done.connect(self._on_cut)
        self._cutting.failed.connect(lambda error: self.view.say(remedy(error), bad=True))
        self._measuring.done.connect(self._on_told)
        self._measuring.failed.connect(lambda error: self._on_told(remedy(error)))

    def _attach(self) -> None:
        self.view.image.follow()
        self.view.heatmap.follow()
        self._viewer.mouse_drag_callbacks.append(self._on_mouse)
        follow_settings(self.asked, self.view.model)
        self.runner.refresh()

    def _release(self) -> None:
        if self._on_mouse in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_mouse)
        self.copier.close()
        self._cutting.close()
        self._measuring.close()
        self.shown = self._picked = None
        self.runner.release()
        self.view.image.unfollow()
        self.view.heatmap.unfollow()

    def _on_model(self, name: str) -> None:
        self.asked.model, self.asked.download = name, False
        for form in (self.view.form, self.view.cut):
            form.show_values()
        self.runner.refresh()

    def _recut(self, name: str) -> None:
        if self.shown is None or name not in {p.name for p in CUT}:
            return
        found, picture = self.shown
        changes = self.asked.values(CUT)

        def work() -> Any:
            again = found.recut(**changes)
            again.areas  # noqa: B018 - cached
            return again, picture

        self._cutting.submit(work)

    def _on_cut(self, result: tuple[Segmentation, Picture]) -> None:
        found, picture = result
        source: Any = find_layer(self._viewer.layers, picture.layer_id)
        if source is None:
            return
        before = None if self.shown is None else self.shown[0]
        same = before is not None and np.array_equal(before.regions, found.regions)
        self._show_cut(source, found, picture, regions=not same)
        self.cut_again.emit()

    def _on_done(self, picture: Picture, result: tuple[Segmentation, NDArray[np.float32]]) -> None:
        found, maps = result
        try:
            source = picture.home(self._viewer)
        except VLExplainError as error:
            self.runner.fail(str(error), "dropped")
            return
        self._cutting.drop()  # it was about what was found before
        selected = list(self._viewer.layers.selection)
        show_eigenvectors(self._viewer, source, found, maps, picture.index)
        self._show_cut(source, found, picture)
        self._viewer.layers.selection = {layer for layer in selected if layer in self._viewer.layers}
        record = found.provenance
        nothing = " All patches are alike to this model: there is nothing to cut." if found.found_nothing else ""
        count = len(found.eigenvectors.vectors)
        told = f"{count} eigenvectors in {record['seconds']:.1f} s on {record['device']}.{nothing}"
        self.runner.end("done", " ".join([told, *found.warnings]), bad=bool(nothing or found.warnings))

    def _show_cut(self, source: Any, found: Segmentation, picture: Picture, regions: bool = True) -> None:
        self.shown = found, picture
        if regions:
            show_regions(self._viewer, source, found, picture.index)
            self._forget_picked()
        show_object(self._viewer, source, found, picture.index)
        show_box(self._viewer, source, found, picture.index)
        share = found.object_mask.mean()
        self.view.summary.setText(f"{found.count} regions, the background included; the object takes {share:.1%}.")

    def _on_mouse(self, viewer: Any, event: Any) -> Any:
        """A click, no drag, on regions tells of the region under it; whoever paints is left alone."""
        active = viewer.layers.selection.active
        painting = getattr(active, "mode", "pan_zoom") not in ("pan_zoom", "pick", "transform")
        position, start = tuple(event.position), np.asarray(event.pos, dtype=float)
        end = start
        yield
        while event.type == "mouse_move":
            end = np.asarray(event.pos, dtype=float)
            yield
        if painting or np.abs(end - start).max() > STILL:
            return
        for layer in reversed(list(viewer.layers)):
            if layer_kind(layer) == "segments" and layer.visible:
                value = layer.get_value(position, world=True)
                if value is not None:
                    self._picked = str(layer_id(layer)), int(value)
                    self._tell()
                    return

    def _tell(self) -> None:
        """Say what there is to say of the region that was clicked; the numbers are gathered on a thread."""
        if self._picked is None:
            return
        regions: Any = find_layer(self._viewer.layers, self._picked[0])
        if regions is None:
            self._forget_picked()
            return
        label, point = self._picked[1], tuple(self._viewer.dims.point)
        labels, heatmap = plane(regions, point)[0], self.view.heatmap.layer
        scores, name = None, ""
        if heatmap is not None:
            values, name = plane(heatmap, point)[0], heatmap.name
            if values.shape == labels.shape and np.allclose(pixel_to_world(heatmap), pixel_to_world(regions)):
                scores = values
        self.view.mask_button.setEnabled(True)
        self._measuring.submit(lambda: describe_region(np.asarray(labels), label, scores, name))

    def _on_told(self, text: str) -> None:
        if self._picked is not None:
            self.view.region.setText(text)
            self.told.emit(text)

    def _forget_picked(self) -> None:
        self._picked = None
        self.view.region.setText(CLICK)
        self.view.mask_button.setEnabled(False)

    def _problem(self) -> str:
        """What keeps it from running, or nothing."""
        if self.view.image.layer is None:
            return NO_IMAGE
        return "" if self.asked.model.strip() else "Choose a model, or the folder of one."

    def _refresh(self) -> None:
        view = self.view
        view.copies.setEnabled(not self._problem())
        view.enable_fields(not self.runner.mine)
        view.model.set_device(settings().torch_device or "the fastest there is")


def describe_region(labels: NDArray, label: int, scores: NDArray | None, name: str) -> str:
    """One sentence or two: which region, how large, and the mean of a heatmap (H, W) over it, NaN not counted."""
    inside = labels == label
    pixels = int(inside.sum())
    called = "Background" if label == 0 else f"Region {label}"
    text = f"{called}: {pixels} pixels, {pixels / labels.size:.1%} of the image."
    if scores is None:
        return f"{text} “{name}” lies on another grid, so it has no mean here." if name else text
    found = np.asarray(scores, dtype=np.float64)[inside]
    found = found[~np.isnan(found)]
    return f"{text} Mean of “{name}”: {found.mean():.3f}." if found.size else f"{text} “{name}” has no values there."
