"""A dock's own among the viewer's jobs: :class:`DockJob`; with a button, a bar and a status line, :class:`Runner`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QPushButton

from ...choices.explain import remedy
from ...errors import VLExplainError
from ..jobs.jobs import Jobs, Work
from .status import ProgressBar, StatusLine

T = TypeVar("T")


class DockJob(QObject):
    """Starts, cancels and ends a job, one at a time for the whole viewer; ``mine`` while it goes on and is wanted.

    ``ended`` carries "done", "failed", "cancelled", "dropped" or what else a dock calls it, ``said`` a sentence and
    whether it is bad, ``progressed`` (share in [0, 1], text) of this job alone. ``changed`` tells that a job of any
    dock began or ended.
    """

    ended = Signal(str)
    said = Signal(str, bool)
    progressed = Signal(float, str)
    changed = Signal()

    def __init__(self, jobs: Jobs, parent: QObject, when_cancelled: str = "Cancelled; nothing was changed.") -> None:
        super().__init__(parent)
        self._jobs, self._when_cancelled = jobs, when_cancelled
        self.mine = False
        jobs.changed.connect(self.refresh)
        jobs.progressed.connect(self._on_progress)

    @property
    def cancelling(self) -> bool:
        """Was it asked to stop, and has not yet?"""
        return self.mine and self._jobs.cancelling

    @property
    def elsewhere(self) -> bool:
        """Does a job run that is none of this dock's?"""
        return self._jobs.busy and not self.mine

    def waits(self) -> bool:
        """Does a job keep another from being started? Then say so."""
        if self._jobs.busy:
            self.said.emit(f"One at a time: “{self._jobs.title}” is running.", True)
        return self._jobs.busy

    def start(self, title: str, work: Work, done: Callable[[Any], None]) -> None:
        """Run ``work`` on a thread; ``done`` shows its result and calls :meth:`end`."""
        self.mine = True
        self._jobs.start(title, work, self._showing(done), self._on_failed, self._on_cancelled)

    def adopt(self, done: Callable[[Any], None]) -> None:
        """As :meth:`start`, with the job that runs behind."""
        self.mine = True
        self._jobs.adopt(self._showing(done), self._on_failed, self._on_cancelled)

    def cancel(self) -> None:
        """Ask it to stop."""
        if self.mine:
            self._jobs.cancel()

    def release(self) -> None:
        """Stop, and tell nobody: whoever asked is gone."""
        if self.mine:
            self.mine = False
            self._jobs.forget()

    def leave(self) -> None:
        """As :meth:`release`, of what writes files: it goes on, and napari's corner tells where it fails."""
        if self.mine:
            self.mine = False
            self._jobs.leave(lambda error: _show_error(remedy(error)))

    def fail(self, message: str, outcome: str = "failed") -> None:
        """End with a message, in napari's corner too."""
        _show_error(message)
        self.end(outcome, message, bad=True)

    def end(self, outcome: str, told: str, bad: bool = False) -> None:
        """It is over and shown; say what came of it."""
        self.mine = False
        self.refresh()
        self.said.emit(told, bad)
        self.ended.emit(outcome)

    def refresh(self) -> None:
        """Show how it stands."""
        self.changed.emit()

    def _showing(self, done: Callable[[Any], None]) -> Callable[[Any], None]:
        def show(result: Any) -> None:
            try:
                done(result)
            except BaseException:  # napari shows it; the dock must not wait for an end
                self.mine = False
                self.refresh()
                raise

        return show

    def _on_failed(self, error: BaseException) -> None:
        self.fail(remedy(error))

    def _on_cancelled(self) -> None:
        self.end("cancelled", self._when_cancelled)

    def _on_progress(self, share: float, what: str) -> None:
        if self.mine and not self._jobs.cancelling:
            self.progressed.emit(share, what)


class Runner(DockJob):
    """What a dock is there for: its button, which becomes *Cancel*, its bar and its status line."""

    def __init__(
        self, jobs: Jobs, button: QPushButton, bar: ProgressBar, status: StatusLine,
        problem: Callable[[], str], run: Callable[[], None], when_cancelled: str = "Cancelled; nothing was changed.",
    ) -> None:  # fmt: skip
        """``problem`` : what keeps it from running, or nothing; ``run`` : what the button does."""
        super().__init__(jobs, button, when_cancelled)
        self._button, self._bar, self._status = button, bar, status
        self._problem, self._run = problem, run
        self._text, self._tip = button.text(), button.toolTip()
        button.clicked.connect(self.press)
        self.said.connect(status.say)
        self.progressed.connect(self._show_progress)

    def press(self) -> None:
        """Run, or cancel what runs."""
        if self.mine:
            self.cancel()
        else:
            self._run()

    def choices(self, read: Callable[[], T]) -> T | None:
        """What is to be run, as ``read`` finds it; None if nothing may be, and then it is said why."""
        if why := self._problem():
            self.said.emit(why, True)
            return None
        if self.waits():
            return None
        try:
            return read()
        except VLExplainError as error:
            self.fail(str(error))
            return None

    def refresh(self) -> None:
        problem = self._problem()
        self._button.setText("Cancelling…" if self.cancelling else "Cancel" if self.mine else self._text)
        self._button.setEnabled(not (self.cancelling or self.elsewhere) and (self.mine or not problem))
        self._button.setToolTip(problem or self._tip)
        self._bar.setVisible(self.mine)
        super().refresh()
        if self.cancelling:
            self.said.emit("Cancelling; the model stops at the next step…", False)
        elif not self.mine:
            self._bar.show_share(0.0)
            self.said.emit(f"“{self._jobs.title}” is running." if self.elsewhere else problem, False)

    def _show_progress(self, share: float, what: str) -> None:
        self._bar.show_share(share)
        self.said.emit(f"{what}…", False)


def _show_error(message: str) -> None:
    from napari.utils.notifications import show_error

    show_error(message)
