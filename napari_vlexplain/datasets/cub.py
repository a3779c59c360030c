"""CUB-200-2011 (Wah et al. 2011): birds of 200 species with segmentations, or boxes where those were not fetched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import VLExplainError
from .dataset import Boxes, DataSet, Entry, MaskFile, Problem, Truth, photo_of, unique
from .info import DataSetInfo
from .looking_over import looked_over
from .tables import Broken, box_of, existing, folder

LAYOUT = "images.txt, classes.txt, image_class_labels.txt, train_test_split.txt, bounding_boxes.txt, \
images/001.Black_footed_Albatross/....jpg, and segmentations/001.Black_footed_Albatross/....png"


def open_cub(root: str | Path | None, split: str | None = None, images: str | Path | None = None) -> DataSet:
    """A case is a bird, "a photo of a Black footed Albatross"; ``split`` is train, test (the default) or all.

    Segmentations hold how many annotators saw the bird, in fifths of white: inside is above half. They come as a
    separate download, in the folder or beside it; without them the boxes serve. Raises VLExplainError for another
    layout.
    """
    base = folder(root, LAYOUT)
    places = folder(images, LAYOUT) if images is not None else base
    part = split or "test"
    if part not in ("train", "test", "all"):
        raise VLExplainError(f"There is no split {part!r} of CUB; there are train, test and all.")
    problems: list[Problem] = []
    files = _numbered(base / "images.txt", problems)
    names = {
        number: text.split(".", 1)[-1].replace("_", " ")
        for number, text in _numbered(base / "classes.txt", problems).items()
    }
    labels = _numbered(base / "image_class_labels.txt", problems)
    trained = _numbered(base / "train_test_split.txt", problems)
    boxes = _numbered(base / "bounding_boxes.txt", problems)
    outlined = next((p for p in (base / "segmentations", base.parent / "segmentations") if p.is_dir()), None)

    def entries() -> Iterator[Entry]:
        for line, (number, path) in enumerate(files.items(), start=1):
            if part != "all" and trained.get(number) != ("1" if part == "train" else "0"):
                continue
            try:
                name = names.get(labels.get(number, ""))
                if name is None:
                    raise Broken(f"image {number} has no class")
                truth = _truth(path, outlined, boxes.get(number, ""))
                yield Entry(number, existing(places / "images", path), (photo_of(name),), (truth,), name)
            except Broken as error:
                problems.append(Problem("images.txt", line, f"{error}."))

    found = unique(entries(), problems, "images.txt")
    facts = {"split": part, "truth": "segmentations" if outlined else "boxes"}
    return looked_over(
        DataSet("cub", "CUB-200-2011", found, tuple(problems), tuple(map(photo_of, names.values())), facts)
    )


def _truth(path: str, outlined: Path | None, box: str) -> Truth:
    if outlined is not None:
        return MaskFile(existing(outlined, str(Path(path).with_suffix(".png"))), "half")
    return Boxes((box_of(box.split()),))


def _numbered(table: Path, problems: list[Problem]) -> dict[str, str]:
    """``1 what follows`` a line."""
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise VLExplainError(f"{table} is missing or no text. Expected: {LAYOUT}") from None
    found = {}
    for line, text in enumerate(lines, start=1):
        number, _, rest = text.strip().partition(" ")
        if not text.strip():
            continue
        if not number.isdigit() or not rest.strip():
            problems.append(Problem(table.name, line, "a row is a number and what belongs to it."))
            continue
        found[number] = rest.strip()
    return found


DATASETS = (
    DataSetInfo(
        "cub",
        "CUB-200-2011: birds",
        "masks",
        "Caltech, for non-commercial research",
        open_cub,
        LAYOUT,
    ),
)
