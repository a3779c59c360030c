"""Exports read again: as records, and as napari's layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from ..drawing.colour import label_colours
from ..errors import VLExplainError
from ..layers.explanations import KEY, LayerData, record_of
from .files.archive import Export, is_export, open_export
from .files.case_files import CASE, read_case
from .records import CaseRecord

MOST_OPENED = 12
_CUT = {"truth": "truth", "model": "mask", "reader": "reader"}


def read_export(path: Path | str) -> list[CaseRecord]:
    """All records of an export: a folder, a zip, or the folder of one of its cases.

    What was not exported is missing: pixels are zeros of the image's size, masks and explanations left out.

    Raises
    ------
    VLExplainError : no export, a damaged or hostile one, one of another version.
    """
    return list(iterate_export(path))


def iterate_export(path: Path | str) -> Iterator[CaseRecord]:
    """As :func:`read_export`, one after the other: memory for one record is enough."""
    export, folders = _found(Path(path).expanduser())
    for folder in folders:
        with export.folder(folder) as place:
            yield read_case(place)


def napari_get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """A reader for exports: a folder, its manifest, a zip, or a case's folder; None for everything else."""
    paths = [Path(one) for one in ([path] if isinstance(path, str | Path) else path)]
    return read_layers if paths and all(_is_ours(one) for one in paths) else None


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Layers of every case: the image where it was exported, the heatmap, and each mask as Labels.

    Raises VLExplainError for a damaged export, one with more than ``MOST_OPENED`` cases, or without any picture.
    """
    found: list[LayerData] = []
    problem = ""
    for one in [path] if isinstance(path, str | Path) else path:
        place = Path(one).parent if Path(one).name == "manifest.json" else Path(one)
        _, folders = _found(place)
        if len(folders) > MOST_OPENED:
            raise VLExplainError(
                f"{place} holds {len(folders)} cases, too many to open at once; unpack it and open one of its folders "
                "under 'cases'."
            )
        for record in iterate_export(place):
            found += layers_of(record)
            problem = problem or record.problem
    if problem and not found:
        raise VLExplainError(f"There is no picture to show: {problem}")
    return found


def layers_of(record: CaseRecord) -> list[LayerData]:
    """A record as napari's layers, placed in millimetres where they are known; none of a case without a picture."""
    if record.problem:
        return []
    which = "" if record.frame is None else f", frame {record.frame + 1}"
    name = f"{record.case.rsplit('/', 1)[-1]}{which} | {record.prompt}"
    placed: dict[str, Any] = {"scale": record.spacing, "units": "mm"} if record.spacing is not None else {}
    source = str(uuid4())
    layers: list[LayerData] = []
    if record.image.strides[0]:  # zeros that stand for pixels that were not exported have no strides
        entry = {KEY: {"id": source, "kind": "source", "source": None, "prompts": [record.prompt]}}
        limits = {} if record.limits is None else {"contrast_limits": record.limits}
        rgb = record.image.ndim == 3
        layers.append((record.image, {"name": name, "metadata": entry, "rgb": rgb, **limits, **placed}, "image"))
    if record.explanation is not None:
        entry = {KEY: {"id": str(uuid4()), "kind": "heatmap", "source": source, **record_of(record.explanation)}}
        looks = {"contrast_limits": (0, 1), "colormap": "inferno", "opacity": 0.6, "blending": "translucent"}
        title = f"{name} | {record.explanation.request.method}"
        layers.append((record.explanation.heatmap, {"name": title, "metadata": entry, **looks, **placed}, "image"))
    for role, mask in record.masks.items():
        entry = {KEY: {"id": str(uuid4()), "kind": _CUT.get(role, "mask"), "source": source}}
        options = {"name": f"{name} | {role}", "metadata": entry, "opacity": 0.6, **placed}
        if mask.dtype == bool:  # labels have napari's own colours, to be told apart
            options["colormap"] = label_colours(role)
        layers.append((mask.astype(np.uint8), options, "labels"))
    return layers


def _found(place: Path) -> tuple[Export, list[str]]:
    """The export that a path belongs to, and the folders of the cases that are meant."""
    if (place / CASE).is_file() and place.parent.name == "cases":
        export, own = open_export(place.parent.parent), f"cases/{place.name}"
    else:
        export, own = open_export(place), None
    folders = [str(case["folder"]) for case in export.manifest["cases"]]
    if own is not None and own not in folders:
        raise VLExplainError(f"{place} is no case of the export that it lies in.")
    return export, folders if own is None else [own]


def _is_ours(path: Path) -> bool:
    """Fast, since napari asks for every folder and zip that it opens."""
    place = path.parent if path.name == "manifest.json" else path
    if (place / CASE).is_file() and place.parent.name == "cases":
        place = place.parent.parent
    return is_export(place)
