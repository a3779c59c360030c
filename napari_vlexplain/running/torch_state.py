"""A fence round our computations: inside it torch is as it comes, afterwards it is as the caller had it.

A caller may stand in ``inference_mode``, ``no_grad`` or ``autocast``, or have chosen another default dtype, device,
precision or seed. None of it may reach a result, or stay in a cache; and loading or training must not use up the
caller's random numbers. No torch at import: where nobody has imported it yet, there is nothing to fence off.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import Lock
from typing import Any

_DEVICES = ("cpu", "cuda", "mps", "xpu")
_PRECISIONS = ("mkldnn.matmul", "mkldnn.conv", "cuda.matmul")  # in torch.backends; cuDNN's is TF32 as it comes

_lock = Lock()
_inside = 0
_callers: list[Callable[[], Any]] = []


@contextmanager
def own_torch_state() -> Iterator[None]:
    """Grad on, no inference mode, no autocast, float32 on the CPU as defaults, full precision; then all as it was.

    Modes, autocast and the thread count belong to the thread. Default dtype, precision, deterministic algorithms and
    random states belong to the process: while threads are inside together, the first in and the last out change them.
    """
    if "torch" not in sys.modules:
        yield
        return
    import torch  # waits where another thread is still importing it

    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in _DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device() != torch.device("cpu"):
            stack.enter_context(torch.device("cpu"))
        threads = torch.get_num_threads()
        _enter()
        try:
            yield
        finally:
            _leave()
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)


def _enter() -> None:
    global _inside
    with _lock:
        _inside += 1
        if _inside == 1:
            _callers[:] = [*_kept_random_states(), *_set_as_it_comes()]


def _leave() -> None:
    global _inside
    with _lock:
        _inside -= 1
        if _inside == 0:
            for restore in reversed(_callers):
                restore()
            _callers.clear()


def _kept_random_states() -> list[Callable[[], Any]]:
    import numpy as np
    import torch

    ours, numpys, torchs = random.getstate(), np.random.get_state(), torch.get_rng_state()
    found = [lambda: random.setstate(ours), lambda: np.random.set_state(numpys), lambda: torch.set_rng_state(torchs)]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        cudas = torch.cuda.get_rng_state_all()
        found.append(lambda: torch.cuda.set_rng_state_all(cudas))
    return found


def _set_as_it_comes() -> list[Callable[[], Any]]:
    """Sets what belongs to the process, and gives what sets it back; what is as it comes is not touched."""
    import torch

    found: list[Callable[[], Any]] = []
    dtype = torch.get_default_dtype()
    if dtype != torch.float32:
        found.append(lambda: torch.set_default_dtype(dtype))
        torch.set_default_dtype(torch.float32)
    if torch.are_deterministic_algorithms_enabled():
        warn = torch.is_deterministic_algorithms_warn_only_enabled()
        found.append(lambda: torch.use_deterministic_algorithms(True, warn_only=warn))
        torch.use_deterministic_algorithms(False)
    if torch.is_anomaly_enabled():
        found.append(partial(torch.autograd.set_detect_anomaly, True))
        torch.autograd.set_detect_anomaly(False)
    return found + _full_precision(torch.backends)


def _full_precision(backends: Any) -> list[Callable[[], Any]]:
    """Matrix products of float32 in float32; before torch 2.9 there is one setting for all."""
    import torch

    if not hasattr(backends, "fp32_precision"):
        legacy = torch.get_float32_matmul_precision()
        if legacy == "highest":
            return []
        torch.set_float32_matmul_precision("highest")
        return [lambda: torch.set_float32_matmul_precision(legacy)]
    return [
        _put(place, precision)
        for place in (backends, *(_part(backends, name) for name in _PRECISIONS))  # a part may take it from the whole
        if (precision := place.fp32_precision) not in ("none", "ieee")
    ]


def _put(place: Any, precision: str) -> Callable[[], Any]:
    """Full precision there; gives what sets it back."""
    place.fp32_precision = "none"
    return lambda: setattr(place, "fp32_precision", precision)


def _part(backends: Any, name: str) -> Any:
    for step in name.split("."):
        backends = getattr(backends, step)
    return backends
