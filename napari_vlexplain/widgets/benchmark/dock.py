"""The *Benchmark* dock: methods measured on a data set, row by row, and each row's picture a click away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QWidget

from ...benchmark.reporting.gallery import Shown
from ...benchmark.runner import Outcome
from ...benchmark.session import Line, Session
from ...choices.explain import remedy
from ...drawing.roles import label_colours
from ..jobs.jobs import jobs_of
from ..parts.hooks import Lifetime
from ..parts.parts import hold
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
        self._mine = False
        self._seen = -1
        self._timer = QTimer(self)
        self._timer.setInterval(REFRESH_MS)
        hold(self, self.view)
        self._connect()
        self._lifetime = Lifetime(self, self._refresh, self._release)

    def run(self) -> None:
        """Compute what is missing in the folder; what comes of it is told by ``finished``."""
        session, looks = self.view.session(), settings()
        session.device, session.dtype = looks.torch_device, looks.precision
        problem = self._problem(session)
        if problem:
            self.view.say(problem, bad=True)
            return
        self.session, self._seen = session, -1
        self._start("Benchmark", session.run, self._on_run)
        self._timer.start()

    def report(self) -> None:
        """Write the report of the folder that is chosen."""
        folder = self.view.session().folder
        if self.jobs.busy:
            self.view.say(self._problem(self.view.session()), bad=True)
            return

        def work(progress: Any, cancelled: Any) -> Any:
            from ...benchmark.reporting.documents import make_report

            progress(0.0, "Writing the report")
            return make_report(folder).files["html"]

        self._start("Report", work, lambda path: self._end("reported", f"Written: {path}"))

    def open_line(self, line: Line) -> None:
        """Open a row's image, heatmap and ground truth as layers."""
        if self.jobs.busy:
            self.view.say(f"One at a time: “{self.jobs.title}” is running.", bad=True)
            return
        session = self.session
        self._start("Opening a case", lambda progress, cancelled: session.layers_of(line), self._on_opened)

    def cancel(self) -> None:
        """Ask the job to stop; rows that are finished stay."""
        if self._mine:
            self.jobs.cancel()

    def _start(self, title: str, work: Any, done: Any) -> None:
        self._mine = True
        self.jobs.start(title, work, done, self._on_failed, self._on_cancelled)

    def _connect(self) -> None:
        view = self.view
        view.run_button.clicked.connect(lambda: self.cancel() if self._mine else self.run())
        view.report_button.clicked.connect(self.report)
        view.picked.connect(self.open_line)
        view.dataset.currentIndexChanged.connect(self._refresh)
        for part in (view.methods, view.root, view.folder):
            part.changed.connect(self._refresh)
        self.jobs.changed.connect(self._refresh)
        self.jobs.progressed.connect(self._on_progress)
        self._timer.timeout.connect(self._show_live)

    def _release(self) -> None:
        if self._mine:
            self._mine = False
            self.jobs.forget()
        self._timer.stop()

    def _problem(self, session: Session) -> str:
        if self.jobs.busy and not self._mine:
            return f"One at a time: “{self.jobs.title}” is running."
        return next(iter(session.problems().values()), "")

    def _refresh(self) -> None:
        view, session = self.view, self.view.session()
        problem = self._problem(session)
        view.run_button.setText("Cancelling…" if self.jobs.cancelling else "Cancel" if self._mine else "Run")
        view.run_button.setEnabled((self._mine and not self.jobs.cancelling) or not (problem or self.jobs.busy))
        view.report_button.setEnabled(not self.jobs.busy)
        view.root.setEnabled("root" in session.problems() or bool(session.root))
        if not self._mine:
            view.say(problem)

    def _on_progress(self, share: float, what: str) -> None:
        if self._mine and not self.jobs.cancelling:
            self.view.progress.setValue(round(100 * share))
            self.view.say(f"{what}…")

    def _show_live(self) -> None:
        live = self.session.live
        if live.changes != self._seen:
            self._seen = live.changes
            self.view.show_live(live)

    def _on_run(self, outcome: Outcome) -> None:
        failed = f" {outcome.broken} rows failed." if outcome.broken else ""
        left_out = " ".join(dict.fromkeys(outcome.unfit.values()))
        told = f"{outcome.rows} rows kept." if outcome.tasks else "Nothing was missing."
        self._end("done", f"{told}{failed} {left_out}".strip())

    def _on_opened(self, shown: Shown) -> None:
        show_case(self._viewer, shown)
        self._end("opened", f"{shown.item.case}: {shown.item.text}")

    def _on_failed(self, error: BaseException) -> None:
        self._end("failed", remedy(error), bad=True)

    def _on_cancelled(self) -> None:
        self._end("cancelled", "Cancelled. What was finished is kept; Run goes on.")

    def _end(self, how: str, told: str, bad: bool = False) -> None:
        self._mine = False
        self._timer.stop()
        self._show_live()
        self.view.dashboard.hide()  # it went with its workers
        self.view.progress.setValue(0)
        self._refresh()
        self.view.say(told, bad)
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
