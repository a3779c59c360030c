"""The *Compare* dock: methods, models and prompts side by side, in a window of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QApplication, QFileDialog, QWidget

from ...choices.explain import guarded
from ...choices.prompt_history import PromptHistory
from ...errors import VLExplainError
from ...metrics.regions import Grid
from ...results.reproduce import ComparisonChoices
from ...running.run import Run
from ...tasks.compare import Comparison, compare
from ...truth.laying import GroundTruth
from ..jobs.jobs import jobs_of
from ..parts.copying import Copier
from ..parts.hooks import Lifetime
from ..parts.layer_combo import NO_IMAGE
from ..parts.layout import hold
from ..parts.runner import Runner
from ..viewer.layers import pixel_to_world
from ..viewer.picture import Picture
from ..viewer.planes import is_labels, truth_of
from ..viewer.settings import settings
from .view import CompareView

if TYPE_CHECKING:
    import napari


class CompareDock(QWidget):
    """A view over :func:`napari_vlexplain.tasks.compare.compare`.

    ``finished`` carries "done", "failed" or "cancelled" when a run has ended and everything is shown; ``shown`` is
    what came of the last one. ``show`` opens its window, and may be replaced.
    """

    finished = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.jobs, self.copier = jobs_of(viewer), Copier(self)
        self.view = CompareView(viewer, PromptHistory())
        self.shown: Comparison | None = None
        self.show_comparison: Callable[[Comparison], Any] = open_window
        view = self.view
        self.runner = Runner(self.jobs, view.run_button, view.progress, view.status, self._problem, self.run)
        hold(self, view)
        self._connect()
        self._lifetime = Lifetime(self, self._attach, self._release)

    def run(self) -> None:
        """Compare; what comes of it is told by ``finished``."""
        found = self.runner.choices(self._asked_now)
        if found is None:
            return
        picture, asked = found
        self.view.prompts.remember()
        self.runner.start(
            f"Comparison of {self.view.image.currentText()}",
            lambda progress, cancelled: _computed(asked, picture, progress, cancelled),
            self._on_done,
        )

    def _asked_now(self) -> tuple[Picture, ComparisonChoices]:
        view, looks = self.view, settings()
        picture = view.image.picture()
        asked = ComparisonChoices(
            view.prompts.prompts, view.methods.names, view.models.names, self._truths(picture), view.check.isChecked(),
            looks.torch_device, looks.precision, view.input_size.size_chosen,
        )  # fmt: skip
        return picture, asked

    def _connect(self) -> None:
        view = self.view
        view.image.layer_changed.connect(self._on_image)
        view.truth.layer_changed.connect(self.runner.refresh)
        for part in (view.prompts, view.methods, view.models):
            part.changed.connect(self.runner.refresh)
        view.prompts.submitted.connect(self.runner.press)
        view.folder_button.clicked.connect(self._on_folder)
        view.copies.pressed.connect(lambda what: self.copier.copy(what, self._asked_now))
        self.copier.said.connect(view.say)
        self.runner.changed.connect(self._refresh)
        self.runner.ended.connect(self.finished)

    def _attach(self) -> None:
        self.view.image.follow()
        self.view.truth.follow()
        self._on_image()

    def _release(self) -> None:
        for combo in (self.view.image, self.view.truth):
            combo.unfollow()
        self.copier.close()
        self.runner.release()

    def _on_image(self) -> None:
        self.view.prompts.suggest(self.view.image.prompts)
        self.runner.refresh()

    def _on_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "The folder of a model")
        if folder:
            self.view.models.add(folder, folder.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1], folder, True)

    def _on_done(self, found: Comparison) -> None:
        self.shown = found
        missing = sum(cell.explanation is None for cell in found.cells[0])
        lost = f" {missing} of {len(found.ways)} do not fit." if missing else ""
        self.show_comparison(found)
        told = f"Compared {len(found.ways) - missing} ways on {len(found.prompts)} prompts.{lost}"
        self.runner.end("done", told)

    def _problem(self) -> str:
        """What keeps it from running, or nothing."""
        view = self.view
        if view.image.layer is None:
            return NO_IMAGE
        if not view.prompts.prompts:
            return "Write at least one prompt, such as “a photo of a cat”."
        if len(set(view.prompts.prompts)) < len(view.prompts.prompts):
            return "Two prompts are the same; each is explained once."
        if not view.methods.names:
            return "Tick at least one method."
        return "" if view.models.names else "Tick at least one model."

    def _refresh(self) -> None:
        view, truth = self.view, self.view.truth.layer
        view.copies.setEnabled(not self._problem())
        view.enable_fields(not self.runner.mine)
        view.one_each.setEnabled(not self.runner.mine and truth is not None and is_labels(truth))

    def _truths(self, picture: Picture) -> tuple[GroundTruth | None, ...]:
        """The ground truth of each prompt on the image's own pixels."""
        prompts, layer = self.view.prompts.prompts, self.view.truth.layer
        image: Any = self.view.image.layer
        if layer is None:
            return (None,) * len(prompts)
        grid = Grid((picture.pixels.shape[0], picture.pixels.shape[1]), pixel_to_world(image))
        each = is_labels(layer) and self.view.one_each.isChecked()
        point = tuple(self._viewer.dims.point)
        labels = range(1, len(prompts) + 1) if each else [None] * len(prompts)
        found = [truth_of(layer, image, point, label, grid) for label in labels]
        if all(truth is None for truth in found):
            raise VLExplainError("The ground truth is empty here: paint it, or choose none.")
        return tuple(found)


def open_window(comparison: Comparison) -> napari.Viewer:
    """A viewer of its own: the grid, and the table of figures beside it."""
    import napari

    from .layers import fill_grid
    from .table import ComparisonTable

    looks = settings()
    viewer = napari.Viewer(title=f"Comparison: {comparison.name}")
    screen = QApplication.primaryScreen()
    if screen is not None:
        room = screen.availableSize()
        viewer.window.resize(int(0.9 * room.width()), int(0.9 * room.height()))
    viewer.window.add_dock_widget(ComparisonTable(comparison, looks.colormap), name="Figures", area="right")
    fill_grid(viewer, comparison, looks)
    # Tiles are fitted once the canvas has the size that docks and window leave it.
    QTimer.singleShot(0, viewer.reset_view)
    return viewer


def _computed(
    asked: ComparisonChoices, picture: Picture, progress: Callable[[float, str], None], cancelled: Callable[[], bool]
) -> Comparison:
    """On the thread: everything, heatmaps at source pixels included."""

    def work(run: Run) -> Comparison:
        found = compare(
            np.asarray(picture.pixels),
            asked.prompts,
            asked.methods,
            asked.models,
            ground_truth=asked.truths,
            sanity=asked.sanity,
            progress=run.step,
            cancel=cancelled,
            name=picture.name,
            contrast_limits=picture.contrast_limits,
            device=asked.device,
            dtype=asked.dtype,
            size=asked.size,
        )
        for row in found.cells:
            for cell in row:
                if cell.explanation is not None:
                    cell.explanation.heatmap  # noqa: B018 - cached
        return found

    return guarded(work, progress, cancelled)
