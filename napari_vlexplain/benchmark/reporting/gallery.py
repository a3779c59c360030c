"""The best and the worst cases of a method: image, heatmap and ground truth, from what the benchmark kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...datasets.catalogue import open_dataset
from ...datasets.dataset import DataSet
from ...datasets.reading import read_case
from ...drawing.overlay import as_source, as_uint8, draw_outline, overlay
from ...errors import VLExplainError
from ...scale import min_max
from ..rows import row_key
from ..store import iterate_records
from ..work import map_of_record
from .summary import Summary, better_of
from .table import Arm, Item, Table

WIDTH = 260


@dataclass(frozen=True, eq=False)
class Shown:
    """A case with a heatmap. image (H, W) or (H, W, 3 or 4); heatmap (H, W) in [0, 1]; truth (H, W) or None."""

    item: Item
    arm: Arm
    image: NDArray[Any]
    heatmap: NDArray[np.float32]
    truth: NDArray[np.bool_] | None


def extremes(table: Table, summary: Summary, arm: Arm, metric: str, count: int = 4) -> tuple[list[Item], list[Item]]:
    """(best, worst) items of an arm by a metric, ties in the order of the table; those without a value are neither."""
    values = table.values[metric][:, table.arms.index(arm)]
    sign = 1 if better_of(metric) == "lower" else -1
    order = [int(k) for k in np.argsort(sign * values, kind="stable") if not np.isnan(values[k])]
    best = order[:count]
    worst = [k for k in order[::-1] if k not in best][:count]
    return [table.items[k] for k in best], [table.items[k] for k in worst]


def open_again(header: dict[str, Any]) -> DataSet:
    """The data set that rows were made of. Raises VLExplainError when it is not here any more."""
    source = dict(header.get("source", {}))
    if not source.get("name"):
        raise VLExplainError("The rows do not say which data set they were made of.")
    return open_dataset(source.pop("name"), source.pop("root", None), **source)


def show(folder: Path, data: DataSet, wanted: list[tuple[Item, Arm]]) -> list[Shown]:
    """Items with their maps; those whose map or image is gone are left out."""

    def key(item: Item, arm: Arm) -> str:
        names = (arm.model, arm.method, arm.target)
        return row_key(data.name, item.case, item.prompt, item.text, *names, arm.seed, "map", arm.dtype, arm.size)

    keys = {key(*one) for one in wanted}
    maps = {record["key"]: record for record in iterate_records(folder, "maps") if record["key"] in keys}
    entries = {entry.id: entry for entry in data.entries}
    found = []
    for item, arm in wanted:
        kept = maps.get(key(item, arm))
        entry = entries.get(item.case)
        if kept is None or entry is None:
            continue
        try:
            case = read_case(entry)
            scores, geometry = map_of_record(kept)
        except VLExplainError:
            continue
        truth = case.masks[item.prompt] if entry.has_truth and case.masks[item.prompt].any() else None
        found.append(Shown(item, arm, case.image, min_max(geometry.scores_to_source(scores)), truth))
    return found


def picture(shown: Shown) -> str:
    """Image and overlay side by side with the ground truth's outline, as the source of an <img>."""
    plain = as_uint8(shown.image)
    heat = overlay(shown.image, shown.heatmap)
    if shown.truth is not None:
        width = max(1, round(max(plain.shape) / 150))
        plain = plain.copy()
        for panel in (plain, heat):
            draw_outline(panel, shown.truth, "truth", width)
    return as_source(np.concatenate([plain, heat], axis=1), 2 * WIDTH)
