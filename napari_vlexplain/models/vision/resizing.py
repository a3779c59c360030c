"""To which size a picture is resized before it is cropped or padded: the rules of transformers, open_clip and timm.

Each rounds in its own way, and a rounding decides which pixels a model sees. All give at least one pixel, where the
libraries fail on a strip that is thinner than that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ...geometry import Pair, shorter_side


@dataclass(frozen=True)
class Shorter:
    """The shorter side becomes ``edge``, unless the longer one would exceed ``longest``."""

    edge: int
    longest: int | None = None

    def __call__(self, source: Pair) -> Pair:
        return shorter_side(source, self.edge, self.longest)


@dataclass(frozen=True)
class Sides:
    """Both sides are given; proportions are not kept."""

    height: int
    width: int

    def __call__(self, source: Pair) -> Pair:
        return self.height, self.width


@dataclass(frozen=True)
class Keeping:
    """Proportions kept: the whole picture inside a frame, or, if it ``covers``, the frame inside the picture.

    transformers (``truncated``) cuts fractions of a pixel off; open_clip and timm round.
    """

    height: int
    width: int
    covers: bool = False
    truncated: bool = False

    def __call__(self, source: Pair) -> Pair:
        if self.truncated:
            factor = min(self.height / source[0], self.width / source[1])
            return max(1, int(source[0] * factor)), max(1, int(source[1] * factor))
        ratios = source[0] / self.height, source[1] / self.width
        ratio = min(ratios) if self.covers else max(ratios)
        return max(1, round(source[0] / ratio)), max(1, round(source[1] / ratio))


@dataclass(frozen=True)
class AsItIs:
    """Not resized."""

    def __call__(self, source: Pair) -> Pair:
        return source


Resizing = Shorter | Sides | Keeping | AsItIs


def grown(rule: Resizing, side: Callable[[int, int], int]) -> Resizing:
    """The rule for another input; ``side`` tells what a number of pixels along an axis (0 rows, 1 columns) becomes."""
    if isinstance(rule, Shorter):
        return Shorter(side(rule.edge, 0), None if rule.longest is None else side(rule.longest, 0))
    if isinstance(rule, AsItIs):
        return rule
    return replace(rule, height=side(rule.height, 0), width=side(rule.width, 1))
