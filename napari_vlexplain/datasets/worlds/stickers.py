"""The sticker world: one to four objects drawn as emoji on a background, perhaps with a printed word.

Every draw has its own stream, so that ``sample(seed, i, word="cat")`` shows the objects and the background of
``sample(seed, i, word=False)``: a scene with and without an attack differs by the attack alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from ...errors import VLExplainError
from . import artwork
from .artwork import article, class_names
from .backgrounds import TEXTURES, Background, draw_background, paint
from .canvas import Array, Pose, check_size, lay, to_uint8
from .randomness import Purpose, check_key, stream
from .rendered import Rendered
from .sticker_scenes import Label, Sticker, StickerScene

__all__ = [
    "TEXTURES",
    "Background",
    "Label",
    "Sticker",
    "StickerScene",
    "article",
    "attacked",
    "class_names",
    "render",
    "sample",
]

_COUNTS = {1: 0.35, 2: 0.35, 3: 0.2, 4: 0.1}
_HALF_EXTENTS = {1: (0.32, 0.9), 2: (0.26, 0.5), 3: (0.2, 0.44), 4: (0.2, 0.42)}
_QUADRANTS = np.array([(-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5)])
_REPEATS = 0.12  # share of the scenes of several objects in which one class is repeated
_WORDS = 0.35  # share of the scenes with a printed word

# Ink and plate of the labels.
_INKS = (
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    ((1.0, 1.0, 1.0), (0.1, 0.1, 0.1)),
    ((0.8, 0.1, 0.1), (1.0, 1.0, 1.0)),
    ((0.0, 0.0, 0.0), (1.0, 0.9, 0.3)),
)
_LABEL_ASPECT = 4  # a label's width over its height


def sample(
    seed: int,
    index: int,
    *,
    count: int | Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    distinct: bool = False,
    word: bool | str | None = None,
    texture: str | None = None,
) -> StickerScene:
    """Scene ``index`` of the world ``seed``: the same whatever else was drawn.

    Parameters
    ----------
    count
        Number of objects, 1 to 4, or the numbers to choose from in their usual shares; None is all four.
    names
        The objects' classes, in order; this fixes their number. Pictures and places are drawn.
    distinct
        No class twice. Otherwise one scene in eight of several objects repeats one.
    word
        True: a printed word of any class; False: none; a class name: that word; None: as trained, in 35 %.
    texture
        One of TEXTURES, to tie objects to backgrounds: ``sample(s, i, names=["dolphin"], texture="sea")``.

    Raises VLExplainError for a seed, count, name or texture that there is not.
    """
    key = check_key(seed, index)
    return StickerScene(
        stickers=_draw_stickers(key, _shares(count, names), names, distinct),
        background=draw_background(key, texture),
        label=_draw_label(key, word),
        key=key,
    )


def attacked(
    seed: int, index: int, *, word: str | None = None, half_extent: float = 0.35, half_width: float = 0.7
) -> StickerScene:
    """A typographic attack: one sticker above a large label that names another object.

    The word is drawn where it is None. ``without_label()`` gives the clean twin.
    """
    scene = sample(seed, index, count=1)
    (sticker,) = scene.stickers
    if word is None:
        others = [name for name in class_names() if name != sticker.name]
        word = others[int(stream(scene.key, Purpose.LABEL).integers(len(others)))]
    artwork.class_number(word)
    return replace(
        scene,
        stickers=(replace(sticker, centre=(0.0, -0.35), half_extent=half_extent),),
        label=Label(word, centre=(0.0, 0.6), half_width=half_width),
    )


def _shares(count: int | Sequence[int] | None, names: Sequence[str] | None) -> dict[int, float]:
    """Object counts to choose from, with probabilities."""
    if isinstance(names, str):
        raise VLExplainError(f"names must be a list of class names, such as [{names!r}], not a string.")
    if names is not None:
        if count is not None:
            raise VLExplainError("Give either count or names, not both: the names already fix the count.")
        count = len(names)
    allowed = tuple(_COUNTS) if count is None else tuple(np.atleast_1d(count).tolist())
    if not allowed or any(n not in _COUNTS for n in allowed):
        raise VLExplainError(f"A scene has 1 to 4 objects, not {count!r}.")
    total = sum(_COUNTS[n] for n in allowed)
    return {int(n): _COUNTS[n] / total for n in allowed}


def _draw_stickers(
    key: tuple[int, int], shares: dict[int, float], names: Sequence[str] | None, distinct: bool
) -> tuple[Sticker, ...]:
    rng = stream(key, Purpose.OBJECTS)
    n = int(rng.choice(list(shares), p=list(shares.values())))
    chosen = [class_names()[k] for k in rng.choice(len(class_names()), n, replace=False)]
    # Drawn even where unwanted, so that the scenes with `distinct` are the usual ones without repeats.
    repeats = rng.random() < _REPEATS and (n == 2 or rng.random() < 0.5)
    if repeats and not distinct:
        chosen = chosen[:1] * n
    if names is not None:
        chosen = list(names)

    half = rng.uniform(*_HALF_EXTENTS[n], n)
    if n == 1:
        centres = rng.uniform(half - 1, 1 - half, (1, 2))
    else:
        centres = rng.permutation(_QUADRANTS)[:n] + rng.uniform(-0.14, 0.14, (n, 2))
    if n == 2 and rng.random() < 0.3:
        half = half * 1.15
    rotations = rng.normal(0, 0.12, n)
    flips = rng.random(n) < 0.5
    pictures = rng.random(n)
    return tuple(
        Sticker(
            name=name,
            picture=(options := artwork.pictures_of(name))[int(pictures[k] * len(options))],
            centre=(float(centres[k, 0]), float(centres[k, 1])),
            half_extent=float(half[k]),
            rotation=float(rotations[k]),
            flipped=bool(flips[k]),
        )
        for k, name in enumerate(chosen)
    )


def _draw_label(key: tuple[int, int], word: bool | str | None) -> Label | None:
    rng = stream(key, Purpose.LABEL)
    present = rng.random() < _WORDS
    drawn = class_names()[int(rng.integers(len(class_names())))]
    if word is False or (word is None and not present):
        return None
    if word is not None and word is not True:
        drawn = class_names()[artwork.class_number(word)]
    x, y = rng.uniform(-0.6, 0.6, 2)
    return Label(drawn, (float(x), float(y)), float(rng.uniform(0.3, 0.6)), int(rng.integers(len(_INKS))))


def _plate(label: Label) -> Array:
    """The label's cut-out: (40, 160, 4), opaque."""
    coverage = artwork.glyphs(label.word)[..., None]
    ink, paper = (np.array(colour, np.float32) for colour in _INKS[label.ink])
    return np.concatenate([ink * coverage + paper * (1 - coverage), np.ones_like(coverage)], -1)


