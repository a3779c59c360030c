"""The *Compare* dock: methods, models and prompts side by side, in a window of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QApplication, QFileDialog, QVBoxLayout, QWidget

from ..comparing import Comparison, compare
from ..errors import VLExplainError
from ..explaining import remedy
from ..metrics.regions import Grid, Outlined, Painted, Region
from ..prompt_history import PromptHistory
from ..reproducing import ComparisonChoices
from ._compare_view import CompareView
from ._copying import Copier
from ._hooks import Hooks, Lifetime
from ._jobs import jobs_of
from ._layers import info, pixel_to_world
from ._measure_inputs import is_labels, outlines, plane, unit_ratio
from ._picture import Picture, picture_of
from ._settings import settings

if TYPE_CHECKING:
    import napari


class CompareDock(QWidget):
    """A view over :func:`napari_vlexplain.comparing.compare`.

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
        self._mine = False
        self._hooks = Hooks()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.view)
        self.setMinimumWidth(self.view.minimumWidth())
        self._connect()
        self._lifetime = Lifetime(self, self._attach, self._release)

    def run(self) -> None:
        """Compare; what comes of it is told by ``finished``."""
        problem = self._problem()
        if self.jobs.busy or problem:
            self.view.say(problem or f"One at a time: “{self.jobs.title}” is running.", bad=True)
            return
        view, looks = self.view, settings()
        try:
            picture = picture_of(self._viewer, view.image.layer)
            truths = self._truths(picture)
        except VLExplainError as error:
            self._fail(str(error))
            return
        view.prompts.remember()
        prompts, methods, models = view.prompts.prompts, view.methods.names, view.models.names
        check, name = view.check.isChecked(), picture.source.path or view.image.currentText()
        device = None if looks.device == "auto" else looks.device
        options = {"contrast_limits": picture.contrast_limits, "device": device, "dtype": looks.precision}
        self._mine = True
        self.jobs.start(
            f"Comparison of {view.image.currentText()}",
            lambda progress, cancelled: _computed(
                np.asarray(picture.pixels), prompts, methods, models, truths, check, name,
                options, progress, cancelled,
            ),
            self._on_done,
            self._on_failed,
            self._on_cancelled,
        )  # fmt: skip

    def cancel(self) -> None:
        """Ask the run to stop."""
        if self._mine:
            self.jobs.cancel()

    def _copy(self, what: str) -> None:
        """Code that computes the maps as they are asked for now."""
        view, looks = self.view, settings()
        try:
            picture = picture_of(self._viewer, view.image.layer)
        except VLExplainError as error:
            view.say(str(error), bad=True)
            return
        asked = ComparisonChoices(
            view.prompts.prompts, view.methods.names, view.models.names, view.check.isChecked(),
            None if looks.device == "auto" else looks.device, looks.precision,
        )  # fmt: skip
        self.copier.copy(what, picture, asked.as_python if what == "Python" else asked.as_command)

    def _connect(self) -> None:
        view = self.view
        view.image.layer_changed.connect(self._on_image)
        view.truth.layer_changed.connect(self._refresh)
        for part in (view.prompts, view.methods, view.models):
            part.changed.connect(self._refresh)
        view.prompts.submitted.connect(self._on_run)
        view.run_button.clicked.connect(self._on_run)
        view.folder_button.clicked.connect(self._on_folder)
        view.python_button.clicked.connect(lambda: self._copy("Python"))
        view.command_button.clicked.connect(lambda: self._copy("command line"))
        self.copier.said.connect(view.say)
        self.jobs.changed.connect(self._refresh)
        self.jobs.progressed.connect(self._on_progress)

    def _attach(self) -> None:
        self.view.image.follow()
        self.view.truth.follow()
        self._on_image()

    def _release(self) -> None:
        for combo in (self.view.image, self.view.truth):
            combo.unfollow()
        self.copier.close()
        self._hooks.clear()
        if self._mine:
            self._mine = False
            self.jobs.forget()

    def _on_image(self) -> None:
        layer = self.view.image.layer
        self.view.prompts.suggest(() if layer is None else tuple(info(layer).get("prompts", ())))
        self._refresh()

    def _on_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "The folder of a model")
        if folder:
            self.view.models.add(folder, folder.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1], folder, True)

    def _on_run(self) -> None:
        if self._mine:
            self.cancel()
        else:
            self.run()

    def _on_progress(self, share: float, what: str) -> None:
        if self._mine and not self.jobs.cancelling:
            self.view.progress.setValue(round(100 * share))
            self.view.say(f"{what}…")

    def _on_done(self, found: Comparison) -> None:
        self._mine = False
        self.shown = found
        self._refresh()
        missing = sum(cell.explanation is None for cell in found.cells[0])
        lost = f" {missing} of {len(found.ways)} do not fit." if missing else ""
        self.view.say(f"Compared {len(found.ways) - missing} ways on {len(found.prompts)} prompts.{lost}")
        self.show_comparison(found)
        self.finished.emit("done")

    def _on_failed(self, error: BaseException) -> None:
        self._mine = False
        self._fail(remedy(error))

    def _on_cancelled(self) -> None:
        self._mine = False
        self._refresh()
        self.view.say("Cancelled; nothing was changed.")
        self.finished.emit("cancelled")

    def _fail(self, message: str) -> None:
        from napari.utils.notifications import show_error

        self._refresh()
        self.view.say(message, bad=True)
        show_error(message)
        self.finished.emit("failed")

    def _problem(self) -> str:
        """What keeps it from running, or nothing."""
        view = self.view
        if view.image.layer is None:
            return "Open an image first, or one of File > Open Sample > VL Explain."
        if not view.prompts.prompts:
            return "Write at least one prompt, such as “a photo of a cat”."
        if len(set(view.prompts.prompts)) < len(view.prompts.prompts):
            return "Two prompts are the same; each is explained once."
        if not view.methods.names:
            return "Tick at least one method."
        return "" if view.models.names else "Tick at least one model."

    def _refresh(self) -> None:
        view, problem = self.view, self._problem()
        cancelling = self._mine and self.jobs.cancelling
        view.run_button.setText("Cancelling…" if cancelling else "Cancel" if self._mine else "Compare")
        elsewhere = self.jobs.busy and not self._mine
        view.run_button.setEnabled(not cancelling and not elsewhere and (self._mine or not problem))
        view.progress.setVisible(self._mine)
        for button in (view.python_button, view.command_button):
            button.setEnabled(not problem)
        view.enable_fields(not self._mine)
        truth = view.truth.layer
        view.one_each.setEnabled(not self._mine and truth is not None and is_labels(truth))
        if cancelling:
            view.say("Cancelling; the model stops at the next step…")
        elif not self._mine:
            view.progress.setValue(0)
            view.say(f"“{self.jobs.title}” is running in another dock." if elsewhere else problem)

    def _truths(self, picture: Picture) -> list[NDArray[np.bool_] | None]:
        """The ground truth of each prompt on the image's own pixels."""
        prompts, layer = self.view.prompts.prompts, self.view.truth.layer
        image: Any = self.view.image.layer
        if layer is None:
            return [None] * len(prompts)
        grid = Grid((picture.pixels.shape[0], picture.pixels.shape[1]), pixel_to_world(image))
        each = is_labels(layer) and self.view.one_each.isChecked()
        found: list[NDArray[np.bool_] | None] = []
        for number in range(1, len(prompts) + 1):
            mask, _ = self._region(layer, image, number if each else None).on(grid)
            found.append(mask if mask.any() else None)
        if not any(mask is not None for mask in found):
            raise VLExplainError("The ground truth is empty here: paint it, or choose none.")
        return found

    def _region(self, layer: Any, image: Any, label: int | None) -> Region:
        point = tuple(self._viewer.dims.point)
        if not is_labels(layer):
            return Outlined(outlines(layer, point, unit_ratio(layer, image)))
        to_world = pixel_to_world(layer)
        to_world[:2] *= unit_ratio(layer, image)[:, None]
        return Painted(np.asarray(plane(layer, point)[0]), to_world, label)


def open_window(comparison: Comparison) -> napari.Viewer:
    """A viewer of its own: the grid, and the table of figures beside it."""
    import napari

    from ._comparison_layers import fill_grid
    from ._comparison_table import ComparisonTable

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
    image: NDArray,
    prompts: tuple[str, ...],
    methods: tuple[str, ...],
    models: tuple[str, ...],
    truths: list[NDArray[np.bool_] | None],
    check: bool,
    name: str,
    options: dict[str, Any],
    progress: Callable[[float, str], None],
    cancelled: Callable[[], bool],
) -> Comparison:
    """On the thread: everything, heatmaps at source pixels included."""
    found = compare(
        image, prompts, methods, models, ground_truth=truths, sanity=check, progress=progress, cancel=cancelled,
        name=name, **options,
    )  # fmt: skip
    for row in found.cells:
        for cell in row:
            if cell.explanation is not None:
                cell.explanation.heatmap  # noqa: B018 - cached
    return found
