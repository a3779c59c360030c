"""ImageNet, UC Merced and CelebA in the layouts they are distributed in."""

from __future__ import annotations

import csv
from pathlib import Path

from ...errors import VLExplainError
from .samples import image_files

IMAGENET_CLASSES = {
    "n02690373": "airliner",
    "n03417042": "garbage truck",
    "n01644373": "tree frog",
    "n01734418": "king snake",
    "n02108915": "french bulldog",
    "n04285008": "sports car",
    "n03792782": "mountain bike",
    "n04273569": "speedboat",
    "n04228054": "ski",
    "n04398044": "teapot",
}
"""The ten classes of the typographic experiment."""


def imagenet(folder: str | Path) -> dict[str, list[Path]]:
    """Validation images of the ten classes, by name.

    Two layouts are read: a folder for each class, named by its id (``n02690373/...JPEG``), and the flat one of the
    challenge with ``LOC_val_solution.csv`` beside or above it (``ILSVRC2012_val_00000001.JPEG``).

    Raises
    ------
    VLExplainError : neither layout, or a class without an image.
    """
    place = _folder(folder)
    found: dict[str, list[Path]] = {}
    by_class = next(
        (top for top in (place, place / "val") if any((top / wnid).is_dir() for wnid in IMAGENET_CLASSES)), None
    )
    if by_class is not None:
        found = {name: _if_any(by_class / wnid) for wnid, name in IMAGENET_CLASSES.items()}
    elif solution := next((p for p in _up(place) if (p / "LOC_val_solution.csv").is_file()), None):
        found = _from_solution(solution / "LOC_val_solution.csv", place)
    missing = [name for name in IMAGENET_CLASSES.values() if not found.get(name)]
    if missing:
        raise VLExplainError(
            f"{place} holds no ImageNet validation images of {', '.join(missing[:3])}: it needs a folder for each "
            "class (n02690373, ...), or the challenge's files with LOC_val_solution.csv."
        )
    return found


def uc_merced(folder: str | Path) -> dict[str, list[Path]]:
    """Images of the 21 land uses, by name: ``Images/agricultural/agricultural00.tif``.

    Raises
    ------
    VLExplainError : no such layout.
    """
    place = _folder(folder)
    top = next(
        (p for p in (place, place / "Images", place / "UCMerced_LandUse" / "Images") if (p / "freeway").is_dir()), None
    )
    if top is None or not (top / "airplane").is_dir():
        raise VLExplainError(
            f"{place} is no UC Merced folder: it needs Images/freeway, Images/airplane and so on, of TIFF files."
        )
    return {sub.name: image_files(sub) for sub in sorted(top.iterdir()) if sub.is_dir()}


def celeba(
    folder: str | Path, attributes: tuple[str, ...] = ("Male", "Gray_Hair")
) -> list[tuple[Path, dict[str, bool]]]:
    """Aligned faces with some attributes: ``img_align_celeba/000001.jpg`` and ``list_attr_celeba.txt``.

    The attribute file may lie in the folder or in ``Anno``; its comma-separated form is read too.

    Raises
    ------
    VLExplainError : no such layout, or no such attribute.
    """
    place = _folder(folder)
    tops = (place, place / "Anno", place.parent)
    names = ("list_attr_celeba.txt", "list_attr_celeba.csv")
    listing = next((top / name for top in tops for name in names if (top / name).is_file()), None)
    shapes = ("img_align_celeba/img_align_celeba", "img_align_celeba", "Img/img_align_celeba", ".")
    images = next((place / s for s in shapes if (place / s).is_dir() and any((place / s).glob("*.jpg"))), None)
    if listing is None or images is None:
        raise VLExplainError(f"{place} is no CelebA folder: it needs img_align_celeba and list_attr_celeba.txt.")
    header, rows = _attributes(listing)
    for name in attributes:
        if name not in header:
            raise VLExplainError(f"{listing.name} has no attribute {name!r}.")
    at = {name: header.index(name) + 1 for name in attributes}
    found = [(images / row[0], {name: row[i].strip() == "1" for name, i in at.items()}) for row in rows]
    found = [(file, values) for file, values in found if file.is_file()]
    if not found:
        raise VLExplainError(f"None of the images that {listing.name} lists is in {images}.")
    return found


def _attributes(listing: Path) -> tuple[list[str], list[list[str]]]:
    lines = listing.read_text(encoding="utf-8").splitlines()
    if listing.suffix == ".csv":
        table = list(csv.reader(lines))
        return table[0][1:], table[1:]
    return lines[1].split(), [line.split() for line in lines[2:] if line.strip()]


def _from_solution(solution: Path, place: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    tops = (place, place / "val", place / "ILSVRC" / "Data" / "CLS-LOC" / "val", place / "Data" / "CLS-LOC" / "val")
    with solution.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            name = IMAGENET_CLASSES.get(row["PredictionString"].split()[0])
            file = next((t / f"{row['ImageId']}.JPEG" for t in tops if (t / f"{row['ImageId']}.JPEG").is_file()), None)
            if name is not None and file is not None:
                found.setdefault(name, []).append(file)
    return {name: sorted(files) for name, files in found.items()}


def _up(place: Path) -> list[Path]:
    return [place, *list(place.resolve().parents)[:4]]


def _if_any(folder: Path) -> list[Path]:
    return image_files(folder) if folder.is_dir() else []


def _folder(folder: str | Path) -> Path:
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise VLExplainError(f"There is no folder {str(folder)!r}.")
    return place
