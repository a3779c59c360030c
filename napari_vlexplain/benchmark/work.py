"""What a worker does: one case, one method, all its metrics. A failure becomes rows that say so."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.cases import Case
from ..datasets.dataset import Entry
from ..datasets.reading import read_case
from ..errors import VLExplainError
from ..geometry import Geometry
from ..methods.targets import Target
from ..metrics.catalogue import metric
from ..metrics.figures import truth_notes
from ..models import load_model
from ..models.files.identity import ModelChangedError
from ..running.torch_state import own_torch_state
from .plan import MethodChoice, Task
from .rows import FAILED, Row, finite

if TYPE_CHECKING:
    from .maps import Map, Maps

Result = tuple[list[Row], list[dict[str, Any]]]


def compute(task: Task, single_threaded: bool = True) -> Result:
    """The rows of a task, and its maps as records.

    Raises nothing but what ends the process, and ModelChangedError when the model is no longer that of the task.

    ``single_threaded`` keeps torch to one thread on the CPU: sums then run in one order, and the figures are the same
    to the last digit on every worker.
    """
    import torch

    try:
        with own_torch_state():  # the thread count comes back with the rest
            if single_threaded and torch.get_num_threads() != 1:
                torch.set_num_threads(1)
            return _compute(task)
    except ModelChangedError:
        raise
    except Exception as error:
        return failed(task, _sentence(error)), []


def failed(task: Task, why: str) -> list[Row]:
    """The rows of a task that could not be computed."""
    return [
        _row(task, k, name, "{}", None, f"{FAILED}{why}", 0.0, 0.0, None)
        for k in range(len(task.entry.prompts))
        for name in task.metrics
    ]


def look_at_model(
    model: str,
    methods: tuple[MethodChoice, ...],
    device: str | None,
    download: bool,
    dtype: str = "float32",
    size: int | None = None,
) -> dict[str, Any]:
    """Before the work starts: can the model be loaded, and which of the methods does it not fit?

    Raises VLExplainError when it cannot be loaded, or does not run in the ``dtype`` or the ``size``.
    """
    from ..methods.catalogue import method
    from ..methods.catalogue import refuse_unfit as refuse

    loaded = load_model(model, device, download, dtype=dtype, size=size)
    unfit = {}
    for choice in methods:
        if choice.is_floor:
            continue
        try:
            refuse(method(choice.name), model, loaded.capabilities)
        except VLExplainError as error:
            unfit[choice.label] = str(error)
    return {"unfit": unfit, "device": str(loaded.device), "weights_sha256": loaded.weights_hash(),
            "licence": loaded.info.licence, "warning": loaded.info.warning}  # fmt: skip


def _compute(task: Task) -> Result:
    from .maps import Asked, explain_case

    case = _case(task.entry)
    model = load_model(task.model, task.device, task.download, dtype=task.dtype, size=task.size)
    if task.weights and model.weights_hash() != task.weights:
        raise ModelChangedError(
            f"The files of {task.model} changed while the benchmark ran: what was finished is kept; the changed model "
            "needs a folder of its own."
        )
    against = task.classes if task.target in ("margin", "softmax") else ()
    asked = Asked.of(model, case.image, case.prompts, Target(task.target, against), task.seed)
    found = explain_case(asked, task.method)
    rows: list[Row] = []
    for k, one in enumerate(found.maps):
        rows += _measured(task, case, asked, found, k, one)
    return rows, [_record(task, k, one) for k, one in enumerate(found.maps)]


def _measured(task: Task, case: Case, asked: Any, found: Maps, k: int, one: Map) -> Iterator[Row]:
    from .evaluate import evaluate
    from .probes import Probes

    truth = case.masks[k] if task.entry.has_truth and k < len(case.masks) else None
    probes = Probes(asked, task.method, k, task.classes, task.other_prompt)
    doubt = case.doubts[k] if k < len(case.doubts) else ""
    doubts = found.cautions[k] if k < len(found.cautions) else {}
    figures = evaluate(task.metrics, one, truth, case.ignored, probes, doubt)
    notes = {} if truth is None else _notes(case, one, None if doubt else truth)
    for name, figure in figures.items():
        value = finite(figure.value)
        reason = "" if value is not None else figure.reason or "it has no value here"
        row = _row(task, k, name, found.parameters, value, reason, found.seconds, figure.seconds, figure.detail)
        told = {**(notes if "truth" in metric(name).needs else {}), **doubts}
        yield replace(row, notes=told) if told else row


def _notes(case: Case, found: Map, truth: NDArray[np.bool_] | None) -> dict[str, str]:
    """What is to be told of a ground truth beside its figures, by kind; None where figures do not count it."""
    measured = () if truth is None else truth_notes(found.pixel_scores, truth, case.ignored)
    told: dict[str, str] = {}
    for note in (*case.notes, *measured):
        told[note.kind] = f"{told.get(note.kind, '')} {note}".strip()
    return told


def _row(
    task: Task,
    prompt: int,
    metric: str,
    parameters: str,
    value: float | None,
    reason: str,
    seconds: float,
    metric_seconds: float,
    detail: dict[str, Any] | None,
) -> Row:
    entry = task.entry
    return Row(
        key=task.row_key(prompt, metric),
        dataset=task.dataset,
        case=entry.id,
        category=entry.category,
        group=entry.group or entry.id,
        prompt=prompt,
        text=entry.prompts[prompt],
        model=task.model,
        method=task.method.label,
        parameters=parameters,
        target=task.target,
        metric=metric,
        value=value,
        reason=reason,
        seed=task.seed,
        seconds=round(seconds, 5),
        metric_seconds=round(metric_seconds, 5),
        versions=_versions(),
        detail=detail,
        dtype=task.dtype,
        size=task.size,
    )


def _record(task: Task, prompt: int, found: Map) -> dict[str, Any]:
    """A map small enough to keep: patch scores in half precision, scaled to their largest magnitude."""
    largest = float(np.abs(found.patch_scores).max()) or 1.0
    return {
        "key": task.row_key(prompt, "map"),
        "case": task.entry.id,
        "prompt": prompt,
        "model": task.model,
        "method": task.method.label,
        "scale": largest,
        "scores": base64.b64encode((found.patch_scores / largest).astype("<f2").tobytes()).decode(),
        "geometry": asdict(found.geometry),
    }


def map_of_record(record: dict[str, Any]) -> tuple[NDArray[np.float32], Geometry]:
    """Patch scores (gh, gw) and their geometry. Raises VLExplainError for a record that is none."""
    try:
        geometry = Geometry(**{name: tuple(value) for name, value in record["geometry"].items()})
        scores = np.frombuffer(base64.b64decode(record["scores"], validate=True), "<f2").astype(np.float32)
        return scores.reshape(geometry.grid) * np.float32(record["scale"]), geometry
    except (KeyError, TypeError, ValueError) as error:
        raise VLExplainError(f"A kept map cannot be read ({error}); compute its case again.") from None


@lru_cache(maxsize=2)
def _case(entry: Entry) -> Case:
    return read_case(entry)


@lru_cache(maxsize=1)
def _versions() -> str:
    from ..tasks.explain import versions

    return ", ".join(f"{name} {version}" for name, version in versions().items())


def _sentence(error: Exception) -> str:
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "no details")
    return first[:300] if isinstance(error, VLExplainError) else f"{type(error).__name__}: {first[:200]}"
