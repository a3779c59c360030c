"""Images on their way to the network: order, crops and mirrors belong to (seed, epoch, index), whatever the workers."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..geometry import Geometry
from ..models.lattice_adapter.options import Options
from ..models.vision.preprocess import Preprocess
from .data import Item

Pair = tuple[int, int]
_ORDER, _LOOKS = 2, 3  # streams of random numbers
_RATIO = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class Look:
    """How images become pixels: the model's preprocessing, and the grid and patch for their geometry."""

    preprocess: Preprocess
    grid: Pair
    patch: Pair

    def __call__(self, image: NDArray) -> tuple[Tensor, Geometry]:
        """(H, W, 3) -> pixels (1, 3, h, w) and their geometry."""
        return self.preprocess(image, self.grid, self.patch)


def order(count: int, seed: int, epoch: int) -> NDArray[np.intp]:
    """The items of an epoch, shuffled: the same for any number of workers."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_ORDER, epoch))).permutation(count)


def augmented(image: NDArray, options: Options, epoch: int, index: int) -> NDArray:
    """A random crop and mirror of item ``index`` in an epoch, before it is resized."""
    rng = np.random.default_rng(np.random.SeedSequence(options.seed, spawn_key=(_LOOKS, epoch, index)))
    height, width = image.shape[:2]
    area, ratio = rng.uniform(options.crop, 1.0), np.exp(rng.uniform(*np.log(_RATIO)))
    mirrored = rng.random() < options.flip
    y, x = rng.random(2)
    if options.crop < 1:
        h = min(height, max(1, round((height * width * area / ratio) ** 0.5)))
        w = min(width, max(1, round((height * width * area * ratio) ** 0.5)))
        top, left = int(y * (height - h + 1)), int(x * (width - w + 1))
        image = image[top : top + h, left : left + w]
    return np.ascontiguousarray(image[:, ::-1] if mirrored else image)


@dataclass(frozen=True)
class _Epoch(Dataset[tuple[Tensor, int, int]]):
    """Items of one epoch, read by number: (pixels (3, h, w), label, number)."""

    items: Sequence[Item]
    look: Look
    options: Options
    epoch: int | None

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        item = self.items[index]
        image, _, _ = item.read()
        if self.epoch is None or not self.options.augments:
            return self.look(image)[0][0], item.label, index
        squashed = self.look.preprocess.squashed()
        pixels, _ = squashed(augmented(image, self.options, self.epoch, index), self.look.grid, self.look.patch)
        return pixels[0], item.label, index

    def __len__(self) -> int:
        return len(self.items)


def batches(
    items: Sequence[Item], look: Look, options: Options, epoch: int | None, workers: int = 0, skip: int = 0
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Pixels (B, 3, h, w), labels (B,) and numbers (B,) of the items: shuffled and augmented, or in order for None.

    ``skip`` batches are left out, as they were seen before an interruption. Workers read ahead of the device.
    """
    numbers = np.arange(len(items)) if epoch is None else order(len(items), options.seed, epoch)
    dataset = _Epoch(items, look, options, epoch)
    yield from DataLoader(
        dataset,
        batch_size=options.batch,
        sampler=numbers[skip * options.batch :].tolist(),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_deaf if workers else None,
        pin_memory=torch.cuda.is_available(),
    )


def _deaf(worker: int) -> None:
    """Ctrl-C in a terminal reaches the workers, too; when to stop is the trainer's to say."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
