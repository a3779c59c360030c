"""From what a user calls an image to a model's pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..geometry import Geometry
from ..io.images import as_array, as_rgb, read_shown
from ..models import load_model
from ..models.dual_encoder import DualEncoder
from ..request import ImageIdentity
from ..running import Run


@dataclass(frozen=True, eq=False)
class Picture:
    """One image, ready for a model: pixels (1, 3, h, w), their geometry, and whose they are."""

    pixels: Tensor
    geometry: Geometry
    identity: ImageIdentity
    source: NDArray[Any]

    @property
    def record(self) -> dict[str, str]:
        """Which image it is, for provenance."""
        return {"name": self.identity.name, "sha256": self.identity.sha256}


def picture(
    model: DualEncoder, image: Any, contrast_limits: tuple[float, float] | None = None, name: str | None = None
) -> Picture:
    """A path, a Pillow image or an array, see :func:`napari_vlexplain.io.images.as_rgb`."""
    if isinstance(image, str | Path):
        called = name or str(image)
        source, contrast_limits = read_shown(image, contrast_limits)
    else:
        source, called = as_array(image), name or getattr(image, "filename", "") or "image"
    pixels, geometry = model.pixels(as_rgb(source, contrast_limits))
    return Picture(pixels, geometry, ImageIdentity.of(np.asarray(source), called, contrast_limits), source)


def opened(model: str | DualEncoder, device: str | None, download: bool, run: Run) -> DualEncoder:
    """A model by name, or itself."""
    return load_model(model, device, download, run) if isinstance(model, str) else model
