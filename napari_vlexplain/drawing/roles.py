"""The colours of those who say where a finding is: one each for truth, model and reader, the same everywhere.

Chosen by a search over sRGB: apart from each other, from every grey of a radiograph and from every colour of the
heatmaps, for normal eyes and without red, green or blue cones (Machado, Oliveira and Fernandes 2009; CIEDE2000).
No Qt and no torch here.
"""

from __future__ import annotations

from typing import Any

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
