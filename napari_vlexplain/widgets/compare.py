"""The *Compare* dock: methods, models and prompts side by side, in a window of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QApplication, QFileDialog, QWidget

from ..comparing import Comparison, compare
from ..errors import VLExplainError
from ..metrics.regions import Grid, Outlined, Painted, Region
from ..prompt_history import PromptHistory
from ..reproducing import ComparisonChoices
from ._compare_view import CompareView
from ._copying import Copier
from ._hooks import Lifetime
from ._image_combo import NO_IMAGE
from ._jobs import jobs_of
from ._layers import pixel_to_world
from ._measure_inputs import is_labels, outlines, plane, unit_ratio
from ._parts import hold
from ._picture import Picture
from ._runner import Runner
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
        view = self.view
        self.runner = Runner(self.jobs, view.run_button, view.progress, view.status, self._problem, self.run)
        hold(self, view)
        self._connect()
        self._lifetime = Lifetime(self, self._attach, self._release)

    def run(self) -> None:
        """Compare; what comes of it is told by ``finished``."""
        if not self.runner.ready():
            return
        view, looks = self.view, settings()
        try:
            picture = view.image.picture()
            truths = self._truths(picture)
        except VLExplainError as error:
            self.runner.fail(str(error))
            return
        view.prompts.remember()
        prompts, methods, models = view.prompts.prompts, view.methods.names, view.models.names
        check, limits = view.check.isChecked(), picture.contrast_limits
        options = {"contrast_limits": limits, "device": looks.torch_device, "dtype": looks.precision}
        self.runner.start(
            f"Comparison of {view.image.currentText()}",
            lambda progress, cancelled: _computed(
                np.asarray(picture.pixels), prompts, methods, models, truths, check, picture.name,
                options, progress, cancelled,
            ),
            self._on_done,
        )  # fmt: skip

    def _copy(self, what: str) -> None:
        """Code that computes the maps as they are asked for now."""
        view, looks = self.view, settings()
        try:
            picture = view.image.picture()
        except VLExplainError as error:
            view.say(str(error), bad=True)
            return
        asked = ComparisonChoices(
            view.prompts.prompts, view.methods.names, view.models.names, view.check.isChecked(),
            looks.torch_device, looks.precision,
        )  # fmt: skip
        self.copier.copy(what, picture, asked.as_python if what == "Python" else asked.as_command)

    def _connect(self) -> None:
        view = self.view
        view.image.layer_changed.connect(self._on_image)
        view.truth.layer_changed.connect(self.runner.refresh)
        for part in (view.prompts, view.methods, view.models):
            part.changed.connect(self.runner.refresh)
        view.prompts.submitted.connect(self.runner.press)
        view.folder_button.clicked.connect(self._on_folder)
        view.python_button.clicked.connect(lambda: self._copy("Python"))
        view.command_button.clicked.connect(lambda: self._copy("command line"))
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
        for button in (view.python_button, view.command_button):
            button.setEnabled(not self._problem())
        view.enable_fields(not self.runner.mine)
        view.one_each.setEnabled(not self.runner.mine and truth is not None and is_labels(truth))

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
