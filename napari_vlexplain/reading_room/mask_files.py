"""Masks as one PNG that people can look at and programs can take apart, and its legend in JSON.

Masks overlap, so each has a bit: a pixel's number is the sum of the numbers of the masks that it lies in. The PNG has a
palette; viewers show colours, and programs that read it as labels get the numbers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..io.images import LARGEST
from .agreement import ROLES

Masks = dict[str, NDArray[np.bool_]]
PICTURE, LEGEND = "masks.png", "masks.json"
COLOURS: dict[str, tuple[int, int, int]] = {"truth": (86, 180, 233), "model": (230, 159, 0), "reader": (0, 158, 115)}
"""Told apart without colour vision (Okabe, Ito)."""
OTHER = (204, 121, 167)
MOST_MASKS = 8


def write_masks(folder: Path, masks: Masks) -> list[Path]:
    """Write ``masks.png`` (8-bit, palette) and ``masks.json``; returns both.

    Raises VLExplainError for more than ``MOST_MASKS`` masks.
    """
    from PIL import Image

    if len(masks) > MOST_MASKS:
        raise VLExplainError(f"There are {len(masks)} masks, but one picture holds {MOST_MASKS}; leave some out.")
    numbers = {role: 1 << bit for bit, role in enumerate(masks)}
    shape = next(iter(masks.values())).shape
    labels = np.zeros(shape, dtype=np.uint8)
    for role, mask in masks.items():
        labels |= mask.astype(np.uint8) * np.uint8(numbers[role])
    picture = Image.fromarray(labels)
    picture.putpalette(_palette(numbers).ravel().tolist())
    picture.save(folder / PICTURE, format="PNG")
    legend = {
        "file": PICTURE,
        "masks": numbers,
        "labels": {str(k): _named(k, numbers) for k in range(1 << len(masks))},
    }
    (folder / LEGEND).write_text(json.dumps(legend, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return [folder / PICTURE, folder / LEGEND]


def read_masks(folder: Path, shape: tuple[int, int]) -> Masks:
    """What :func:`write_masks` wrote, each (H, W) bool.

    Raises VLExplainError for files that are damaged or of another size than ``shape``.
    """
    from PIL import Image

    file = folder / PICTURE
    try:
        numbers = json.loads((folder / LEGEND).read_text(encoding="utf-8"))["masks"]
        bits = {str(role): int(number) for role, number in numbers.items()}
        if len(bits) > MOST_MASKS or any(number not in (1 << k for k in range(8)) for number in bits.values()):
            raise ValueError("no legend of ours")
        with Image.open(file, formats=["PNG"]) as image:
            if (image.height, image.width) != shape or image.width * image.height > LARGEST:
                raise VLExplainError(f"{file} is {(image.height, image.width)}, but the image is {shape}.")
            if image.mode not in ("P", "L"):
                raise ValueError("no labels")
            labels = np.asarray(image)
    except VLExplainError:
        raise
    except Exception as error:
        raise VLExplainError(f"{file} cannot be read as masks ({error}); export them again.") from None
    return {role: (labels & number) != 0 for role, number in bits.items()}


def in_order(masks: Masks) -> Masks:
    """Truth, model, reader, then all others by name."""
    known = [role for role in ROLES if role in masks]
    return {role: masks[role] for role in (*known, *sorted(set(masks) - set(known)))}


def _named(number: int, numbers: dict[str, int]) -> str:
    return " + ".join(role for role, bit in numbers.items() if number & bit) or "outside"


def _palette(numbers: dict[str, int]) -> NDArray[np.uint8]:
    """Black outside; the mean of the colours of the masks that a pixel lies in."""
    found = np.zeros((256, 3), dtype=np.uint8)
    for k in range(1, 1 << len(numbers)):
        held: list[Any] = [COLOURS.get(role, OTHER) for role, bit in numbers.items() if k & bit]
        found[k] = np.rint(np.mean(held, axis=0))
    return found
