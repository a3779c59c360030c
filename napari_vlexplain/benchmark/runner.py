"""Sends the work to a cluster, keeps what comes back, and can be stopped anywhere without losing what was finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import Cancelled, VLExplainError
from ..models.files.identity import ModelChangedError
from ..models.files.known_identity import weights_of
from ..running.run import ProgressCallback
from .plan import Plan, Task
from .rows import FAILED, Row
from .store import Store, finished, read_header, write_header
from .truths import fingerprints, refuse_other_truths
from .work import Result, compute, failed, look_at_model

SCHEMA = 1
AHEAD = 4
"""Pieces of work that wait at each worker: enough to keep it busy, few enough that a plan of any length costs alike."""
POLL_SECONDS = 0.2
PATIENCE_SECONDS = 60.0


@dataclass
class Outcome:
    """What a start did: ``tasks`` pieces of work of ``total``, ``rows`` kept, ``broken`` of them failures.

    unfit: (model, method) -> why that pair was left out.
    """

    total: int = 0
    tasks: int = 0
    rows: int = 0
    broken: int = 0
    seconds: float = 0.0
    unfit: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Pieces of work per second."""
        return self.tasks / self.seconds if self.seconds else 0.0


OnRows = Callable[[list[Row]], None]
Look = Callable[..., dict[str, Any]]
Compute = Callable[[Task], Result]


def run_benchmark(
    plan: Plan,
    folder: str | Path,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: ProgressCallback | None = None,
    cancel: Callable[[], bool] | None = None,
    on_rows: OnRows | None = None,
    on_dashboard: Callable[[str], None] | None = None,
    retry: bool = False,
    work: Compute = compute,
    look: Look = look_at_model,
) -> Outcome:
    """Compute what is missing of a plan and keep it in a folder.

    Parameters
    ----------
    plan : see :func:`napari_vlexplain.benchmark.plan.make_plan`.
    folder : new, or one that holds rows of the same data set: those are not computed again.
    workers : processes on this machine; by default one for each GPU or core; 0 computes in this very thread.
    scheduler : the address of a Dask scheduler instead.
    progress : called with (share, text with rate and time left).
    cancel : polled; True stops, what is finished stays.
    on_rows : called with the rows of each piece of work once they are kept.
    on_dashboard : called with the address of Dask's dashboard, if it serves one.
    retry : compute rows that failed before again.
    work, look : what computes a task, and what looks at a model beforehand.

    Raises
    ------
    VLExplainError : the folder holds another data set, or rows of other weights of a model, or cannot be written; a
        model cannot be loaded, or changes while it works; nobody answers.
    Cancelled : ``cancel`` returned True. Rows that were finished are kept, also on any other exception.
    """
    store_at = Path(folder).expanduser()
    header = read_header(store_at)
    _refuse_other(plan, header, store_at)
    truths = fingerprints(plan.data)
    refuse_other_truths(header.get("truths", {}), truths, store_at)
    done = finished(store_at, retry) if header else set()
    outcome = Outcome(total=plan.count())
    written = weights_in(header)
    models = [model for model in plan.models if model in written]
    complete = next(plan.tasks(done), None) is None
    if complete and all(weights_of(model) in written[model] for model in models):
        return outcome
    report = _Report(outcome, progress, cancel)
    with Store(store_at) as store, _pool(plan, workers, scheduler, work, look, report) as pool:
        if on_dashboard is not None and pool.dashboard:
            on_dashboard(pool.dashboard)
        report.say("Loading the models")
        seen = {model: pool.look(model) for model in plan.models}
        weights = {model: str(facts.get("weights_sha256", "")) for model, facts in seen.items()}
        _refuse_other_weights(written, weights, store_at)
        if complete:
            return outcome
        outcome.unfit = {(m, label): why for m, facts in seen.items() for label, why in facts["unfit"].items()}
        unfit = frozenset(outcome.unfit)
        report.left = sum(1 for _ in plan.tasks(done, unfit))
        write_header(store_at, _header(plan, header, seen, outcome, pool.description, truths))
        report.begin()
        tasks = (replace(task, weights=weights[task.model]) for task in plan.tasks(done, unfit))
        for rows, maps in pool.results(tasks):
            store.append(rows, maps)
            report.count(rows)
            if on_rows is not None:
                on_rows(rows)
    return outcome


class _LostError(Exception):
    """The result went with its worker, or never came: nobody's fault, so it is computed again."""


