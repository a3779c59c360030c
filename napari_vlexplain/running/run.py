"""What a long computation shares with whoever asked for it: progress, cancellation, and memory that runs out."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import Cancelled, VLExplainError

if TYPE_CHECKING:
    import torch

ProgressCallback = Callable[[float, str], None]
"""Called with the finished share in [0, 1] and what is being done."""


@dataclass
class Run:
    """Progress and cancellation of one request; a method calls :meth:`step` between pieces of work.

    ``progress`` is called on the computing thread. ``cancel`` is polled; when it returns True, :class:`Cancelled`
    leaves the computation and nothing of it is kept.
    """

    progress: ProgressCallback | None = None
    cancel: Callable[[], bool] | None = None
    _span: tuple[float, float] = field(default=(0.0, 1.0), repr=False)

    def step(self, done: float, what: str) -> None:
        """Report ``done`` in [0, 1] of this run's span, and stop here if the user asked for it."""
        with _of_caller():
            stop = self.cancel is not None and self.cancel()
        if stop:
            raise Cancelled
        if self.progress is not None:
            start, end = self._span
            with _of_caller():
                self.progress(start + (end - start) * min(max(done, 0.0), 1.0), what)

    def part(self, start: float, end: float) -> Run:
        """A run that reports inside ``[start, end]`` of this one."""
        low, high = self._span
        width = high - low
        return Run(self.progress, self.cancel, (low + start * width, low + end * width))


@contextmanager
def _of_caller() -> Iterator[None]:
    """An error of the caller's own function goes to the caller as it is, see :func:`is_from_caller`."""
    try:
        yield
    except Exception as error:
        with suppress(AttributeError):
            error._from_caller = True  # type: ignore[attr-defined]
        raise


def is_from_caller(error: BaseException) -> bool:
    """Was this raised by a ``progress`` or ``cancel`` that the caller gave?"""
    return getattr(error, "_from_caller", False)


def is_out_of_memory(error: BaseException) -> bool:
    """Does this error mean that the device (or the host) has no memory left?"""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # The CPU allocator raises a plain RuntimeError with this wording.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def chunks(total: int, size: int, work: Callable[[slice], None]) -> None:
    """Call ``work`` on consecutive slices of ``range(total)``; when memory runs out, halve the slice and try it again.

    Finished slices are kept. A slice of one that still does not fit is reported with remedies.
    """
    start = 0
    size = max(1, min(size, total))
    while start < total:
        piece = slice(start, min(start + size, total))
        try:
            work(piece)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if size == 1:
                raise VLExplainError(
                    "Memory ran out even for one item at a time: close other programs, choose the CPU or a smaller "
                    "model, or explain fewer blocks (start_block=-1)."
                ) from None
            size //= 2
        else:
            start = piece.stop
            continue
        # Outside the handler the traceback, and the tensors that it holds, are gone.
        release_memory()


def release_memory() -> None:
    """Give cached blocks of the device's memory back."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def memory_budget(device: torch.device, share: float = 0.25) -> int:
    """Bytes that one chunk may take: a share of what is free on a GPU, 512 MiB on a CPU."""
    if device.type == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return max(int(free * share), 64 << 20)
    return 512 << 20


def slices(total: int, size: int) -> Iterator[slice]:
    """Consecutive slices of ``range(total)`` of at most ``size``."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def generator(seed: int, *scope: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator that belongs to (seed, scope): the same request draws the same numbers whatever ran before it."""
    import torch

    digest = hashlib.sha256("\0".join([str(seed), *scope]).encode()).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)
