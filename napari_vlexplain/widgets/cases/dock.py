"""The *Cases* dock: a study, case by case: looked at, explained, judged, corrected, exported."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, QTimer, Signal
from qtpy.QtWidgets import QWidget

from ...choices.explain import remedy
from ...reading_room.ahead import Preparing
from ...reading_room.cache import Cache
from ...reading_room.journal import Journal, open_journal
from ...reading_room.navigation import ends
from ...reading_room.recent import recent_studies, remember_study
from ...reading_room.session import ReadingSession
from ...reading_room.study import Item, Study, open_study
from ...reading_room.threshold import Threshold
from ..jobs.jobs import jobs_of
from ..jobs.latest import LatestOnly
from ..parts.collector import Settled
from ..parts.hooks import Lifetime
from ..parts.layout import hold
from ..viewer.keys import Keys
from ..viewer.settings import remember_reader, settings
from ..window_level.dock import WindowLevel
from .explaining import CaseExplaining, MethodChoice
from .export import ExportDialog, Exporting
from .figures import CaseFigures
from .keys import bind_keys
from .layers import CaseLayers
from .mask import ReaderMask
from .showing import CaseShowing
from .verdicts import Verdicts
from .view import CasesView

if TYPE_CHECKING:
    import napari

GATHER_MS = 60  # a slider that is dragged changes every figure of the list, and need not do so for every pixel


class CasesDock(QWidget):
    """A view over :class:`napari_vlexplain.reading_room.session.ReadingSession`.

    ``opened`` tells that a study is there (or that none could be opened: then ``session`` is as it was), ``shown``
    carries the key of a case whenever it is in view as far as it is known, ``explained`` that of one whose map is.
    """

    opened = Signal()
    shown = Signal(object)
    explained = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.session: ReadingSession | None = None
        self.window_level = WindowLevel(viewer)
        self.view = CasesView(self.window_level)
        self.method = MethodChoice(self.view)
        self.layers = CaseLayers(viewer)
        self.own_mask = ReaderMask(self.layers, self)
        self.verdicts = Verdicts(self.view.judging)
        self.saving = self.verdicts.saving
        jobs = jobs_of(viewer)
        self.exporting = Exporting(jobs, self)
        self.work = CaseExplaining(jobs, self.view, self.method, Settled(viewer))
        self.showing = CaseShowing(self.layers, self.own_mask, self.view.threshold, self.work)
        self.figures = CaseFigures(self.layers, self)
        self.keys = Keys(self)
        self._opening, self._recalling = LatestOnly(self), LatestOnly(self)
        self._gather = QTimer(self)
        hold(self, self.view)
        self._connect()
        bind_keys(self)
        self._refresh()
        self._lifetime = Lifetime(self, self._attach, self._release)

    @property
    def busy(self) -> bool:
        """Is something still to be opened, read, explained or saved?"""
        threads = (self._opening, self._recalling, self.showing, self.saving, self.figures)
        return self.work.mine or self.exporting.mine or any(one.busy for one in threads)

    @property
    def item(self) -> Item | None:
        """The one in view."""
        return None if self.session is None else self.session.item

    def open_study(self, where: str) -> None:
        """Open a study by its folder or name; ``opened`` tells when it is there."""
        self.own_mask.let_go()
        self.view.say(f"Opening {where}…")

        def work() -> tuple[Study, Journal]:
            study = open_study(where)
            return study, open_journal(study)

        self._opening.submit(work)

    def go(self, item: Item | None) -> None:
        """Show an item of the list; None is none, which is said."""
        session = self.session
        if session is None or item is None:
            self.view.say("Open a study first." if session is None else "This is the end of the list.")
            return
        self.own_mask.let_go()
        if session.current is None or session.current[0] != item.entry.id:
            self.view.show_frames(1, 0)  # how many there are is not known yet
        self.showing.show(item)

    def step(self, by: int) -> None:
        """Go forward (1) or back (-1) in the list."""
        self.go(None if self.session is None else self.session.next_item(by))

    def go_to_frame(self, frame: int) -> None:
        """Show a frame (from 0) of the case in view, where it has several."""
        if self.session is not None and self.item is not None:
            self.own_mask.let_go()
            self.session.choose_frame(self.item.entry.id, frame)
            self.saving.save()
            self.go(self.item)

    def step_frame(self, by: int) -> None:
        """Go forward or back in the frames of the case; keys have no slider that would show why nothing happens."""
        slider = self.view.frame
        if slider.maximum() == 1 and self.session is not None and self.session.sight.refusal():
            self.view.say(self.session.sight.refusal(), bad=True)
        slider.setValue(slider.value() + by)

    def step_to_end(self, last: bool) -> None:
        """Go to the first or the last case of the list."""
        found = None if self.session is None else ends(self.session.rows, self.session.view)
        self.go(None if found is None or self.session is None else self.session.items[found[last]])

    def step_to_undecided(self) -> None:
        """Go to the next case without a verdict."""
        found = None if self.session is None else self.session.next_undecided()
        if self.session is not None and found is None:
            self.view.say("Every case of the list is judged.")
        else:
            self.go(found)

    def judge(self, **said: Any) -> None:
        """Say something of the case in view; it is saved at once."""
        self.verdicts.judge(**said)

    def draw(self, start: str) -> None:
        """Begin a mask of the reader's from "nothing", the "truth" or the "model"; "none" takes it away."""
        self.own_mask.draw(start)
        self.figures.show()

    def export(self, dialog: ExportDialog | None = None) -> None:
        """Ask what to export and do so; a dialog that is given counts as answered."""
        if self.session is not None:
            self.own_mask.keep()
            self.exporting.export(self.session, dialog)

    # Connections

    def _connect(self) -> None:
        view, judging, work = self.view, self.view.judging, self.work
        view.opened.connect(self.open_study)
        view.list.viewed.connect(self._on_viewed)
        view.list.picked.connect(self._on_picked)
        view.first.clicked.connect(lambda: self.step_to_end(False))
        view.last.clicked.connect(lambda: self.step_to_end(True))
        view.next.clicked.connect(lambda: self.step(1))
        view.previous.clicked.connect(lambda: self.step(-1))
        view.undecided.clicked.connect(lambda: self.step_to_undecided())
        view.drawn.connect(self.draw)
        view.frame_chosen.connect(self.go_to_frame)
        judging.reader_changed.connect(self._on_reader)
        self.verdicts.changed.connect(self._show_rows)
        self.verdicts.moved.connect(self._on_picked)
        view.own_prompt.editingFinished.connect(self._on_own_prompt)
        view.threshold.changed.connect(self._on_threshold)
        view.run_button.clicked.connect(self._on_run)
        view.all_button.clicked.connect(lambda: self.work.explain_all())
        self.method.changed.connect(self._on_method)
        for part in (self.method, self.own_mask, self.verdicts):
            part.refused.connect(lambda why: view.say(why, bad=True))
        self.own_mask.changed.connect(self.saving.save)
        self.own_mask.edited.connect(self.figures.show)
        self.figures.changed.connect(view.figures.setText)
        self._gather.setSingleShot(True)
        self._gather.setInterval(GATHER_MS)
        self._gather.timeout.connect(self._on_gathered)
        self._opening.done.connect(self._on_opened)
        self._opening.failed.connect(self._on_not_opened)
        self.showing.shown.connect(self.shown.emit)
        self.showing.explained.connect(self.explained.emit)
        self.showing.changed.connect(self._refresh)
        self.showing.sighted.connect(self._show_sight)
        self._recalling.done.connect(self._on_recalled)
        work.ready.connect(self.showing.show_explanation)
        work.changed.connect(self._refresh)
        work.ahead.connect(self._show_rows)
        for one in (self.showing, self.exporting, self.figures):
            one.said.connect(view.say)
        work.said.connect(lambda told, bad: view.say(f"{self.showing.standing} {told}".strip(), bad))
        self.window_level.control.said.connect(view.say)  # its own line may be folded away
        view.export_button.clicked.connect(lambda: self.export())
        self.exporting.changed.connect(self._refresh_buttons)

    def _attach(self) -> None:
        self.own_mask.attach()
        self.showing.attach()
        self.window_level.attach()
        self.view.show_recent(recent_studies())
        if not self.view.judging.reader.text():
            self.view.judging.reader.setText(settings().reader)

    def _release(self) -> None:
        self.own_mask.release()
        self.work.forget()
        self.exporting.release()
        self.showing.close()
        self.figures.close()
        for thread in (self._opening, self._recalling):
            thread.close()
        self.saving.finish()
        self.window_level.release()

    # A study

    def _on_opened(self, found: tuple[Study, Journal]) -> None:
        study, journal = found
        view, looks = self.view, settings()
        self.work.forget()
        preparing = Preparing(Cache(looks.cache_folder, looks.cache_mb))
        self.session = session = ReadingSession(study, journal, preparing, view.judging.reader.text().strip())
        session.choose_asked(self.method.asked)
        session.choose_own_prompt(view.own_prompt.text())
        for part in (self.work, self.showing, self.verdicts, self.own_mask, self.figures):
            part.follow(session)
        self._show_threshold()
        if study.folder is not None:
            remember_study(study.folder)
            view.show_recent(recent_studies())
        view.show_study(study, len(session.items), journal)
        view.list.offer_categories(session.rows)
        session.view = view.list.current_view
        view.say("")
        self._recall()
        self.go(session.next_undecided() or next(iter(session.items.values())))
        self.opened.emit()

    def _on_not_opened(self, error: Exception) -> None:
        self.view.say(remedy(error), bad=True)
        self.opened.emit()

    def _recall(self) -> None:
        """Figures of cases that were explained before come into the list as soon as they are found."""
        self._refresh()
        session = self.session
        assert session is not None
        questions = session.questions()

        def work() -> ReadingSession:
            session.preparing.recall(questions)
            return session

        self._recalling.submit(work)

    def _on_recalled(self, session: ReadingSession) -> None:
        if session is self.session:
            session.forget_rows()
            self._refresh()

    # What the reader chooses

    def _on_viewed(self, view: Any) -> None:
        if self.session is not None:
            self.session.view = view
            self._show_rows()
            self._show_item()

    def _on_picked(self, key: Any) -> None:
        session = self.session
        if session is not None and key != session.current and key in session.items:
            self.go(session.items[key])

    def _on_reader(self, name: str) -> None:
        remember_reader(name.strip())
        session = self.session
        if session is not None and session.reader != name.strip():
            self.own_mask.let_go()
            session.choose_reader(name)
            self._show_threshold()
            self._again()

    def _on_own_prompt(self) -> None:
        session, prompt = self.session, self.view.own_prompt.text().strip()
        if session is not None and session.wants_prompt and prompt != session.own_prompt:
            self.own_mask.let_go()
            session.choose_own_prompt(prompt)
            self._recall()
            self._again()

    def _again(self) -> None:
        """The case in view, for another reader or phrase."""
        self._refresh()
        if self.item is not None:
            self.go(self.item)

    def _on_method(self) -> None:
        """What is known by these settings is shown at once; the rest when Run is pressed, or another case opened."""
        if self.session is not None:
            self.session.choose_asked(self.method.asked)
            self._recall()
            self.showing.ask_again()

    def _on_run(self) -> None:
        if self.work.mine or self.exporting.mine:
            self.work.jobs.cancel()
        else:
            self.work.run()

    def _on_threshold(self) -> None:
        box, session = self.view.threshold, self.session
        if session is None:
            return
        if session.sight.answer is None or math.isnan(box.threshold):  # without a heatmap its number means nothing
            self._show_threshold()
            self.view.say(session.sight.refusal() or "There is no map to cut yet: press Run.", bad=True)
            return
        session.choose_threshold(Threshold(box.mode, box.number.value()))
        self.figures.show()
        self._gather.start()

    def _on_gathered(self) -> None:
        self.saving.save()
        self._refresh()

    def _show_threshold(self) -> None:
        """The session's, in the box."""
        box = self.view.threshold
        if self.session is not None:
            with QSignalBlocker(box):
                box.set_threshold(self.session.threshold.mode, self.session.threshold.value)

    # What is shown

    def _refresh(self) -> None:
        self._show_rows()
        self._show_sight()

    def _show_sight(self) -> None:
        """The one state of what is asked for and what of it is in view, beside the canvas."""
        self._show_item()
        self.figures.show()
        opened = None if self.session is None else self.session.sight.opened
        if opened is not None:
            self.view.show_frames(opened.frames, opened.entry.frame)
        self._refresh_buttons()

    def _show_item(self) -> None:
        """All of the case that is known without reading anything."""
        if self.item is not None:
            self.view.show_item(self.item)
            self.view.list.table.select(self.item.key)
        self.verdicts.show()

    def _show_rows(self) -> None:
        session = self.session
        rows = [] if session is None else session.rows
        self.view.list.show_rows(rows, None if session is None else session.current)

    def _refresh_buttons(self) -> None:
        jobs, mine = self.work.jobs, self.work.mine or self.exporting.mine
        sight = None if self.session is None else self.session.sight
        self.view.show_state(
            study=sight is not None,
            case=sight is not None and sight.opened is not None,
            reading=sight is not None and sight.item is not None and not sight.known,
            mine=mine,
            busy=jobs.busy,
            cancelling=mine and jobs.cancelling,
        )
