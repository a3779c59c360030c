"""The *Latent text* dock: what every patch says at every layer, edits of patches, and the prediction that follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, Qt, QTimer, Signal
from qtpy.QtWidgets import QFileDialog, QListWidgetItem, QVBoxLayout, QWidget

from ..errors import VLExplainError
from ..explaining import model_info, remedy
from ..latent_text.legend import entries, painted
from ..latent_text.plan import EditPlan
from ..latent_text.session import Asked, Read, Session, compute_read, split_classes
from ..latent_text.templates import recommended
from ._hooks import Hooks, Lifetime
from ._jobs import jobs_of
from ._latent_layers import on_patches, painting, show_colours
from ._latent_painting import PaintedPatches
from ._latent_pointer import Pointer, source_pixel
from ._latent_view import FILE, PASTED, LatentView
from ._latest import LatestOnly
from ._layers import find_layer
from ._measure_inputs import GEOMETRY_EVENTS
from ._picture import Picture, picture_of
from ._settings import settings

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels

PAUSE_MS = 60  # a stroke's events gather this long
DIMMED = 40  # grey of patches that do not say what is searched for


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
        self._mine = False
        self._turn = 0
        self._file = ""
        self._source: str | None = None
        self._pinned: int | None = None
        self._image_hooks = Hooks()
        self._painted = PaintedPatches(viewer, self._on_painted)
        self._pointer = Pointer(viewer, self._on_hover, self._on_click)
        self._latest = LatestOnly(self)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.view)
        self.setMinimumWidth(self.view.minimumWidth())
        self._connect()
        self._on_model(self.view.model.name)
        self._refresh()
        self._lifetime = Lifetime(self, self._attach, self._release)

    @property
    def running(self) -> bool:
        """Does a reading of this dock go on?"""
        return self._mine

    @property
    def busy(self) -> bool:
        """Is an edit still to be computed?"""
        return self._pause.isActive() or self._latest.busy

    @property
    def source(self) -> Image | None:
        """The image that was read, while it is there."""
        return find_layer(self._viewer.layers, self._source)

    def read(self) -> None:
        """Read the image in view; what comes of it is told by ``finished``."""
        layer = self.view.image.layer
        if self.jobs.busy:
            self.view.say(f"One at a time: “{self.jobs.title}” is running.", bad=True)
            return
        if layer is None:
            self.view.say("Open an image first.", bad=True)
            return
        try:
            picture = picture_of(self._viewer, layer)
        except VLExplainError as error:
            self._fail(str(error))
            return
        asked, name = self._asked(), picture.source.path or layer.name
        self._mine = True
        self.jobs.start(
            f"Latent text of {layer.name}",
            lambda progress, cancelled: compute_read(
                asked, picture.pixels, name, picture.contrast_limits, progress, cancelled
            ),
            lambda read: self._on_read(picture, read),
            self._on_failed,
            self._on_cancelled,
        )

    def paint(self) -> Labels | None:
        """Give the layer of patches to edit, ready to be painted on; None before an image was read."""
        read, source = self.session.read, self.source
        if read is None or source is None:
            self.view.say("Read an image first; then its patches can be painted.", bad=True)
            return None
        patches = self.session.painted()
        assert patches is not None
        layer = self._painted.show(source, read.shown.geometry, patches, create=True)
        if layer is not None:
            self._viewer.layers.selection.active = layer
            layer.mode = "paint"
        return layer

    def _connect(self) -> None:
        view = self.view
        view.read_button.clicked.connect(self._on_read_button)
        view.model.chosen.connect(self._on_model)
        view.vocabulary.activated.connect(self._on_vocabulary)
        view.layer.valueChanged.connect(self._on_layer)
        view.legend.itemClicked.connect(self._on_legend)
        view.search.textChanged.connect(self._show_layer)
        view.action.currentIndexChanged.connect(self._on_action)
        view.edit_button.clicked.connect(self._add_edit)
        view.find_texts.returnPressed.connect(self._add_edit)
        view.paint_button.clicked.connect(self.paint)
        view.undo_button.clicked.connect(lambda: self._change(self.session.undo))
        view.clear_button.clicked.connect(lambda: self._change(self.session.clear))
        view.classes.editingFinished.connect(self._on_classes)
        view.save_button.clicked.connect(self._save)
        self._pause.timeout.connect(self._compute)
        self._latest.done.connect(self._on_edited)
        self._latest.failed.connect(lambda error: self._fail(remedy(error)))
        self.jobs.changed.connect(self._refresh)
        self.jobs.progressed.connect(self._on_progress)

    def _attach(self) -> None:
        self.view.image.follow()
        self._pointer.attach()
        if self._source is not None:
            self._hook_source()
            self._painted.resume(self.source)
        self._refresh()

    def _release(self) -> None:
        self._pause.stop()
        self._image_hooks.clear()
        self._painted.release()
        self._pointer.release()
        self._latest.close()
        if self._mine:
            self._mine = False
            self.jobs.forget()
        self.view.image.unfollow()

    def _asked(self) -> Asked:
        view, looks = self.view, settings()
        chosen = view.vocabulary.currentData()
        return Asked(
            model=view.model.name,
            vocabulary=self._file if chosen == FILE else "" if chosen == PASTED else chosen,
            pasted=view.pasted.toPlainText() if chosen == PASTED else "",
            template=view.template.text().strip(),
            device=None if looks.device == "auto" else looks.device,
            download=view.model.tick.isChecked() and not looks.offline,
        )

    def _on_read_button(self) -> None:
        if self._mine:
            self.jobs.cancel()
        else:
            self.read()

    def _on_read(self, picture: Picture, read: Read) -> None:
        self._mine = False
        layer = find_layer(self._viewer.layers, picture.layer_id)
        if layer is None or not picture.still_of(layer):
            self.view.say("Nothing was added: the image changed while it was read. Press Read tokens again.", bad=True)
            self._refresh()
            self.finished.emit("dropped")
            return
        self._source, self._pinned = picture.layer_id, None
        self.session.take(read)
        depth = read.found.depth
        with QSignalBlocker(self.view.layer):
            self.view.layer.setRange(0, depth)
            self.view.layer.setValue(self.session.layer)
        self.view.classes.setText(", ".join(self.session.classes))
        self.view.model.set_device(read.found.provenance["device"])
        facts = read.found.provenance["vocabulary"]
        cut = f" {facts['truncated']} were cut to the model's length." if facts["truncated"] else ""
        self.view.say(f"Read {read.found.count} tokens at {depth + 1} layers; {facts['texts']:,} texts.{cut}")
        self._hook_source()
        self._show_layer()
        self._changed()
        self.finished.emit("done")

    def _on_failed(self, error: BaseException) -> None:
        self._mine = False
        self._fail(remedy(error))
        self.finished.emit("failed")

    def _on_cancelled(self) -> None:
        self._mine = False
        self.view.say("Cancelled.")
        self._refresh()
        self.finished.emit("cancelled")

    def _on_progress(self, share: float, what: str) -> None:
        if self._mine:
            self.view.say(f"{what} ({share:.0%})")

    def _fail(self, why: str) -> None:
        self.view.say(why, bad=True)
        self._refresh()

    def _on_model(self, name: str) -> None:
        self.view.model.set_device("chosen when tokens are read")
        self.view.note.setText(str(recommended(model_info(name)).get("note", "")))
        self.view.note.setVisible(bool(self.view.note.text()))

    def _on_vocabulary(self) -> None:
        chosen = self.view.vocabulary.currentData()
        self.view.pasted.setVisible(chosen == PASTED)
        if chosen == FILE:
            self._file, _ = QFileDialog.getOpenFileName(self, "A vocabulary", "", "Texts (*.txt *.json);;All files (*)")
            if not self._file:
                self.view.vocabulary.setCurrentIndex(0)

    def _on_legend(self, item: QListWidgetItem) -> None:
        self.view.search.setText(item.data(Qt.ItemDataRole.UserRole))

    def _on_action(self) -> None:
        self.view.with_text.setVisible(self.view.action.currentData() == "replace")

    def _on_layer(self, layer: int) -> None:
        self.session.layer = layer
        self._show_layer()

    def _show_layer(self, event: Any = None) -> None:
        """Colours, legend, search and token texts of the layer in view."""
        read, source = self.session.read, self.source
        if read is None or source is None:
            return
        found, layer, wanted = read.found, self.session.layer, self.view.search.text().strip()
        self.view.layer_name.setText(f"layer {layer}")
        self.view.show_legend(entries(found, layer, read.shades))
        colours = painted(found, layer, read.shades)
        self.view.search_found.setText(self._searched(wanted) if wanted else "")
        if wanted:
            ranks = found.ranks(wanted)[found.at(layer), found.prefix :].reshape(found.grid)
            colours = np.where((ranks >= 0)[..., None], colours, np.uint8(DIMMED))
            colours[ranks == 0] = read.shades.get(self._index_of(wanted), (255, 255, 255))
        show_colours(self._viewer, source, read.shown.geometry, colours, "latent text")
        self._show_token(self._pinned)

    def _index_of(self, text: str) -> int:
        assert self.session.read is not None
        wanted = text.casefold()
        return next((i for i, said in self.session.read.found.table.items() if said.casefold() == wanted), -1)

    def _searched(self, wanted: str) -> str:
        assert self.session.read is not None
        found = self.session.read.found
        ranks = found.ranks(wanted)[:, found.prefix :]
        first, near = (ranks == 0).sum(1), (ranks >= 0).sum(1)
        if not near.any():
            return f"No patch has “{wanted}” among its {found.indices.shape[2]} nearest texts."
        layers = ", ".join(f"{layer}: {f}/{n}" for layer, f, n in zip(found.layers, first, near, strict=True) if n)
        return f"“{wanted}”, patches nearest/near by layer: {layers}"

    def _show_token(self, token: int | None) -> None:
        read = self.session.read
        if read is None or token is None:
            self.view.token_texts.setText("Point at a patch to see what it says; click to keep it in view.")
            return
        found, layer = read.found, self.session.layer
        row, column = divmod(token - found.prefix, found.grid[1])
        said = "\n".join(f"{score:.3f}  {text}" for text, score in found.says(layer, token))
        kept = ", kept" if token == self._pinned else ""
        self.view.token_texts.setText(f"patch {row},{column} at layer {layer}{kept}\n{said}")

    def _token_under(self, position: Any) -> int | None:
        read, source = self.session.read, self.source
        if read is None or source is None:
            return None
        patch = read.found.patch_at(*source_pixel(source, position))
        return None if patch is None else read.found.token_of(*patch)

    def _on_hover(self, position: Any) -> None:
        token = self._token_under(position)
        self._show_token(token if token is not None else self._pinned)

    def _on_click(self, position: Any) -> None:
        self._pinned = self._token_under(position)
        self._show_token(self._pinned)

    def _add_edit(self) -> None:
        view = self.view
        texts = split_classes(view.find_texts.text())
        if not texts:
            view.say("Name the texts whose tokens to edit, such as: a cat; or paint tokens.", bad=True)
            return
        action = view.action.currentData()
        with_texts = split_classes(view.with_text.text()) if action == "replace" else ()
        if action == "replace" and not with_texts:
            view.say("Name the text whose tokens take their place, such as: an airplane.", bad=True)
            return
        try:
            plan = EditPlan(find=texts, action=action, with_texts=with_texts, when=view.when.currentData())
            _ = plan.found_texts, plan.donor_texts  # a list that there is not is refused here
        except VLExplainError as error:
            self._fail(str(error))
            return
        self._change(lambda: self.session.add(plan))

    def _change(self, act: Any) -> None:
        act()
        self._show_painted()
        self._changed()

    def _changed(self) -> None:
        self.view.edits.clear()
        self.view.edits.addItems([plan.describe() for plan in self.session.plans])
        self._turn += 1
        self._refresh()
        if not self._pause.isActive():
            self._pause.start()

    def _on_classes(self) -> None:
        classes = split_classes(self.view.classes.text())
        if classes != self.session.classes:
            self.session.classes = classes
            self._changed()

    def _on_painted(self, patches: NDArray[np.bool_]) -> None:
        before = self.session.plans
        try:
            self.session.paint(patches)
        except VLExplainError as error:
            self._fail(str(error))
            return
        if self.session.plans is not before:
            self._changed()

    def _show_painted(self) -> None:
        source, read, patches = self.source, self.session.read, self.session.painted()
        if source is not None and read is not None and patches is not None:
            self._painted.show(source, read.shown.geometry, patches)

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
        if read is None or source is None:
            return
        self._show_layer()
        layer = painting(self._viewer, source)
        if layer is not None:
            for name, value in on_patches(source, read.shown.geometry).items():
                setattr(layer, name, value)

    def _on_removed(self, event: Any = None) -> None:
        self._painted.resume(self.source)
        if self.source is None and self._source is not None:
            self.session.read = self._source = self._pinned = None
            self.session.result = None
            self.view.legend.clear()
            self.view.bars.clear()
            self._show_token(None)
            self._refresh()

    def _compute(self) -> None:
        job, turn = self.session.job(), self._turn
        if job is None:
            self.session.result = None
            self.view.bars.clear()
            if self.session.read is not None:
                self.view.say("Name at least two classes to see a prediction.")
            self.edited.emit(None)
            return
        self._latest.submit(lambda: (turn, job()))

    def _on_edited(self, outcome: Any) -> None:
        turn, result = outcome
        if turn != self._turn:
            return  # a newer edit is being computed
        self.session.result = result
        rows = [
            (name, float(before), float(after), float(control))
            for name, before, after, control in zip(
                result.classes, result.before, result.after, result.control, strict=True
            )
        ]
        self.view.bars.show_rows(rows, bool(self.session.plans))
        if self.session.plans:
            counts = result.per_layer
            if any(counts):
                self.view.say(f"{int(result.patches.sum())} patches edited, {min(counts)} to {max(counts)} a layer.")
            else:
                self.view.say("No token says that, so nothing was edited; the legend shows what they say.", bad=True)
        self.edited.emit(result)

    def _save(self) -> None:
        kinds = "JSON (*.json);;CSV (*.csv)"
        path, _ = QFileDialog.getSaveFileName(self, "Save texts and edits", "latent-text.json", kinds)
        if path:
            try:
                written = self.session.save(path)
                self.view.say("Saved " + " and ".join(file.name for file in written))
            except VLExplainError as error:
                self._fail(str(error))

    def _refresh(self) -> None:
        view, ready = self.view, self.session.read is not None
        view.read_button.setText("Cancel" if self._mine else "Read tokens")
        view.read_button.setEnabled(self._mine or not self.jobs.busy)
        for part in (view.layer, view.legend, view.search, view.edit_button, view.paint_button, view.save_button):
            part.setEnabled(ready)
        view.undo_button.setEnabled(self.session.can_undo)
        view.clear_button.setEnabled(bool(self.session.plans))
