"""Sticker scenes of a known class: one object of the class, alone or among others of no class, with its exact mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..datasets.worlds import stickers
from ..errors import VLExplainError

CLASSES = (
    "cat", "dog", "elephant", "owl", "turtle", "butterfly", "fish", "snail", "rooster", "zebra", "banana", "pineapple",
    "carrot", "mushroom", "pizza", "cheese", "car", "bicycle", "airplane", "umbrella", "key", "guitar",
    "alarm clock", "house",
)  # fmt: skip
"""Classes unless others are asked for."""
SIZE = 224
_LABELS, _OTHERS = 20, 21  # streams of random numbers beside those of the scene itself


@dataclass(frozen=True)
class Scene:
    """Scene ``index`` of a seed; some carry a printed word, of whatever. ``others`` objects of no class lie in it, too.

    Alone, as the birds of CUB: with strangers in the scene a map that shows all objects classifies as well.
    """

    seed: int
    index: int
    classes: tuple[str, ...] = CLASSES
    others: int = 0

    @property
    def label(self) -> int:
        """The number of its class."""
        return int(self._stream(_LABELS).integers(len(self.classes)))

    @property
    def strangers(self) -> tuple[str, ...]:
        """The objects of no class."""
        known = [name for name in stickers.class_names() if name not in self.classes]
        return tuple(self._stream(_OTHERS).choice(known, self.others, replace=False).tolist())

    def draw(self, size: int = SIZE) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The image (H, W, 3) and where its class is seen (H, W)."""
        names = [self.classes[self.label], *self.strangers]
        drawn = stickers.render(stickers.sample(self.seed, self.index, names=names), size)
        return drawn.image, drawn.truth[0]

    def _stream(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(self.index, purpose)))


def check_classes(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Raises VLExplainError for fewer than two classes, one given twice, or one that there is not."""
    known = set(stickers.class_names())
    strange = [name for name in classes if name not in known]
    if strange:
        raise VLExplainError(f"There is no sticker {strange[0]!r}; there are {len(known)}, such as {CLASSES[0]!r}.")
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise VLExplainError("Classes must be at least two, each named once.")
    return classes
