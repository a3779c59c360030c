"""Colours for numbers and for what masks stand for, without matplotlib. No Qt and no torch here."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Evenly spaced sRGB anchors. Lightness rises steadily along the first, and falls away from the middle of the second,
# so both can be read without colour vision.
_ANCHORS = {
    "ember": ((6, 5, 22), (58, 12, 94), (132, 30, 108), (205, 58, 80), (246, 130, 38), (252, 242, 164)),
    "balance": ((30, 72, 158), (98, 152, 208), (246, 246, 244), (242, 150, 106), (176, 28, 42)),
}
COLOUR_MAPS = tuple(_ANCHORS)


@lru_cache(maxsize=len(_ANCHORS))
def table(name: str = "ember") -> NDArray[np.uint8]:
    """A colour map as (256, 3) uint8: ``ember`` runs from dark to bright, ``balance`` is pale in its middle."""
    anchors = np.array(_ANCHORS[name], dtype=np.float64)
    at = np.linspace(0, 1, 256)
    places = np.linspace(0, 1, len(anchors))
    colours = np.stack([np.interp(at, places, anchors[:, channel]) for channel in range(3)], axis=1)
    found = np.rint(colours).astype(np.uint8)
    found.flags.writeable = False
    return found


def sequential(values: ArrayLike, low: float = 0.0, high: float = 1.0) -> NDArray[np.uint8]:
    """Numbers (...) as colours (..., 3) of ``ember``; NaN becomes black."""
    span = high - low if high > low else 1.0
    return _looked_up((np.asarray(values, dtype=np.float64) - low) / span, "ember")


def diverging(values: ArrayLike, largest: float | None = None) -> NDArray[np.uint8]:
    """Numbers (...) as colours (..., 3) of ``balance``: 0 pale, ``largest`` (by default of the magnitudes) red.

    All zeros are all pale; NaN becomes black.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if largest is None:
        largest = float(np.nanmax(np.abs(numbers), initial=0.0))
    share = 0.5 + 0.5 * numbers / largest if largest > 0 else 0.5 + 0 * numbers
    return _looked_up(share, "balance")


def ink_on(colour: ArrayLike) -> tuple[int, int, int]:
    """Black or white, whichever can be read on an sRGB colour (relative luminance as in WCAG 2)."""
    share = np.asarray(colour, dtype=np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return (20, 20, 24) if float(linear @ (0.2126, 0.7152, 0.0722)) > 0.195 else (255, 255, 255)


def _looked_up(share: NDArray[np.float64], name: str) -> NDArray[np.uint8]:
    unknown = np.isnan(share)
    index = np.rint(np.clip(np.where(unknown, 0, share), 0, 1) * 255).astype(np.intp)
    return np.where(unknown[..., None], np.uint8(0), table(name)[index])


Colour = tuple[int, int, int]

ROLES = ("truth", "model", "reader")
COLOURS: dict[str, Colour] = {"truth": (0, 178, 122), "model": (185, 13, 217), "reader": (223, 192, 251)}
"""Green, purple and pale lilac; sRGB in 0..255."""
OTHER: Colour = (102, 119, 136)
"""Of a mask that is none of the three's."""
RIM: Colour = (16, 16, 20)
"""Drawn around an outline, which is then seen on its own colour as well."""
_DARKER = 0.72


def colour_of(role: str) -> Colour:
    """sRGB in 0..255."""
    return COLOURS.get(role, OTHER)


def hex_of(role: str) -> str:
    """As ``#rrggbb``, for napari, Qt and HTML."""
    return "#{:02x}{:02x}{:02x}".format(*colour_of(role))


def shades(role: str) -> tuple[Colour, Colour]:
    """The role's colour and a darker one: labels 1, 3, ... and 2, 4, ... of one mask."""
    red, green, blue = (round(channel * _DARKER) for channel in colour_of(role))
    return colour_of(role), (red, green, blue)


def label_colours(role: str) -> dict[int | None, Any]:
    """The ``colormap=`` of a Labels layer of this role: every other label is darker, to be told apart."""
    odd, even = ((*(channel / 255 for channel in shade), 1.0) for shade in shades(role))
    return {0: "transparent", **{k: odd if k % 2 else even for k in range(1, 21)}, None: odd}
