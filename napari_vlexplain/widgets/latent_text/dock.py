"""The *Latent text* dock: what every patch says at every layer, edits of patches, and the prediction that follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from ...choices.explain import model_info, remedy
from ...errors import VLExplainError
from ...latent_text.reproducing import LatentChoices
from ...latent_text.session import Session
from ...latent_text.session_work import Read, Treatment, compute_read
from ...latent_text.texts.templates import recommended
from ..jobs.jobs import jobs_of
from ..jobs.latest import Job, LatestAfterPause
from ..parts.copying import Copier
from ..parts.hooks import Hooks, Lifetime
from ..parts.layer_combo import NO_IMAGE
from ..parts.layout import hold
from ..parts.runner import Runner
from ..viewer.layers import find_layer, info
from ..viewer.picture import Picture, picture_of
from ..viewer.planes import GEOMETRY_EVENTS
from .layers import move_painting
from .looking import Looking
from .painting import PaintedPatches
from .view import LatentView

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels

    from ...latent_text.edit_result import EditResult

PAUSE_MS = 60  # longer than for a figure: an edit runs the model's blocks


class LatentTextDock(QWidget):
    """A view over :class:`napari_vlexplain.latent_text.session.Session`.

    ``finished`` carries "done", "failed", "cancelled" or "dropped" when a reading has ended; ``edited`` the new
    EditResult, or None, whenever the bars have changed.
    """

    finished = Signal(str)
    edited = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.session = Session()
        self.jobs = jobs_of(viewer)
        self.view = LatentView(viewer)
        self._released = False
        self._source: str | None = None
        self._picture: Picture | None = None
        self._image_hooks = Hooks()
        self._painted = PaintedPatches(viewer, self._on_painted)
        self._looking = Looking(viewer, self.view.says, self.session, lambda: self.source)
        self._editing, self.copier = LatestAfterPause(self, self._prepared, PAUSE_MS), Copier(self)
        view = self.view
        self.runner = Runner(self.jobs, view.source.read_button, view.progress, view.status, self._problem, self.read)
        hold(self, view)
        self._connect()
        self._on_model(view.source.model.name)
        self.runner.refresh()
        self._lifetime = Lifetime(self, self._attach, self._release)

    @property
    def running(self) -> bool:
        """Does a reading of this dock go on?"""
        return self.runner.mine

    @property
    def busy(self) -> bool:
        """Is an edit still to be computed?"""
        return self._editing.busy

    @property
    def source(self) -> Image | None:
        """The image that was read, while it is there."""
        return find_layer(self._viewer.layers, self._source)

    def read(self) -> None:
        """Read the image in view; what comes of it is told by ``finished``."""
        layer: Any = self.view.source.image.layer
        found = self.runner.choices(lambda: (picture_of(self._viewer, layer), self.view.source.asked()))
        if found is None:
            return
        picture, asked = found
        name = picture.source.path or layer.name
        self.runner.start(
            f"Latent text of {layer.name}",
            lambda progress, cancelled: compute_read(
                asked, picture.pixels, name, picture.contrast_limits, progress, cancelled
            ),
            lambda read: self._on_read(picture, read),
        )

    def paint(self) -> Labels | None:
        """Give the layer of patches to edit, ready to be painted on; None before an image was read."""
        read, source = self.session.read, self.source
        if read is None or source is None:
            self.view.say("Read an image first; then its patches can be painted.", bad=True)
            return None
        patches = self.session.painted()
        assert patches is not None
        self.view.edit.set_painting()
        layer = self._painted.show(source, read.shown.geometry, patches, create=True)
        if layer is not None:
            self._viewer.layers.selection.active = layer
            layer.mode = "paint"
        return layer

    def _connect(self) -> None:
        view = self.view
        view.source.model.chosen.connect(self._on_model)
        view.edit.add_clicked.connect(self._add_edit)
        view.edit.paint_clicked.connect(self.paint)
        view.edit.undo_clicked.connect(lambda: self._change(self.session.undo))
        view.edit.clear_clicked.connect(lambda: self._change(self.session.clear))
        view.edit.treated.connect(self._on_treated)
        view.prediction.classes_changed.connect(self._on_classes)
        view.json_button.clicked.connect(lambda: self._save("json"))
        view.csv_button.clicked.connect(lambda: self._save("csv"))
        view.copies.pressed.connect(lambda what: self.copier.copy(what, self._shown_now))
        self.copier.said.connect(view.say)
        self._editing.done.connect(self._on_edited)
        self._editing.failed.connect(lambda error: self._fail(remedy(error)))
        view.source.image.layer_changed.connect(self.runner.refresh)
        self.runner.changed.connect(self._refresh)
        self.runner.ended.connect(self.finished)

    def _attach(self) -> None:
        self._released = False
        self.view.source.image.follow()
        self.view.edit.donor.layers.follow()
        self._looking.pointer.attach()
        if self._source is not None:
            self._hook_source()
            self._painted.resume(self.source)
        self.runner.refresh()

    def _release(self) -> None:
        self._released = True  # an edit that is being computed ends soon
        self._image_hooks.clear()
        self._painted.release()
        self._looking.pointer.release()
        self._editing.close()
        self.copier.close()
        self.runner.release()
        self.view.source.image.unfollow()
        self.view.edit.donor.layers.unfollow()

    def _on_read(self, picture: Picture, read: Read) -> None:
        layer = find_layer(self._viewer.layers, picture.layer_id)
        if layer is None or not picture.still_of(layer):
            told = "Nothing was added: the image changed while it was read. Press Read tokens again."
            self.runner.end("dropped", told, bad=True)
            return
        self._source, self._picture = picture.layer_id, picture
        asked = tuple(info(layer).get("prompts") or ())
        if len(asked) > 1 and not self.session.classes:
            self.session.classes = asked  # a sample knows what one would ask of it
        self.session.take(read)
        depth, facts = read.found.depth, read.found.provenance
        self.view.edit.set_depth(depth)
        self.view.prediction.show_classes(self.session.classes)
        self.view.source.model.set_device(facts["device"])
        read_all = f"Read {read.found.count} tokens at {depth + 1} layers; {facts['vocabulary']['texts']:,} texts."
        self._hook_source()
        self._looking.start()
        self._changed()
        self.runner.end("done", " ".join([read_all, *read.found.remarks]))

    def _problem(self) -> str:
        return NO_IMAGE if self.view.source.image.layer is None else ""

    def _fail(self, why: str) -> None:
        self.view.say(why, bad=True)
        self._refresh()

    def _on_model(self, name: str) -> None:
        self.view.source.model.set_device("chosen when tokens are read")
        self.view.note.setText(str(recommended(model_info(name)).get("note", "")))
        self.view.note.setVisible(bool(self.view.note.text()))

    def _add_edit(self) -> None:
        try:
            edit = self.view.edit.edit()
        except VLExplainError as error:
            self._fail(str(error))
            return
        self._change(lambda: self.session.add(edit))

    def _change(self, act: Callable[[], None]) -> None:
        act()
        source, read, patches = self.source, self.session.read, self.session.painted()
        if source is not None and read is not None and patches is not None:
            self._painted.show(source, read.shown.geometry, patches)
        self._changed()

    def _changed(self) -> None:
        self._editing.drop()
        self._refresh()
        self._editing.touch()

    def _on_classes(self) -> None:
        classes = self.view.prediction.classes
        if classes != self.session.classes:
            self.session.classes = classes
            self._changed()

    def _on_painted(self, patches: NDArray[np.bool_]) -> None:
        self._paint(patches, fresh=self.view.edit.painting)

    def _on_treated(self) -> None:
        patches = self._painted.patches
        if patches is not None and patches.any():
            self._paint(patches, fresh=True)

    def _paint(self, patches: NDArray[np.bool_], fresh: bool) -> None:
        """Take painted patches over, treated as the form says now (``fresh``) or as before."""
        before = self.session.edits
        try:
            treatment: Treatment | None = self.view.edit.treatment() if fresh else None
            self.session.paint(patches, treatment)
        except VLExplainError as error:
            self._fail(str(error))
            return
        if self.session.edits is not before:
            self._changed()

    def _hook_source(self) -> None:
        self._image_hooks.clear()
        source = self.source
        if source is None:
            return
        for name in GEOMETRY_EVENTS:
            emitter = getattr(source.events, name, None)
            if emitter is not None:
                self._image_hooks.connect(emitter, self._on_moved)
        self._image_hooks.connect(self._viewer.layers.events.removed, self._on_removed)

    def _on_moved(self, event: Any = None) -> None:
        read, source = self.session.read, self.source
        if read is not None and source is not None:
            self._looking.show_layer()
            move_painting(self._viewer, source, read.shown.geometry)

    def _on_removed(self, event: Any = None) -> None:
        self._painted.resume(self.source)
        if self.source is None and self._source is not None:
            self.session.read = self.session.result = self._source = self._picture = None
            self._looking.stop()
            self.view.prediction.show_result(None, False)
            self._refresh()

    def _prepared(self) -> Job | None:
        job = self.session.job(lambda: self._released)
        if job is None:
            self.session.result = None
            self.view.prediction.show_result(None, False)
            if self.session.read is not None:
                self.view.say("Name at least two classes to see a prediction.")
            self.edited.emit(None)
        return job

    def _on_edited(self, result: EditResult) -> None:
        self.session.result = result
        edited = bool(self.session.edits)
        self.view.prediction.show_result(result, edited)
        if edited and any(result.per_layer):
            self.view.say(_summary(result))
        elif edited:
            self.view.say("No token says that, so nothing was edited; the legend shows what they say.", bad=True)
        self._looking.show_token()
        self.edited.emit(result)

    def _shown_now(self) -> tuple[Picture, LatentChoices]:
        """What is shown, to be written as code."""
        session = self.session
        if session.read is None or self._picture is None:
            raise VLExplainError("Read an image first; then what was read can be copied.")
        return self._picture, LatentChoices(session.read.asked, tuple(session.edits), session.classes)

    def _save(self, ending: str) -> None:
        kind = f"{ending.upper()} (*.{ending})"
        path, _ = QFileDialog.getSaveFileName(self, "Save texts and edits", f"latent-text.{ending}", kind)
        if path:
            try:
                written = self.session.save(path if path.lower().endswith(f".{ending}") else f"{path}.{ending}")
                self.view.say("Saved " + ", ".join(file.name for file in written) + ".")
            except VLExplainError as error:
                self._fail(str(error))

    def _refresh(self) -> None:
        view, ready = self.view, self.session.read is not None
        for part in (view.says.layer, view.says.legend, view.says.search, view.json_button, view.csv_button,
                     view.copies):  # fmt: skip
            part.setEnabled(ready)
        view.edit.show_edits(self.session.edits, self.session.can_undo, ready)


def _summary(result: EditResult) -> str:
    low, high = min(result.per_layer), max(result.per_layer)
    before, after, count = result.said()[0]
    a_layer = f"{high}" if low == high else f"{low} to {high}"
    turned = f"{count} said “{before}” and are gone" if after is None else f"“{before}” now reads “{after}” in {count}"
    return f"{int(result.patches.sum())} patches edited, {a_layer} a layer; after the last block {turned}."
