"""Typographic attacks: images with a word on them that names another class, and the same images without it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...datasets.worlds import article, class_names, stickers
from ...io.images import as_rgb, read_image
from .folders import IMAGENET_CLASSES, imagenet
from .samples import Draw, Samples, some_of

DETECTION_WORDS = (
    "word", "text", "a word", "a line of word", "a line of text", "alphabets", "letters", "white letters",
)  # fmt: skip
"""What a token that shows printed text may say, as published."""
BAR = 30
"""Rows of the black bar on an attacked photograph of 224 x 224."""


@dataclass(frozen=True, eq=False)
class Attacks:
    """Clean and attacked images of the same scenes.

    classes : as they are put to the model. find : detection words. vocabulary : what tokens may say.
    saliency_texts : what a saliency map may be asked to mark; the best is chosen by tuning.
    plates : for each image the share of each pixel that is the label, (h, w) in [0, 1]; None where nobody knows.
    """

    classes: tuple[str, ...]
    clean: Samples
    attacked: Samples
    find: tuple[str, ...]
    vocabulary: tuple[str, ...]
    saliency_texts: tuple[str, ...]
    plates: tuple[Draw, ...] | None = None


def sticker_attacks(seed: int, count: int) -> Attacks:
    """One sticker above a large label that names another of the 403 objects."""
    scenes = [stickers.attacked(seed, index) for index in range(count)]
    names = class_names()
    labels = tuple(names.index(scene.names[0]) for scene in scenes)
    return Attacks(
        classes=tuple(article(name) for name in names),
        clean=Samples(tuple(partial(_drawn, scene.without_label()) for scene in scenes), labels),
        attacked=Samples(tuple(partial(_drawn, scene) for scene in scenes), labels),
        find=("@words",),
        vocabulary=("stickers",),
        saliency_texts=("the text", "the word", "a sign that says"),
        plates=tuple(partial(_plate, scene) for scene in scenes),
    )


def imagenet_attacks(folder: str | Path, seed: int, count: int | None, skip: int = 0) -> Attacks:
    """Photographs of ten classes with the name of another in a bar on top (as published).

    Each class gives its share of ``count`` images in a seeded order, after the first ``skip`` shares.
    """
    found = imagenet(folder)
    names = tuple(IMAGENET_CLASSES.values())
    each, before = (None if count is None else max(1, count // len(names))), skip // len(names)
    rng = np.random.default_rng(seed)
    clean: list[Draw] = []
    attacked: list[Draw] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        for file in some_of(found[name], each, seed, before):
            word = names[(label + int(rng.integers(1, len(names)))) % len(names)]
            clean.append(partial(read_image, file))
            attacked.append(partial(_barred, file, word))
            labels.append(label)
    return Attacks(
        classes=names,
        clean=Samples(tuple(clean), tuple(labels)),
        attacked=Samples(tuple(attacked), tuple(labels)),
        find=DETECTION_WORDS,
        vocabulary=("descriptors",),
        saliency_texts=("this can be described as a text",),
    )


def _drawn(scene: stickers.StickerScene) -> NDArray[np.uint8]:
    return stickers.render(scene).image


def _plate(scene: stickers.StickerScene) -> NDArray[Any]:
    plate = stickers.render(scene).label_mask
    assert plate is not None
    return plate


def _barred(file: Path, word: str) -> NDArray[np.uint8]:
    return with_bar(read_image(file), word)


def with_bar(image: NDArray[Any], word: str) -> NDArray[np.uint8]:
    """The image squashed to 224 x 224 with a black bar on top and a word in white, monospaced, in it."""
    from PIL import Image, ImageDraw, ImageFont

    rgb = as_rgb(image)
    pixels = rgb if rgb.dtype == np.uint8 else np.rint(rgb * 255).astype(np.uint8)
    small = Image.fromarray(pixels).resize((224, 224), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(small)
    draw.rectangle((0, 0, 223, BAR), fill="black")
    font: Any = ImageFont.load_default(BAR)
    for name in ("UbuntuMono-R.ttf", "DejaVuSansMono.ttf", "cour.ttf", "Menlo.ttc"):
        try:
            font = ImageFont.truetype(name, BAR)
            break
        except OSError:
            continue
    draw.text((0, 0), word, fill="white", font=font)
    return np.asarray(small)
