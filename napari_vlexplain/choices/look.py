"""How a heatmap is shown: what is let through, in which colours, with which isolines. Plain numpy; no Qt, no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..drawing.colour import table
from ..errors import VLExplainError
from ..io.voi import apart
from ..scale import is_constant

SEQUENTIAL = ("inferno", "magma", "viridis", "cividis", "gray")
DIVERGING = "balance"  # blue below 0, red above, pale between: read without colour vision, as the others are
COLOUR_MAPS = (*SEQUENTIAL, DIVERGING)
OPAQUE_FROM = 0.6  # share of the heatmap's range where a faded colour map stops letting the image through
GAMMA = 1.5  # dark colours come in late, or they soil the image
STEPS = 257  # odd, so that a diverging map has a colour for 0
MOST_LEVELS = 8
FASTEST_BLINK = 3.0  # changes a second; half of what may set off photosensitive epilepsy (WCAG 2.3.1: 3 flashes)
_CONTOUR_SIZE = 768  # pixels of the longer side that isolines are drawn on: maps are far coarser


@dataclass(frozen=True)
class Look:
    """The display of one heatmap.

    colormap : one of COLOUR_MAPS, or another that napari knows.
    opacity : (0, 1], of the whole layer.
    low : share of the range, [0, 1), below which nothing is shown.
    full : share of the range, (low, 1], from which the map hides the image as far as ``opacity`` says.
    gamma : (0, 10], of the rise between them; above 1 it comes late, below 1 early.
    constant : no rise: everything from ``low`` on is shown alike.
    bar : show the colour bar.
    levels : of the isolines, in (0, 1) of the range, rising.

    For a diverging colour map, shares are of the distance from 0.
    """

    colormap: str = SEQUENTIAL[0]
    opacity: float = 0.7
    low: float = 0.0
    full: float = OPAQUE_FROM
    gamma: float = GAMMA
    constant: bool = False
    bar: bool = False
    levels: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        fine = (
            0 < self.opacity <= 1 and 0 <= self.low < 1 and self.low < self.full <= 1 and 0 < self.gamma <= 10
        ) and all(0 < level < 1 for level in self.levels)
        if not fine:
            raise VLExplainError(
                f"{self} is no look: opacity lies in (0, 1], low in [0, 1), full in (low, 1], gamma in (0, 10], "
                "levels in (0, 1)."
            )

    @property
    def centred(self) -> bool:
        """Does the colour map have its middle at 0?"""
        return self.colormap == DIVERGING

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a layer's metadata."""
        return {**asdict(self), "levels": list(self.levels)}

    @classmethod
    def from_dict(cls, data: Any) -> Look:
        """What :meth:`to_dict` gave; anything else, such as another program's, is the default."""
        try:
            known = {field.name: data[field.name] for field in fields(cls) if field.name in data}
            return cls(**{**known, "levels": tuple(float(level) for level in known.get("levels", ()))})
        except (TypeError, ValueError, VLExplainError):
            return cls()

    def with_low(self, low: float) -> Look:
        """Another threshold; where the rise ended below it, it ends a little above."""
        low = min(max(low, 0.0), 0.99)
        return replace(self, low=low, full=max(self.full, min(1.0, low + 0.01)))


def opaque(colormap: str, opacity: float) -> Look:
    """The look of a layer that lets nothing through but by its opacity."""
    return Look(colormap, opacity, constant=True)


def alpha(look: Look, shares: ArrayLike) -> NDArray[np.float64]:
    """How far each share in [0, 1] of the range hides the image: (...) float64 in [0, 1], opacity left out."""
    values = np.asarray(shares, dtype=np.float64)
    if look.constant:
        return np.where(values >= look.low, 1.0, 0.0) if look.low > 0 else np.ones_like(values)
    return np.clip((values - look.low) / (look.full - look.low), 0, 1) ** look.gamma


def colours(look: Look, sequential: Callable[[NDArray[np.float64]], NDArray]) -> NDArray[np.float64]:
    """The colour table of a look: (STEPS, 4) RGBA in [0, 1], evenly spaced.

    ``sequential`` maps values in [0, 1] to colours (N, 3 or 4) of ``look.colormap``; it is not asked for a
    diverging one.
    """
    steps = np.linspace(0, 1, STEPS)
    found = np.ones((STEPS, 4))
    if look.centred:
        found[:, :3] = table(DIVERGING)[np.rint(steps * 255).astype(int)] / 255
        steps = np.abs(2 * steps - 1)
    else:
        found[:, :3] = np.asarray(sequential(steps))[:, :3]
    found[:, 3] = alpha(look, steps)
    return found


def limits(low: float, high: float, zero: float | None) -> tuple[float, float]:
    """Of the colours, for values in [low, high]: these, or as far to both sides of ``zero`` as the farther one."""
    low, high = apart(low, high)
    if zero is None:
        return low, high
    reach = max(high - zero, zero - low)
    return zero - reach, zero + reach


def zero_of(entry: Mapping[str, Any]) -> float | None:
    """Where raw score 0 lies on the scale of a heatmap, from its layer's record; None where no record tells.

    Heatmaps run from the lowest raw score (0) to the highest (1), so it lies outside [0, 1] if all have one sign.
    """
    from ..layers.explanations import recorded
    from ..results.answer import Answer
    from ..results.answer_bundle import FORMAT, answer_of

    try:
        found = answer_of(dict(entry), "{}", Answer) if entry.get("format") == FORMAT else recorded(dict(entry))
        scores = found.pixel_scores
    except VLExplainError:
        return None
    if is_constant(scores):
        return None
    low, high = float(np.nanmin(scores)), float(np.nanmax(scores))
    return -low / (high - low)


def parse_levels(text: str) -> tuple[float, ...]:
    """Levels written as ``0.5, 0.75``: rising, each once.

    Raises
    ------
    VLExplainError : not numbers between 0 and 1, or more than MOST_LEVELS.
    """
    words = [word for word in re.split(r"[\s,;]+", text) if word]
    try:
        found = tuple(sorted({float(word) for word in words}))
    except ValueError:
        raise VLExplainError("Levels are numbers between 0 and 1, such as: 0.5, 0.75.") from None
    if len(found) > MOST_LEVELS or not all(math.isfinite(x) and 0 < x < 1 for x in found):
        raise VLExplainError(f"Levels are at most {MOST_LEVELS} numbers between 0 and 1, such as: 0.5, 0.75.")
    return found


def isolines(heatmap: ArrayLike, levels: tuple[float, ...]) -> list[tuple[float, NDArray[np.float64]]]:
    """(level, (N, 2) points as (row, column) in pixels) of each line where the heatmap (H, W) has that level.

    Drawn on every n-th pixel of a large map, and with no more points than it takes to stay within half of such a
    step. NaN (outside the model's crop) has no lines.
    """
    from skimage.measure import approximate_polygon, find_contours

    values = np.asarray(heatmap)
    step = max(1, math.ceil(max(values.shape) / _CONTOUR_SIZE))
    small = np.ascontiguousarray(values[::step, ::step], dtype=np.float64)
    known = ~np.isnan(small)
    if min(small.shape) < 2 or not known.any():
        return []
    found = []
    for level in levels:
        for line in find_contours(small, level, mask=known):
            simple = approximate_polygon(line, 0.25)
            if len(simple) > 1:
                found.append((level, simple * step))
    return found


def fade_weights(place: float) -> tuple[float, float]:
    """Opacity factors of maps A and B for a place in [0, 1] between them."""
    place = min(max(place, 0.0), 1.0)
    return 1.0 - place, place
