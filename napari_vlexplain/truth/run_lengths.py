"""COCO's run-length codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..io.images import LARGEST


def decode_runs(counts: tuple[int, ...] | str, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """COCO's run-length code as a mask (H, W): runs of outside and inside in turn, column by column.

    In its string form each number is written in groups of five bits, lowest first, from the character "0" on, and
    from the fourth on as the difference to the last but one. Raises VLExplainError when the runs do not add up.
    """
    total = shape[0] * shape[1]
    if not 0 < total <= LARGEST:
        raise VLExplainError(f"A run-length mask is {shape[1]} x {shape[0]} pixels, which no picture has.")
    runs = list(counts) if not isinstance(counts, str) else _decode_string(counts)
    if any(run < 0 for run in runs) or sum(runs) != total:
        raise VLExplainError(f"A run-length mask covers {sum(runs)} pixels, but its image has {total}.")
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return inside.reshape(shape[1], shape[0]).T


def encode_runs(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    """The reverse, as numbers."""
    flat = np.concatenate([[False], mask.T.ravel(), [not mask[-1, -1]]]) if mask.size else np.zeros(1, bool)
    starts = np.flatnonzero(flat[1:] != flat[:-1])
    return tuple(int(n) for n in np.diff(starts, prepend=0))


def _decode_string(text: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 30:
            raise VLExplainError("A run-length mask holds characters that COCO does not write.")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs
