"""One long job at a time per viewer, on a napari worker: progress, cancellation, and an end that is always told.

And, while none runs, one that nobody waits for: it yields to any other.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from qtpy.QtCore import QObject, QThreadPool, QTimer, Signal

from ...errors import Cancelled, VLExplainError
from ...running.entrance import unexpected

if TYPE_CHECKING:
    import napari

LAST_WAIT_MS = 30_000
YIELD_SECONDS = 0.02
REPORT_MS = 100  # repainting progress more often would cost the computation more than it tells
REPORTS_BEFORE_BAR = 3  # a bar in napari's activity dock holds the window for longer than a short job takes

Work = Callable[[Callable[[float, str], None], Callable[[], bool]], Any]
"""``work(progress, cancelled)`` runs on the thread, polls ``cancelled`` and raises Cancelled, or returns a result."""

_running: set[_Job] = set()
_per_viewer: WeakKeyDictionary[Any, Jobs] = WeakKeyDictionary()


def jobs_of(viewer: napari.viewer.Viewer) -> Jobs:
    """The viewer's jobs, shared by all docks in it."""
    own = getattr(viewer, "__wrapped__", viewer)  # each dock may get its own proxy of one viewer
    if own not in _per_viewer:
        _per_viewer[own] = Jobs()
    return _per_viewer[own]


@dataclass(eq=False)
class _Job:
    """What thread and window share. napari calls it, and shows its name when the window is closed meanwhile."""

    title: str
    work: Work
    done: Callable[[Any], None]
    failed: Callable[[BaseException], None]
    cancelled: Callable[[], None]
    latest: tuple[float, str] = (0.0, "Starting")
    result: Any = None
    error: BaseException | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    worker: Any = None
    forgotten: bool = False
    after: tuple[_Job, ...] = ()
    ended: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> None:
        try:
            self._wait_for_those_before()
            self.result = self.work(self._report, self._stopped)
        except BaseException as error:  # told on the GUI thread, where it can be shown
            if isinstance(error, Exception) and not isinstance(error, Cancelled | VLExplainError | MemoryError):
                error = unexpected(self.title, error, logged_as="A job of a dock")
            self.error = _without_traceback(error)
        finally:
            _running.discard(self)
            self.ended.set()

    def _wait_for_those_before(self) -> None:
        """Two computations at once would fight for one processor, and for the memory of one device."""
        for other in self.after:
            while not other.ended.wait(YIELD_SECONDS):
                if self._stopped():
                    raise Cancelled
        self.after = ()

    def __repr__(self) -> str:
        return self.title

    def take(self) -> Any:
        """The result. napari keeps every worker's function as long as its window, so what that holds is let go."""
        result, self.result, self.work = self.result, None, _nothing
        return result

    def _report(self, share: float, what: str) -> None:
        self.latest = (share, what)

    def _stopped(self) -> bool:
        return self.stop.is_set() or (self.worker is not None and self.worker.abort_requested)


