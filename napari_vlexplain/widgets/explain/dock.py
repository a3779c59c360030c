"""The *Explain* dock: what a vision-language model looks at in an image, for one or more prompts."""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from ...choices.explain import NEED_OTHERS, Explaining, compute, split_prompts
from ...choices.prompt_history import PromptHistory
from ...errors import VLExplainError
from ...layers.explanations import record_of, write_bundle
from ...results.answer import Answer
from ...results.explanation import Explanation
from ...tasks.check import alike
from ..jobs.jobs import jobs_of
from ..parts.copying import Copier
from ..parts.hooks import Lifetime
from ..parts.layer_combo import NO_IMAGE
from ..parts.layout import hold
from ..parts.model_box import follow_settings
from ..parts.runner import DockJob, Runner
from ..viewer.heatmaps import show_heatmap, show_only
from ..viewer.layers import find_layer, info, layer_id, layers_to_save
from ..viewer.picture import Picture
from ..viewer.settings import Settings, settings
from ..viewer.sinks import mark_sinks
from .answers import follow_boxes, show_answer
from .checking import Checking
from .view import ExplainView

if TYPE_CHECKING:
    import napari


class ExplainDock(QWidget):
    """A view over :class:`napari_vlexplain.choices.explain.Explaining`.

    ``finished`` carries "done", "failed", "cancelled" or "dropped" when a run has ended and everything is shown, and
    "saved".
    """

    finished = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.asked = Explaining()
        self.jobs, self.copier = jobs_of(viewer), Copier(self)
        self.view = ExplainView(viewer, PromptHistory())
        self.shown: list[str] = []
        self._found: list[Explanation | Answer] = []
        self._picked = 0
        self.checking = Checking(self.view.check, self.jobs, self._keep_checked)
        self._device = ""
        view = self.view
        self.runner = Runner(self.jobs, view.run_button, view.progress, view.status, self._problem, self.run)
        self.saving = DockJob(self.jobs, self, when_cancelled="Cancelled; a part of it may be saved.")
        hold(self, view)
        self._connect()
        self._on_method()
        self._lifetime = Lifetime(self, self._attach, self._release)

    def run(self) -> None:
        """Explain the prompts for the image in view; what comes of it is told by ``finished``."""
        found = self.runner.choices(self._asked_now)
        if found is None:
            return
        picture, asked = found
        self.view.prompts.remember()
        self.runner.start(
            f"{asked.method_info.title} of {self.view.image.currentText()}",
            lambda progress, cancelled: compute(
                asked, picture.pixels, picture.name, picture.contrast_limits, progress, cancelled
            ),
            lambda found: self._show_next(picture, asked.keep, found, settings(), []),
        )

    def _connect(self) -> None:
        view = self.view
        view.image.layer_changed.connect(self._on_image)
        view.model.chosen.connect(self._on_model)
        view.model.download.connect(lambda on: setattr(self.asked, "download", on))
        view.prompts.changed.connect(self._on_text)
        view.against.textChanged.connect(self._on_text)
        for editor in (view.prompts, view.against):
            editor.submitted.connect(self.runner.press)
        view.method.currentIndexChanged.connect(self._on_method)
        view.form.follow(self.asked)
        view.form.refused.connect(lambda why: view.say(why, bad=True))
        view.target.currentIndexChanged.connect(self._on_target)
        view.embeddings.chosen.connect(self._on_embeddings)
        view.input_size.chosen.connect(lambda size: setattr(self.asked, "size", size))
        view.advice.linkActivated.connect(lambda name: view.target.setCurrentIndex(view.target.findData(name)))
        view.seed.valueChanged.connect(lambda seed: setattr(self.asked, "seed", seed))
        view.truncate.toggled.connect(lambda on: setattr(self.asked, "truncate", on))
        view.keep.toggled.connect(lambda on: setattr(self.asked, "keep", on))
        view.results.picked.connect(self._show_result)
        view.save_button.clicked.connect(self._save)
        view.compare_button.clicked.connect(self._compare)
        view.copies.pressed.connect(lambda what: self.copier.copy(what, self._asked_now))
        self.copier.said.connect(view.say)
        self.saving.said.connect(view.say)
        self.saving.ended.connect(self.finished)
        self.runner.changed.connect(self._refresh)
        self.runner.ended.connect(self.finished)

    def _attach(self) -> None:
        self.view.image.follow()
        follow_settings(self.asked, self.view.model)
        self._on_image()

    def _release(self) -> None:
        self.view.image.unfollow()
        self.copier.close()
        self.checking.release()
        self.saving.leave()
        self.runner.release()

    def _asked_now(self) -> tuple[Picture, Explaining]:
        follow_settings(self.asked, self.view.model)
        return self.view.image.picture(), copy.deepcopy(self.asked)

    def _on_image(self) -> None:
        self.view.prompts.suggest(self.view.image.prompts)
        self.runner.refresh()

    def _on_model(self, name: str) -> None:
        asked = self.asked.methods
        self.asked.model, self.asked.download, self._device = name, False, ""
        if self.asked.methods != asked:
            self.view.offer(self.asked.methods, self.asked.method, self.asked.asks)
            self._on_method()
        self.view.form.show_values()
        self.runner.refresh()

    def _on_text(self) -> None:
        self.asked.prompts = self.view.prompts.prompts
        self.asked.against = split_prompts(self.view.against.toPlainText())
        self.view.advice.setVisible(self.asked.competing)
        self.runner.refresh()

    def _on_embeddings(self, file: str | None) -> None:
        self.asked.embeddings = file
        self.runner.refresh()

    def _on_method(self) -> None:
        self.asked.method = self.view.method.currentData()
        method = self.asked.method_info
        self.view.offer_parameters(method.parameters)
        self.view.summary.setText(" ".join((method.summary, *method.limits)))
        self.view.summary.setToolTip(method.source)
        self.view.form.show_values()
        self._on_target()

    def _on_target(self) -> None:
        self.asked.target = self.view.target.currentData()
        compares = self.asked.target in NEED_OTHERS and not self.asked.asks
        self.view.against.setVisible(compares)
        self.view.against_label.setVisible(compares)
        self.view.advice.setVisible(self.asked.competing)
        self.runner.refresh()

    def _show_next(
        self,
        picture: Picture,
        keep: bool,
        found: list[Explanation | Answer],
        looks: Settings,
        layers: list[Any],
    ) -> None:
        """Show one heatmap; the window gets to draw before the next."""
        if not self.runner.mine:
            return  # the dock was closed in between
        try:
            source = picture.home(self._viewer)
        except VLExplainError as error:
            self.runner.fail(str(error), "dropped")
            return
        one = found[len(layers)]
        show: Any = show_answer if isinstance(one, Answer) else show_heatmap
        layers.append(show(self._viewer, source, one, picture.index, keep, looks))
        if len(layers) == 1:
            show_only(self._viewer, layers[0])
            follow_boxes(self._viewer, layers[0])
        if len(layers) < len(found):
            QTimer.singleShot(0, lambda: self._show_next(picture, keep, found, looks, layers))
        else:
            self._tell(picture, found, layers)

    def _tell(self, picture: Picture, found: list[Explanation | Answer], layers: list[Any]) -> None:
        show_only(self._viewer, layers[0])
        follow_boxes(self._viewer, layers[0])
        mark_sinks(self._viewer, layers[0], found[0])
        self.shown = [str(layer_id(layer)) for layer in layers]
        self._found = found
        self.view.results.show_results(found)
        self._check_row(0)
        record = found[0].provenance
        self._device = record["device"]
        plane = f" Plane {list(picture.index)} of the stack." if picture.index else ""
        flat = [f"“{one.prompt}”" for one in found if one.degenerate]
        said = f" The map of {', '.join(flat)} is the same everywhere: it says nothing." if flat else ""
        same = alike([one for one in found if isinstance(one, Explanation)])
        said += f" {same}" if same else ""
        count = f"{len(found)} heatmap{'s' if len(found) > 1 else ''}"
        told = f"{count} in {record['seconds']:.1f} s on {self._device}.{plane}{said}"
        self.runner.end("done", told, bad=bool(said))

    def _check_row(self, number: int) -> None:
        self._picked = number
        self.checking.show(self._found[number], self._found[number].request.model)

    def _keep_checked(self, checked: Explanation) -> None:
        """What the checks found belongs to the heatmap's record, and so to what is saved."""
        self._found[self._picked] = checked
        layer = find_layer(self._viewer.layers, self.shown[self._picked])
        if layer is not None:
            info(layer).update(record_of(checked))

    def _show_result(self, number: int) -> None:
        if not self.checking.running:
            self._check_row(number)
        layer = find_layer(self._viewer.layers, self.shown[number])
        if layer is None:
            self.view.say("This heatmap's layer was deleted; press Run to make it again.")
        else:
            show_only(self._viewer, layer)
            follow_boxes(self._viewer, layer)

    def _problem(self) -> str:
        """What keeps it from running, or nothing."""
        if self.view.image.layer is None:
            return NO_IMAGE
        return next(iter(self.asked.problems().values()), "")

    def _refresh(self) -> None:
        view = self.view
        view.enable_fields(not self.runner.mine)
        view.model.set_device(self._device_text())
        view.save_button.setEnabled(bool(self.shown) and not self.jobs.busy)
        view.copies.setEnabled(not self._problem())
        view.compare_button.setEnabled(not self.asked.asks)

    def _device_text(self) -> str:
        if self._device or self.asked.device:
            return self._device or str(self.asked.device)
        if "torch" in sys.modules:
            from ...models.loading import pick_device

            return f"{pick_device()} (chosen automatically)"
        return "the fastest there is"

    def _save(self) -> None:
        layers = layers_to_save(self._viewer, self.shown)
        chosen, _ = QFileDialog.getSaveFileName(
            self, "Save the explanation as a folder", "explanation.vlexplain", "Explanation (*.vlexplain)"
        )
        if chosen and not self.saving.waits():
            self.saving.start(
                "Saving",
                lambda progress, cancelled: write_bundle(chosen, layers),
                lambda folders: self.saving.end("saved", f"Saved in {chosen}."),
            )

    def _compare(self) -> None:
        from ..viewer.docks import open_dock

        dock = open_dock(self._viewer, "Compare")
        if self.view.image.layer is not None:
            dock.view.image.set_layer(self.view.image.layer)
        dock.view.prompts.set_prompts(self.view.prompts.prompts)
        dock.view.input_size.setValue(self.view.input_size.value())
