"""What changed tokens said, and what stands in their place says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .edit_result import Change
from .retrieval import nearest
from .tails import layer_tokens

if TYPE_CHECKING:
    from .engine import Edited, Step
    from .reading import Reading
    from .selection import Reader


@torch.no_grad()
def changes(
    reader: Reader, z: Tensor, streams: Sequence[Tensor], found: Edited, steps: Sequence[Step]
) -> tuple[Change, ...]:
    """Every changed token at every layer it was changed at, and once more after the last block.

    Parameters
    ----------
    z : (1, T, D), the untouched stream before block 0.
    streams : the edited ones before each block, and after the last.
    """
    tower = reader.tower
    changed, touched = found.changed[:, :, 0].any(0), found.changed[:, :, 0].flatten(0, 1).any(0)
    if not touched.any():
        return ()
    gone = torch.zeros_like(changed)
    for step, mask in zip(steps, found.changed[:, :, 0], strict=True):
        if step.plan.action == "remove":
            gone |= mask.cumsum(0) > 0
    alone = reader.reading.norm_axis == "embedding" and not reader.reading.centre
    among = touched.nonzero()[:, 0] if alone else torch.arange(len(touched), device=touched.device)
    reading = _of_tokens(reader.reading, among)
    untouched = tower.streams(z, range(tower.depth + 1))
    rows: list[tuple[int, int, int, int | None]] = []
    for layer in (*changed.any(1).nonzero()[:, 0].tolist(), tower.depth):
        reader.run.step(0.0, f"Reading layer {layer}")
        pair = torch.cat([untouched[layer], streams[layer]])
        u = layer_tokens(tower, pair[:, among], layer, reading, reader.generator)
        first = nearest(u, reader.bank, reading).indices[..., 0]
        here, lost = (touched, gone[-1]) if layer == tower.depth else (changed[layer], gone[layer])
        silent = lost | ~pair[1].any(-1)
        for place, token in enumerate(among.tolist()):
            if here[token]:
                rows.append((layer, token, int(first[0, place]), None if silent[token] else int(first[1, place])))
    table = reader.bank.vocabulary.texts(index for _, _, *pair in rows for index in pair if index is not None)
    return tuple(
        Change(layer, token, table[before], None if after is None else table[after])
        for layer, token, before, after in rows
    )


def _of_tokens(reading: Reading, among: Tensor) -> Reading:
    """The reading for some of the tokens: the drift is known for each position."""
    if reading.smoothing is None:
        return reading
    drift = reading.smoothing.drift
    return replace(reading, smoothing=replace(reading.smoothing, drift=replace(drift, delta=drift.delta[:, among])))
