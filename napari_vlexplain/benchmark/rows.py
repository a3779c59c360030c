"""One line for each case x prompt x method x metric."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

FAILED = "failed: "
"""Begins the reason of a row whose computation broke; every other reason tells why the figure has no value."""


@dataclass(frozen=True)
class Row:
    """A figure, with all that is needed to know what it is.

    Attributes
    ----------
    key : of everything that was asked for, see :func:`row_key`.
    case, category, group : as in the data set.
    prompt : number of the prompt in its case; ``text`` is the prompt.
    method : as asked for, parameters that were set included; ``parameters`` are all of them, as JSON.
    target : what was explained.
    value : None where it has none; ``reason`` then tells why.
    seed : of every random number.
    seconds : the explanation took, per prompt; ``metric_seconds`` : the metric took.
    versions : of the packages that decide the numbers.
    detail : what an aggregate or a plot needs besides: pixel counts, a curve, the stages of a check.
    dtype : of the model's matrix products.
    size : the side of the model's input, None for its own.
    notes : what is to be told of the ground truth that the figure is of, and of the map, a text by the kind of thing.
    """

    key: str
    dataset: str
    case: str
    category: str
    group: str
    prompt: int
    text: str
    model: str
    method: str
    parameters: str
    target: str
    metric: str
    value: float | None
    reason: str
    seed: int
    seconds: float
    metric_seconds: float
    versions: str
    detail: dict[str, Any] | None = None
    dtype: str = "float32"
    size: int | None = None
    notes: dict[str, str] = field(default_factory=dict)

    def line(self) -> str:
        """As a line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"

    @classmethod
    def of(cls, record: dict[str, Any]) -> Row:
        """From such a line, also from before dtype and size; raises TypeError or KeyError where it is none."""
        whole = {"dtype": "float32", "size": None, "notes": {}, **record}
        return cls(**{name: whole[name] for name in _NAMES})


_NAMES = tuple(each.name for each in fields(Row))
UNTIMED = tuple(name for name in _NAMES if name not in ("seconds", "metric_seconds"))
"""The columns that come out alike wherever and however often a row is computed."""


def row_key(
    dataset: str,
    case: str,
    prompt: int,
    text: str,
    model: str,
    method: str,
    target: str,
    seed: int,
    metric: str,
    dtype: str = "float32",
    size: int | None = None,
) -> str:
    """16 hexadecimal digits of the sha256 of what was asked."""
    asked = [dataset, case, prompt, text, model, method, target, seed, metric, *unless_usual(dtype, size)]
    return hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode()).hexdigest()[:16]


def unless_usual(dtype: str, size: int | None) -> list[str]:
    """What a key says of dtype and size: of float32 and the model's own nothing, as before there was a choice."""
    return [*([] if dtype == "float32" else [dtype]), *([] if size is None else [f"{size} px"])]


def finite(value: float) -> float | None:
    """A figure as it is kept: None for NaN and infinity, which JSON does not know."""
    return float(value) if math.isfinite(value) else None
