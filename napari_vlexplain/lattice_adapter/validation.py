"""How well a network does on the images kept apart: always through the map, whatever the epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..models.lattice_adapter.adapter import resized
from ..models.lattice_adapter.network import LatticeNetwork
from .overlap import binarised, ious
from .source import Source, Truths


@dataclass(frozen=True)
class Validation:
    """Mean cross-entropy and share right of the perception branch; mean IoU (``minmax``), NaN without masks."""

    loss: float
    accuracy: float
    iou: float


@torch.no_grad()
def passes(network: LatticeNetwork, source: Source) -> Iterator[tuple[int, Tensor, Tensor, NDArray[np.float32]]]:
    """(first item, labels (B,), logits (B, C), maps (B, h, w) at the pixels) of every batch, in order."""
    network.eval()
    start = 0
    for pixels, labels, frozen in source.epoch(None):
        with autocast(source.device, network.options.precision):
            found = network(pixels, True, frozen)
        assert found.attention is not None
        maps = resized(found.attention.float(), (pixels.shape[2], pixels.shape[3]))[:, 0]
        yield start, labels, found.logits.float(), maps.cpu().numpy()
        start += len(labels)


def validate(network: LatticeNetwork, source: Source, truths: Truths) -> Validation:
    """Over all items of a source; the network is left in eval mode."""
    loss = right = 0.0
    overlaps: list[NDArray[np.float64]] = []
    for start, labels, logits, maps in passes(network, source):
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        right += float((logits.argmax(dim=1) == labels).sum())
        here, masks, ignored = truths.of_items(start, start + len(labels))
        if len(here):
            overlaps.append(ious(binarised(maps[here], "minmax"), masks, ignored))
    together = np.concatenate(overlaps) if overlaps else np.array([np.nan])
    count = len(source.items)
    known = together[~np.isnan(together)]
    return Validation(loss / count, right / count, float(known.mean()) if len(known) else float("nan"))


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Mixed precision where it is asked for."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
