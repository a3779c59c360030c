"""Where the work is done: processes on this machine, or a Dask cluster that somebody else started."""

from __future__ import annotations

import logging
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..errors import VLExplainError

if TYPE_CHECKING:
    from distributed import Client

_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
PATIENCE = "30s"


def default_workers(device: str | None = None) -> int:
    """One for each GPU; without any, one for each core. (Looks for GPUs without starting them.)"""
    gpus = [] if device == "cpu" else gpu_names()
    return len(gpus) or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def gpu_names() -> list[str]:
    """As CUDA_VISIBLE_DEVICES names them: the ones this process may use."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in (part.strip() for part in given.split(",")) if name and name != "-1"]
    import torch

    return [str(k) for k in range(torch.cuda.device_count())]


@contextmanager
def client_of(workers: int, scheduler: str | None = None, device: str | None = None) -> Iterator[Client]:
    """A Dask client: of the scheduler at that address, else of ``workers`` new processes here, gone afterwards.

    Each worker runs one piece of work at a time; with GPUs each has one of its own.

    Raises
    ------
    VLExplainError : Dask is not installed, nobody answers at the address.
    """
    try:
        import dask
        from distributed import Client
    except ImportError:
        raise VLExplainError(
            "The benchmark runs on Dask; install it with: pip install 'napari-vlexplain[benchmark]'"
        ) from None
    _quieten()
    settings = {
        "distributed.comm.timeouts.connect": PATIENCE,
        "distributed.scheduler.allowed-failures": 3,
        "distributed.worker.daemon": True,
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.terminate": 0.95,
    }
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(settings))
        if scheduler is not None:
            try:
                client = Client(scheduler, timeout=PATIENCE)
            except Exception as error:
                first = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise VLExplainError(
                    f"Nobody answers at {scheduler} ({first[:120]}); give the address that `dask scheduler` prints, "
                    "such as tcp://10.0.0.5:8786."
                ) from None
            stack.callback(_close, client)
        else:
            scratch = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="vlexplain-dask-", ignore_cleanup_errors=True)
            )
            cluster = _local(workers, device, scratch)
            stack.callback(_close, cluster)
            client = Client(cluster)
            stack.callback(_close, client)
            client.register_plugin(_deaf_to_interrupts())
        yield client


def _local(workers: int, device: str | None, scratch: str) -> Any:
    from distributed import LocalCluster, Nanny, Scheduler, SpecCluster

    gpus = [] if device == "cpu" else gpu_names()
    if not gpus:
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            local_directory=scratch,
            env=_THREADS,
            memory_limit="auto",
            silence_logs=logging.CRITICAL,
        )
    spec = {
        k: {
            "cls": Nanny,
            "options": {
                "nthreads": 1,
                "local_directory": scratch,
                "env": {"CUDA_VISIBLE_DEVICES": gpus[k % len(gpus)]},
                "memory_limit": 0,
                "silence_logs": logging.CRITICAL,
            },
        }
        for k in range(workers)
    }
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}}
    return SpecCluster(workers=spec, scheduler=scheduler, silence_logs=logging.CRITICAL)


def _deaf_to_interrupts() -> Any:
    """For our own workers: Ctrl-C in a terminal reaches them too, but the command alone decides what it means."""
    from distributed import WorkerPlugin

    class DeafToInterrupts(WorkerPlugin):
        def setup(self, worker: Any) -> None:
            with suppress(ValueError):  # not on the main thread
                signal.signal(signal.SIGINT, signal.SIG_IGN)

    return DeafToInterrupts()


def dashboard_of(client: Client) -> str:
    """The address of Dask's dashboard; empty where there is none (it needs bokeh)."""
    with suppress(Exception):
        import bokeh  # noqa: F401 - Dask serves no dashboard without

        return str(client.dashboard_link or "")
    return ""


def _close(thing: Any) -> None:
    # A cluster that is being killed has nothing left to say.
    with suppress(Exception):
        thing.close(timeout=10)


def _quieten() -> None:
    for name in ("distributed", "tornado.application", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
