"""Where the answer lies: a mask from an image file, or from boxes in a JSON file.

Boxes are ``[x, y, width, height]`` in source pixels from the top left corner (the form of COCO and MS-CXR)::

    {"boxes": [[40, 30, 120, 80], [300, 60, 50, 50]]}

One file can serve several prompts: a box may be an object that says whose it is. Boxes that do not say so belong to
every prompt::

    {"boxes": [{"box": [40, 30, 120, 80], "prompt": "a photo of a dog"}, {"box": [300, 60, 50, 50], "label": "kite"}]}

``prompt`` is a prompt in full, ``label`` words that occur in it; case does not matter. A single ``box`` of null says
that the prompt has no ground truth. In place of a file's name its text may be given.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from .images import read_image

Mask = NDArray[np.bool_]
_MOST_BYTES = 64 << 20
_FORM = '{"boxes": [[x, y, width, height], ...]}'


def read_ground_truth(path: str | Path, shape: tuple[int, int], prompt: str | None = None) -> Mask | None:
    """The ground truth of an image as (H, W) bool; boxes are united. None where it is said that there is none.

    Parameters
    ----------
    path : a mask image, or a ``.json`` file of boxes as above, or what such a file holds. In a mask, what is not zero
        is inside; transparent pixels are outside, and a drawing in plain black on transparent ground counts. Of a
        JPEG, whose zeros are never quite zero, the brighter half of the range is inside.
    shape : (H, W) of the image.
    prompt : take only the boxes that belong to it; None takes all.

    Raises
    ------
    VLExplainError : no such file, neither image nor JSON, another size than the image's, a box without area, no box
        for the prompt.
    """
    if isinstance(path, str) and path.lstrip().startswith("{"):
        return _united(_listed(path, "The ground truth"), shape, "The ground truth", prompt)
    file = Path(path).expanduser()
    if file.suffix.lower() == ".json":
        return _united(_listed(_text(file), file.name), shape, file.name, prompt)
    mask = _mask(read_image(file), file)
    if mask.shape != shape:
        raise VLExplainError(
            f"{file.name} is {mask.shape[1]} x {mask.shape[0]} pixels, but the image is {shape[1]} x {shape[0]}."
        )
    return mask


def mask_of_boxes(boxes: list[Any], shape: tuple[int, int], where: str = "The list") -> Mask:
    """The union of boxes ``[x, y, width, height]`` as (H, W) bool: pixels whose centre a box covers, at least one each.

    Boxes are clipped at the border. Raises VLExplainError for a box that is not four numbers, has no area, or lies
    wholly outside.
    """
    mask = np.zeros(shape, dtype=bool)
    for number, box in enumerate(boxes, start=1):
        x, y, width, height = _numbers(box, f"{where}: box {number}")
        if width <= 0 or height <= 0:
            raise VLExplainError(f"{where}: box {number} is {width:g} wide and {height:g} high; both must be above 0.")
        if x >= shape[1] or y >= shape[0] or x + width <= 0 or y + height <= 0:
            raise VLExplainError(
                f"{where}: box {number} {box} lies outside the image of {shape[1]} x {shape[0]} pixels; "
                "boxes are [x, y, width, height] in pixels from the top left."
            )
        mask[_span(y, height, shape[0]), _span(x, width, shape[1])] = True
    return mask


def boxes_of(mask: Mask) -> list[list[int]]:
    """Boxes whose union is exactly the mask (H, W), see :func:`mask_of_boxes`.

    Each is a run of pixels in a row, grown down as long as the next rows have the same run.
    """
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    found: list[list[int]] = []
    last: dict[tuple[int, int], list[int]] = {}
    for y, start, end in zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True):
        box = last.get((start, end))
        if box is not None and box[1] + box[3] == y:
            box[3] += 1
        else:
            last[start, end] = box = [start, y, end - start, 1]
            found.append(box)
    return found


def _span(start: float, length: float, size: int) -> slice:
    """Pixels ``i`` with ``start <= i + 0.5 < start + length``, at least the one in its middle."""
    first, end = math.ceil(start - 0.5), math.ceil(start + length - 0.5)
    if end <= first:
        first = math.floor(start + length / 2)
        end = first + 1
    first = min(max(first, 0), size - 1)
    return slice(first, max(min(end, size), first + 1))


def _mask(pixels: NDArray, file: Path) -> Mask:
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        visible, colours = pixels[..., 3] > 0, pixels[..., :3].any(axis=2)
        return visible & colours if (visible & colours).any() or visible.all() else visible
    if pixels.dtype.kind == "f" and np.isnan(pixels).any():
        raise VLExplainError(f"{file.name} holds NaN, but a mask is zero outside and not zero inside.")
    if file.suffix.lower() in (".jpg", ".jpeg"):
        pixels = pixels > 127
    return np.asarray(pixels.any(axis=2) if pixels.ndim == 3 else pixels != 0, dtype=bool)


def _united(items: list[Any], shape: tuple[int, int], where: str, prompt: str | None) -> Mask | None:
    """The boxes that belong to a prompt (None: all) as a mask; None where the only one is null."""
    found = [_entry(item, where, number) for number, item in enumerate(items, start=1)]
    chosen = [box for box, whose, label in found if prompt is None or _belongs(prompt, whose, label)]
    if not chosen:
        named = sorted({name for _, whose, label in found for name in (whose, label) if name is not None})
        raise VLExplainError(f"{where} has no box for {prompt!r}; its boxes are for {', '.join(map(repr, named))}.")
    return None if chosen == [None] and isinstance(items[0], dict) else mask_of_boxes(chosen, shape, where)


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise VLExplainError(f"{file.name} is larger than {_MOST_BYTES >> 20} MB; a file of boxes is not.")
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise VLExplainError(f"There is no file {str(file)!r}.") from None
    except (OSError, ValueError):
        raise VLExplainError(f"{file.name} cannot be read as JSON; it should hold {_FORM}.") from None


def _listed(text: str, where: str) -> list[Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise VLExplainError(f"{where} cannot be read as JSON; it should hold {_FORM}.") from None
    boxes = data.get("boxes") if isinstance(data, dict) else None
    if not isinstance(boxes, list) or not boxes:
        raise VLExplainError(f"{where} lists no boxes; it should hold {_FORM}.")
    return boxes


def _entry(item: Any, file: str, number: int) -> tuple[Any, str | None, str | None]:
    """(box, prompt, label) of one entry."""
    if not isinstance(item, dict):
        return item, None, None
    names = [item.get("prompt"), item.get("label")]
    if "box" not in item or not all(name is None or isinstance(name, str) for name in names):
        raise VLExplainError(
            f'{file}: box {number} should be [x, y, width, height], or {{"box": [...], "prompt": "..."}}.'
        )
    return item["box"], names[0], names[1]


def _belongs(prompt: str, whose: str | None, label: str | None) -> bool:
    asked = words_of(prompt)
    if whose is not None:
        return words_of(whose) == asked
    return label is None or f" {words_of(label)} " in f" {asked} "


def words_of(text: str) -> str:
    """What of a prompt counts when boxes are looked up for it."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def _numbers(box: Any, which: str) -> tuple[float, float, float, float]:
    fits = isinstance(box, list | tuple) and len(box) == 4
    if not fits or not all(isinstance(x, int | float) and not isinstance(x, bool) for x in box):
        raise VLExplainError(f"{which} is {box!r}, but it must be four numbers: [x, y, width, height].")
    try:
        x, y, width, height = (float(value) for value in box)
    except OverflowError:
        x = y = width = height = math.inf
    if not all(math.isfinite(value) for value in (x, y, width, height, x + width, y + height)):
        raise VLExplainError(f"{which} is {box!r}, but its numbers must be finite.")
    return x, y, width, height
