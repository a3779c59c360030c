"""Where batches come from: read anew each time, or kept in memory together with what the frozen blocks gave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models.lattice_adapter.network import LatticeNetwork, Streams
from ..models.lattice_adapter.options import Options
from ..running.run import Run
from .batches import Look, batches, order
from .data import Item

Batch = tuple[Tensor, Tensor, Streams | None]
"""Pixels (B, 3, h, w), labels (B,) and perhaps the frozen streams, all on the device."""


@dataclass
class Source:
    """The items of one split as batches."""

    items: Sequence[Item]
    look: Look
    options: Options
    device: torch.device
    workers: int = 0
    _kept: tuple[Tensor, Tensor, Streams] | None = None

    def keep(self, network: LatticeNetwork, run: Run) -> None:
        """Read everything once and keep it, with the frozen streams."""
        pixels, labels, streams = [], [], []
        for number, (x, y, _) in enumerate(batches(self.items, self.look, self.options, None, self.workers)):
            run.step(number * self.options.batch / len(self.items), "Running the frozen blocks")
            pixels.append(x)
            labels.append(y)
            streams.append({at: z.cpu() for at, z in network.frozen(x.to(self.device)).items()})
        together = {at: torch.cat([some[at] for some in streams]) for at in streams[0]}
        self._kept = torch.cat(pixels), torch.cat(labels), together

    def epoch(self, epoch: int | None, skip: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, or all items in order for None, without the first ``skip`` of them."""
        if self._kept is None:
            for pixels, labels, _ in batches(self.items, self.look, self.options, epoch, self.workers, skip):
                yield pixels.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True), None
            return
        size, (pixels, labels, streams) = self.options.batch, self._kept
        numbers = np.arange(len(self.items)) if epoch is None else order(len(self.items), self.options.seed, epoch)
        for start in range(skip * size, len(numbers), size):
            some = torch.from_numpy(numbers[start : start + size])
            held = {at: z[some].to(self.device) for at, z in streams.items()}
            yield pixels[some].to(self.device), labels[some].to(self.device), held


@dataclass(frozen=True)
class Truths:
    """The masks of a split at the size of the pixels, one bit a pixel: ``numbers`` of the items that have one."""

    numbers: tuple[int, ...]
    size: tuple[int, int]
    masks: NDArray[np.uint8]
    ignored: NDArray[np.uint8]

    @classmethod
    def of(cls, items: Sequence[Item], look: Look, run: Run) -> Truths:
        """Read and resize (nearest) every mask."""
        numbers, masks, ignored = [], [], []
        for number, item in enumerate(items):
            run.step(number / len(items), "Reading masks")
            if not item.has_truth:
                continue
            image, mask, apart = item.read()
            if mask is None:
                continue
            _, geometry = look(image)
            numbers.append(number)
            masks.append(np.packbits(geometry.mask_to_model(mask)))
            ignored.append(np.packbits(geometry.mask_to_model(np.zeros_like(mask) if apart is None else apart)))
        empty = np.zeros((0, 0), np.uint8)
        size = look.preprocess.size
        return cls(tuple(numbers), size, np.stack(masks) if masks else empty, np.stack(ignored) if masks else empty)

    def __len__(self) -> int:
        return len(self.numbers)

    def of_items(self, start: int, stop: int) -> tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.bool_]]:
        """Items ``start .. stop - 1``: which of them have a mask (m,), counted from ``start``; masks and ignored
        pixels (m, h, w)."""
        rows = [k for k, number in enumerate(self.numbers) if start <= number < stop]
        here = np.array([self.numbers[k] - start for k in rows], dtype=np.intp)
        return here, self._unpacked(self.masks[rows]), self._unpacked(self.ignored[rows])

    def _unpacked(self, bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
        height, width = self.size
        if not len(bits):
            return np.zeros((0, height, width), bool)
        return np.unpackbits(bits, axis=1, count=height * width).astype(bool).reshape(-1, height, width)
