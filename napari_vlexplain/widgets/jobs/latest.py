"""Work on a thread where only the newest request matters."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

log = logging.getLogger(__name__)
Job = Callable[[], Any]
PAUSE_MS = 15  # a stroke's events gather this long


class LatestOnly(QObject):
    """Runs one job at a time; while one runs, a new one replaces the one that waits.

    ``done`` carries a job's result and ``failed`` its exception, both on the thread that owns this object, in
    the order of the jobs. The thread starts with the first job and ends with ``close``, which waits for it.
    """

    done = Signal(object)
    failed = Signal(object)
    _finished = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool: ThreadPoolExecutor | None = None
        self._running: Future[Any] | None = None
        self._waiting: Job | None = None
        self._dropped: Future[Any] | None = None
        self._finished.connect(self._on_finished)

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""
        return self._running is not None

    def submit(self, job: Job) -> None:
        """Run ``job`` as soon as the one that runs is through."""
        if self._running is None:
            self._start(job)
        else:
            self._waiting = job

    def drop(self) -> None:
        """What was asked for so far is wanted no more: neither its result nor its failure is told."""
        self._waiting, self._dropped = None, self._running

    def close(self) -> None:
        """Drop what waits, wait for what runs, end the thread. A later ``submit`` starts anew."""
        pool, self._pool = self._pool, None
        self._running = self._waiting = self._dropped = None
        if pool is not None:
            pool.shutdown(wait=True)

    def _start(self, job: Job) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vlexplain-measure")
        self._running = self._pool.submit(job)
        self._running.add_done_callback(self._announce)

    def _announce(self, future: Future[Any]) -> None:  # on the pool's thread
        with suppress(RuntimeError):  # this object went with its window
            self._finished.emit(future)

    def _on_finished(self, future: Future[Any]) -> None:
        if future is not self._running:
            return  # finished after close
        waiting, self._running, self._waiting = self._waiting, None, None
        wanted, self._dropped = future is not self._dropped, None
        if waiting is not None:
            self._start(waiting)
        error = future.exception()
        if not wanted:
            return
        if error is None:
            self.done.emit(future.result())
        else:
            log.debug("job failed", exc_info=error)
            self.failed.emit(error)


class LatestAfterPause(LatestOnly):
    """As :class:`LatestOnly`, for what changes faster than it can be computed: changes gather for a moment.

    ``prepare`` runs on this thread at the end of the pause; it reads what holds now and gives the job, or None where
    there is nothing to compute, and then what was asked for before is dropped.
    """

    def __init__(self, parent: QObject, prepare: Callable[[], Job | None], pause_ms: int = PAUSE_MS) -> None:
        super().__init__(parent)
        self._prepare = prepare
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(pause_ms)
        self._pause.timeout.connect(self._begin)

    @property
    def busy(self) -> bool:
        """Whether a change is still to be computed."""
        return self._pause.isActive() or super().busy

    def touch(self, *_: Any) -> None:
        """Something changed. The pause is not begun anew: results keep coming during a long stroke."""
        if not self._pause.isActive():
            self._pause.start()

    def close(self) -> None:
        super().close()
        with suppress(RuntimeError):  # Qt's half may have gone with the window
            self._pause.stop()

    def _begin(self) -> None:
        job = self._prepare()
        if job is None:
            self.drop()
        else:
            self.submit(job)
