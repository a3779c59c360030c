"""Masks as one PNG that people can look at and programs can take apart, and its legend in JSON.

Masks overlap, so each has a bit: a pixel's number is the sum of the numbers of the masks that it lies in. The PNG has a
palette; viewers show colours, and programs that read it as labels get the numbers. A mask of several labels counts as
one there, and has a picture of its own besides, whose numbers are its labels.
"""

from __future__ import annotations

import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...drawing.colour import ROLES, colour_of, shades
from ...errors import VLExplainError
from ...io.files import unique_slugs
from ...io.images import LARGEST
from ..labelled import Mask, as_mask

Masks = dict[str, Mask]
PICTURE, LEGEND = "masks.png", "masks.json"
MOST_MASKS = 8


def write_masks(folder: Path, masks: Masks) -> list[Path]:
    """Write ``masks.png`` (8-bit, palette) and ``masks.json``, and ``ROLE-labels.png`` for each mask of several labels.

    Returns all. Raises VLExplainError for more than ``MOST_MASKS`` masks.
    """
    from PIL import Image

    if len(masks) > MOST_MASKS:
        raise VLExplainError(f"There are {len(masks)} masks, but one picture holds {MOST_MASKS}; leave some out.")
    numbers = {role: 1 << bit for bit, role in enumerate(masks)}
    shape = next(iter(masks.values())).shape
    labels = np.zeros(shape, dtype=np.uint8)
    for role, mask in masks.items():
        labels |= (mask != 0) * np.uint8(numbers[role])
    picture = Image.fromarray(labels)
    picture.putpalette(_palette(numbers).ravel().tolist())
    picture.save(folder / PICTURE, format="PNG")
    labelled = [role for role, mask in masks.items() if mask.dtype != bool]
    files = dict(zip(labelled, (f"{name}-labels.png" for name in unique_slugs(labelled)), strict=True))
    for role, name in files.items():
        (folder / name).write_bytes(labels_png(masks[role], role))
    legend = {
        "file": PICTURE,
        "masks": numbers,
        "labels": {str(k): _named(k, numbers) for k in range(1 << len(masks))},
        **({"labelled": files} if files else {}),
    }
    (folder / LEGEND).write_text(json.dumps(legend, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return [folder / PICTURE, folder / LEGEND, *(folder / name for name in files.values())]


def read_masks(folder: Path, shape: tuple[int, int]) -> Masks:
    """What :func:`write_masks` wrote.

    Raises VLExplainError for files that are damaged or of another size than ``shape``.
    """
    file = folder / PICTURE
    try:
        legend = json.loads((folder / LEGEND).read_text(encoding="utf-8"))
        numbers, files = legend["masks"], dict(legend.get("labelled", {}))
        bits = {str(role): int(number) for role, number in numbers.items()}
        if len(bits) > MOST_MASKS or any(number not in (1 << k for k in range(8)) for number in bits.values()):
            raise ValueError("no legend of ours")
        labels = _labels_in(file, shape)
        found: Masks = {role: (labels & number) != 0 for role, number in bits.items()}
        for role, name in files.items():
            if role not in found or not isinstance(name, str) or not re.fullmatch(r"[\w.-]+-labels\.png", name):
                raise ValueError("no legend of ours")
            found[role] = as_mask(_labels_in(folder / name, shape), role)
        return found
    except VLExplainError:
        raise
    except Exception as error:
        raise VLExplainError(f"{file} cannot be read as masks ({error}); export them again.") from None


def labels_png(labels: NDArray[np.uint8], role: str = "reader") -> bytes:
    """Labels of a role's mask as the bytes of a PNG with a palette, by which it is told from a picture of 0 and 255."""
    from PIL import Image

    picture, stream = Image.fromarray(labels), BytesIO()
    colours = np.array(shades(role), np.uint8)
    picture.putpalette(np.concatenate([np.zeros((1, 3), np.uint8), np.resize(colours, (255, 3))]).ravel().tolist())
    picture.save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def in_order(masks: Masks) -> Masks:
    """Truth, model, reader, then all others by name."""
    known = [role for role in ROLES if role in masks]
    return {role: masks[role] for role in (*known, *sorted(set(masks) - set(known)))}


def _labels_in(file: Path, shape: tuple[int, int]) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(file, formats=["PNG"]) as image:
        if (image.height, image.width) != shape or image.width * image.height > LARGEST:
            raise VLExplainError(f"{file} is {(image.height, image.width)}, but the image is {shape}.")
        if image.mode not in ("P", "L"):
            raise ValueError("no labels")
        return np.asarray(image)


def _named(number: int, numbers: dict[str, int]) -> str:
    return " + ".join(role for role, bit in numbers.items() if number & bit) or "outside"


def _palette(numbers: dict[str, int]) -> NDArray[np.uint8]:
    """Black outside; the mean of the colours of the masks that a pixel lies in."""
    found = np.zeros((256, 3), dtype=np.uint8)
    for k in range(1, 1 << len(numbers)):
        held: list[Any] = [colour_of(role) for role, bit in numbers.items() if k & bit]
        found[k] = np.rint(np.mean(held, axis=0))
    return found
