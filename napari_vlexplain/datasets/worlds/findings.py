"""Nine radiological findings as formulas: what each adds to the picture, and where it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .canvas import Array
from .chest import Chest, bump, lung_ellipse, smooth_step
from .randomness import smooth_noise

ZONES = {"upper": -0.42, "mid": -0.10, "lower": 0.24}  # y of their middle


class Shape(NamedTuple):
    """Six numbers in [0, 1] that shape a finding; each kind uses some of them."""

    across: float  # place in the lung, from the midline outwards
    down: float  # place, from above
    size: float
    reach: float  # how much wider than high; how far down a pneumothorax goes
    tilt: float
    double: float  # above one half, an atelectasis has a second band


AVERAGE = Shape(0.5, 0.5, 0.5, 0.5, 0.5, 0.5)


class Place(NamedTuple):
    """A finding's whereabouts on a drawn chest: its lung and coordinates about the finding's centre."""

    lung: Array
    from_lung: Array  # (1, size): from the lung's centre, away from the midline
    dx: Array
    dy: Array


def place(chest: Chest, side: str, zone: str | None, shape: Shape) -> Place:
    """Coordinates for a finding in a lung; without a zone, ``dy`` counts from the middle one."""
    from_lung = chest.from_lung_centre(side)
    centre_y = ZONES[zone or "mid"] + (shape.down - 0.5) * 0.12
    dx = from_lung - (shape.across - 0.5) * 0.22
    return Place(chest.lungs[side], from_lung, dx, chest.y - centre_y)


Painted = tuple[Array, Array]  # what is added to the picture, and the mask in [0, 1]
Painter = Callable[[Chest, Place, Shape, np.random.Generator], Painted]


def _oval(at: Place, shape: Shape) -> Array:
    """1 on an oval about the centre, less inside."""
    radius = 0.12 + 0.09 * shape.size
    return (at.dx / (radius * (1 + 0.3 * shape.reach))) ** 2 + (at.dy / radius) ** 2


def _consolidation(chest: Chest, at: Place, shape: Shape, rng: np.random.Generator) -> Painted:
    """Dense, with a sharp and uneven border."""
    border = 1 - _oval(at, shape) + 0.6 * smooth_noise(rng, 14, chest.y.size, 0.35)
    mask = smooth_step(border, 0.12) * at.lung
    return 0.36 * mask, mask


def _opacity(chest: Chest, at: Place, shape: Shape, rng: np.random.Generator) -> Painted:
    """Faint and soft."""
    mask = np.exp(-0.6 * _oval(at, shape)) * at.lung
    return 0.20 * mask, mask


def _pneumonia(chest: Chest, at: Place, shape: Shape, rng: np.random.Generator) -> Painted:
    """Many small patches within a soft envelope; the mask is the envelope."""
    envelope = bump(at.dx, 0.24) * bump(at.dy, 0.24) * at.lung
    patches = smooth_step(smooth_noise(rng, 22, chest.y.size, 1.0) - 0.15, 0.25)
    return 0.34 * patches * envelope, envelope


def _atelectasis(chest: Chest, at: Place, shape: Shape, rng: np.random.Generator) -> Painted:
    """One or two thin tilted bands in the lower lung."""
    line = chest.y - 0.3 - (shape.down - 0.5) * 0.2 - (shape.tilt - 0.5) * 0.5 * at.dx
    bands = bump(line, 0.022) * smooth_step(0.17 - np.abs(at.dx), 0.03) * at.lung
    if shape.double > 0.5:
        bands = bands + bump(line - 0.07, 0.016) * smooth_step(0.12 - np.abs(at.dx), 0.03) * at.lung
    return 0.3 * bands, np.minimum(bands, 1)


def _pleural_effusion(chest: Chest, at: Place, shape: Shape, rng: np.random.Generator) -> Painted:
    """Fluid below a level that rises towards the chest wall; it hides the diaphragm."""
    level = 0.42 - 0.38 * shape.size - 0.22 * np.maximum(at.from_lung + 0.1, 0)
    half_width = chest.anatomy.lung_width * 1.02
    chest_wall = (np.abs(at.from_lung) / half_width) ** 2.4 + (np.abs(chest.y + 0.02) / 0.78) ** 3
    mask = smooth_step(chest.y - level, 0.02) * smooth_step(1.02 - chest_wall, 0.05)
    mask *= smooth_step(0.7 - chest.y, 0.03)
    return 0.34 * mask, mask


def _pneumothorax(chest: Chest, at: Place, shape: Shape, rng: np.random.Generator) -> Painted:
    """Air around a collapsed lung: dark, without vessels, along a fine pleural line; the mask is the air."""
    depth = 0.10 + 0.12 * shape.size
    inset = (0.2 * chest.anatomy.lung_width + 0.35 * depth, depth)
    collapsed = lung_ellipse(chest.anatomy, at.from_lung, chest.y, inset, 2.2)
    above = smooth_step(0.35 * shape.reach - 0.02 - chest.y, 0.06)
    lateral = smooth_step(at.from_lung + 0.12, 0.05)
    pleura = at.lung * above * lateral
    air = smooth_step(collapsed - 1, 0.04) * pleura
    return 0.16 * bump(collapsed - 1, 0.05) * pleura - (0.10 + 0.8 * chest.vessels) * air, air


def _edema(chest: Chest, at: Place, shape: Shape, rng: np.random.Generator) -> Painted:
    """Haze spreading from both hila like the wings of a bat."""
    mask = bump(np.abs(chest.x) - 0.34, 0.2) * bump(chest.y - 0.05, 0.34) * chest.lung_field
    return (0.22 + 0.09 * smooth_noise(rng, 40, chest.y.size, 1.0)) * mask, mask


def _cardiomegaly(chest: Chest, at: Place, shape: Shape, rng: np.random.Generator) -> Painted:
    """The chest is already drawn with an enlarged heart; this adds nothing."""
    return np.zeros_like(chest.heart), chest.heart


def _nodule(chest: Chest, at: Place, shape: Shape, rng: np.random.Generator) -> Painted:
    """A small round spot."""
    distance = (at.dx**2 + at.dy**2) / (0.045 + 0.045 * shape.size) ** 2
    mask = smooth_step(1 - distance, 0.15) * at.lung
    return 0.34 * mask, mask


PAINTERS: dict[str, Painter] = {
    "consolidation": _consolidation,
    "opacity": _opacity,
    "pneumonia": _pneumonia,
    "atelectasis": _atelectasis,
    "pleural effusion": _pleural_effusion,
    "pneumothorax": _pneumothorax,
    "edema": _edema,
    "cardiomegaly": _cardiomegaly,
    "nodule": _nodule,
}
FINDINGS = tuple(PAINTERS)
SIDED = frozenset(FINDINGS) - {"edema", "cardiomegaly"}
ZONED = frozenset({"consolidation", "opacity", "pneumonia", "nodule"})
