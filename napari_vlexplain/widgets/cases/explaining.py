"""The case in view is explained, or all of them, and the next one while this one is looked at; and how they are."""

from __future__ import annotations

from functools import partial
from typing import Any

from qtpy.QtCore import QObject, Signal

from ...choices.explain import Explaining, remedy
from ...reading_room.ahead import Prepared
from ...reading_room.question import Question
from ...reading_room.session import ReadingSession
from ...reading_room.study import Item
from ..jobs.jobs import Jobs
from ..parts.collector import Settled
from ..parts.lists import offer_methods
from ..parts.model_box import follow_settings
from ..parts.runner import DockJob
from .view import CasesView


class MethodChoice(QObject):
    """Model, method and parameters, chosen once and kept from case to case: ``asked``, in step with the fields.

    ``changed`` tells that answers would be others now, ``refused`` carries a sentence on what cannot be chosen.
    """

    changed = Signal()
    refused = Signal(str)

    def __init__(self, view: CasesView) -> None:
        super().__init__(view)
        self.asked = Explaining()
        self._view = view
        view.model.chosen.connect(self._on_model)
        view.model.download.connect(self._on_download)
        view.method.currentIndexChanged.connect(self._on_method)
        view.form.follow(self.asked)
        view.form.refused.connect(self.refused)
        view.form.changed.connect(lambda name: self.changed.emit())
        self._on_method()

    def take_settings(self) -> None:
        """Device, precision and offline, as napari's Preferences say now."""
        follow_settings(self.asked, self._view.model)

    def _on_model(self, name: str) -> None:
        offered = self.asked.methods
        self.asked.model, self.asked.download = name, False
        if self.asked.methods != offered:
            offer_methods(self._view.method, self.asked.methods, self.asked.method)
            self._on_method()
        else:
            self._tell()

    def _on_download(self, allowed: bool) -> None:
        self.asked.download = allowed
        self.changed.emit()

    def _on_method(self) -> None:
        self.asked.method = self._view.method.currentData()
        self._view.form.offer(self.asked.method_info.parameters)
        self._tell()

    def _tell(self) -> None:
        self._view.form.show_values()
        self.changed.emit()


