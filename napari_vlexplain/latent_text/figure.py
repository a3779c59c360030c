"""Latent texts as a picture: the image, its patches in the colours of their texts at some layers, and legends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..drawing.lettering import FAINT, PAPER, one_line, write, write_lines
from ..drawing.overlay import as_uint8
from .interpretation import Interpretation
from .legend import Colour, colours, entries, painted

if TYPE_CHECKING:
    from PIL import Image

Entry = tuple[str, int, Colour]
_GAP = 14
_LINE = 20


def figure(
    found: Interpretation, image: Any, layers: Sequence[int] | None = None, side: int = 300, rows: int = 6
) -> Image.Image:
    """The image, then a panel for each layer with the texts that win most patches below it; RGB.

    ``rows`` is the length of a legend; by default three layers are shown: the middle, three quarters, the last.
    """
    from PIL import Image, ImageDraw

    if layers is None:
        depth = found.depth
        layers = [layer for layer in dict.fromkeys((depth // 2, 3 * depth // 4, depth)) if layer in found.layers]
        layers = layers or list(found.layers)
    shades, base = colours(found), as_uint8(image)
    factor = side / max(base.shape[:2])
    size = (max(1, round(base.shape[1] * factor)), max(1, round(base.shape[0] * factor)))
    panels: list[tuple[str, Image.Image, list[Entry]]] = [("the image", Image.fromarray(base), [])]
    panels += [
        (
            f"layer {layer}",
            Image.fromarray(_over(base, found, painted(found, layer, shades))),
            entries(found, layer, shades),
        )
        for layer in layers
    ]
    notes = [text for text in (found.provenance.get("note"), found.provenance.get("warning")) if text]
    width = len(panels) * (size[0] + _GAP) + _GAP
    height = 40 + size[1] + _LINE * (rows + 1) + 22 * len(notes) + _GAP
    canvas = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    for number, (title, panel, legend) in enumerate(panels):
        x, y = _GAP + number * (size[0] + _GAP), 36
        write(draw, (x, 12), title, 15)
        canvas.paste(panel.resize(size, Image.Resampling.BICUBIC), (x, y))
        y += size[1] + 8
        for text, count, colour in legend[:rows]:
            draw.rectangle((x, y + 2, x + 13, y + 15), fill=colour)
            write(draw, (x + 20, y), one_line(f"{text}  {count}", size[0] // 8), 14)
            y += _LINE
        if len(legend) > rows:
            write(draw, (x + 20, y), f"and {len(legend) - rows} more", 13, FAINT)
    y = height - _GAP - 22 * len(notes)
    for note in notes:
        y = write_lines(draw, (_GAP, y), str(note), width - 2 * _GAP, 13, (166, 74, 0))
    return canvas


def _over(base: NDArray[np.uint8], found: Interpretation, grid: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Patches over the image's own lightness; outside the model's crop the image stays as it is."""
    planes = [found.geometry.scores_to_source(grid[..., c].astype(np.float32), nearest=True) for c in range(3)]
    colour = np.stack(planes, -1)
    grey = base.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    mixed = 0.62 * colour + 0.38 * grey[..., None]
    return np.where(np.isnan(colour), base, np.rint(np.nan_to_num(mixed))).astype(np.uint8)


def swatch(colour: Colour) -> str:
    """The colour as ``#rrggbb``."""
    red, green, blue = colour
    return f"#{red:02x}{green:02x}{blue:02x}"
