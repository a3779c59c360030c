"""Maps that know nothing of model and prompt: what any method must beat.

Each gives scores on the model's own patches, so that crop, grid and enlargement are those of the methods beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..geometry import Geometry

PREFIX = "floor:"
Map = NDArray[np.float32]


def uniform(image: NDArray, geometry: Geometry, rng: np.random.Generator) -> Map:
    """The same everywhere: what chance gives to figures with a fair rule for ties."""
    return np.ones(geometry.grid, dtype=np.float32)


def random(image: NDArray, geometry: Geometry, rng: np.random.Generator) -> Map:
    """Independent normal numbers."""
    return rng.standard_normal(geometry.grid).astype(np.float32)


def centre(image: NDArray, geometry: Geometry, rng: np.random.Generator) -> Map:
    """A Gaussian about the middle, of a quarter of each side: a strong prior on photographs and radiographs."""
    rows, columns = (np.linspace(-1, 1, 2 * n + 1)[1::2] for n in geometry.grid)
    return np.exp(-2 * (rows[:, None] ** 2 + columns[None] ** 2)).astype(np.float32)


def edges(image: NDArray, geometry: Geometry, rng: np.random.Generator) -> Map:
    """Mean strength of edges (Sobel) over each patch; ``image`` (h, w, 3) are the model's pixels as colours."""
    grey = np.asarray(image, dtype=np.float32).mean(axis=2)
    strength = np.hypot(ndimage.sobel(grey, axis=0), ndimage.sobel(grey, axis=1))
    (gh, gw), (ph, pw) = geometry.grid, geometry.patch
    return strength[: gh * ph, : gw * pw].reshape(gh, ph, gw, pw).mean(axis=(1, 3)).astype(np.float32)


FLOORS: dict[str, Callable[[NDArray, Geometry, np.random.Generator], Map]] = {
    f"{PREFIX}uniform": uniform,
    f"{PREFIX}random": random,
    f"{PREFIX}centre": centre,
    f"{PREFIX}edges": edges,
}
