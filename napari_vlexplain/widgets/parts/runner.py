"""A dock's run: one of the viewer's jobs, its button, which becomes *Cancel*, its bar and its status line."""

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


class Runner(QObject):
    """Starts, cancels and ends a dock's job, and says how it stands; ``mine`` while it goes on and is being shown.

    ``ended`` carries "done", "failed", "cancelled" or "dropped"; ``changed`` tells that a run began or ended, or that
    another one may begin, for the dock's other fields.
    """

    ended = Signal(str)
    changed = Signal()

    def __init__(
        self, jobs: Jobs, button: QPushButton, bar: ProgressBar, status: StatusLine,
        problem: Callable[[], str], run: Callable[[], None],
    ) -> None:  # fmt: skip
        """``problem`` : what keeps it from running, or nothing; ``run`` : what the button does."""
        super().__init__(button)
        self._jobs, self._button, self._bar, self._status = jobs, button, bar, status
        self._problem, self._run = problem, run
        self._text, self._tip = button.text(), button.toolTip()
        self.mine = False
        button.clicked.connect(self.press)
        jobs.changed.connect(self.refresh)
        jobs.progressed.connect(self._on_progress)

    def press(self) -> None:
        """Run, or cancel what runs."""
        if self.mine:
            self.cancel()
        else:
            self._run()

    def choices(self, read: Callable[[], T]) -> T | None:
        """What is to be run, as ``read`` finds it; None if nothing may be, and then it is said why."""
        why = self._problem() or (f"One at a time: “{self._jobs.title}” is running." if self._jobs.busy else "")
        if why:
            self._status.say(why, bad=True)
            return None
        try:
            return read()
        except VLExplainError as error:
            self.fail(str(error))
            return None

    def start(self, title: str, work: Work, done: Callable[[Any], None]) -> None:
        """Run ``work`` on a thread; ``done`` shows its result and calls :meth:`end`."""

        def show(result: Any) -> None:
            try:
                done(result)
            except BaseException:  # napari shows it; the dock must not wait for an end
                self.mine = False
                self.refresh()
                raise

        self.mine = True
        self._jobs.start(title, work, show, lambda error: self.fail(remedy(error)), self._on_cancelled)

    def cancel(self) -> None:
        """Ask the run to stop."""
        if self.mine:
            self._jobs.cancel()

    def release(self) -> None:
        """Stop, and tell nobody: the dock is gone."""
        if self.mine:
            self.mine = False
            self._jobs.forget()

    def fail(self, message: str, outcome: str = "failed") -> None:
        """End with a message, in napari's corner too."""
        from napari.utils.notifications import show_error

        show_error(message)
        self.end(outcome, message, bad=True)

    def end(self, outcome: str, told: str, bad: bool = False) -> None:
        """The run is over and shown; say what came of it."""
        self.mine = False
        self.refresh()
        self._status.say(told, bad)
        self.ended.emit(outcome)

    def refresh(self) -> None:
        """Show how it stands."""
        problem, cancelling = self._problem(), self.mine and self._jobs.cancelling
        elsewhere = self._jobs.busy and not self.mine
        self._button.setText("Cancelling…" if cancelling else "Cancel" if self.mine else self._text)
        self._button.setEnabled(not cancelling and not elsewhere and (self.mine or not problem))
        self._button.setToolTip(problem or self._tip)
        self._bar.setVisible(self.mine)
        self.changed.emit()
        if cancelling:
            self._status.say("Cancelling; the model stops at the next step…")
        elif not self.mine:
            self._bar.show_share(0.0)
            self._status.say(f"“{self._jobs.title}” is running." if elsewhere else problem)

    def _on_cancelled(self) -> None:
        self.end("cancelled", "Cancelled; nothing was changed.")

    def _on_progress(self, share: float, what: str) -> None:
        if self.mine and not self._jobs.cancelling:
            self._bar.show_share(share)
            self._status.say(f"{what}…")
