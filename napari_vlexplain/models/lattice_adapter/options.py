"""Every choice that training makes, those that the paper leaves open included: named, checked, recorded. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from ...errors import VLExplainError
from ...parameters import check, describe, param

TAPPED_BLOCKS = 4
"""Encoder features enter before the first blocks of the adapter, one each (ALA, section 3)."""


@dataclass(frozen=True)
class Options:
    """Symbols are the paper's; the defaults are its own for CUB where it has any, else those of its lineage.

    (SAN for the adapter, ABN and LABN for the branches, CLIP for the rest; docs/lattice-adapter.md says which.)
    """

    width: int = param(64, "channels of the adapter", low=4, high=4096, symbol="d")
    heads: int = param(4, "attention heads of the adapter; they divide the width", low=1, high=64)
    layers: int = param(8, "blocks of the adapter", low=1, high=64, symbol="#L")
    patch: int | None = param(None, "pixels of its own patch embedding; None is the encoder's", low=2, high=64)
    taps: str = param(
        "quarters",
        "encoder depths that enter: quarters (0,3,6,9 of 12), first (0,1,2,3), none, or numbers such as 0,4,8",
    )
    readd_positions: bool = param(False, "add the positions after every block again, as SAN does")
    map_head: str = param("plain", "in front of the map: nothing, or the bottleneck of ABN", choices=("plain", "abn"))
    aux_input: str = param("map", "what the auxiliary head reads", choices=("map", "features"))
    gate: str = param("product", "by what features are multiplied: h, or 1 + h (ABN)", choices=("product", "residual"))
    perception_width: int = param(256, "channels of the perception branch", low=4, high=4096)
    lora_rank: int = param(8, "rank of the encoder's update; 0 is none", low=0, high=256, symbol="r")
    lora_scale: float = param(8.0, "the update is scaled by this over the rank", low=0.0, high=1024.0, symbol="α")
    lora_matrices: str = param("qv", "projections that are updated", choices=("q", "v", "qv", "qkv", "qkvo"))
    lora_blocks: str = param("last", "blocks that are updated: last, all, or numbers from 0 such as 10,11", symbol="m")
    aux_weight: float = param(1.0, "of the auxiliary head's loss", low=0.0, high=1000.0, symbol="λ")
    alternate: bool = param(True, "alternating epochs; else every epoch is an odd one")
    epochs: int = param(120, "at most", low=1, high=100_000)
    batch: int = param(8, "images in a forward", low=1, high=65536)
    accumulate: int = param(1, "forwards for one update", low=1, high=4096)
    learning_rate: float = param(5e-5, "of AdamW", low=1e-8, high=10.0)
    weight_decay: float = param(1e-4, "of AdamW", low=0.0, high=1.0)
    patience: int = param(5, "epochs of either kind without improvement before it stops; 0 never stops", low=0)
    monitor: str = param("loss", "what has to improve on the validation images", choices=("loss", "iou"))
    precision: str = param("float32", "of the forward passes", choices=("float32", "bfloat16"))
    fit: str = param("squash", "images to the model's size: squash, or as the model does", choices=("squash", "model"))
    crop: float = param(0.5, "least share of the area that a random crop keeps; 1 crops nothing", low=0.01, high=1.0)
    flip: float = param(0.5, "how often images are mirrored", low=0.0, high=1.0)
    cache: bool = param(False, "keep what the frozen blocks give, in memory; needs crop=1 and flip=0")
    seed: int = param(0, "of weights, order, crops and splits", low=0)

    def __post_init__(self) -> None:
        for known in describe(Options):
            object.__setattr__(self, known.name, check(known, getattr(self, known.name)))
        if self.width % self.heads:
            raise VLExplainError(f"width is {self.width}, but it must be a multiple of the {self.heads} heads.")
        if self.cache and (self.crop < 1 or self.flip > 0):
            raise VLExplainError("cache keeps features of images that never change: it needs crop=1 and flip=0.")
        numbers_of("taps", self.taps, ("quarters", "first", "none"))
        numbers_of("lora_blocks", self.lora_blocks, ("last", "all"))

    @property
    def augments(self) -> bool:
        return self.crop < 1 or self.flip > 0

    def tapped(self, depth: int) -> tuple[int, ...]:
        """Encoder depths i of the features ``h_v(i)`` that enter, 0 in front of the first block.

        Raises
        ------
        VLExplainError : the encoder is not that deep, or the adapter has fewer blocks.
        """
        if self.taps == "quarters":
            found = tuple(k * depth // TAPPED_BLOCKS for k in range(min(TAPPED_BLOCKS, self.layers)))
        elif self.taps == "first":
            found = tuple(range(min(TAPPED_BLOCKS, self.layers)))
        else:
            found = numbers_of("taps", self.taps, ("none",))
        if len(found) > self.layers:
            raise VLExplainError(f"taps are {len(found)}, but the adapter has {self.layers} blocks to take them.")
        return _within(found, depth, "taps")

    def adapted(self, depth: int) -> tuple[int, ...]:
        """Blocks of the encoder with a low-rank update, counted from 0.

        Raises
        ------
        VLExplainError : the encoder has no such block.
        """
        if not self.lora_rank:
            return ()
        if self.lora_blocks == "all":
            return tuple(range(depth))
        found = (depth - 1,) if self.lora_blocks == "last" else numbers_of("lora_blocks", self.lora_blocks, ())
        return _within(found, depth - 1, "lora_blocks")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Options:
        """
        Raises
        ------
        VLExplainError : a name that is none of ours, or a value out of range.
        """
        known = [each.name for each in describe(cls)]
        for name in values:
            if name not in known:
                raise VLExplainError(f"There is no option {name!r} of training; there are {', '.join(known)}.")
        return cls(**values)


def numbers_of(name: str, text: str, words: tuple[str, ...]) -> tuple[int, ...]:
    """``0,3,6`` as rising numbers; one of ``words`` stands for itself and gives none.

    Raises
    ------
    VLExplainError : neither.
    """
    if text in words:
        return ()
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or found[0] < 0 or any(a >= b for a, b in pairwise(found)):
        offered = "".join(f"{word}, " for word in words)
        raise VLExplainError(f"{name} is {text!r}, but it must be {offered}or rising numbers from 0 such as 0,3.")
    return found


def _within(found: tuple[int, ...], highest: int, name: str) -> tuple[int, ...]:
    if found and found[-1] > highest:
        raise VLExplainError(f"{name} name {found[-1]}, but the encoder of this model ends at {highest}.")
    return found
