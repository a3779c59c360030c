"""A case: an image, what is asked of it, and where the answer lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..truth.note import Note


@dataclass(frozen=True, eq=False)
class Case:
    """One question of known answer.

    id: unique within its data set.
    image: (H, W) grey or (H, W, 3 or 4), any dtype.
    prompts: at least one.
    masks: (P, H, W) bool, the ground truth of each prompt; empty where none is known.
    group: cases of one group, such as one patient, are resampled together; "" means on its own.
    ignored: (H, W) bool, pixels that no figure may count, or None.
    notes: what was found while the ground truths were laid on the image, a sentence each.
    doubts: for each prompt why no figure may count its mask, "" where figures may; () where none is in doubt.

    Raises VLExplainError where these do not fit together.
    """

    id: str
    image: NDArray[Any]
    prompts: tuple[str, ...]
    masks: NDArray[np.bool_]
    group: str = ""
    ignored: NDArray[np.bool_] | None = None
    notes: tuple[Note, ...] = ()
    doubts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.prompts:
            raise VLExplainError(f"Case {self.id} has no prompt; it needs at least one.")
        expected = (len(self.prompts), *self.image.shape[:2])
        if self.masks.dtype != np.bool_ or self.masks.shape != expected:
            raise VLExplainError(
                f"Case {self.id} needs bool masks of shape {expected}, one for each prompt, "
                f"not {self.masks.dtype} of {self.masks.shape}."
            )
        if self.ignored is not None and self.ignored.shape != expected[1:]:
            raise VLExplainError(f"Case {self.id} ignores {self.ignored.shape} pixels of an image of {expected[1:]}.")
