"""Described boxes in the files that people have: npz, the bottom-up-attention tsv, and h5.

A file of many images is searched for the one that is asked for: by file name, by its stem, or by the number at its
end (``COCO_val2014_000000123456.jpg`` is 123456). ``FILE#ID`` names one. Pickles are never read.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import VLExplainError
from ...io.files import writing
from .regions import Regions, regions_of

Size = tuple[int, int]

# Column names by their number: LXMERT's, ViLBERT's, and those of the detector's authors.
_COLUMNS = {
    10: ("id", "height", "width", "classes", "_", "_", "_", "count", "boxes", "features"),
    7: ("id", "width", "height", "count", "boxes", "features", "_"),
    6: ("id", "width", "height", "count", "boxes", "features"),
}
_NAMES = {
    "features": ("features", "x", "image_features", "feat"),
    "boxes": ("boxes", "bbox", "image_bb", "bb"),
    "normalised": ("norm_bb", "spatial_features"),
    "height": ("image_h", "img_h", "height"),
    "width": ("image_w", "img_w", "width"),
    "count": ("num_bbox", "num_boxes", "num_box"),
    "ids": ("image_id", "image_ids", "ids"),
}


def read_regions(path: str | Path, image: str, size: Size) -> Regions:
    """The regions of one image.

    Parameters
    ----------
    path : ``.npz`` (one image), ``.tsv`` (base64, of 6, 7 or 10 columns) or ``.h5``, ``.hdf5`` (one group an image, or
        arrays over all images with their ids, or with a JSON of id -> row beside it); ``FILE#ID`` names the image.
    image : the image's name or path, to find it in a file of many.
    size : (H, W) of the image, for files that do not say on which size the boxes were found.

    Raises
    ------
    VLExplainError : no such file, another layout, the image is not in it, or numbers that do not fit.
    """
    place, _, wanted = str(path).partition("#")
    file = Path(place).expanduser()
    readers = {".npz": _npz, ".tsv": _tsv, ".h5": _h5, ".hdf5": _h5}
    if file.suffix.lower() not in readers:
        raise VLExplainError(f"{file.name} is no file of regions; .npz, .tsv, .h5 and .hdf5 are.")
    if not file.is_file():
        raise VLExplainError(f"There is no file {place!r}.")
    return readers[file.suffix.lower()](file, wanted or image, size)


def write_regions(regions: Regions, path: str | Path) -> Path:
    """Keep regions as ``.npz``, for another time: features, boxes, image_h, image_w and labels."""
    file = Path(path).expanduser()
    if file.suffix.lower() != ".npz":
        raise VLExplainError(f"Regions are kept as .npz, not as {file.suffix or 'a file without ending'}.")
    height, width = regions.size
    held: dict[str, Any] = {"features": regions.features, "boxes": regions.boxes, "image_h": height, "image_w": width}
    if regions.labels:
        held["labels"] = np.array(regions.labels)
    with writing(file):
        np.savez(file, **held)
    return file


def _npz(file: Path, image: str, size: Size) -> Regions:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            # Only what is needed is opened: other members may be pickles.
            known = {name for names in _NAMES.values() for name in names} | {"labels"}
            held = {name: arrays[name] for name in arrays.files if name in known}
    except Exception:
        raise VLExplainError(f"{file.name} cannot be read as npz without unpickling; save plain arrays.") from None
    return _of_arrays(held, size, file.name)


def _tsv(file: Path, image: str, size: Size) -> Regions:
    line = _line_of(file, image)
    row = dict(zip(_COLUMNS[len(line)], line, strict=True))
    try:
        height, width, count = int(row["height"]), int(row["width"]), int(row["count"])
        boxes = np.frombuffer(base64.b64decode(row["boxes"], validate=True), dtype=np.float32).reshape(count, 4)
        packed = np.frombuffer(base64.b64decode(row["features"], validate=True), dtype=np.float32)
        features = packed.reshape(count, packed.size // max(count, 1))
        labels = _labels(file, row.get("classes"), count)
    except (ValueError, binascii.Error):
        raise VLExplainError(
            f"The line of {row['id']} in {file.name} is damaged: counts and base64 do not fit."
        ) from None
    return regions_of(boxes, features, (height, width), labels)


def _line_of(file: Path, image: str) -> list[str]:
    """The columns of the image's line; files run to gigabytes, so lines are looked at one by one."""
    only: list[str] | None = None
    several = False
    try:
        with file.open(encoding="ascii") as lines:
            for text in lines:
                if not text.strip():
                    continue
                line = text.rstrip("\n").split("\t")
                if len(line) not in _COLUMNS:
                    columns = ", ".join(str(n) for n in sorted(_COLUMNS))
                    raise VLExplainError(f"{file.name} has {len(line)} columns, but files of regions have {columns}.")
                if _same(line[0], image):
                    return line
                several, only = several or only is not None, line
    except UnicodeDecodeError:
        raise VLExplainError(f"{file.name} is no text; a tsv of regions holds base64.") from None
    if only is not None and not several:
        return only
    raise _missing(file, image)


