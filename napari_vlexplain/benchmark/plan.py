"""What is to be computed, as plain data that travels to workers. No torch here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..datasets.dataset import DataSet, Entry
from ..errors import VLExplainError, unknown
from ..methods.catalogue import method
from ..methods.targets import TARGETS
from ..metrics.catalogue import DEFAULT_WITH_TRUTH, DEFAULT_WITHOUT_TRUTH, MetricInfo, metric, metrics_of
from ..models.precisions import resolved
from ..parameters import check, describe, parse
from .floors import FLOORS, PREFIX
from .rows import row_key, unless_usual


@dataclass(frozen=True)
class MethodChoice:
    """A method with the parameters that were set, or a floor (``floor:random``)."""

    name: str
    parameters: tuple[tuple[str, Any], ...] = ()

    @property
    def is_floor(self) -> bool:
        return self.name.startswith(PREFIX)

    @property
    def label(self) -> str:
        """As it is written on the command line: ``m2ib:layer=5;beta=0.1``."""
        settings = ";".join(f"{name}={value}" for name, value in self.parameters)
        return f"{self.name}:{settings}" if settings else self.name

    @classmethod
    def parse(cls, text: str) -> MethodChoice:
        """From that form. Raises VLExplainError for an unknown method, parameter or value."""
        if text.startswith(PREFIX):
            if text not in FLOORS:
                raise VLExplainError(f"There is no floor {text!r}; there are {', '.join(FLOORS)}.")
            return cls(text)
        name, _, settings = text.partition(":")
        info = method(name.strip())
        known = {p.name: p for p in describe(info.parameters_form)}
        found: dict[str, Any] = {}
        for pair in filter(None, (part.strip() for part in settings.split(";"))):
            key, equals, value = pair.partition("=")
            key = key.strip().replace("-", "_")
            if not equals or key not in known:
                offered = ", ".join(known) or "none"
                raise VLExplainError(f"{text!r} should be METHOD:NAME=VALUE;...; {name} has the parameters {offered}.")
            found[key] = check(known[key], parse(known[key], value))
        return cls(info.name, tuple(sorted(found.items())))


@dataclass(frozen=True)
class Task:
    """One case with one method on one model, and the metrics that are still missing.

    weights : the hash that the model must have; "" where it does not matter.
    """

    dataset: str
    entry: Entry
    model: str
    method: MethodChoice
    metrics: tuple[str, ...]
    target: str
    seed: int
    classes: tuple[str, ...] = ()
    other_prompt: str = ""
    device: str | None = None
    download: bool = False
    dtype: str = "float32"
    size: int | None = None
    weights: str = ""

    @property
    def key(self) -> str:
        asked = [self.dataset, self.entry.id, self.model, self.method.label, self.target, self.seed, *self.metrics]
        asked += unless_usual(self.dtype, self.size)
        return hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode()).hexdigest()[:24]

    def row_key(self, prompt: int, metric_name: str) -> str:
        """The key of one of its rows."""
        text = self.entry.prompts[prompt]
        names = (self.model, self.method.label, self.target)
        asked = (*names, self.seed, metric_name, self.dtype, self.size)
        return row_key(self.dataset, self.entry.id, prompt, text, *asked)


@dataclass(frozen=True)
class Plan:
    """A data set, and what to do with each of its cases.

    models : names. methods : with floors where they are wanted. metrics : by name.
    target : what is explained. seed : of every random number. dtype : of the models' matrix products. size : the side
        of their input, None for their own.
    """

    data: DataSet
    models: tuple[str, ...]
    methods: tuple[MethodChoice, ...]
    metrics: tuple[str, ...]
    target: str = "similarity"
    seed: int = 0
    device: str | None = None
    download: bool = False
    dtype: str = "float32"
    size: int | None = None

    def tasks(self, done: set[str], unfit: frozenset[tuple[str, str]] = frozenset()) -> Iterator[Task]:
        """The work whose rows are not all ``done``, model by model; ``unfit`` pairs of model and method left out."""
        others = self._other_prompts() if "prompt_spearman" in self.metrics else {}
        contrast = self.target in ("margin", "softmax") or any(metric(m).needs & _SCORED for m in self.metrics)
        for model in self.models:
            for entry in self.data.entries:
                for choice in self.methods:
                    if (model, choice.label) in unfit:
                        continue
                    task = Task(
                        dataset=self.data.name,
                        entry=entry,
                        model=model,
                        method=choice,
                        metrics=self.metrics_for(choice),
                        target=self.target,
                        seed=self.seed,
                        classes=self.data.classes if contrast else (),
                        other_prompt=others.get(entry.id, ""),
                        device=self.device,
                        download=self.download,
                        dtype=self.dtype,
                        size=self.size,
                    )
                    if missing := _missing(task, done):
                        yield task if missing == task.metrics else _with_metrics(task, missing)

    @property
    def run_on(self) -> tuple[tuple[MethodChoice, ...], str | None, bool, str, int | None]:
        """Methods, device, leave to download, dtype and size: what is to be known of a model before the work starts."""
        return self.methods, self.device, self.download, self.dtype, self.size

    def count(self) -> int:
        """Pieces of work in all, finished ones included."""
        return len(self.models) * len(self.methods) * len(self.data.entries)

    def metrics_for(self, choice: MethodChoice) -> tuple[str, ...]:
        """A floor explains no model and no words, so some metrics do not ask for it."""
        if not choice.is_floor:
            return self.metrics
        return tuple(name for name in self.metrics if not metric(name).needs & {"model", "word_score"})

    def _other_prompts(self) -> dict[str, str]:
        """For each case the prompt of another, of another category where there is one; it belongs to the seed."""
        found = {}
        for entry in self.data.entries:
            others = _drawn(self.data.entries, entry, self.seed)
            found[entry.id] = others[0].prompts[0] if others else ""
        return found


_SCORED = {"image_score", "word_score"}


def make_plan(
    data: DataSet,
    models: Sequence[str] = ("mini",),
    methods: Sequence[str] = ("relevance",),
    metrics: Sequence[str] = (),
    target: str = "similarity",
    seed: int = 0,
    floors: bool = True,
    device: str | None = None,
    download: bool = False,
    dtype: str = "auto",
    size: int | None = None,
) -> Plan:
    """A plan, checked.

    ``methods`` as :meth:`MethodChoice.parse` takes them; ``floors`` adds the four floors. ``metrics`` by name or group;
    by default what the data set allows. ``dtype`` of the models' matrix products: float32 (auto), bfloat16 or float16;
    ``size`` of their input, size x size pixels, by default their own.
    Raises VLExplainError for what does not exist or does not fit the data set.
    """
    if not models or not methods:
        raise VLExplainError("A benchmark needs at least one model and one method.")
    if target not in TARGETS:
        raise unknown("target", target, TARGETS)
    if target in ("margin", "softmax") and not data.classes:
        raise VLExplainError(f"The target {target} compares classes, which {data.name} has not; choose similarity.")
    chosen = [MethodChoice.parse(text) for text in methods]
    if floors:
        chosen += [MethodChoice(name) for name in FLOORS]
    defaults = DEFAULT_WITH_TRUTH if data.has_truth else DEFAULT_WITHOUT_TRUTH
    infos = metrics_of(metrics or defaults)
    if not data.has_truth:
        named = [m for m in metrics if m not in ("all",)]
        _refuse_truth(data, infos, named)
        infos = tuple(info for info in infos if "truth" not in info.needs)
    return Plan(
        data,
        tuple(dict.fromkeys(models)),
        tuple(dict.fromkeys(chosen)),
        tuple(info.name for info in infos),
        target,
        seed,
        device,
        download,
        resolved(dtype),
        size,
    )


def _refuse_truth(data: DataSet, infos: Sequence[MetricInfo], named: Sequence[str]) -> None:
    wrong = [info.name for info in infos if "truth" in info.needs and (info.name in named or info.group in named)]
    if wrong:
        raise VLExplainError(
            f"{wrong[0]} needs a ground truth, which {data.name} has not; choose of the groups perturbation, "
            "confidence, stability, complexity and randomisation."
        )


def _missing(task: Task, done: set[str]) -> tuple[str, ...]:
    prompts = range(len(task.entry.prompts))
    return tuple(m for m in task.metrics if not all(task.row_key(k, m) in done for k in prompts))


def _with_metrics(task: Task, names: tuple[str, ...]) -> Task:
    return replace(task, metrics=names)


def _drawn(entries: Sequence[Entry], entry: Entry, seed: int, count: int = 50) -> list[Entry]:
    """Some entries that ask something else, those of other categories first."""
    first = int.from_bytes(hashlib.sha256(f"{seed}\0{entry.id}".encode()).digest()[:8], "big")
    drawn = [entries[(first + step * 7919) % len(entries)] for step in range(min(count, 2 * len(entries)))]
    return sorted((e for e in drawn if e.prompts[0] != entry.prompts[0]), key=lambda e: e.category == entry.category)
