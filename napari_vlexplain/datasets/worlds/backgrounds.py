"""Ten kinds of background for the sticker scenes."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin

import numpy as np
from scipy.special import expit as sigmoid

from ...errors import VLExplainError
from .canvas import Array, axes
from .randomness import Purpose, smooth_noise, stream

COLOURS: dict[str, tuple[float, float, float]] = {
    "white": (1, 1, 1),
    "black": (0.05, 0.05, 0.05),
    "gray": (0.5, 0.5, 0.5),
    "red": (0.85, 0.15, 0.15),
    "orange": (0.95, 0.55, 0.1),
    "yellow": (0.97, 0.88, 0.25),
    "green": (0.2, 0.65, 0.25),
    "blue": (0.2, 0.4, 0.85),
    "purple": (0.55, 0.25, 0.7),
    "pink": (0.97, 0.65, 0.78),
    "brown": (0.5, 0.33, 0.2),
}
# How often each is drawn, and how a caption says it.
_SHARE = {
    "plain": 0.30,
    "gradient": 0.15,
    "noise": 0.12,
    "striped": 0.07,
    "checkered": 0.06,
    "meadow": 0.07,
    "sea": 0.07,
    "desert": 0.06,
    "night sky": 0.05,
    "room": 0.05,
}
TEXTURES = tuple(_SHARE)
_PHRASE = {
    "gradient": "on a gradient background",
    "noise": "on a noisy background",
    "striped": "on a striped background",
    "checkered": "on a checkered background",
    "meadow": "in a meadow",
    "sea": "at the sea",
    "desert": "in the desert",
    "night sky": "in the night sky",
    "room": "in a room",
}
_STAR_LATTICE = 224  # stars are one cell of this lattice, so that larger pictures show the same sky


@dataclass(frozen=True)
class Background:
    """A texture (one of TEXTURES), its two colours (of COLOURS) and the numbers that shape it.

    ``angle`` (radians) turns gradients and stripes, ``frequency`` (4 to 12) is the number of squares over
    half the picture, ``horizon`` is the y of the landscapes' horizon, ``key`` seeds the grain.
    """

    texture: str = "plain"
    colours: tuple[str, str] = ("white", "gray")
    angle: float = 0.0
    frequency: float = 8.0
    horizon: float = 0.2
    key: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        check_texture(self.texture)
        for colour in self.colours:
            if colour not in COLOURS:
                raise VLExplainError(f"There is no colour {colour!r}; the colours are {', '.join(COLOURS)}.")

    @property
    def phrase(self) -> str:
        """How a caption says it: "on a red background", "in a meadow"."""
        return _PHRASE.get(self.texture) or f"on a {self.colours[0]} background"


def check_texture(texture: str) -> str:
    """The texture's name; raises VLExplainError if there is none of that name."""
    if texture not in TEXTURES:
        raise VLExplainError(f"There is no background {texture!r}; there are {', '.join(TEXTURES)}.")
    return texture


def draw_background(key: tuple[int, int], texture: str | None) -> Background:
    """The background of scene ``key``; a given texture replaces the drawn one and leaves its colours."""
    rng = stream(key, Purpose.BACKGROUND)
    drawn = str(rng.choice(TEXTURES, p=list(_SHARE.values())))
    first, second = (str(c) for c in rng.choice(list(COLOURS), 2, replace=False))
    return Background(
        texture=drawn if texture is None else check_texture(texture),
        colours=(first, second),
        angle=float(rng.uniform(0, 2 * np.pi)),
        frequency=float(rng.uniform(4, 12)),
        horizon=float(rng.uniform(-0.2, 0.6)),
        key=key,
    )


def _rgb(*values: float) -> Array:
    return np.array(values, np.float32)


def paint(background: Background, size: int) -> Array:
    """The background as a picture: (size, size, 3) float32, about [0, 1]; the grain may reach outside."""
    x, y = (axis[..., None] for axis in axes(size))
    rng = stream(background.key, Purpose.TEXTURE)
    first, second = (_rgb(*COLOURS[colour]) for colour in background.colours)
    along = (x * cos(background.angle) + y * sin(background.angle)) / 2 + 0.5  # 0 to 1 across the picture
    sky = _rgb(0.55, 0.75, 0.95) - 0.15 * (y + 1)
    below = sigmoid((y - background.horizon) * 60)

    def grain() -> Array:
        return smooth_noise(rng, 24, size, 0.2, channels=3)

    def blotches() -> Array:
        return smooth_noise(rng, 8, size, 0.5)[..., None]

    def landscape(above: Array, ground: Array) -> Array:
        return above * (1 - below) + ground * below

    match background.texture:
        case "plain":
            picture = first
        case "gradient":
            picture = first * (1 - along) + second * along
        case "noise":
            picture = first * 0.6 + second * 0.4 * sigmoid(blotches() * 4) + grain() * 0.6
        case "striped":
            picture = np.where(np.floor(along * background.frequency * 2) % 2 == 0, first, second)
        case "checkered":
            squares = np.floor(x * background.frequency) + np.floor(y * background.frequency)
            picture = np.where(squares % 2 == 0, first, second)
        case "meadow":
            picture = landscape(sky, _rgb(0.3, 0.62, 0.22) + grain() * 0.5)
        case "sea":
            waves = 0.05 * np.sin(y * 60 + blotches()) + smooth_noise(rng, 40, size, 0.06)[..., None]
            picture = landscape(sky, _rgb(0.1, 0.4, 0.65) + waves)
        case "desert":
            picture = landscape(sky + 0.05, _rgb(0.88, 0.75, 0.5) + grain() * 0.3)
        case "night sky":
            stars = rng.random((_STAR_LATTICE, _STAR_LATTICE), dtype=np.float32) > 0.997
            nearest = np.arange(size) * _STAR_LATTICE // size
            picture = _rgb(0.03, 0.04, 0.15) + 0.9 * stars[np.ix_(nearest, nearest)][..., None]
        case _:  # room
            planks = 1 + 0.15 * np.sin(x * 20)
            picture = landscape(first * 0.3 + 0.6, _rgb(0.5, 0.35, 0.22) * planks)
    return np.broadcast_to(picture, (size, size, 3)).astype(np.float32)