class _Report:
    """Counts, tells, and stops where the user asked for it."""

    def __init__(self, outcome: Outcome, progress: ProgressCallback | None, cancel: Callable[[], bool] | None) -> None:
        self.outcome, self.progress, self.cancel = outcome, progress, cancel
        self.left, self.began, self._told = 0, time.monotonic(), 0.0

    def begin(self) -> None:
        self.began = time.monotonic()

    def say(self, text: str) -> None:
        """Tell what is going on, unless it is time to stop."""
        self.look()
        if self.progress is not None:
            self.progress(0.0, text)

    def look(self) -> None:
        """Raise Cancelled if the user asked to stop."""
        if self.cancel is not None and self.cancel():
            raise Cancelled

    def count(self, rows: list[Row]) -> None:
        o = self.outcome
        o.tasks += 1
        o.rows += len(rows)
        o.broken += sum(row.reason.startswith(FAILED) for row in rows)
        o.seconds = time.monotonic() - self.began
        if self.progress is not None and (o.seconds - self._told > 0.1 or o.tasks == self.left):
            self._told = o.seconds
            self.progress(o.tasks / max(1, self.left), _told(o, self.left))
        self.look()


def _told(outcome: Outcome, left: int) -> str:
    remaining = (left - outcome.tasks) / outcome.rate if outcome.rate else 0.0
    failures = f", {outcome.broken} rows failed" if outcome.broken else ""
    return f"{outcome.tasks} of {left}, {outcome.rate:.3g} a second, {duration(remaining)} left{failures}"


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 20 min``."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


class _Here:
    """No cluster: one piece after the other in this thread."""

    dashboard = ""
    description = "this process"

    def __init__(self, plan: Plan, work: Compute, look: Look, report: _Report) -> None:
        self.plan, self._work, self._look, self._report = plan, work, look, report

    def look(self, model: str) -> dict[str, Any]:
        return self._look(model, *self.plan.run_on)

    def results(self, tasks: Iterator[Task]) -> Iterator[Result]:
        for task in tasks:
            self._report.look()
            yield self._work(task, single_threaded=False) if self._work is compute else self._work(task)


class _Dask:
    """A window of tasks on a Dask cluster."""

    def __init__(self, client: Any, plan: Plan, work: Compute, look: Look, report: _Report) -> None:
        from .cluster import dashboard_of

        self.client, self.plan, self._work, self._look, self._report = client, plan, work, look, report
        self.dashboard = dashboard_of(client)
        self.description = f"Dask at {client.scheduler.address}" if client.scheduler else "Dask"

    def look(self, model: str) -> dict[str, Any]:
        """On every worker there is, so that all have loaded the model before the clock starts."""
        from distributed import KilledWorker

        asked = model, *self.plan.run_on
        futures = [
            self.client.submit(self._look, *asked, pure=False, workers=[worker], allow_other_workers=True)
            for worker in self.client.nthreads()
        ] or [self.client.submit(self._look, *asked, pure=False)]
        for future in futures:
            self._wait(future)
        try:
            found = [self._value(future) for future in futures]
        except (_LostError, KilledWorker):
            raise VLExplainError(
                f"A worker died while it loaded {model}, perhaps for want of memory; use fewer workers (--workers 1)."
            ) from None
        if len({facts.get("weights_sha256") for facts in found}) > 1:
            raise VLExplainError(f"The workers hold different files of {model}: give all of them the same.")
        return found[0]

    def results(self, tasks: Iterator[Task]) -> Iterator[Result]:
        """What the tasks give, as it comes; those that were at a worker when it died once too often come last."""
        suspects: list[Task] = []
        yield from self._window(tasks, AHEAD * self._threads(), suspects)
        for task in suspects:
            # One at a time, so that a worker's death is the fault of the one it was computing.
            guilty: list[Task] = []
            yield from self._window(iter([task]), 1, guilty, "-alone")
            if guilty:
                yield failed(task, "its worker died again and again, perhaps for want of memory"), []

    def _window(self, tasks: Iterator[Task], size: int, suspects: list[Task], mark: str = "") -> Iterator[Result]:
        from distributed import KilledWorker, as_completed

        waiting: dict[Any, Task] = {}

        def submit(task: Task) -> Any:
            future = self.client.submit(self._work, task, key=f"vlexplain-{task.key}{mark}", pure=False)
            waiting[future] = task
            return future

        window = as_completed([submit(task) for task in islice(tasks, size)])
        try:
            while waiting:
                future = self._next(window)
                task = waiting.pop(future)
                # Submitted first, so that no worker waits while rows are written.
                for more in islice(tasks, max(1, size - len(waiting))):
                    window.add(submit(more))
                try:
                    yield self._value(future)
                except (KilledWorker, _LostError):
                    suspects.append(task)
                except ModelChangedError:
                    raise
                except VLExplainError as error:
                    yield failed(task, str(error)), []
                future.release()
        finally:
            if waiting:
                self.client.cancel(list(waiting), force=True)

    def _next(self, window: Any) -> Any:
        """The next finished future, with a look at the user's wish now and then."""
        while window.queue.empty():
            self._report.look()
            if not self.client.status == "running":
                raise VLExplainError("The connection to the Dask scheduler was lost; start again to go on.")
            time.sleep(0.01)
        return next(window)

    def _wait(self, future: Any) -> None:
        from distributed import wait

        while not future.done():
            self._report.look()
            try:
                wait(future, timeout=POLL_SECONDS)
            except TimeoutError:
                continue

    def _value(self, future: Any) -> Any:
        """The result; KilledWorker, _LostError, or VLExplainError for what the work itself raised."""
        from distributed import KilledWorker

        # A result lies at its worker until it is fetched, and is lost with it; the status can change at any moment.
        try:
            return future.result(timeout=PATIENCE_SECONDS)
        except (KilledWorker, VLExplainError):
            raise
        except (CancelledError, TimeoutError) as error:
            raise _LostError from error
        except Exception as error:
            raise VLExplainError(f"the worker failed: {type(error).__name__}: {str(error)[:200]}") from None

    def _threads(self) -> int:
        return max(1, sum(self.client.nthreads().values()))


