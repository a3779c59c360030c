"""Windows to see an image through: presets for radiographs, for Hounsfield units and from the file; dragging. No Qt.

A radiograph's numbers mean nothing outside its detector, so its presets are percentiles of the image itself, bright
being dense: air and lungs are its dark half, bone and mediastinum its bright one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..io.voi import Function, Limits, Window, full_range, percentiles, sample_of

MOST_FROM_FILE = 4


@dataclass(frozen=True)
class Preset:
    """One button: its name, a line of help, and one of: percentiles of the image, a window, or the full range.

    ``ends`` : lower and upper percentile. ``window`` : as the file or custom has it.
    """

    name: str
    what: str
    ends: tuple[float, float] | None = None
    window: Window | None = None

    def limits(self, pixels: NDArray[Any], padding: Limits | None = None) -> Limits:
        """(black, white) for an image (H, W); below 10 ms for 12 million pixels.

        ``padding`` : (lowest, highest) value that stands for "outside the image".
        """
        if self.window is not None:
            return self.window.limits
        return full_range(pixels, padding) if self.ends is None else percentiles(sample_of(pixels, padding), *self.ends)


AUTO = Preset("Auto", "1st to 99th percentile of the image", (1, 99))
FULL = Preset("Full", "From the lowest to the highest value")
_OF_RADIOGRAPHS = (
    Preset("Lungs", "The dark half: 1st to 60th percentile, for vessels and edges in the lungs", (1, 60)),
    Preset("Mediastinum", "The bright part: 30th to 99.5th percentile, for heart, spine and bone", (30, 99.5)),
)
_OF_HOUNSFIELD = (
    Preset("Lungs", "Width 1400 at -500 HU", window=Window(-500, 1400)),
    Preset("Soft tissue", "Width 350 at 40 HU", window=Window(40, 350)),
    Preset("Bone", "Width 1000 at 400 HU", window=Window(400, 1000)),
)


def presets(hounsfield: bool = False, of_file: Sequence[Window] = ()) -> tuple[Preset, ...]:
    """Auto, full, those of the kind of image, and the file's own by the names that it gives them."""
    own = tuple(
        Preset(own.name.capitalize() or (f"File {number}" if len(of_file) > 1 else "File"), _says(own), window=own)
        for number, own in enumerate(of_file[:MOST_FROM_FILE], start=1)
    )
    return AUTO, FULL, *(_OF_HOUNSFIELD if hounsfield else _OF_RADIOGRAPHS), *own


def dragged(window: Window, right: float, down: float, pace: float) -> Window:
    """The window after a drag by shares of the way that stands for ``pace``, such as the image's range.

    To the right is wider, downwards a higher level (darker). The width stays above a thousandth of ``pace``; of LINEAR
    windows both numbers are whole and the width is 2 at least.
    """
    centre, width = window.centre + down * pace, max(window.width + right * pace, pace / 1000)
    if window.function == "LINEAR":
        centre, width = float(round(centre)), max(2.0, float(round(width)))
    return Window(centre, width, window.function)


def function_of(dtype: Any) -> Function:
    """By whose rule a viewer counts width and level: whole numbers as DICOM's LINEAR does, fractions exactly."""
    return "LINEAR" if np.dtype(dtype).kind in "uib" else "LINEAR_EXACT"


def _says(window: Window) -> str:
    return f"From the file: {window.text}"