class Jobs(QObject):
    """Runs one job; ``changed`` tells that one began, is being cancelled or ended, ``progressed`` how far it is.

    A job ``start_behind`` is no job in this sense: ``busy`` does not speak of it until somebody wants it (``adopt``).
    """

    changed = Signal()
    progressed = Signal(float, str)

    def __init__(self) -> None:
        super().__init__()
        self._job: _Job | None = None
        self._behind: _Job | None = None
        self._going: list[_Job] = []
        self._bar: Any = None
        self._reports = 0
        self._ending = False
        self._timer = QTimer(self)
        self._timer.setInterval(REPORT_MS)
        self._timer.timeout.connect(self._report)

    @property
    def busy(self) -> bool:
        """Does a job run?"""
        return self._job is not None

    @property
    def cancelling(self) -> bool:
        """Was the job asked to stop, but has not yet?"""
        return self._job is not None and self._job.stop.is_set()

    @property
    def title(self) -> str:
        """What runs, for people; empty when nothing does."""
        return "" if self._job is None else self._job.title

    def start(
        self,
        title: str,
        work: Work,
        done: Callable[[Any], None],
        failed: Callable[[BaseException], None],
        cancelled: Callable[[], None],
    ) -> None:
        """Run ``work`` on a thread; then, on this one, call exactly one of the three.

        Raises
        ------
        RuntimeError : a job runs already.
        """
        self._refuse_second()
        from napari.qt.threading import create_worker

        self.stop_behind()
        job = _Job(title, work, done, failed, cancelled)
        self._show(job)
        self._launch(job, create_worker)

    def start_behind(self, title: str, work: Work, done: Callable[[Any], None]) -> object | None:
        """Run ``work`` as long as nothing else does, in place of what ran behind so far; None where something does.

        Only ``done`` is called, and only if it is neither stopped nor fails. Returns what ``behind`` is while it runs.
        """
        from superqt.utils import create_worker  # napari's would ask, when its window is closed, what to do about it

        if self._job is not None:
            return None
        self.stop_behind()
        self._behind = _Job(title, work, done, _nothing, _nothing)
        self._launch(self._behind, create_worker)
        return self._behind

    @property
    def behind(self) -> object | None:
        """The job behind, to be told from others; None when there is none."""
        return self._behind

    def stop_behind(self) -> None:
        """Nobody wants the job behind any more; it stops at its next look, and its end is not told."""
        if self._behind is not None:
            self._behind.forgotten = True
            self._behind.stop.set()
            self._behind = None

    def adopt(
        self, done: Callable[[Any], None], failed: Callable[[BaseException], None], cancelled: Callable[[], None]
    ) -> None:
        """Make the job behind the one that runs: from now on its progress is shown, and one of the three is called.

        Raises
        ------
        RuntimeError : a job runs already, or there is none behind.
        """
        self._refuse_second()
        job, self._behind = self._behind, None
        if job is None:
            raise RuntimeError("There is no job to adopt.")
        job.done, job.failed, job.cancelled = done, failed, cancelled
        self._show(job)

    def _refuse_second(self) -> None:
        if self._job is not None:
            raise RuntimeError(f"One job at a time: {self._job.title} is running.")

    def _show(self, job: _Job) -> None:
        """It is the job now, for all docks and for the activity bar."""
        self._job, self._reports = job, 0
        self._timer.start()
        self.changed.emit()
        if job.ended.is_set():  # adopted at its very end
            QTimer.singleShot(0, self._on_finished)

    def _launch(self, job: _Job, create_worker: Callable[..., Any]) -> None:
        self._going = [other for other in self._going if not other.ended.is_set()]
        job.after = tuple(self._going)
        self._going.append(job)
        job.worker = create_worker(job, _ignore_errors=True, _start_thread=False)
        _silence(job.worker.warned)
        job.worker.finished.connect(self._on_finished)
        _running.add(job)
        job.worker.start()

    def cancel(self) -> None:
        """Ask the job to stop; it does at its next look."""
        if self._job is not None and not self._job.stop.is_set():
            self._job.stop.set()
            self.changed.emit()

    def forget(self) -> None:
        """Cancel, and call nobody at the end: whoever asked is gone."""
        if self._job is not None:
            self._job.forgotten = True
            self.cancel()

    def leave(self, failed: Callable[[BaseException], None]) -> None:
        """Let the job end by itself, and tell of a failure alone: whoever asked is gone, but not what for."""
        if self._job is not None:
            self._job.done, self._job.failed, self._job.cancelled = _nothing, failed, _nothing

    def _report(self) -> None:
        if self._job is None:
            return
        self._reports += 1
        share, what = self._job.latest
        if self._bar is not None:
            if self._bar.is_canceled:
                self.cancel()
            advance = round(100 * share) - self._bar.n
            if advance > 0:
                self._bar.update(advance)
        elif self._reports >= REPORTS_BEFORE_BAR:
            self._show_bar(self._job)
        self.progressed.emit(share, what)

    def _show_bar(self, job: _Job) -> None:
        from napari.utils import cancelable_progress

        self._timer.stop()
        bar = cancelable_progress(total=100, desc=job.title, file=io.StringIO())
        if self._job is not job:  # drawing it lets other events in, the job's end among them
            bar.close()
            return
        self._bar = bar
        self._timer.start()

    def _on_finished(self) -> None:
        if self._behind is not None and self._behind.ended.is_set():
            job, self._behind = self._behind, None
            result = job.take()
            if job.error is None and not job._stopped():
                job.done(result)
        if self._job is None or not self._job.ended.is_set():
            return  # what ended was a job behind
        if self._ending:
            return  # further up: a bar that closes lets other events in
        self._timer.stop()
        if self._bar is not None:
            self._ending = True
            self._bar.close()
            self._bar, self._ending = None, False
        job, self._job = self._job, None
        result = job.take()
        self.changed.emit()
        if job.forgotten:
            return
        if isinstance(job.error, Cancelled) or job._stopped():
            job.cancelled()
        elif job.error is not None:
            job.failed(job.error)
        else:
            job.done(result)


def _nothing(*_: Any) -> None:
    pass


@atexit.register
def _stop_all() -> None:
    """Python must not end while a worker still has Qt's objects in its hands: the process would abort."""
    if _running:
        for job in list(_running):
            job.stop.set()
        pool = QThreadPool.globalInstance()
        if pool is not None:
            pool.waitForDone(LAST_WAIT_MS)


def _silence(signal: Any) -> None:
    """Nobody wants a toast for every warning that a library gives while it works."""
    with contextlib.suppress(TypeError, RuntimeError):  # nothing was connected
        signal.disconnect()


def _without_traceback(error: BaseException) -> BaseException:
    """A traceback holds every array of the computation; when memory ran out, that must not stay."""
    seen: BaseException | None = error
    while seen is not None:
        seen.__traceback__ = None
        seen = seen.__cause__ or seen.__context__
    return error