@contextmanager
def _pool(
    plan: Plan, workers: int | None, scheduler: str | None, work: Compute, look: Look, report: _Report
) -> Iterator[_Here | _Dask]:
    if workers == 0 and scheduler is None:
        yield _Here(plan, work, look, report)
        return
    from .cluster import client_of, default_workers

    report.say(f"Connecting to {scheduler}" if scheduler else "Starting workers")
    count = default_workers(plan.device) if workers is None else workers
    if count < 1:
        raise VLExplainError(f"workers is {count}, but it must be at least 1 (or 0 for this process).")
    with client_of(min(count, plan.count()), scheduler, plan.device) as client:
        yield _Dask(client, plan, work, look, report)


def _refuse_other(plan: Plan, header: dict[str, Any], folder: Path) -> None:
    known = header.get("dataset")
    if known is not None and known != plan.data.name:
        raise VLExplainError(f"{folder} holds rows of {known}, not of {plan.data.name}; name another folder.")
    split = header.get("facts", {}).get("split")
    if known is not None and split != plan.data.facts.get("split"):
        raise VLExplainError(f"{folder} holds rows of the split {split!r}; name another folder.")


def weights_in(header: dict[str, Any]) -> dict[str, set[str]]:
    """By name of a model the hashes that its rows were computed with, as the folder's page says."""
    found: dict[str, set[str]] = {}
    for start in header.get("starts", []):
        for model, facts in start.get("models", {}).items():
            if facts.get("weights_sha256"):
                found.setdefault(model, set()).add(str(facts["weights_sha256"]))
    return found


def _refuse_other_weights(written: dict[str, set[str]], weights: dict[str, str], folder: Path) -> None:
    for model, now in weights.items():
        before = written.get(model, {now})
        if now and now not in before:
            raise VLExplainError(
                f"{folder} holds rows of other weights of {model} ({min(before):.12}, not {now:.12}; its files changed "
                f"since): give these a folder of their own, such as --out {folder / 'second'}, or give the model's "
                "folder another name to have both in one report."
            )


def _header(
    plan: Plan,
    before: dict[str, Any],
    seen: dict[str, dict[str, Any]],
    outcome: Outcome,
    where: str,
    truths: dict[str, str],
) -> dict[str, Any]:
    """``benchmark.json``: the latest plan, and every start so far."""
    from ..tasks.explain import versions

    start = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "where": where,
        "versions": versions(),
        "models": {name: {k: v for k, v in facts.items() if k != "unfit"} for name, facts in seen.items()},
        "cases": len(plan.data.entries),
        "methods": [choice.label for choice in plan.methods],
        "metrics": list(plan.metrics),
        "target": plan.target,
        "seed": plan.seed,
        "dtype": plan.dtype,
        "size": plan.size,
        "unfit": [{"model": m, "method": label, "why": why} for (m, label), why in outcome.unfit.items()],
    }
    data = plan.data
    skipped = [problem for problem in data.problems if problem.skipped]
    return {
        "schema": SCHEMA,
        "dataset": data.name,
        "title": data.title,
        "facts": data.facts,
        "has_truth": data.has_truth,
        "skipped": [str(problem) for problem in skipped[:1000]],
        "skipped_count": len(skipped),
        "told": [str(problem) for problem in data.problems if not problem.skipped][:1000],
        "source": data.source,
        "truths": {**before.get("truths", {}), **truths},
        "starts": [*before.get("starts", []), start],
    }