class CaseExplaining(DockJob):
    """One job of the viewer's at a time for what the reader waits for, and one behind for what comes next.

    ``ready`` carries (item, Prepared) of the case in view, ``ahead`` tells that figures of another case are known.
    """

    ready = Signal(object, object)
    ahead = Signal()

    def __init__(self, jobs: Jobs, view: CasesView, method: MethodChoice, settled: Settled) -> None:
        super().__init__(jobs, view)
        self.jobs = jobs
        self.session: ReadingSession | None = None
        self.question: Question | None = None
        self.all = False
        self._view, self._method = view, method
        self._ahead: tuple[object, Question] | None = None
        self._settled = settled
        jobs.changed.connect(self._on_jobs)
        self.progressed.connect(view.show_progress)

    def follow(self, session: ReadingSession) -> None:
        """From now on it is about this study."""
        self.forget()
        self.session = session
        self._settled.hold("a study is opened")

    def run(self) -> None:
        """Explain the case in view; a case that is being explained makes way for it."""
        session, item = self._current()
        if session is None or item is None or item.entry.id in session.broken:
            return
        self._take_settings()
        question = session.question(item)
        if not question.prompts:
            self.said.emit("This study comes without phrases: write what to look for.", True)
        elif self.question is not None and self.question.key != question.key:
            self.cancel()  # its end brings us back here
        elif not self.mine and not self.waits():
            self._explain(session, item, question)

    def explain_all(self) -> None:
        """Explain every case of the list."""
        session = self.session
        if session is None or self.waits():
            return
        self._take_settings()
        self.all = True
        self.start(f"Explaining {session.study.title}", session.explain_all, self._on_all)

    def go_on(self, answered: Question | None = None) -> None:
        """Explain the case in view if that is wanted and nothing else runs, or else prepare the next one.

        ``answered`` : is not asked again at once, whatever became of its answer, such as when the model's files change
        all the time.
        """
        session, item = self._current()
        if session is None or item is None or not session.sight.known:
            return
        question, wanted = session.question(item), self._view.at_once.isChecked()
        prepared, broken = session.preparing.prepared(question), item.entry.id in session.broken
        if prepared is not None and session.sight.question != question.key and not broken:
            self.ready.emit(item, prepared)  # what ran ahead came in between
            self.changed.emit()
        again = answered is not None and answered.key == question.key
        if prepared is None and wanted and question.prompts and not broken and not again:
            if not self.jobs.busy or self.question is not None:
                self.run()
        else:
            self._read_ahead(session, wanted)

    def forget(self) -> None:
        """Stop everything and tell nobody."""
        self.question, self.all = None, False
        self.release()
        if self._ahead is not None and self._ahead[0] is self.jobs.behind:
            self.jobs.stop_behind()
        self._ahead = None
        self._settled.let_go()

    def _current(self) -> tuple[ReadingSession | None, Item | None]:
        return self.session, None if self.session is None else self.session.item

    def _take_settings(self) -> None:
        self._method.take_settings()
        if self.session is not None:
            self.session.choose_asked(self._method.asked)

    def _explain(self, session: ReadingSession, item: Item, question: Question) -> None:
        """Compute an answer, or take over the computation that runs ahead."""
        self.question = question
        done = partial(self._on_explained, question)
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] is self.jobs.behind and ahead[1].key == question.key:
            self.adopt(done)
        else:
            title = f"{self._method.asked.method_info.title}: {item.prompt}"
            work = partial(session.preparing.prepare, question)
            self.start(title, work, done)

    def _read_ahead(self, session: ReadingSession, compute: bool) -> None:
        self._settled.hold("a case is shown")
        item = session.next_case()
        if item is None or self.jobs.busy or session.preparing.prepared(session.question(item)) is not None:
            return
        question, preparing = session.question(item), session.preparing
        ahead = self._ahead
        if ahead is not None and ahead[0] is self.jobs.behind and ahead[1].key == question.key:
            return

        def known(*_: Any) -> Prepared | None:
            return preparing.known(question)

        work = partial(preparing.prepare, question) if compute and question.prompts else known
        token = self.jobs.start_behind(f"Ahead: {item.prompt}", work, lambda _: self._on_ahead(question))
        self._ahead = None if token is None else (token, question)

    def _on_explained(self, question: Question, prepared: Prepared) -> None:
        self.question, self.mine = None, False
        self._settled.hold("a model is loaded")
        session, item = self._current()
        if session is None:
            return
        session.refresh(question.entry.id)
        if item is not None and session.question(item).key == question.key:
            record = prepared.explanations[0].provenance
            told = f"Explained in {record['seconds']:.1f} s on {record['device']}."
            self.said.emit(session.preparing.cache.trouble or told, False)
            self.ready.emit(item, prepared)
        self.changed.emit()
        self.go_on(question)

    def _on_all(self, problems: list[str]) -> None:
        self.all = False
        more = f" {len(problems)} could not be: {problems[0]}" if problems else ""
        self._tell(f"Every case of the list is explained.{more}", bool(problems))
        self.go_on()

    def _on_failed(self, error: BaseException) -> None:
        self.question, self.all = None, False
        self._tell(remedy(error), True)

    def _on_cancelled(self) -> None:
        question, self.question, self.all, self.mine = self.question, None, False, False
        session, item = self._current()
        if session is None or item is None:
            return
        if question is not None and session.question(item).key != question.key:
            self.go_on()  # the reader went on meanwhile
        else:
            self._tell("Cancelled; what was explained before is kept.")

    def _tell(self, told: str, bad: bool = False) -> None:
        if self.session is not None:
            self.session.forget_rows()
        self.end("told", told, bad)

    def _on_ahead(self, question: Question) -> None:
        self._ahead = None
        if self.session is not None:
            self.session.refresh(question.entry.id)
            self.ahead.emit()

    def _on_jobs(self) -> None:
        if not self.jobs.busy and not self.mine:  # another dock's has ended
            self.go_on()
