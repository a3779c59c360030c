"""What is trained on: images with a class each, in the official splits where there are any; masks only for figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.dataset import MaskFile, Truth
from ..errors import VLExplainError
from ..io.images import as_rgb, read_image
from ..io.picture_header import header_of
from ..truth.laying import lay
from ..truth.picture import Picture
from .scenes import Scene

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Item:
    """One image of one class: a file with its mask, if any, or a scene to draw, which brings its own."""

    id: str
    image: Path | Scene
    label: int
    truth: Truth | None = None

    @property
    def has_truth(self) -> bool:
        return self.truth is not None or isinstance(self.image, Scene)

    def read(self) -> tuple[NDArray[Any], NDArray[np.bool_] | None, NDArray[np.bool_] | None]:
        """The image (H, W, 3), its mask (H, W), and the pixels that no figure may count; None where there are none.

        Raises VLExplainError for files that are broken or do not fit.
        """
        if isinstance(self.image, Scene):
            return (*self.image.draw(), None)
        image = as_rgb(read_image(self.image))
        if self.truth is None:
            return image, None, None
        found = lay(self.truth, Picture.of(image, self.image), self.id)
        odd = found.doubt or next((note for note in found.notes if note.kind == "size"), "")
        if odd:  # nothing here could stand beside a figure
            raise VLExplainError(f"{self.id}: {odd} A mask for training has its image's own size.")
        return image, found.mask, found.ignored


@dataclass(frozen=True)
class TrainingData:
    """Three lists of items. ``facts`` say where they came from; they are part of what a checkpoint must agree with."""

    name: str
    classes: tuple[str, ...]
    train: tuple[Item, ...]
    val: tuple[Item, ...]
    test: tuple[Item, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    def checked(self) -> TrainingData:
        """Itself, if it can be trained on.

        Raises
        ------
        VLExplainError : fewer than two classes, a class without a training image, no validation images, a mask
            whose size is not its image's; the first of them is named.
        """
        if len(self.classes) < 2:
            raise VLExplainError(f"{self.name} has {len(self.classes)} class, but training needs at least two.")
        seen = {item.label for item in self.train}
        for number, name in enumerate(self.classes):
            if number not in seen:
                raise VLExplainError(f"The class {name!r} has no training image; add some, or leave the class out.")
        if not self.val:
            raise VLExplainError(f"{self.name} leaves no image for validation; at least one is needed.")
        for item in (*self.val, *self.test):
            _check_sizes(item)
        return self


def split(items: Sequence[Item], sizes: tuple[int, int], seed: int) -> tuple[tuple[Item, ...], ...]:
    """Items in three lists: ``sizes`` of the second and third, the rest in the first; drawn by the seed."""
    order = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,))).permutation(len(items))
    second, third = sizes
    cuts = (len(items) - second - third, len(items) - third)
    parts = (order[: cuts[0]], order[cuts[0] : cuts[1]], order[cuts[1] :])
    return tuple(tuple(items[i] for i in sorted(part)) for part in parts)


def _check_sizes(item: Item) -> None:
    """Of a mask file against its image, from the headers where these will do."""
    if not isinstance(item.truth, MaskFile) or not isinstance(item.image, Path):
        return
    headers = [header_of(path) for path in (item.image, item.truth.path)]
    sizes = {None if header is None else header.size for header in headers}
    if None in sizes or len(sizes) > 1:
        item.read()
