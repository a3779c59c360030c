"""Doors: torch's state inside and afterwards, and errors that nobody foresaw."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_clip
import torch

from napari_vlexplain import explain, load_model
from napari_vlexplain.errors import Cancelled, NoMemory, Unexpected, VLExplainError
from napari_vlexplain.models.loading import forget_models
from napari_vlexplain.running import logs
from napari_vlexplain.running.entrance import entrance
from napari_vlexplain.running.run import Run
from napari_vlexplain.running.torch_state import own_torch_state

METHODS: dict[str, dict[str, Any]] = {
    "relevance": {},
    "saliency": {},
    "m2ib": {"steps": 2, "samples": 2},
    "rise": {"masks": 8},
    "attn_lrp": {},
    "dsmi_grad": {},
    "clip_surgery": {},
    "kernel_shap": {},
}


@contextmanager
def setting(get: Callable[[], Any], put: Callable[[Any], Any], value: Any) -> Iterator[None]:
    before = get()
    put(value)
    try:
        yield
        assert get() == value, "the caller's setting was changed"
    finally:
        put(before)


def deterministic(on: bool) -> None:
    torch.use_deterministic_algorithms(on)


STATES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "inference mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "float64": lambda: setting(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    "meta": lambda: torch.device("meta"),
    "bf16 products": lambda: setting(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"),
    "deterministic": lambda: setting(torch.are_deterministic_algorithms_enabled, deterministic, True),
    "anomalies": lambda: setting(torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly, True),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_clip.save(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def expected(folder: str) -> dict[str, Any]:
    return {name: maps(folder, name) for name in METHODS}


def maps(folder: str, method: str) -> Any:
    found = explain(tiny_clip.picture(), ["a cat", "a dog"], model=folder, method=method, **METHODS[method])
    return np.stack([one.patch_scores for one in found]), [one.score for one in found]


@pytest.mark.parametrize("state", STATES)
def test_no_state_of_the_callers_reaches_a_result(folder: str, expected: dict[str, Any], state: str) -> None:
    forget_models()  # loaded and encoded inside as well
    with STATES[state]():
        inside = {name: maps(folder, name) for name in METHODS}
    after = maps(folder, "saliency")  # with what was remembered inside
    for name, (scores, values) in inside.items():
        np.testing.assert_array_equal(scores, expected[name][0], err_msg=name)
        assert values == expected[name][1], name
    np.testing.assert_array_equal(after[0], expected["saliency"][0])


@pytest.mark.parametrize("state", ["inference mode", "autocast", "float64"])
def test_texts_encoded_in_a_callers_state_stay_right(folder: str, state: str) -> None:
    forget_models()
    right = load_model(folder).encode_text(load_model(folder).tokenize(["a cat"]))
    forget_models()
    with STATES[state]():
        model = load_model(folder)
        model.encode_text(model.tokenize(["a cat"]))
    kept = model.encode_text(model.tokenize(["a cat"]))
    assert not kept.is_inference() and torch.equal(kept, right)


def test_loading_and_explaining_draw_none_of_the_callers_numbers(folder: str) -> None:
    def drawn() -> tuple[float, float, float]:
        return float(torch.rand(())), float(np.random.rand()), random.random()

    def seeded() -> None:
        torch.manual_seed(5)
        np.random.seed(5)
        random.seed(5)

    seeded()
    right = [drawn(), drawn()]
    seeded()
    first = drawn()
    forget_models()
    maps(folder, "m2ib")
    assert [first, drawn()] == right


def test_threads_inside_together_leave_the_process_as_it_was() -> None:
    """The first out must not put the caller's float64 back while the second computes."""
    inside, leave = threading.Barrier(3), {name: threading.Event() for name in "ab"}
    seen: dict[str, torch.dtype] = {}

    def work(name: str) -> None:
        with own_torch_state():
            inside.wait(10)
            leave[name].wait(10)
            seen[name] = torch.get_default_dtype()

    with STATES["float64"]():
        threads = {name: threading.Thread(target=work, args=(name,)) for name in "ab"}
        for thread in threads.values():
            thread.start()
        inside.wait(10)
        for name in "ab":
            leave[name].set()
            threads[name].join(10)
    assert seen == {"a": torch.float32, "b": torch.float32}


@entrance("Trying")
def fail(error: BaseException | None = None, run: Run | None = None) -> str:
    if run is not None:
        run.step(0.5, "half")
    if error is not None:
        raise error
    return "done"


def test_an_error_that_nobody_foresaw_is_a_sentence_and_in_the_log() -> None:
    with pytest.raises(Unexpected, match=r"^Trying failed unexpectedly \(KeyError: 'lost'\)") as told:
        fail(KeyError("lost"))
    assert isinstance(told.value.__cause__, KeyError)
    assert logs.for_people(logs.log_file()) in str(told.value)
    text = logs.log_file().read_text(encoding="utf-8")
    assert "Trying failed" in text and "in fail" in text and "KeyError" in text
    assert logs.log_file().stat().st_mode & 0o077 == 0


def test_the_log_holds_no_data() -> None:
    fault = RuntimeError("cannot read '/data/Miller, Jane/scan.dcm' or scan.dcm, /data/Miller, Jane/other scan")
    fault.__cause__ = FileNotFoundError(2, "No such file", "/data/Miller, Jane/scan.dcm")
    with pytest.raises(Unexpected):
        fail(fault)
    text = logs.log_file().read_text(encoding="utf-8")
    assert "No such file" in text and "Miller" not in text and "Jane" not in text and "scan" not in text


def test_the_log_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(logs, "log_file", lambda: tmp_path / "logs" / "vlexplain.log")
    monkeypatch.setattr(logs, "BYTES", 2000)
    for _ in range(200):
        logs.record("Trying failed", KeyError("x"))
    files = list((tmp_path / "logs").iterdir())
    assert len(files) == 1 + logs.FILES and all(file.stat().st_size <= 2000 for file in files)


def test_a_log_that_cannot_be_written_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(logs, "log_file", lambda: tmp_path / "file" / "vlexplain.log")
    with pytest.raises(Unexpected, match="the log could not be written"):
        fail(KeyError("lost"))


def test_memory_is_named() -> None:
    with pytest.raises(NoMemory, match=r"^Memory ran out") as told:
        fail(MemoryError())
    assert not isinstance(told.value, Unexpected) and told.value.__context__ is None


def test_what_is_told_already_stays_as_it_is() -> None:
    for error in (VLExplainError("Give a picture."), Cancelled(), KeyboardInterrupt()):
        with pytest.raises(type(error)) as told:
            fail(error)
        assert told.value is error
    with pytest.raises(TypeError, match="unexpected keyword"):
        fail(nothing=1)  # type: ignore[call-arg]
    assert fail() == "done"


def test_an_error_of_the_callers_own_function_is_the_callers() -> None:
    def progress(share: float, what: str) -> None:
        raise LookupError("my own")

    with pytest.raises(LookupError, match="my own"):
        fail(run=Run(progress))
    with pytest.raises(LookupError, match="my own"):
        explain(tiny_clip.picture(), "a cat", progress=progress)


def test_our_log_is_no_handler_of_the_callers() -> None:
    with pytest.raises(Unexpected):
        fail(KeyError("lost"))
    assert not logging.getLogger("napari_vlexplain").handlers and not logging.getLogger(logs.__name__).handlers
