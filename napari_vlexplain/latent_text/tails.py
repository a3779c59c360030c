"""The rest of the network with attention disabled, and every layer's tokens in the shared space in one pass.

INViTE, section 3: with attention disabled each token attends to itself only, so MSA becomes ``W_O W_V`` and the tail is
token-wise. Layer l (0 .. L) is the residual stream before block l; layer L is after the last.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import VLExplainError
from ..models.blocks import Block, Linear
from ..models.dual_encoder import DualEncoder
from ..models.towers import Tower
from ..running.run import Run
from .reading import Mode, Reading
from .smoothing import smooth_readout, smooth_step

_merged: OrderedDict[int, tuple[weakref.ref[Tower], list[Linear]]] = OrderedDict()


def check_readable(model: DualEncoder) -> Tower:
    """The model's image tower.

    Raises
    ------
    VLExplainError : its tokens cannot be read, for it has no transformer blocks or its pool reads no single token.
    """
    tower = model.image
    if not tower.depth or tower.grid is None or not {"residual_stream", "text_tower"} <= model.capabilities:
        raise VLExplainError(
            f"The tokens of {model.info.name} cannot be read: it is no transformer with a text tower. "
            "Choose a model with a ViT, such as mini."
        )
    if not callable(getattr(tower.pool, "tokens", None)):
        raise VLExplainError(
            f"The tokens of {model.info.name} cannot be read: its pool, {type(tower.pool).__name__}, "
            "has no value path for a single token. Choose a model with a class token, such as mini."
        )
    return tower


def layer_index(tower: Tower, layer: int, name: str = "layer") -> int:
    """A layer's number, 0 .. L; negative ones count from the end, -1 being L.

    Raises
    ------
    VLExplainError : there is no such layer.
    """
    found = layer + tower.depth + 1 if layer < 0 else layer
    if not 0 <= found <= tower.depth:
        raise VLExplainError(
            f"{name} is {layer}, but this model has layers 0 (before the first block) to {tower.depth} "
            "(after the last), or -1 for the last."
        )
    return found


def own_projection(tower: Tower) -> list[Linear]:
    """``W_O W_V`` of every block as one matrix, computed once for a tower: exact up to rounding."""
    held = _merged.get(id(tower))
    if held is not None and held[0]() is tower:
        return held[1]
    found = [_own_projection(block) for block in tower.blocks]
    _merged[id(tower)] = (weakref.ref(tower), found)
    while len(_merged) > 2:
        _merged.popitem(last=False)
    return found


@torch.no_grad()
def _own_projection(block: Block) -> Linear:
    out, value = block.out.full(), block.value.full()
    weight = out.weight @ value.weight
    bias = out.bias
    if value.bias is not None:
        through = out.weight @ value.bias
        bias = through if bias is None else through + bias
    if block.scale1 is not None:
        weight, bias = block.scale1[:, None] * weight, None if bias is None else block.scale1 * bias
    return Linear(weight, bias)


def local_step(block: Block, own: Linear | None, y: Tensor) -> Tensor:
    """One block of the tail on tokens (..., D): ``y = z + W_O W_V LN1(z)``, ``z' = y + MLP(LN2(y))``.

    Without ``own`` the attention is left out, and ``y = z``.
    """
    z = y if own is None else y + own(block.attended(y))
    if block.post_norm:
        z = block.norm1(z)
        return block.norm2(z + block.mlp(z))
    m = block.mlp(block.norm2(z))
    return z + (m if block.scale2 is None else m * block.scale2)


def _projections(tower: Tower, mode: Mode) -> Sequence[Linear | None]:
    return own_projection(tower) if mode == "local" else [None] * tower.depth


def readout(tower: Tower, y: Tensor) -> Tensor:
    """Every token in the shared space: (..., T, D) -> (..., T, P), not normalised."""
    return tower.pool.tokens(y.flatten(0, -3)).unflatten(0, y.shape[:-2])


@torch.no_grad()
def latent_tokens(
    tower: Tower,
    z: Tensor,
    layers: Sequence[int],
    reading: Reading,
    generator: torch.Generator | None = None,
    run: Run | None = None,
) -> Tensor:
    """All tokens of some layers in the shared space, in one pass over the network.

    A stack grows by one layer before each block; block j then takes a step of the real network on the stream and a
    token-wise step on the whole stack.

    Parameters
    ----------
    z : (B, T, D), the stream before block 0.
    layers : rising, 0 .. L.
    generator : of the smoothing's noise; needed with smoothing only.

    Returns
    -------
    (len(layers), B, T, P), not normalised.
    """
    wanted, last, run = set(layers), max(layers), run or Run()
    merged = _projections(tower, reading.mode)
    stack = z.new_empty(len(wanted), *z.shape)
    filled, mask = 0, tower.mask(z)
    for index, block in enumerate(tower.blocks):
        run.step(index / tower.depth, f"Reading layer {index}")
        if index in wanted:
            stack[filled] = z
            filled += 1
        if filled:
            stack[:filled] = _step(tower, index, stack[:filled], index in wanted, merged[index], reading, generator)
        if index < last:
            z = block.fused(z, mask)
    if tower.depth in wanted:
        stack[filled] = z
    return _read(tower, stack, tower.depth in wanted, reading, generator)


@torch.no_grad()
def layer_tokens(
    tower: Tower, z: Tensor, layer: int, reading: Reading, generator: torch.Generator | None = None
) -> Tensor:
    """The tokens of one layer in the shared space for the price of its own tail: (B, T, D) -> (B, T, P)."""
    merged = _projections(tower, reading.mode)
    y = z[None]
    for index in range(layer, tower.depth):
        y = _step(tower, index, y, index == layer, merged[index], reading, generator)
    return _read(tower, y, layer == tower.depth, reading, generator)[0]


def _step(
    tower: Tower,
    index: int,
    stack: Tensor,
    fresh: bool,
    own: Linear | None,
    reading: Reading,
    generator: torch.Generator | None,
) -> Tensor:
    """Block ``index`` on the stack; ``fresh`` says that its last entry just joined."""
    block = tower.blocks[index]

    def step(y: Tensor) -> Tensor:
        return local_step(block, own, y)

    smoothing = reading.smoothing
    if smoothing is None or smoothing.where != "all" or len(stack) == fresh:
        return step(stack)
    older = len(stack) - fresh
    noisy = smooth_step(step, stack[:older], smoothing, index, generator)
    return torch.cat([noisy, step(stack[older:])]) if fresh else noisy


def _read(tower: Tower, stack: Tensor, with_last: bool, reading: Reading, generator: torch.Generator | None) -> Tensor:
    """The readout of the stack, whose last entry is layer L if ``with_last``."""
    smoothing = reading.smoothing
    if smoothing is None:
        return readout(tower, stack)
    plain = len(stack) - 1 if smoothing.where == "all" and with_last else len(stack)
    parts = [smooth_readout(tower, stack[:plain], smoothing, generator)] if plain else []
    return torch.cat([*parts, readout(tower, stack[plain:])]) if plain < len(stack) else parts[0]


def compare(u: Tensor, axis: str) -> Tensor:
    """Tokens (..., T, P) scaled for the comparison with unit text embeddings."""
    return F.normalize(u, dim=-1 if axis == "embedding" else -2)
