"""The *Check* button: does the heatmap depend on the prompt, and on what the model has learned?"""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget
from superqt import QCollapsible

from ...results.answer import Answer
from ...results.explanation import Explanation
from ...tasks.check import Sanity, check
from ..jobs.jobs import Jobs
from ..parts.runner import DockJob
from ..parts.status import StatusLine

TIP = (
    "Explain unrelated prompts, and the model with random weights, in the same way: a heatmap that stays the same "
    "explains neither. It takes about five times as long as the explanation."
)
NO_QUESTIONS = "The checks compare prompts; there are none for questions."


class CheckBox(QWidget):
    """A button, what to beware of, and under *Details* every figure."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.button = QPushButton("Check")
        self.status, self.figures = StatusLine(0), StatusLine(0)
        self.details = QCollapsible("Details")
        self.details.setDuration(0)
        self.details.addWidget(self.figures)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self.button, self.status, self.details):
            layout.addWidget(part)
        self.setVisible(False)

    def say(self, text: str, bad: bool = False) -> None:
        """Show a sentence below the button."""
        self.status.say(text, bad)
        self.status.setVisible(bool(text))

    def show_sanity(self, found: Sanity | None) -> None:
        """Show what the checks found, or that nothing was checked yet."""
        warnings = found.warnings if found else ()
        self.say(
            "\n".join(warnings) if warnings else "The checks found nothing wrong." if found else "", bool(warnings)
        )
        self.figures.setText("\n".join(found.figures()) if found else "")
        self.details.setVisible(found is not None)


class Checking(QObject):
    """Checks the explanation in view, one job like any other; ``keep`` gets it with what was found."""

    def __init__(self, view: CheckBox, jobs: Jobs, keep: Callable[[Explanation], None]) -> None:
        super().__init__(view)
        self._view, self._keep = view, keep
        self._one: Explanation | Answer | None = None
        self._model = ""
        self._job = DockJob(jobs, self, when_cancelled="Cancelled; the heatmap is unchecked.")
        view.button.clicked.connect(self._on_click)
        self._job.changed.connect(self._refresh)
        self._job.said.connect(view.say)
        self._job.progressed.connect(lambda share, what: view.say(f"{what}… {share:.0%}"))

    @property
    def running(self) -> bool:
        """Is it checked now?"""
        return self._job.mine

    def show(self, one: Explanation | Answer | None, model: str) -> None:
        """What the button checks from now on; its earlier checks, if any, are shown."""
        self._one, self._model = one, model
        record = None if one is None else one.provenance.get("sanity")
        self._view.show_sanity(Sanity.from_dict(record) if record else None)
        self._view.setVisible(one is not None)
        self._refresh()

    def release(self) -> None:
        """Stop, and tell nobody."""
        self._job.release()

    def _on_click(self) -> None:
        one, model = self._one, self._model
        if self.running:
            self._job.cancel()
        elif isinstance(one, Explanation) and not self._job.waits():
            self._job.start(
                f"Checks of “{one.prompt}”",
                lambda progress, cancelled: check(one, model, progress=progress, cancel=cancelled),
                self._on_done,
            )

    def _on_done(self, checked: Explanation) -> None:
        self._job.end("done", "")
        self._keep(checked)
        self.show(checked, self._model)

    def _refresh(self) -> None:
        button, job, fits = self._view.button, self._job, isinstance(self._one, Explanation)
        button.setText("Cancelling…" if job.cancelling else "Cancel the check" if job.mine else "Check")
        button.setEnabled(fits and not job.cancelling and not job.elsewhere)
        button.setToolTip(TIP if fits else NO_QUESTIONS)
