"""Stand-ins for the work of a benchmark: no torch, no time; importable by workers."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_vlexplain.benchmark.plan import MethodChoice, Plan, Task
from napari_vlexplain.benchmark.rows import Row
from napari_vlexplain.benchmark.work import Result
from napari_vlexplain.datasets.dataset import DataSet, Drawn, Entry


def synthetic(count: int, prompts: int = 1) -> DataSet:
    """Entries that nothing reads."""
    entries = tuple(
        Entry(
            f"case-{n:05d}",
            Drawn("stickers", 0, n),
            tuple(f"prompt {n} {k}" for k in range(prompts)),
            category=f"class {n % 4}",
            group=f"patient {n // 2}",
        )
        for n in range(count)
    )
    return DataSet("synthetic", "Synthetic cases", entries)


def plan(count: int, methods: int = 1, metrics: tuple[str, ...] = ("energy", "cnr"), prompts: int = 1) -> Plan:
    choices = tuple(MethodChoice("relevance", (("start_block", k),)) for k in range(methods))
    return Plan(synthetic(count, prompts), ("toy",), choices, metrics)


def look(model: str, methods: Any, device: Any, download: Any, dtype: str, size: Any) -> dict[str, Any]:
    return {"unfit": {}, "device": "cpu"}


def value_of(task: Task, prompt: int, metric: str) -> float:
    return int(task.row_key(prompt, metric)[:6], 16) / 16**6


def rows_of(task: Task) -> list[Row]:
    entry = task.entry
    return [
        Row(
            key=task.row_key(k, metric), dataset=task.dataset, case=entry.id, category=entry.category,
            group=entry.group, prompt=k, text=entry.prompts[k], model=task.model, method=task.method.label,
            parameters="{}", target=task.target, metric=metric, value=value_of(task, k, metric), reason="",
            seed=task.seed, seconds=time.perf_counter() % 1, metric_seconds=0.0, versions="none", dtype=task.dtype,
            size=task.size,
        )
        for k in range(len(entry.prompts))
        for metric in task.metrics
    ]  # fmt: skip


def work(task: Task) -> Result:
    return rows_of(task), [{"key": task.row_key(0, "map"), "case": task.entry.id}]


def slow_work(task: Task) -> Result:
    time.sleep(0.05)
    return work(task)


def counting_work(task: Task) -> Result:
    """Leaves a mark in the folder named by VLEXPLAIN_MARKS for each task."""
    with (Path(os.environ["VLEXPLAIN_MARKS"]) / task.key).open("a") as stream:
        stream.write("x")
    return work(task)


def dies_once(task: Task) -> Result:
    """The first worker that gets here is killed in the middle of its work."""
    mark = Path(os.environ["VLEXPLAIN_MARKS"]) / "died"
    if task.entry.id == "case-00003":
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return work(task)
        os.kill(os.getpid(), signal.SIGKILL)
    return work(task)


def dies_always(task: Task) -> Result:
    if task.entry.id == "case-00001":
        os.kill(os.getpid(), signal.SIGKILL)
    return work(task)


def breaks(task: Task) -> Result:
    if task.entry.id == "case-00001":
        raise RuntimeError("the roof fell in")
    return work(task)


def tells_device(task: Task) -> Result:
    """The device that this worker may use, and its process, as the reason of the rows."""
    time.sleep(0.05)
    seen = f"{os.environ.get('CUDA_VISIBLE_DEVICES')} {os.getpid()}"
    return [replace(row, value=None, reason=seen) for row in rows_of(task)], []
