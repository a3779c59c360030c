"""Images with a class each, in memory or on disk, and the splits that are tuned on and scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import VLExplainError
from ...io.images import as_rgb, read_image
from ...models.dual_encoder import DualEncoder

Draw = Callable[[], NDArray[Any]]
BATCH = 8


@dataclass(frozen=True, eq=False)
class Samples:
    """Images that are made when needed: ``draw[i]()`` gives (H, W) or (H, W, 3), ``labels[i]`` its class."""

    draw: tuple[Draw, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, model: DualEncoder, size: int = BATCH) -> Iterator[tuple[slice, Tensor]]:
        """Consecutive pieces with their pixels (B, 3, h, w)."""
        for start in range(0, len(self), size):
            piece = slice(start, min(start + size, len(self)))
            yield piece, torch.cat([model.pixels(as_rgb(draw()))[0] for draw in self.draw[piece]])

    def target(self) -> Tensor:
        """(n,) int64."""
        return torch.tensor(self.labels)


def from_files(files: Sequence[Path], labels: Sequence[int]) -> Samples:
    """Images that are read when needed."""
    return Samples(tuple(partial(read_image, file) for file in files), tuple(labels))


def some_of(items: Sequence[Any], count: int | None, seed: int, skip: int = 0) -> list[Any]:
    """``count`` items (all for None) in a seeded order, after the first ``skip`` of that order."""
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(seed)).tolist()
    chosen = order[skip:] if count is None else order[skip : skip + count]
    return [items[i] for i in chosen]


def image_files(folder: Path) -> list[Path]:
    """The images right in a folder, in the order of their names.

    Raises
    ------
    VLExplainError : there is none.
    """
    endings = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
    found = sorted(file for file in folder.iterdir() if file.suffix.lower() in endings) if folder.is_dir() else []
    if not found:
        raise VLExplainError(f"The folder {folder} holds no images.")
    return found
