"""How well a network does on the images kept apart: always through the map, whatever the epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..errors import VLExplainError
from ..metrics.thresholds import threshold_of
from ..models.lattice_adapter.adapter import resized
from ..models.lattice_adapter.network import LatticeNetwork
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


RULES = ("minmax", "raw", "otsu", "best")
"""``minmax``: min-max scaled map > .5; ``raw``: map > .5; ``otsu``; ``best``: min-max > what is best on validation."""
LADDER = np.arange(0, 100) / 100

Maps = NDArray[np.floating]
Mask = NDArray[np.bool_]


def scaled(maps: Maps) -> Maps:
    """Each map (..., h, w) from 0 to 1; a constant one becomes 0."""
    low, high = (f(maps, axis=(-2, -1), keepdims=True) for f in (np.min, np.max))
    return np.divide(maps - low, high - low, out=np.zeros_like(maps), where=high > low)


def binarised(maps: Maps, rule: str, threshold: float = 0.5) -> Mask:
    """Maps (n, h, w) as masks; ``threshold`` is that of ``best``.

    Raises
    ------
    VLExplainError : no such rule.
    """
    if rule == "raw":
        return maps > 0.5
    if rule == "otsu":
        return np.stack([one >= threshold_of(one, "otsu") if np.ptp(one) > 0 else one > one for one in maps])
    if rule not in RULES:
        raise VLExplainError(f"There is no rule {rule!r} of binarisation; choose one of {', '.join(RULES)}.")
    return scaled(maps) > (threshold if rule == "best" else 0.5)


def ious(found: Mask, truth: Mask, ignored: Mask | None = None) -> NDArray[np.float64]:
    """Intersection over union of each pair of masks (n, h, w); NaN where both are empty."""
    counted = np.ones_like(truth) if ignored is None else ~ignored
    both, either = (np.count_nonzero(x & counted, axis=(1, 2)) for x in (found & truth, found | truth))
    return np.divide(both, either, out=np.full(len(truth), np.nan), where=either > 0)


def ladder(maps: Maps, truth: Mask, ignored: Mask | None = None) -> NDArray[np.float64]:
    """IoU of each scaled map (n, h, w) above each threshold of LADDER: (n, 100)."""
    values = scaled(maps)
    return np.stack([ious(values > cut, truth, ignored) for cut in LADDER], axis=1)


def best_threshold(overlaps: NDArray[np.float64]) -> float:
    """Of the thresholds of LADDER the one of highest mean IoU; ``overlaps`` (n, 100) of all images."""
    return float(LADDER[np.argmax(np.nanmean(overlaps, axis=0))])
