"""Random numbers that depend on nothing but their address: (seed, index, purpose)."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache

import numpy as np

from ...errors import VLExplainError
from .canvas import Array


class Purpose(IntEnum):
    """Each part of a scene draws from a stream of its own, so fixing one part leaves the others alone."""

    OBJECTS = 0
    BACKGROUND = 1
    LABEL = 2
    CAPTION = 3
    TEXTURE = 4
    ANATOMY = 5
    FINDINGS = 6
    FINDING_TEXTURE = 7
    QUESTION = 8


def stream(key: tuple[int, int], purpose: Purpose, *more: int) -> np.random.Generator:
    """The generator of scene ``key = (seed, index)`` for one purpose: the same on every call and machine."""
    seed, index = key
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, int(purpose), *more)))


def check_key(seed: int, index: int) -> tuple[int, int]:
    """(seed, index) as plain integers; raises VLExplainError unless both are integers of at least 0."""
    for name, value in (("seed", seed), ("index", index)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
            raise VLExplainError(f"{name} must be an integer of at least 0, not {value!r}.")
    return int(seed), int(index)


def pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    """One of the options, each as likely as the others."""
    return options[int(rng.integers(len(options)))]


@lru_cache(maxsize=64)
def _cubic_weights(cells: int, size: int) -> Array:
    """(size, cells) weights of cubic convolution (Keys 1981, a = -0.75), pixel centres, edges repeated."""
    a = -0.75
    position = (np.arange(size) + 0.5) * cells / size - 0.5
    first = np.floor(position).astype(int) - 1
    weights = np.zeros((size, cells))
    for tap in range(4):
        t = np.abs(position - (first + tap))
        near = ((a + 2) * t - (a + 3)) * t**2 + 1
        far = a * (((t - 5) * t + 8) * t - 4)
        cell = np.clip(first + tap, 0, cells - 1)
        np.add.at(weights, (np.arange(size), cell), np.where(t <= 1, near, far))
    weights = weights.astype(np.float32)
    weights.flags.writeable = False
    return weights


def smooth_noise(rng: np.random.Generator, cells: int, size: int, amplitude: float, channels: int = 1) -> Array:
    """Normal noise on a ``cells`` x ``cells`` lattice, enlarged cubically: the same field at every size.

    Returns (size, size) float32, or (size, size, channels) for more than one channel.
    """
    lattice = rng.standard_normal((channels, cells, cells), dtype=np.float32) * np.float32(amplitude)
    weights = _cubic_weights(cells, size)
    field = weights @ lattice @ weights.T
    return field[0] if channels == 1 else np.moveaxis(field, 0, -1)
