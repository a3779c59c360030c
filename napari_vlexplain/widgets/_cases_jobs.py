"""What the *Cases* dock has computed: the case in view, all of them, or the next one while this one is looked at."""

from __future__ import annotations

from functools import partial
from typing import Any

from qtpy.QtCore import QObject, Signal

from ..reading_room.ahead import Prepared, Preparing, Question
from ..reading_room.session import ReadingSession
from ._jobs import Jobs


class CaseJobs(QObject):
    """One job of the viewer's at a time, and one behind.

    ``began`` tells that a job has started. ``explained`` carries (question, Prepared), ``all_explained`` what went
    wrong, ``failed`` an error, ``cancelled`` the question (None for all cases), and ``ahead`` a question whose answer
    waits in memory.
    """

    explained = Signal(object, object)
    ahead = Signal(object)
    all_explained = Signal(list)
    failed = Signal(object)
    cancelled = Signal(object)
    began = Signal()

    def __init__(self, jobs: Jobs, parent: QObject) -> None:
        super().__init__(parent)
        self.jobs = jobs
        self.question: Question | None = None
        self.all = False
        self._ahead: tuple[object, Question] | None = None

    @property
    def mine(self) -> bool:
        """Does a job of this dock run?"""
        return self.all or self.question is not None

    def explain(self, title: str, preparing: Preparing, question: Question) -> None:
        """Compute an answer, or take over the computation that runs ahead; ``jobs`` must not be busy."""
        self.question = question
        done = partial(self._on_explained, question)
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] is self.jobs.behind and ahead[1].key == question.key:
            self.jobs.adopt(done, self._on_failed, self._on_cancelled)
        else:
            self.jobs.start(title, partial(preparing.prepare, question), done, self._on_failed, self._on_cancelled)
        self.began.emit()

    def explain_all(self, session: ReadingSession) -> None:
        """Explain every case of the list; ``jobs`` must not be busy."""
        self.all = True
        title = f"Explaining {session.study.title}"
        self.jobs.start(title, session.explain_all, self._on_all, self._on_failed, self._on_cancelled)
        self.began.emit()

    def read_ahead(self, title: str, preparing: Preparing, question: Question, compute: bool) -> None:
        """Have an answer ready in memory; without ``compute`` only what is known."""
        running = self._ahead is not None and self._ahead[0] is self.jobs.behind
        if self.jobs.busy or (running and self._ahead is not None and self._ahead[1].key == question.key):
            return

        def known(*_: Any) -> Prepared | None:
            return preparing.known(question)

        work = partial(preparing.prepare, question) if compute else known
        token = self.jobs.start_behind(title, work, lambda _: self._on_ahead(question))
        self._ahead = None if token is None else (token, question)

    def cancel(self) -> None:
        """Ask this dock's job to stop."""
        if self.mine:
            self.jobs.cancel()

    def forget(self) -> None:
        """Stop everything and tell nobody."""
        if self.mine:
            self.question, self.all = None, False
            self.jobs.forget()
        if self._ahead is not None and self._ahead[0] is self.jobs.behind:
            self.jobs.stop_behind()
        self._ahead = None

    def _on_explained(self, question: Question, prepared: Prepared) -> None:
        self.question = None
        self.explained.emit(question, prepared)

    def _on_all(self, problems: list[str]) -> None:
        self.all = False
        self.all_explained.emit(problems)

    def _on_failed(self, error: BaseException) -> None:
        self.question, self.all = None, False
        self.failed.emit(error)

    def _on_cancelled(self) -> None:
        question, self.question, self.all = self.question, None, False
        self.cancelled.emit(question)

    def _on_ahead(self, question: Question) -> None:
        self._ahead = None
        self.ahead.emit(question)