def _labels(file: Path, packed: str | None, count: int) -> tuple[str, ...]:
    """Object names, where the detector's list of them (objects_vocab.txt) lies beside the file."""
    vocabulary = file.parent / "objects_vocab.txt"
    if packed is None or not vocabulary.is_file():
        return ()
    names = [line.split(",")[0].strip() for line in vocabulary.read_text(encoding="utf-8").splitlines()]
    numbers = np.frombuffer(base64.b64decode(packed, validate=True), dtype=np.int64)
    if len(numbers) != count or (count and not 0 <= numbers.min() <= numbers.max() < len(names)):
        return ()
    return tuple(names[number] for number in numbers)


def _h5(file: Path, image: str, size: Size) -> Regions:
    try:
        import h5py
    except ImportError:
        raise VLExplainError("h5 files need h5py: pip install h5py, or convert the file to npz.") from None
    try:
        with h5py.File(file, "r") as held:
            return _of_arrays(_h5_row(held, h5py.Group, file, image), size, file.name)
    except OSError:
        raise VLExplainError(f"{file.name} cannot be read as HDF5; copy it again.") from None


def _h5_row(held: Any, group: type, file: Path, image: str) -> dict[str, NDArray]:
    """One image's arrays: a group of its own, or its row in arrays over all images."""
    groups = [name for name in held if isinstance(held[name], group)]
    if groups:
        found = next((name for name in groups if _same(name, image)), groups[0] if len(groups) == 1 else None)
        if found is None:
            raise _missing(file, image)
        attributes = {name: np.asarray(value) for name, value in held[found].attrs.items()}
        return {**attributes, **{name: np.asarray(array) for name, array in held[found].items()}}
    ids = _first(held, "ids")
    names = [_text(value) for value in np.asarray(ids)] if ids is not None else _index(file)
    starts = held.get("pos_boxes")
    count = len(starts) if starts is not None else 0
    if names is None:
        count = count or (len(held[next(iter(held))]) if _stacked(held) else 1)
        if count > 1:
            raise VLExplainError(
                f"{file.name} does not say which row is which image: put {file.with_suffix('.json').name} beside it, "
                "a JSON of id -> row (from the pickle that came with it)."
            )
        row = 0
    else:
        rows = {k: row for row, k in enumerate(names)} if isinstance(names, list) else names
        key = next((k for k in rows if _same(k, image)), None)
        if key is None:
            raise _missing(file, image)
        row = int(rows[key])
    if starts is not None:  # boxes of all images in one run, image by image
        first, last = (int(edge) for edge in starts[row])
        return {name: np.asarray(held[name][first:last]) for name in held if name != "pos_boxes"}
    if not _stacked(held):
        return {name: np.asarray(held[name]) for name in held}
    return {name: np.asarray(held[name][row]) for name in held}


def _stacked(held: Any) -> bool:
    """Do the arrays run over images?"""
    features = _first(held, "features")
    return features is not None and features.ndim == 3


def _index(file: Path) -> dict[str, int] | None:
    beside = file.with_suffix(".json")
    if not beside.is_file():
        return None
    try:
        return {str(name): int(row) for name, row in json.loads(beside.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        raise VLExplainError(f"{beside.name} is no JSON of image id -> row.") from None


def _of_arrays(held: Mapping[str, NDArray], size: Size, name: str) -> Regions:
    boxes, features = _first(held, "boxes"), _first(held, "features")
    height, width = _number(held, "height", size[0]), _number(held, "width", size[1])
    if boxes is None and (shares := _first(held, "normalised")) is not None:
        boxes = np.asarray(shares, dtype=np.float64)[:, :4] * [width, height, width, height]
    if boxes is None or features is None:
        lacking = "boxes" if boxes is None else "features"
        raise VLExplainError(f"{name} holds {', '.join(held) or 'nothing'}, but no {lacking} ({_wanted(lacking)}).")
    boxes = np.asarray(boxes)
    count = _number(held, "count", len(boxes))
    if features.ndim == 2 and features.shape[0] != len(boxes) and features.shape[1] == len(boxes):
        features = features.T  # some keep a column for each box
    labels = tuple(str(label) for label in held["labels"][:count]) if "labels" in held else ()
    return regions_of(boxes[:count], features[:count], (height, width), labels)


def _wanted(what: str) -> str:
    return ", ".join(_NAMES[what])


def _first(held: Mapping[str, Any], what: str) -> Any:
    return next((held[name] for name in _NAMES[what] if name in held), None)


def _number(held: Mapping[str, Any], what: str, otherwise: int) -> int:
    found = _first(held, what)
    return otherwise if found is None else int(np.asarray(found).reshape(-1)[0])


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _same(key: str, image: str) -> bool:
    """Is the image of this name (perhaps a path) the one of this key?"""
    name = image.replace("\\", "/").rsplit("/", 1)[-1]
    stem = name.rsplit(".", 1)[0] if "." in name else name
    if key in (image, name, stem):
        return True
    digits = re.search(r"(\d+)$", stem)
    return digits is not None and key.isdigit() and int(key) == int(digits[1])


def _missing(file: Path, image: str) -> VLExplainError:
    return VLExplainError(f"{file.name} holds no regions of {image!r}; name the image as FILE#ID.")
