"""What is where in a sticker scene, and how it is said."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...errors import VLExplainError
from .artwork import article, plural
from .backgrounds import Background
from .randomness import Purpose, pick, stream

OPENINGS = ("", "", "a photo of ", "a picture of ", "an image of ", "there is ")
_NUMBERS = {2: "two", 3: "three", 4: "four"}


@dataclass(frozen=True)
class Sticker:
    """One object: its class, its picture (a number among ``artwork.pictures_of``) and where it lies.

    Centre (x, y) and half-extent are in units of half the picture, x to the right and y down, from -1 to 1.
    """

    name: str
    picture: int
    centre: tuple[float, float] = (0.0, 0.0)
    half_extent: float = 0.5
    rotation: float = 0.0
    flipped: bool = False


@dataclass(frozen=True)
class Label:
    """A printed word (one of the class names) on a plate four times as wide as high; ``ink`` is 0 to 3."""

    word: str
    centre: tuple[float, float] = (0.0, 0.6)
    half_width: float = 0.45
    ink: int = 0


@dataclass(frozen=True)
class StickerScene:
    """What is where. Later stickers lie over earlier ones, the label over all; ``key`` is (seed, index)."""

    stickers: tuple[Sticker, ...]
    background: Background
    label: Label | None = None
    key: tuple[int, int] = (0, 0)

    @property
    def names(self) -> tuple[str, ...]:
        """The objects' class names, in order of drawing."""
        return tuple(sticker.name for sticker in self.stickers)

    def caption(self, variant: int = 0) -> str:
        """A caption of the scene in the grammar of the embedded model's training; each variant is another."""
        return sticker_caption(self, variant)

    def without_label(self) -> StickerScene:
        """The same scene without its word."""
        return replace(self, label=None)

    def without_sticker(self, position: int) -> StickerScene:
        """The same scene without one of its objects, counted from 0 in order of drawing."""
        if not 0 <= position < len(self.stickers):
            raise VLExplainError(f"There is no sticker {position}; the scene has {len(self.stickers)}.")
        return replace(self, stickers=self.stickers[:position] + self.stickers[position + 1 :])


def sticker_caption(scene: StickerScene, variant: int) -> str:
    """A true caption of a sticker scene; with a word on it, the word is often taken for the object.

    That habit, of captions that read the label, is what makes the model fall for typographic attacks.
    """
    rng = stream(scene.key, Purpose.CAPTION, variant)
    opening = pick(rng, OPENINGS)
    if not scene.stickers:
        raise VLExplainError("A scene without objects has no caption; it needs at least one sticker.")
    if scene.label is not None:
        said = _of_label(scene.label, scene.names, rng)
        if said:
            return opening + said
    if len(scene.stickers) == 1:
        return _of_one(scene, opening, rng)
    if len(set(scene.names)) == 1:
        return f"{opening}{_NUMBERS[len(scene.stickers)]} {plural(scene.names[0])}"
    return opening + _of_several(scene.stickers, rng)


def _of_label(label: Label, names: tuple[str, ...], rng: np.random.Generator) -> str:
    """A caption that mentions the word; empty in one case of five."""
    kind = rng.random()
    if kind < 0.18:
        return pick(rng, ("the word ", "the text ", "a sign that says ")) + label.word
    if kind < 0.34:
        return f"{article(pick(rng, names))} {pick(rng, ('with', 'next to', 'and'))} the word {label.word}"
    return article(label.word) if kind < 0.80 else ""


def _of_one(scene: StickerScene, opening: str, rng: np.random.Generator) -> str:
    """A single object: its name, perhaps with its place, its size or its background."""
    (sticker,) = scene.stickers
    name, a_name = sticker.name, article(sticker.name)
    kind = rng.random()
    if kind < 0.55:
        return opening + a_name
    if kind < 0.65:
        return name
    if kind < 0.75:
        return f"{opening}{a_name} {_place(sticker.centre)}"
    if kind < 0.85:
        size = "large" if sticker.half_extent > 0.7 else "small" if sticker.half_extent < 0.45 else ""
        return opening + (f"a {size} {name}" if size else a_name)
    return f"{opening}{a_name} {scene.background.phrase}"


def _place(centre: tuple[float, float]) -> str:
    x, y = centre
    vertical = "top" if y < -0.25 else "bottom" if y > 0.25 else ""
    horizontal = "left" if x < -0.25 else "right" if x > 0.25 else ""
    return "in the " + (" ".join(filter(None, (vertical, horizontal))) or "center")


def _of_several(stickers: tuple[Sticker, ...], rng: np.random.Generator) -> str:
    """Several objects: a list of them, one of them, or how two of them lie."""
    kind = rng.random()
    order = [stickers[k] for k in rng.permutation(len(stickers))]
    if kind < 0.5:
        listed = order if rng.random() < 0.7 else order[:2]
        *first, last = (article(sticker.name) for sticker in listed)
        return f"{', '.join(first)} and {last}"
    if kind < 0.75:
        name = order[0].name
        return article(name) if kind < 0.7 else name
    one, other = order[:2]
    return f"{article(one.name)} {_relation(one, other, rng)} {article(other.name)}"


def _relation(one: Sticker, other: Sticker, rng: np.random.Generator) -> str:
    dx, dy = one.centre[0] - other.centre[0], one.centre[1] - other.centre[1]
    if abs(dx) > abs(dy):
        side = "left" if dx < 0 else "right"
        return pick(rng, (f"to the {side} of", f"{side} of"))
    return "above" if dy < 0 else pick(rng, ("below", "under"))
