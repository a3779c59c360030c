"""Data sets to train on, by name: ``stickers``, ``folder``, ``cub`` and ``imagenet-s`` in their official layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..datasets.cub import open_cub
from ..datasets.dataset import DataSet, Entry, MaskFile
from ..datasets.imagenet_s import LAYOUT as IMAGENET_S_LAYOUT
from ..datasets.imagenet_s import class_names_of, open_imagenet_s
from ..datasets.tables import folder
from ..errors import VLExplainError, unknown
from .data import Item, TrainingData, split
from .scenes import CLASSES, Scene, check_classes

CUB_VALIDATION = 994
FOLDER_LAYOUT = "a folder of images for every class, root/CLASS/....png, and masks, if any, in root/masks/CLASS/....png"
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
SCENES = (1200, 200, 200)
"""Sticker scenes to train, to validate and to test, unless told otherwise."""


def open_training(
    name: str,
    root: str | Path | None = None,
    *,
    seed: int = 0,
    scenes: tuple[int, int, int] = SCENES,
    classes: tuple[str, ...] = CLASSES,
) -> TrainingData:
    """Open a data set to train on.

    Parameters
    ----------
    name : ``stickers``, ``folder``, ``cub`` or ``imagenet-s``.
    root : its folder; stickers are drawn.
    seed : of the split where there is no official one, and of the scenes.
    scenes, classes : of stickers: how many scenes to train, validate and test on, and what to tell apart.

    Raises
    ------
    VLExplainError : no such data set, another layout, and what :meth:`TrainingData.checked` refuses.
    """
    if name not in _OPENERS:
        raise unknown("data set to train on", name, _OPENERS)
    if name == "stickers":
        if root is not None:
            raise VLExplainError("stickers are drawn on the spot; leave the folder out.")
        return _stickers(seed, scenes, check_classes(tuple(classes))).checked()
    return _OPENERS[name](root, seed).checked()


def _stickers(seed: int, counts: tuple[int, int, int], classes: tuple[str, ...]) -> TrainingData:
    """Scenes of three seeds, so that no count changes which scenes the others are."""
    parts = []
    for part, count in enumerate(counts):
        drawn = (Scene(3 * seed + part, index, classes) for index in range(count))
        parts.append(tuple(Item(f"stickers-{s.seed}-{s.index:05d}", s, s.label) for s in drawn))
    facts = {"seed": seed, "scenes": list(counts)}
    return TrainingData("stickers", classes, parts[0], parts[1], parts[2], facts)


def _folder(root: str | Path | None, seed: int) -> TrainingData:
    """Of every class a tenth to validate and a tenth to test, at least one each where there are three."""
    base = folder(root, FOLDER_LAYOUT)
    places = sorted(path for path in base.iterdir() if path.is_dir() and path.name != "masks" and path.name[0] != ".")
    if not places:
        raise VLExplainError(f"{base} holds no folder of a class. Expected there: {FOLDER_LAYOUT}")
    parts: tuple[list[Item], list[Item], list[Item]] = ([], [], [])
    for label, place in enumerate(places):
        images = sorted(path for path in place.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
        if not images:
            raise VLExplainError(f"The class folder {place.name!r} holds no image; add some, or remove it.")
        items = [_with_mask(base, place.name, path, label) for path in images]
        few = max(1, len(items) // 10) if len(items) >= 3 else 0
        for found, part in zip(parts, split(items, (few, few), seed), strict=True):
            found.extend(part)
    names, (train, val, test) = tuple(place.name for place in places), (tuple(part) for part in parts)
    return TrainingData("folder", names, train, val, test, {"root": str(base), "seed": seed})


def _with_mask(base: Path, name: str, image: Path, label: int) -> Item:
    masks = (base / "masks" / name / f"{image.stem}{suffix}" for suffix in SUFFIXES)
    mask = next((path for path in masks if path.is_file()), None)
    return Item(f"{name}/{image.name}", image, label, None if mask is None else MaskFile(mask))


def _cub(root: str | Path | None, seed: int) -> TrainingData:
    """The official 5,994 training images as 5,000 and 994, drawn by the seed; the official test images."""
    everything = _intact(open_cub(root, "all"))
    classes = tuple(dict.fromkeys(entry.category for entry in everything.entries))
    train, test = (_items(_intact(open_cub(root, part)).entries, classes) for part in ("train", "test"))
    few = min(CUB_VALIDATION, len(train) // 6)
    train, val, _ = split(train, (few, 0), seed)
    facts = {"root": str(Path(root or "").resolve()), "seed": seed, "truth": everything.facts["truth"]}
    return TrainingData("cub", classes, train, val, tuple(test), facts)


def _imagenet_s(root: str | Path | None, seed: int) -> TrainingData:
    """Validated on train-semi, which therefore leaves the training images; tested on the official validation."""
    base = folder(root, IMAGENET_S_LAYOUT)
    if not (base / "train").is_dir():
        raise VLExplainError(
            f"{base} holds no train. Expected there: train/n01440764/....JPEG beside {IMAGENET_S_LAYOUT}"
        )
    names = class_names_of(base)
    val, test = (_intact(open_imagenet_s(base, part)) for part in ("train-semi", "validation"))
    synsets = sorted({entry.id.split("/")[0] for entry in (*val.entries, *test.entries)})
    labels = {synset: number for number, synset in enumerate(synsets)}
    taken = {entry.id for entry in val.entries}
    train = [
        Item(f"{synset}/{path.stem}", path, labels[synset])
        for synset in synsets
        for path in sorted((base / "train" / synset).glob("*"))
        if path.suffix.lower() in SUFFIXES and f"{synset}/{path.stem}" not in taken
    ]
    val_items, test_items = (
        tuple(Item(e.id, Path(str(e.image)), labels[e.id.split("/")[0]], e.truths[0]) for e in of.entries)
        for of in (val, test)
    )
    classes = tuple(names[synset] for synset in synsets)
    facts = {"root": str(base), "left_out_of_train": len(taken)}
    return TrainingData("imagenet-s", classes, tuple(train), val_items, test_items, facts)


def _items(entries: tuple[Entry, ...], classes: tuple[str, ...]) -> tuple[Item, ...]:
    numbers = {name: number for number, name in enumerate(classes)}
    return tuple(
        Item(e.id, e.image, numbers[e.category], e.truths[0] if e.truths else None)
        for e in entries
        if isinstance(e.image, Path)
    )


def _intact(data: DataSet) -> DataSet:
    """Raises VLExplainError where rows had to be skipped: a split of a part is no official split."""
    skipped = [problem for problem in data.problems if problem.skipped]
    if skipped:
        raise VLExplainError(f"{data.title} is not whole ({len(skipped)} rows). The first: {skipped[0]}")
    return data


_OPENERS: dict[str, Callable[[Any, int], TrainingData]] = {
    "stickers": lambda root, seed: _stickers(seed, SCENES, CLASSES),
    "folder": _folder,
    "cub": _cub,
    "imagenet-s": _imagenet_s,
}
DATASETS = tuple(_OPENERS)
