"""The rows of a folder as columns: a figure, and numbers for everything that names it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import VLExplainError
from ...metrics.perturbation import Curve
from ..rows import FAILED
from ..store import iterate_records, parts

COUNTS = ("tp", "fp", "fn", "tn")


@dataclass(frozen=True)
class Arm:
    """What is compared: a model with a method, and where these differ target, seed, precision and size."""

    model: str
    method: str
    target: str
    seed: int
    dtype: str = "float32"
    size: int | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Arm:
        """Whose figure a row is, also one from before there was a dtype or a size."""
        dtype, size = row.get("dtype", "float32"), row.get("size")
        return cls(row["model"], row["method"], row["target"], row["seed"], dtype, size)

    @property
    def is_floor(self) -> bool:
        return self.method.startswith("floor:")


@dataclass(frozen=True)
class Item:
    """What is explained: a prompt of a case. Items of one group are resampled together."""

    case: str
    prompt: int
    text: str
    category: str
    group: str


@dataclass(eq=False)
class Table:
    """Figures by metric: a value, or NaN, for each item (rows) and arm (columns).

    values: metric -> (items, arms) float64. counts: metric -> (items, arms, 4) pixel counts, where rows have them.
    missing: (metric, arm) -> reason -> how many. curves: (metric, arm) -> mean curve. stages: likewise the means of a
    randomisation check. seconds: arm -> mean time of an explanation. parameters: arm -> as JSON. notes: what is to be
    told of ground truths: kind -> case -> in words.
    """

    items: list[Item]
    arms: list[Arm]
    metrics: list[str]
    values: dict[str, NDArray[np.float64]]
    counts: dict[str, NDArray[np.int64]]
    missing: dict[tuple[str, Arm], dict[str, int]]
    curves: dict[tuple[str, Arm], Curve]
    stages: dict[tuple[str, Arm], dict[str, float]]
    seconds: dict[Arm, float]
    parameters: dict[Arm, str]
    versions: dict[str, int]
    rows: int = 0
    broken: list[str] = field(default_factory=list)
    notes: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def clusters(self) -> NDArray[np.intp]:
        """For each item the number of its group."""
        numbers = _Numbers()
        return np.array([numbers(item.group) for item in self.items], dtype=np.intp)

    @property
    def categories(self) -> list[str]:
        """Those there are, sorted; none where no item has one."""
        return sorted({item.category for item in self.items if item.category})


class _Numbers(dict[Hashable, int]):
    """Things in the order of their first appearance."""

    def __call__(self, thing: Hashable) -> int:
        return self.setdefault(thing, len(self))


def read_table(folder: str | Path) -> Table:
    """Read every part of a folder; only columns stay in memory.

    Raises
    ------
    VLExplainError : there are no rows.
    """
    place = Path(folder).expanduser()
    if not parts(place, "rows"):
        raise VLExplainError(
            f"{place} holds no rows of a benchmark; run `vlexplain benchmark ... --out {place}` first."
        )
    items, arms, metrics, versions = _Numbers(), _Numbers(), _Numbers(), _Numbers()
    at: dict[str, int] = {}
    columns: list[tuple[int, int, int, float, float, int]] = []
    reasons: dict[int, str] = {}
    details: dict[int, dict[str, Any]] = {}
    parameters: dict[int, str] = {}
    broken: list[str] = []
    notes: dict[str, dict[str, str]] = {}
    for record in iterate_records(place, "rows", broken):
        try:
            key, value, reason = record["key"], record["value"], record["reason"]
            place_of = at.get(key)
            if place_of is not None and not reasons.get(place_of, "").startswith(FAILED):
                continue
            arm = arms(Arm.of(record))
            item = items(Item(record["case"], record["prompt"], record["text"], record["category"], record["group"]))
            entry = (
                item, arm, metrics(record["metric"]), np.nan if value is None else float(value),
                float(record["seconds"]), versions(record["versions"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError):
            broken.append("a line is no row")
            continue
        index = len(columns) if place_of is None else place_of
        if place_of is None:
            at[key] = index
            columns.append(entry)
        else:
            columns[index] = entry
            reasons.pop(index, None)
        if reason:
            reasons[index] = reason
        for kind, note in (record.get("notes") or {}).items():
            notes.setdefault(kind, {}).setdefault(record["case"], note)
        if record["detail"]:
            details[index] = _lean(record["detail"])
        if record["parameters"] != "{}":
            parameters.setdefault(arm, record["parameters"])
    if not columns:
        raise VLExplainError(f"The parts in {place} hold no rows that can be read.")
    found = _table([*items], [*arms], [*metrics], [*versions], np.array(columns), reasons, details, parameters, broken)
    found.notes.update({kind: dict(sorted(cases.items())) for kind, cases in sorted(notes.items())})
    return found


def _lean(detail: dict[str, Any]) -> dict[str, Any]:
    """What the report uses of a detail, arrays as arrays."""
    found: dict[str, Any] = {}
    if "tp" in detail:
        found["counts"] = tuple(detail[name] for name in COUNTS)
    if "values" in detail:
        found["fractions"] = np.asarray(detail["fractions"], dtype=np.float32)
        found["values"] = np.asarray(detail["values"], dtype=np.float32)
    if "stages" in detail:
        found["stages"] = detail["stages"]
    return found


def _table(
    items: list[Item],
    arms: list[Arm],
    metrics: list[str],
    versions: list[str],
    columns: NDArray[np.float64],
    reasons: dict[int, str],
    details: dict[int, dict[str, Any]],
    parameters: dict[int, str],
    broken: list[str],
) -> Table:
    item, arm, metric = (columns[:, k].astype(np.intp) for k in range(3))
    # In an order of their own: rows come in that of whichever worker was first.
    order = sorted(range(len(items)), key=lambda k: (items[k].case, items[k].prompt))
    item = np.argsort(order)[item]
    items = [items[k] for k in order]
    values, counts = {}, {}
    missing: dict[tuple[str, Arm], dict[str, int]] = {}
    for number, name in enumerate(metrics):
        chosen = np.flatnonzero(metric == number).tolist()
        grid = np.full((len(items), len(arms)), np.nan)
        grid[item[chosen], arm[chosen]] = columns[chosen, 3]
        values[name] = grid
        counted = [row for row in chosen if "counts" in details.get(row, {})]
        if counted:
            counts[name] = np.zeros((len(items), len(arms), 4), dtype=np.int64)
            counts[name][item[counted], arm[counted]] = [details[row]["counts"] for row in counted]
    for row, reason in reasons.items():
        told = missing.setdefault((metrics[metric[row]], arms[arm[row]]), {})
        told[reason] = told.get(reason, 0) + 1
    curves, stages = _means(details, [(metrics[m], arms[a]) for m, a in zip(metric, arm, strict=True)])
    return Table(
        items=items,
        arms=arms,
        metrics=metrics,
        values=values,
        counts=counts,
        missing=missing,
        curves=curves,
        stages=stages,
        seconds={one: float(columns[arm == k, 4].mean()) for k, one in enumerate(arms)},
        parameters={arms[k]: text for k, text in parameters.items()},
        versions={name: int((columns[:, 5] == k).sum()) for k, name in enumerate(versions)},
        rows=len(columns),
        broken=broken,
    )


def _means(
    details: dict[int, dict[str, Any]], owner: list[tuple[str, Arm]]
) -> tuple[dict[tuple[str, Arm], Curve], dict[tuple[str, Arm], dict[str, float]]]:
    """Mean curves (of one grid of fractions each: the most frequent) and mean stages."""
    lines: dict[tuple[str, Arm], dict[bytes, list[NDArray]]] = {}
    sums: dict[tuple[str, Arm], dict[str, list[float]]] = {}
    for row, detail in details.items():
        if "values" in detail:
            lines.setdefault(owner[row], {}).setdefault(detail["fractions"].tobytes(), []).append(detail["values"])
        for name, value in detail.get("stages", {}).items():
            if value is not None:
                sums.setdefault(owner[row], {}).setdefault(name, []).append(value)
    curves = {}
    for key, grids in lines.items():
        fractions, members = max(grids.items(), key=lambda pair: len(pair[1]))
        mean = np.asarray(np.stack(members).mean(axis=0, dtype=np.float64))
        curves[key] = Curve(np.frombuffer(fractions, dtype=np.float32).astype(np.float64), mean)
    return curves, {key: {n: float(np.mean(v)) for n, v in found.items()} for key, found in sums.items()}
