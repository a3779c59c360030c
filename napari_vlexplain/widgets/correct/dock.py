"""The *Correct* dock: masks corrected by brush and by button, and who differs from whom meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from ...choices.explain import remedy
from ...errors import VLExplainError
from ...reading_room import correcting
from ...reading_room.agreement import Agreement
from ...reading_room.correcting import Box, Change
from ..jobs.latest import Job, LatestAfterPause, LatestOnly
from ..jobs.pieces import DRAW, PAUSE, Pieces, Piecewise
from ..parts.collector import Settled
from ..parts.hooks import Hooks, Lifetime
from ..parts.layout import hold
from ..viewer.planes import CONTENT_EVENTS, GEOMETRY_EVENTS, plane
from .layers import (
    READER,
    Writer,
    comparison,
    cut_heatmap,
    editable,
    image_of,
    is_model,
    is_reader,
    is_truth,
    masked,
    readers_mask,
    spacing_of,
)
from .make import boxes_layer, mask_layer, painted_shapes, size_for
from .view import CorrectView

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

MOST_BOXES = 200  # more would take napari long to draw, and nobody looks at them
PAUSE_MS = 40  # longer than for a figure: a table is counted again
Operation = Callable[[NDArray[Any]], Change]


class CorrectDock(QWidget):
    """Every change goes through napari's own undo; counting and correcting go to a thread.

    ``corrected`` carries "done", "unchanged", "failed" or "dropped" when a button's work has ended and is shown,
    ``compared`` the agreements each time they are.
    """

    corrected = Signal(str)
    compared = Signal(list)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.view = CorrectView(viewer)
        self.agreements: list[Agreement] = []
        self._hooks, self._settled = Hooks(), Settled(viewer)
        self._counting, self._correcting = LatestAfterPause(self, self._prepared, PAUSE_MS), LatestOnly(self)
        self._writer, self._pieces, self._adding = Writer(self), Piecewise(self), False
        hold(self, self.view)
        self._connect()
        self._lifetime = Lifetime(self, self._attach, self._release)

    @property
    def busy(self) -> bool:
        """Is something still to be corrected, written or counted?"""
        return self._counting.busy or self._working

    # What the buttons do

    def smooth(self) -> None:
        """Smooth the mask's outline."""
        radius, spacing, label = self.view.radius.value(), self._spacing, self._label
        self.correct(lambda old: correcting.smooth(old, radius, spacing, label), "Smoothing")

    def remove_small(self) -> None:
        """Take small parts out of the mask."""
        smallest, spacing, label = self.view.smallest.value(), self._spacing, self._label
        self.correct(lambda old: correcting.remove_small(old, smallest, spacing, label), "Removing small parts")

    def keep_largest(self) -> None:
        """Keep the largest part of each label."""
        label = self._label
        self.correct(lambda old: correcting.largest_component(old, label), "Looking for the largest part")

    def fill_holes(self) -> None:
        """Fill the mask's holes."""
        label = self._label
        self.correct(lambda old: correcting.fill_holes(old, label), "Filling holes")

    def split(self) -> None:
        """Make two labels of each that lies on both sides of the column."""
        column, label = self.view.column.value() or None, self._label
        self.correct(lambda old: correcting.split(old, column, label), "Splitting")

    def combine(self, how: Callable[[NDArray[Any], NDArray[Any]], Change], said: str) -> None:
        """Unite, intersect or subtract the other mask, which must be of the same size."""
        other = self.view.other.layer
        if other is None or other is self.view.edited.layer:
            self._fail(VLExplainError("Choose another mask to combine with this one."))
            return
        second = masked(other, self._point, self.view.threshold.value())
        self.correct(lambda old: how(old, second()), said)

    def correct(self, operation: Operation, said: str) -> None:
        """Change the chosen mask on a thread; ``corrected`` tells when it is written, as one step to undo."""
        layer: Any = self.view.edited.layer
        if layer is None or self._working:
            return
        try:
            pixels, index = editable(layer, self._point)
        except VLExplainError as error:
            self._fail(error)
            return
        data = layer.data

        def work() -> Callable[[], None]:
            where, values = operation(pixels).pixels(pixels)
            ahead = tuple(np.full(len(values), place) for place in index)

            def finish() -> None:
                if layer not in self._viewer.layers or layer.data is not data:
                    self._end(
                        "dropped", "Nothing was changed: the mask was replaced meanwhile. Press the button again."
                    )
                elif not len(values):
                    self._end("unchanged", "Nothing to change.")
                else:
                    self._writer.write(layer, (*ahead, *where), values)

            return finish

        self._submit(work, said)

    def copy_as_readers(self) -> None:
        """Copy the chosen mask into the reader's own, a new one where there is none; the original stays."""
        layer: Any = self.view.edited.layer
        if layer is None or self._working:
            return
        if is_reader(layer):
            self.view.say("This is the reader's mask already; correct it with the brush or the buttons.")
            return
        pixels = np.asarray(self._plane(layer))
        mine: Any = readers_mask(self._viewer.layers, layer)
        if mine is not None and np.shape(mine.data)[-2:] == pixels.shape:
            self.view.edited.set_layer(mine)
            self.correct(lambda old: correcting.replaced(old, pixels), "Copying")
        else:
            image, copy = image_of(self._viewer.layers, layer), pixels.copy()
            self._add(
                lambda: mask_layer(copy, f"{image.name} | {READER}", layer, image, READER, role=READER),
                "This copy is yours to correct.", self.view.edited, self.view.reader,
            )  # fmt: skip
            return
        self.view.reader.set_layer(mine)
        self._viewer.layers.selection.active = mine

    def mask_from_heatmap(self) -> None:
        """Add the heatmap at the threshold as the model's mask."""
        layer, threshold = self.view.heatmap.layer, self.view.threshold.value()
        if layer is None or self._working:
            return
        values = self._plane(layer)

        def work() -> Callable[[], None]:
            inside = cut_heatmap(np.asarray(values), threshold)
            name = f"{layer.name} | mask"
            return lambda: self._add(
                lambda: mask_layer(inside, name, layer, layer, "model", threshold=threshold),
                f"Added “{name}”.", self.view.model,
            )  # fmt: skip

        self._submit(work, "Cutting the heatmap")

    def mask_from_boxes(self) -> None:
        """Add a mask with a label for each shape in view, as large as the image or mask that the shapes belong to."""
        shapes: Any = self.view.boxes.layer
        if shapes is None or self._working:
            return
        like = size_for(self._viewer.layers, shapes)
        if like is None:
            self._fail(VLExplainError("Open the image of these boxes: a mask is as large as its image."))
            return
        paint, role = painted_shapes(shapes, like, self._point), "truth" if is_truth(shapes) else None

        def work() -> Callable[[], None]:
            labels = paint()
            name = f"{shapes.name} | mask"
            return lambda: self._add(
                lambda: mask_layer(labels, name, like, shapes, role, role=role), f"Added “{name}”.", self.view.edited
            )

        self._submit(work, "Filling")

    def boxes_from_mask(self) -> None:
        """Add a Shapes layer with a box around each connected part of the chosen mask."""
        layer: Any = self.view.edited.layer
        if layer is None or self._working:
            return
        pixels, label = self._plane(layer), self._label

        def work() -> Callable[[], None]:
            found: list[tuple[int, Box]] = correcting.labels_to_boxes(np.asarray(pixels), label)
            if not found:
                raise VLExplainError("The mask is empty; there is nothing to put a box around.")
            if len(found) > MOST_BOXES:
                raise VLExplainError(f"The mask has {len(found)} parts; remove the small ones before you draw boxes.")
            return lambda: self._add(
                lambda: boxes_layer(self._viewer.layers, layer, found), f"Added {len(found)} boxes.", self.view.boxes
            )

        self._submit(work, "Measuring")

    # How it goes

    @property
    def _working(self) -> bool:
        return self._correcting.busy or self._writer.busy or self._adding

    @property
    def _point(self) -> tuple[float, ...]:
        return tuple(self._viewer.dims.point)

    @property
    def _spacing(self) -> tuple[float, float] | None:
        layer = self.view.edited.layer
        return None if layer is None else spacing_of(layer)

    @property
    def _label(self) -> int | None:
        layer: Any = self.view.edited.layer
        return int(layer.selected_label) if layer is not None and self.view.selected_only.isChecked() else None

    def _plane(self, layer: Layer) -> Any:
        return plane(layer, self._point)[0]

    def _connect(self) -> None:
        view = self.view
        for combo in (view.truth, view.model, view.reader):
            combo.layer_changed.connect(self._on_layers)
        for combo in (view.edited, view.other, view.boxes, view.heatmap):
            combo.layer_changed.connect(self._refresh)
        for button, call in (
            (view.smooth, self.smooth), (view.remove, self.remove_small), (view.largest, self.keep_largest),
            (view.fill, self.fill_holes), (view.split, self.split), (view.copy_mask, self.copy_as_readers),
            (view.from_heatmap, self.mask_from_heatmap), (view.from_boxes, self.mask_from_boxes),
            (view.to_boxes, self.boxes_from_mask), (view.copy_table, view.table.copy),
            (view.unite, lambda: self.combine(correcting.union, "Uniting")),
            (view.intersect, lambda: self.combine(correcting.intersection, "Intersecting")),
            (view.subtract, lambda: self.combine(correcting.difference, "Subtracting")),
            (view.undo, lambda: self._history("undo")), (view.redo, lambda: self._history("redo")),
        ):  # fmt: skip
            button.clicked.connect(lambda _=False, call=call: call())
        view.threshold.valueChanged.connect(self._touch)
        self._counting.done.connect(self._show)
        self._counting.failed.connect(lambda error: self._show([], remedy(error)))
        self._correcting.done.connect(lambda finish: finish())
        self._correcting.failed.connect(self._fail)
        self._writer.written.connect(lambda: self._end("done", "Done; Undo takes it back."))

    def _attach(self) -> None:
        for combo in self.view.combos:
            combo.follow()
        self._viewer.layers.selection.events.active.connect(self._on_active)
        self._viewer.layers.events.inserted.connect(self._on_inserted)
        self._suggest(list(self._viewer.layers))
        self._settled.hold("in use")
        self._on_layers()
        self._refresh()

    def _release(self) -> None:
        self._viewer.layers.selection.events.active.disconnect(self._on_active)
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        for combo in self.view.combos:
            combo.unfollow()
        self._hooks.clear()
        self._settled.let_go()
        self._counting.close()
        self._correcting.close()
        self._pieces.finish()

    def _on_active(self, event: Any = None) -> None:
        """The layer that the brush works on is the one that the buttons work on."""
        active = self._viewer.layers.selection.active
        if active is not None and not self._working:
            self.view.edited.set_layer(active)

    def _on_inserted(self, event: Any) -> None:
        self._suggest([event.value])

    def _suggest(self, layers: list[Layer]) -> None:
        """Choose layers for roles that nobody has filled."""
        for combo, fits in ((self.view.truth, is_truth), (self.view.model, is_model), (self.view.reader, is_reader)):
            found = next((layer for layer in layers if fits(layer)), None)
            if combo.layer is None and found is not None:
                combo.set_layer(found)

    def _on_layers(self) -> None:
        self._hooks.clear()
        self._counting.drop()
        for layer in self._chosen.values():
            for name in (*CONTENT_EVENTS, *GEOMETRY_EVENTS):
                emitter = getattr(layer.events, name, None)
                if emitter is not None:
                    self._hooks.connect(emitter, self._touch)
        self._hooks.connect(self._viewer.dims.events.point, self._touch)
        self._touch()

    @property
    def _chosen(self) -> dict[str, Layer]:
        combos = {"truth": self.view.truth, "model": self.view.model, "reader": self.view.reader}
        return {role: combo.layer for role, combo in combos.items() if combo.layer is not None}

    def _touch(self, event: Any = None) -> None:
        self._counting.touch()

    def _prepared(self) -> Job | None:
        try:
            return comparison(self._chosen, self._point, self.view.threshold.value())
        except VLExplainError as error:
            self._show([], str(error))
            return None

    def _show(self, found: list[Agreement], why: str = "") -> None:
        self.agreements = found
        home = next(iter(self._chosen.values()), None)
        self.view.show_agreements(found, None if home is None else spacing_of(home))
        if why:
            self.view.say(why, bad=True)
        self.compared.emit(found)

    def _submit(self, work: Callable[[], Callable[[], None]], said: str) -> None:
        self.view.say(f"{said}…")
        self._correcting.submit(work)  # which may be through when this returns
        self._refresh()

    def _add(self, make: Callable[[], Layer], said: str, *combos: Any) -> None:
        """Add a layer in pieces, and choose it."""

        def pieces() -> Pieces:
            layer = make()
            yield PAUSE
            added = self._viewer.add_layer(layer)
            yield DRAW
            for combo in combos:
                combo.set_layer(added)
            self._adding = False
            self._end("done", said)

        self._adding = True
        self._refresh()
        self._pieces.do(pieces())

    def _history(self, way: str) -> None:
        layer: Any = self.view.edited.layer
        if layer is not None and not self._working:
            getattr(layer, way)()

    def _fail(self, error: BaseException) -> None:
        self._end("failed", remedy(error), bad=True)

    def _end(self, how: str, said: str, bad: bool = False) -> None:
        self.view.say(said, bad)
        self._refresh()
        self.corrected.emit(how)

    def _refresh(self) -> None:
        view, free = self.view, not self._working
        mask, other = view.edited.layer, view.other.layer
        view.show_units(self._spacing is not None)
        for button in (view.smooth, view.remove, view.largest, view.fill, view.split, view.undo, view.redo,
                       view.copy_mask, view.to_boxes):  # fmt: skip
            button.setEnabled(free and mask is not None)
        for button in (view.unite, view.intersect, view.subtract):
            button.setEnabled(free and mask is not None and other is not None and other is not mask)
        view.from_heatmap.setEnabled(free and view.heatmap.layer is not None)
        view.from_boxes.setEnabled(free and view.boxes.layer is not None)
