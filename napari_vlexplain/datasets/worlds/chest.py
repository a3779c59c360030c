"""A chest radiograph from formulas: lungs, heart, ribs, clavicles and vessels as smooth functions of x and y.

Proportions were chosen by eye; nothing here is measured on patients. As on a radiograph, the patient's
left is on the right of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from .canvas import Array, axes
from .randomness import Purpose, smooth_noise, stream

SIDES = {"left": +1.0, "right": -1.0}  # the sign of x


@dataclass(frozen=True)
class Anatomy:
    """The numbers that make one chest differ from the next, in units of half the picture."""

    shift: tuple[float, float]
    scale: float
    body_width: float
    lung_width: float
    lung_height: float
    lung_centre: float  # distance from the midline
    diaphragm: float
    heart_centre: tuple[float, float]
    heart_size: tuple[float, float]
    mediastinum: float
    gain: float  # the exposure: ((picture + grain) gain + offset) ^ gamma
    offset: float
    gamma: float


def draw_anatomy(key: tuple[int, int]) -> Anatomy:
    """The chest of scene ``key``."""
    rng = stream(key, Purpose.ANATOMY)

    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    return Anatomy(
        shift=(float(rng.normal(0, 0.03)), float(rng.normal(0, 0.03))),
        scale=float(rng.normal(1, 0.06)),
        body_width=between(0.92, 1.02),
        lung_width=between(0.29, 0.34),
        lung_height=between(0.62, 0.70),
        lung_centre=between(0.40, 0.45),
        diaphragm=between(0.50, 0.62),
        heart_centre=(between(0.08, 0.14), between(0.26, 0.34)),
        heart_size=(between(0.25, 0.30), between(0.26, 0.31)),
        mediastinum=between(0.11, 0.14),
        gain=between(0.85, 1.15),
        offset=between(-0.05, 0.05),
        gamma=between(0.8, 1.25),
    )


@dataclass(frozen=True, eq=False)
class Chest:
    """A drawn chest and the fields that the findings are painted with.

    ``x`` is (1, size), ``y`` (size, 1); the others are (size, size) float32, organs as coverage in [0, 1].
    """

    anatomy: Anatomy
    x: Array
    y: Array
    lungs: dict[str, Array]
    heart: Array
    vessels: Array
    picture: Array

    @property
    def lung_field(self) -> Array:
        """Both lungs."""
        return np.minimum(self.lungs["left"] + self.lungs["right"], 1)

    def from_lung_centre(self, side: str) -> Array:
        """x of one lung's own frame, (1, size): 0 at its centre, positive away from the midline."""
        return self.x * SIDES[side] - self.anatomy.lung_centre


def smooth_step(value: Array, width: float) -> Array:
    """0 where the value is negative, 1 where it is positive, with a soft edge."""
    return expit(value / width)


def bump(distance: Array, width: float) -> Array:
    """1 at distance 0, falling as a Gaussian."""
    return np.exp(-((distance / width) ** 2))


def paint_chest(anatomy: Anatomy, key: tuple[int, int], size: int, enlarged_heart: bool = False) -> Chest:
    """Draw a healthy chest, or one with an enlarged heart; picture values are about [0, 1], bone bright."""
    a = anatomy
    rng = stream(key, Purpose.TEXTURE)
    x, y = ((axis + shift) * a.scale for axis, shift in zip(axes(size), a.shift, strict=True))
    from_midline = np.abs(x)
    unevenness = smooth_noise(rng, 6, size, 0.025)

    body = smooth_step(1.05 - (from_midline / a.body_width) ** 4, 0.05)
    lungs = {side: _lung(a, side, x, y, unevenness) for side in SIDES}
    lung_field = np.minimum(lungs["left"] + lungs["right"], 1)
    heart = _heart(a, x, y, unevenness, enlarged_heart)
    mediastinum = smooth_step(a.mediastinum + 0.03 * np.sin(y * 3) - from_midline, 0.03)
    mediastinum *= smooth_step(y + 1.1, 0.1)

    soft_tissue = 0.10 + 0.48 * body - 0.36 * lung_field
    picture = np.maximum(
        soft_tissue + 0.22 * mediastinum * (1 - 0.2 * lung_field),
        soft_tissue * (1 - heart) + heart * (0.56 + 0.06 * mediastinum),
    )
    picture += 0.085 * _ribs(from_midline, y) * body * (from_midline > 0.1) * (1 - 0.5 * heart)
    clavicles = bump(y + 0.72 + 0.14 * (from_midline - 0.3), 0.022)
    picture += 0.12 * clavicles * ((from_midline > 0.08) & (from_midline < 0.75))

    vessels = smooth_noise(rng, 28, size, 0.05) + smooth_noise(rng, 56, size, 0.025)
    hilum = bump(from_midline - 0.22, 0.2) * bump(y - 0.02, 0.35)
    picture += lung_field * (vessels * (0.4 + hilum) + 0.07 * hilum)
    return Chest(anatomy, x, y, lungs, heart, vessels, picture)


def lung_ellipse(anatomy: Anatomy, across: Array, y: Array, inset: tuple[float, float], power: float) -> Array:
    """1 on a super-ellipse about a lung's centre, less inside; ``inset`` is taken from its half-axes."""
    half_width, half_height = anatomy.lung_width - inset[0], anatomy.lung_height - inset[1]
    return (np.abs(across) / half_width) ** power + (np.abs(y + 0.08) / half_height) ** power


def _lung(a: Anatomy, side: str, x: Array, y: Array, unevenness: Array) -> Array:
    """A super-ellipse, narrower towards its apex, cut off below by the dome of the diaphragm."""
    across = x * SIDES[side] - a.lung_centre
    taper = 0.72 + 0.28 * np.clip((y + 0.7) / 1.2, 0, 1)
    outline = lung_ellipse(a, across / taper, y, (0, 0), 2.4) + unevenness
    dome = a.diaphragm - 0.10 * (1 - (across / a.lung_width) ** 2) + (0.05 if side == "left" else 0.03)
    return smooth_step(1 - outline, 0.06) * smooth_step(dome - y, 0.02)


def _heart(a: Anatomy, x: Array, y: Array, unevenness: Array, enlarged: bool) -> Array:
    (x0, y0), (width, height) = a.heart_centre, a.heart_size
    if enlarged:
        x0, width, height = x0 + 0.05, width * 1.55, height * 1.22
    return smooth_step(1 - ((x - x0) / width) ** 2 - ((y - y0) / height) ** 2 + unevenness, 0.08)


def _ribs(from_midline: Array, y: Array) -> Array:
    """Nine pairs of arcs that fall away from the spine."""
    slope = 0.33 * np.maximum(from_midline - 0.05, 0) ** 1.2
    return np.sum([bump(y - (-0.78 + 0.165 * k) - slope, 0.017) for k in range(9)], axis=0)