def _cutouts(scene: StickerScene) -> Iterable[tuple[Array, Pose]]:
    """Everything that is laid onto the background, from the bottom to the top."""
    for sticker in scene.stickers:
        r = sticker.half_extent
        yield artwork.cutout(sticker.picture), Pose(sticker.centre, r, r, sticker.rotation, sticker.flipped)
    if (label := scene.label) is not None:
        yield _plate(label), Pose(label.centre, label.half_width, label.half_width / _LABEL_ASPECT)


def render(scene: StickerScene, size: int = 224) -> Rendered:
    """Draw a scene at ``size`` x ``size`` pixels, with the exact visible coverage of its objects and label.

    Raises VLExplainError for a size outside 16 to 4096.
    """
    size = check_size(size)
    picture = paint(scene.background, size)
    masks = np.zeros((len(scene.stickers) + (scene.label is not None), size, size), np.float32)
    for k, (cutout, pose) in enumerate(_cutouts(scene)):
        window, drawn = lay(cutout, pose, size)
        colour, alpha = drawn[..., :3], drawn[..., 3]
        picture[window] = picture[window] * (1 - alpha[..., None]) + colour
        masks[(slice(k), *window)] *= 1 - alpha  # what lies below shows through less
        masks[(k, *window)] = alpha
    objects = len(scene.stickers)
    return Rendered(to_uint8(picture), masks[:objects], scene.names, masks[objects] if scene.label else None)
