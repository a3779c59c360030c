"""Which data sets there are, and how to open one by name."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from ..errors import VLExplainError, unknown
from ..running.plugins import Offered, offered
from .dataset import DataSet
from .info import DataSetInfo


@lru_cache(maxsize=1)
def _offered() -> Offered[DataSetInfo]:
    """What the modules of this folder name in ``DATASETS``, those that need no folder first; then other packages'."""
    modules = (
        import_module(f"{__package__}.{each.name}") for each in iter_modules(import_module(__package__).__path__)
    )
    ours = [info for module in modules for info in getattr(module, "DATASETS", ())]
    ours.sort(key=lambda info: info.needs_root)
    return offered("napari_vlexplain.datasets", DataSetInfo, {info.name: info for info in ours})


def list_datasets() -> list[DataSetInfo]:
    """The data sets there are, those of other packages (entry points ``napari_vlexplain.datasets``) included."""
    return list(_offered().found.values())


def problems() -> tuple[str, ...]:
    """A sentence for each data set of another package that was left out."""
    return _offered().problems


def dataset_info(name: str) -> DataSetInfo:
    """The data set of that name; raises VLExplainError if there is none."""
    known = _offered().found
    if name not in known:
        raise unknown("data set", name, known)
    return known[name]


def open_dataset(
    name: str,
    root: str | Path | None = None,
    *,
    split: str | None = None,
    images: str | Path | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> DataSet:
    """Open a data set: what can be read becomes entries, what cannot is listed in ``problems``.

    Parameters
    ----------
    name : one of :func:`list_datasets`.
    root : its folder, for those that have one.
    split : a part of it; what there is depends on the data set.
    images : the folder of the images, where they lie elsewhere.
    limit : at most so many cases; a random choice that belongs to ``seed``, the first ones of a drawn world.

    Raises
    ------
    VLExplainError : no such data set, folder, layout or split.
    """
    info = dataset_info(name)
    if limit is not None and (isinstance(limit, bool) or limit < 1):
        raise VLExplainError(f"limit is {limit!r}, but it must be a whole number of at least 1.")
    source = {"name": name, "split": split, "limit": limit, "seed": seed}
    if info.drawn:
        if root is not None:
            raise VLExplainError(f"{name} is drawn on the spot; leave the folder out.")
        return replace(info.opener(name, limit, seed), source=source)
    found = info.opener(root if root is not None else info.root, split, images)
    if not found.entries:
        first = f" The first problem: {found.problems[0]}" if found.problems else ""
        raise VLExplainError(f"{name} holds no case that can be read.{first}")
    places = {key: str(Path(path).expanduser().resolve()) for key, path in (("root", root), ("images", images)) if path}
    if name != found.name:
        found = replace(found, name=name, title=info.title)
    return replace(found.sample(limit, seed), source={**source, **places})
