"""What the *Benchmark* dock holds: a data set, what is to be done with it, and the rows so far. No Qt, no torch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..datasets.catalogue import dataset_info, open_dataset
from ..datasets.dataset import DataSet
from ..errors import VLExplainError
from ..metrics.catalogue import metrics_of
from ..models.zoo import MINI
from ..running.run import ProgressCallback
from .plan import make_plan
from .reporting.gallery import Shown, open_again, show
from .reporting.table import Arm, Item
from .rows import Row
from .runner import Outcome, run_benchmark
from .store import read_header, read_rows

DEFAULT_FOLDER = "benchmark-output"


@dataclass(frozen=True)
class Line:
    """One case with one prompt and one method, and its figures by metric; None where one has no value.

    ``why`` : the reason for that, else what is told of the ground truth.
    """

    item: Item
    arm: Arm
    values: dict[str, float | None]
    why: str = ""


@dataclass
class Session:
    """A benchmark as chosen so far. ``processes`` 0 computes in this process, one case after the other."""

    dataset: str = "phantom-study"
    root: str = ""
    limit: int = 24
    seed: int = 0
    model: str = MINI.name
    methods: tuple[str, ...] = ("relevance",)
    metrics: tuple[str, ...] = ()
    floors: bool = True
    folder: str = DEFAULT_FOLDER
    processes: int = 0
    device: str | None = None
    dtype: str = "auto"
    live: LiveTable = field(default_factory=lambda: LiveTable())

    def problems(self) -> dict[str, str]:
        """Field -> one sentence on what is missing there; empty when it can be run."""
        found: dict[str, str] = {}
        if dataset_info(self.dataset).needs_root and not self.root.strip():
            found["root"] = f"Choose the folder of the data set. In it: {dataset_info(self.dataset).layout}"
        if not self.methods:
            found["methods"] = "Tick at least one method."
        if not self.folder.strip():
            found["folder"] = "Choose a folder for the rows."
        try:
            metrics_of(self.metrics)
        except VLExplainError as error:
            found["metrics"] = str(error)
        return found

    def open(self) -> DataSet:
        """The data set. Raises VLExplainError when it cannot be opened."""
        return open_dataset(self.dataset, self.root.strip() or None, limit=self.limit, seed=self.seed)

    def run(self, progress: ProgressCallback | None = None, cancel: Callable[[], bool] | None = None) -> Outcome:
        """Compute what is missing; ``live`` follows. Raises as :func:`run_benchmark` does."""
        if progress is not None:
            progress(0.0, "Opening the data set")
        data = self.open()
        plan = make_plan(data, [self.model], self.methods, self.metrics, seed=self.seed, floors=self.floors,
                         device=self.device, dtype=self.dtype)  # fmt: skip
        self.live.start(self.folder, {task.row_key(k, m) for task in plan.tasks(set())
                                      for k in range(len(task.entry.prompts)) for m in task.metrics})  # fmt: skip
        return run_benchmark(
            plan, self.folder, self.processes, None, progress, cancel, self.live.add, self.live.serve_dashboard
        )

    def layers_of(self, line: Line) -> Shown:
        """Image, heatmap and ground truth of a line. Raises VLExplainError when they are gone."""
        folder = Path(self.folder).expanduser()
        found = show(folder, open_again(read_header(folder)), [(line.item, line.arm)])
        if not found:
            raise VLExplainError(f"The image or the map of {line.item.case} is not there any more; run it again.")
        return found[0]


class LiveTable:
    """Rows as they come, gathered to lines. Threads may add while another reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[tuple[Item, Arm], Line] = {}
        self.changes = 0
        self.dashboard = ""

    def start(self, folder: str | Path, wanted: set[str]) -> None:
        """Begin anew, with those of the folder's rows that belong to the plan."""
        kept = [row for row in read_rows(Path(folder).expanduser()) if row.key in wanted]
        with self._lock:
            self._lines = {}
            self.dashboard = ""
        self.add(kept)

    def serve_dashboard(self, address: str) -> None:
        """Dask shows what it does at this address."""
        with self._lock:
            self.dashboard = address
            self.changes += 1

    def add(self, rows: list[Row]) -> None:
        """Take rows in."""
        with self._lock:
            for row in rows:
                item = Item(row.case, row.prompt, row.text, row.category, row.group)
                arm = Arm.of(vars(row))
                before = self._lines.get((item, arm), Line(item, arm, {}))
                told = row.reason if row.value is None else " ".join(row.notes.values())
                why = before.why or told
                self._lines[item, arm] = Line(item, arm, {**before.values, row.metric: row.value}, why)
            self.changes += 1

    @property
    def lines(self) -> list[Line]:
        """By case, prompt and method."""
        with self._lock:
            lines = list(self._lines.values())
        return sorted(lines, key=lambda line: (line.item.case, line.item.prompt, line.arm.is_floor, line.arm.method))

    @property
    def metrics(self) -> list[str]:
        """In the order of their first row."""
        with self._lock:
            return list(dict.fromkeys(name for line in self._lines.values() for name in line.values))

    def means(self) -> dict[str, dict[str, tuple[float, int]]]:
        """Method -> metric -> (mean of the values there are, NaN without any; how many have none)."""
        gathered: dict[str, dict[str, list[float]]] = {}
        for line in self.lines:
            for name, value in line.values.items():
                told = gathered.setdefault(line.arm.method, {}).setdefault(name, [])
                told.append(float("nan") if value is None else value)
        return {method: {name: _mean(values) for name, values in found.items()} for method, found in gathered.items()}


def _mean(values: list[float]) -> tuple[float, int]:
    known = [value for value in values if not np.isnan(value)]
    return (float(np.mean(known)) if known else float("nan")), len(values) - len(known)
