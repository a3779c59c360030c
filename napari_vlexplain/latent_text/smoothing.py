"""Random smoothing: tails averaged over noise of the size of the drift that disabling attention causes.

INViTE, section 3.3. Drift of block j, per token position and channel: ``delta_j = |mean z_{j+1} - mean a_j|`` over
images, where ``a_j = tail_j(z_j)`` is block j without attention. Two variants were published:

- ``final``: noise before the readout only, ``delta_{L-1} / 10`` (typographic attacks);
- ``all``: noise before every tail block but the first, ``delta_{j-1} / 20``, and before the readout, ``delta_{L-1}``.

The published code of ``all`` compares ``z_{j+1}`` with ``tail_j(z_{j+1})``, one block late; ``legacy`` does that too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..errors import VLExplainError
from ..models.blocks import Linear
from ..models.dual_encoder import DualEncoder
from ..models.pools import RowPool
from ..models.towers import Tower
from ..running.run import memory_budget


@dataclass(frozen=True, eq=False)
class Drift:
    """``delta`` (L, T, D) float32, how many images it is the mean of, and whether it is the legacy one."""

    delta: Tensor
    images: int
    legacy: bool = False


@dataclass(frozen=True, eq=False)
class Smoothing:
    """Noise of a drift's size.

    Attributes
    ----------
    drift : from :func:`drift`, on images like those to read.
    where : ``final`` or ``all``.
    samples : noise draws per mean; 1000 (final) and 100 or 500 (all) were published.
    inner : divisor of the drift between blocks (``all`` only).
    outer : divisor of the drift before the readout; None is the published 10 (final) or 1 (all).
    predict : does it also apply to the prediction of an edited image (``final`` only)?
    """

    drift: Drift
    where: Literal["final", "all"] = "final"
    samples: int = 100
    inner: float = 20.0
    outer: float | None = None
    predict: bool = True

    def __post_init__(self) -> None:
        if self.where not in ("final", "all"):
            raise VLExplainError(f"Smoothing is {self.where!r}, but it must be final or all.")
        if self.samples < 1:
            raise VLExplainError(f"Smoothing takes {self.samples} samples, but it needs at least 1.")

    @property
    def last_divisor(self) -> float:
        return self.outer if self.outer is not None else 10.0 if self.where == "final" else 1.0

    def to_dict(self) -> dict[str, object]:
        """For records."""
        return {
            "where": self.where,
            "samples": self.samples,
            "inner": self.inner,
            "outer": self.last_divisor,
            "drift_images": self.drift.images,
            "drift": "legacy" if self.drift.legacy else "right",
            "predict": self.predict,
        }


@torch.no_grad()
def drift(model: DualEncoder, batches: Iterable[Tensor], legacy: bool = False) -> Drift:
    """Drift statistics over images, given as batches of pixels (B, 3, h, w).

    Raises
    ------
    VLExplainError : there is no image.
    """
    tower, count = model.image, 0
    real: list[Tensor] = []
    local: list[Tensor] = []
    for pixels in batches:
        z, mask = tower.embed(pixels.to(model.device)), None
        count += len(pixels)
        for index, block in enumerate(tower.blocks):
            mask = tower.mask(z)
            after = block.fused(z, mask)
            sums = after.sum(0), block.local(after if legacy else z).sum(0)
            if index == len(real):
                real.append(sums[0])
                local.append(sums[1])
            else:
                real[index] += sums[0]
                local[index] += sums[1]
            z = after
    if not count:
        raise VLExplainError("Drift statistics need at least one image.")
    return Drift((torch.stack(real) - torch.stack(local)).abs() / count, count, legacy)


def smooth_step(
    step: Callable[[Tensor], Tensor],
    y: Tensor,
    smoothing: Smoothing,
    index: int,
    generator: torch.Generator | None,
) -> Tensor:
    """``mean_n step(y + eps_n delta_{index-1} / inner)`` for tokens (n, B, T, D) before block ``index``."""
    return _mean(step, y, smoothing.drift.delta[index - 1] / smoothing.inner, smoothing.samples, generator)


def smooth_readout(
    tower: Tower, y: Tensor, smoothing: Smoothing, generator: torch.Generator | None, delta: Tensor | None = None
) -> Tensor:
    """``mean_n W LN(y + eps_n delta / outer)``: (..., T, D) -> (..., T, P); delta is that of the last block if None.

    A linear projection is applied once, to the mean.
    """
    pool = tower.pool
    delta = (smoothing.drift.delta[-1] if delta is None else delta) / smoothing.last_divisor
    if isinstance(pool, RowPool) and pool.norm is not None and isinstance(pool.project, Linear):
        return pool.project(_mean(pool.norm, y, delta, smoothing.samples, generator))

    def read(noisy: Tensor) -> Tensor:
        return pool.tokens(noisy.flatten(0, -3)).unflatten(0, noisy.shape[:-2])

    return _mean(read, y, delta, smoothing.samples, generator)


def _mean(
    f: Callable[[Tensor], Tensor], y: Tensor, delta: Tensor, samples: int, generator: torch.Generator | None
) -> Tensor:
    if not delta.any():
        return f(y)
    size = max(1, min(samples, memory_budget(y.device) // (24 * y.numel())))
    total: Tensor | None = None
    for start in range(0, samples, size):
        count = min(size, samples - start)
        noise = torch.randn(count, *y.shape, generator=generator, device=y.device, dtype=y.dtype)
        found = f((y + noise * delta).flatten(0, 1)).unflatten(0, (count, len(y))).sum(0)
        total = found if total is None else total + found
    assert total is not None
    return total / samples
