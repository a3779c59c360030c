"""ImageNet-S (Gao et al. 2022): ImageNet images with a label for every pixel, of 50, 300 or 919 classes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import VLExplainError
from .dataset import DataSet, Entry, MaskFile, Problem, photo_of, unique
from .info import DataSetInfo
from .tables import Broken, existing, folder

LAYOUT = "validation/n01440764/....JPEG, validation-segmentation/n01440764/....png, and the classes' names in \
LOC_synset_mapping.txt (n01440764 tench, Tinca tinca)"
IGNORED = 1000
_SYNSET = re.compile(r"n\d{8}")
_SIZES = (50, 300, 919)


def open_imagenet_s(root: str | Path | None, split: str | None = None, images: str | Path | None = None) -> DataSet:
    """A case is an image of a class, "a photo of a tench"; inside are the pixels of that class, 1000 counts nowhere.

    ``split`` is validation (the default), train-semi or test. A pixel's label is R + 256 G, the class's place among
    the sorted synsets from 1. Raises VLExplainError for another layout.
    """
    base = folder(root, LAYOUT)
    part = split or "validation"
    truths = base / f"{part}-segmentation"
    places = (folder(images, LAYOUT) if images is not None else base) / part
    if not truths.is_dir() or not places.is_dir():
        raise VLExplainError(f"{base} holds no {part} and {part}-segmentation. Expected there: {LAYOUT}")
    problems: list[Problem] = []
    names = _names(base, problems)
    numbers = _numbers(base, truths)

    def entries() -> Iterator[Entry]:
        for synset in sorted(path.name for path in truths.iterdir() if path.is_dir()):
            for mask in sorted((truths / synset).glob("*.png")):
                relative = f"{synset}/{mask.stem}"
                try:
                    if synset not in numbers or synset not in names:
                        raise Broken(f"the class {synset} has no name" if synset in numbers else f"no class {synset}")
                    image = existing(places, *(f"{relative}{suffix}" for suffix in (".JPEG", ".jpg", ".jpeg", ".png")))
                    truth = MaskFile(mask, "label", numbers[synset], IGNORED)
                    yield Entry(relative, image, (photo_of(names[synset]),), (truth,), names[synset])
                except Broken as error:
                    problems.append(Problem(f"{part}-segmentation/{relative}.png", None, f"{error}."))

    found = unique(entries(), problems, truths.name)
    classes = tuple(photo_of(names[synset]) for synset in numbers if synset in names)
    return DataSet("imagenet-s", "ImageNet-S", found, tuple(problems), classes, {"split": part})


def class_names_of(base: Path) -> dict[str, str]:
    """Synset -> the first of its names. Raises VLExplainError where the table of names is missing."""
    return _names(base, [])


def _names(base: Path, problems: list[Problem]) -> dict[str, str]:
    """Synset -> the first of its names."""
    table = next((p for p in (base / "LOC_synset_mapping.txt", base / "classes.txt") if p.is_file()), None)
    if table is None:
        raise VLExplainError(f"{base} does not say what its classes are called. Expected there: {LAYOUT}")
    found = {}
    for line, text in enumerate(table.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        synset, _, names = text.strip().partition(" ")
        if not text.strip():
            continue
        if not _SYNSET.fullmatch(synset) or not names.strip():
            problems.append(Problem(table.name, line, "a row is a synset and its names."))
            continue
        found[synset] = names.split(",")[0].strip()
    return found


def _numbers(base: Path, truths: Path) -> dict[str, int]:
    """Synset -> its label: from the release's list of categories, else from the folders if they are all there."""
    for table in sorted(base.glob("ImageNetS_categories_im*.txt")):
        synsets = sorted(set(_SYNSET.findall(table.read_text(encoding="utf-8"))))
        return {synset: number for number, synset in enumerate(synsets, start=1)}
    synsets = sorted(path.name for path in truths.iterdir() if path.is_dir() and _SYNSET.fullmatch(path.name))
    if len(synsets) not in _SIZES:
        raise VLExplainError(
            f"{truths.name} holds {len(synsets)} classes, but a release has 50, 300 or 919; for a part of one, add its "
            "list of categories, such as ImageNetS_categories_im919.txt."
        )
    return {synset: number for number, synset in enumerate(synsets, start=1)}


DATASETS = (
    DataSetInfo(
        "imagenet-s",
        "ImageNet-S",
        "masks",
        "for non-commercial research; images: ImageNet's terms",
        open_imagenet_s,
        LAYOUT,
    ),
)
