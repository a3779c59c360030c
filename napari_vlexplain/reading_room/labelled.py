"""Masks of one label and of several, such as left and right: plain ones are bool, others uint8 with their numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import VLExplainError

Mask = NDArray[Any]
"""(H, W), bool, or uint8 with the number of each pixel's label, 0 outside."""
_MOST_COUNTED = 1 << 12
_PART = re.compile(r"(.+) label (\d{1,3})")


def as_mask(pixels: ArrayLike, name: str = "mask") -> Mask:
    """Labels as a :data:`Mask`: bool where all that is inside is 1, or 255 as in pictures, or no whole number; else
    uint8. Fast enough for every stroke of a brush: a look or two at the pixels.

    Raises VLExplainError for labels below 0 or above 255.
    """
    found = np.asarray(pixels)
    if found.dtype.kind not in "ui":
        return found.astype(bool, copy=False)
    low, high = int(found.min(initial=0)), int(found.max(initial=0))
    if low < 0 or high > 255:
        wrong = low if low < 0 else high
        raise VLExplainError(f"The {name} has a label {wrong}, but labels from 1 to 255 are kept; give it another one.")
    plain = high == 1 or (high == 255 and not ((found > 0) & (found < 255)).any())
    return found != 0 if plain or not high else found.astype(np.uint8, copy=False)


def numbers_of(pixels: NDArray[Any]) -> tuple[int, ...]:
    """The labels that there are, without 0, in order."""
    low, high = int(pixels.min(initial=0)), int(pixels.max(initial=0))
    if low >= 0 and high < _MOST_COUNTED:  # counting is faster than sorting
        held = np.flatnonzero(np.bincount(pixels.ravel(), minlength=1))
    else:
        held = np.unique(pixels)
    return tuple(int(number) for number in held if number)


def parts_of(masks: Mapping[str, Mask]) -> dict[str, NDArray[np.bool_]]:
    """Each mask, or where it is labelled each of its labels, by a name: ``reader``, ``reader label 2``."""
    found: dict[str, NDArray[np.bool_]] = {}
    for role, mask in masks.items():
        if mask.dtype == bool:
            found[role] = mask
        else:
            found |= {f"{role} label {number}": mask == number for number in numbers_of(mask)}
    return found


def role_of(part: str) -> str:
    """The role of one of :func:`parts_of`."""
    named = _PART.fullmatch(part)
    return part if named is None else named[1]


def joined(parts: Mapping[str, NDArray[np.bool_]]) -> dict[str, Mask]:
    """What :func:`parts_of` took apart."""
    found: dict[str, Mask] = {}
    for name, part in parts.items():
        named = _PART.fullmatch(name)
        if named is None or not 0 < int(named[2]) <= 255:
            found[name] = part
        else:
            mask = found.setdefault(named[1], np.zeros(part.shape, np.uint8))
            mask[part] = int(named[2])
    return found
