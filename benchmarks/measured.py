"""Seconds and bytes: two sides in turn, and a peak of memory of its own for each."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

MIB = 1 << 20


def seconds_in_turn(
    sides: Sequence[Callable[[], Any]],
    device: str,
    most: int = 5,
    patience: float = 60.0,
    clock: Callable[[], float] = time.perf_counter,
) -> list[tuple[float, int, Any]]:
    """(median seconds, runs, last result) of each side, ``most`` runs or as many as start within ``patience`` seconds.

    The sides take turns, so that what else runs on the machine falls on all alike. ``clock`` may be
    ``time.process_time``, which stands still while others have the processor.
    """
    taken: list[list[float]] = [[] for _ in sides]
    results: list[Any] = [None for _ in sides]
    began = time.perf_counter()
    for run in range(most):
        if run and time.perf_counter() - began > patience:
            break
        for number, side in enumerate(sides):
            wait(device)
            started = clock()
            results[number] = side()
            wait(device)
            taken[number].append(clock() - started)
    return [(statistics.median(t), len(t), r) for t, r in zip(taken, results, strict=True)]


def wait(device: str) -> None:
    """Until a GPU has done what it was told."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


def peak_of(work: Callable[[], object], device: str) -> float:
    """MiB that ``work`` needs at its peak beyond what is held before it: of the GPU, or of this process.

    A process's peak only ever rises (but on Linux, where it can be reset), so each measurement wants its own process.
    """
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
        work()
        return (torch.cuda.max_memory_allocated(device) - held) / MIB
    reset_peak()
    before = peak_rss()
    work()
    return (peak_rss() - before) / MIB


def reset_peak() -> None:
    """Forget the peak so far, and what was freed but is still held, where the system allows it."""
    gc.collect()
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def peak_rss() -> int:
    """Bytes of main memory that this process held at most."""
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        if found:
            return int(found[1]) << 10
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10
