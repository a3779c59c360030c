"""The *Benchmark* dock: methods measured on a data set, row by row, and each row's picture a click away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QWidget

from ...benchmark.reporting.gallery import Shown
from ...benchmark.runner import Outcome
from ...benchmark.session import Line, Session
from ...drawing.colour import label_colours
from ..jobs.jobs import jobs_of
from ..parts.hooks import Lifetime
from ..parts.layout import hold
from ..parts.runner import Runner
from ..viewer.heatmaps import KIND, faded
from ..viewer.layers import new_metadata, outline
from ..viewer.settings import settings
from .view import BenchmarkView

if TYPE_CHECKING:
    import napari

REFRESH_MS = 500


class BenchmarkDock(QWidget):
    """A view over :class:`napari_vlexplain.benchmark.session.Session`.

    ``finished`` carries "done", "failed", "cancelled", "opened" or "reported" when a job has ended and is shown.
    """

    finished = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.jobs = jobs_of(viewer)
        self.view = BenchmarkView()
        self.session = Session()
        self._seen = -1
        self._timer = QTimer(self)
        self._timer.setInterval(REFRESH_MS)
        view = self.view
        self.runner = Runner(
            self.jobs, view.run_button, view.progress, view.status, self._problem, self.run,
            when_cancelled="Cancelled. What was finished is kept; Run goes on.",
        )  # fmt: skip
        hold(self, view)
        self._connect()
        self._lifetime = Lifetime(self, self.runner.refresh, self._release)

    def run(self) -> None:
        """Compute what is missing in the folder; what comes of it is told by ``finished``."""
        session = self.runner.choices(self.view.session)
        if session is None:
            return
        looks = settings()
        session.device, session.dtype = looks.torch_device, looks.precision
        self.session, self._seen = session, -1
        self.runner.start("Benchmark", session.run, self._on_run)
        self._timer.start()

    def report(self) -> None:
        """Write the report of the folder that is chosen."""
        folder = self.view.session().folder
        if self.runner.waits():
            return

        def work(progress: Any, cancelled: Any) -> Any:
            from ...benchmark.reporting.documents import make_report

            progress(0.0, "Writing the report")
            return make_report(folder).files["html"]

        self.runner.start("Report", work, lambda path: self.runner.end("reported", f"Written: {path}"))

    def open_line(self, line: Line) -> None:
        """Open a row's image, heatmap and ground truth as layers."""
        if self.runner.waits():
            return
        session = self.session
        self.runner.start("Opening a case", lambda progress, cancelled: session.layers_of(line), self._on_opened)

    def _connect(self) -> None:
        view = self.view
        view.report_button.clicked.connect(self.report)
        view.picked.connect(self.open_line)
        view.dataset.currentIndexChanged.connect(self.runner.refresh)
        for part in (view.methods, view.root, view.folder):
            part.changed.connect(self.runner.refresh)
        self.runner.changed.connect(self._refresh)
        self.runner.ended.connect(self._on_ended)
        self._timer.timeout.connect(self._show_live)

    def _release(self) -> None:
        self.runner.release()
        self._timer.stop()

    def _problem(self) -> str:
        """What keeps it from running, or nothing."""
        return next(iter(self.view.session().problems().values()), "")

    def _refresh(self) -> None:
        session = self.view.session()
        self.view.report_button.setEnabled(not self.jobs.busy)
        self.view.root.setEnabled("root" in session.problems() or bool(session.root))

    def _show_live(self) -> None:
        live = self.session.live
        if live.changes != self._seen:
            self._seen = live.changes
            self.view.show_live(live)

    def _on_run(self, outcome: Outcome) -> None:
        failed = f" {outcome.broken} rows failed." if outcome.broken else ""
        left_out = " ".join(dict.fromkeys(outcome.unfit.values()))
        told = f"{outcome.rows} rows kept." if outcome.tasks else "Nothing was missing."
        self.runner.end("done", f"{told}{failed} {left_out}".strip())

    def _on_opened(self, shown: Shown) -> None:
        show_case(self._viewer, shown)
        self.runner.end("opened", f"{shown.item.case}: {shown.item.text}")

    def _on_ended(self, how: str) -> None:
        self._timer.stop()
        self._show_live()
        self.view.dashboard.hide()  # it went with its workers
        self.finished.emit(how)


def show_case(viewer: napari.viewer.Viewer, shown: Shown) -> None:
    """A case as three layers: image, heatmap, ground truth where there is one."""
    item, looks = shown.item, settings()
    source = viewer.add_image(shown.image, name=item.case, metadata=new_metadata("source", prompts=[item.text]))
    viewer.add_image(
        shown.heatmap,
        name=f"{item.case} | {shown.arm.method} | {item.text}",
        contrast_limits=(0, 1),
        colormap=faded(looks.colormap) if looks.fade else looks.colormap,
        opacity=looks.opacity,
        blending="translucent",
        interpolation2d="linear",
        metadata=new_metadata(KIND, source, prompt=item.text, method=shown.arm.method),
    )
    if shown.truth is not None:
        truth = viewer.add_labels(
            shown.truth.astype(np.uint8),
            name=f"{item.case} | truth",
            colormap=label_colours("truth"),
            metadata=new_metadata("truth", source),
        )
        outline(truth)
