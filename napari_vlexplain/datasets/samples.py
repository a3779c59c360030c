"""Pictures to try things on, without a download: plain arrays for napari's sample menu and the demo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .worlds import article, phantom, stickers
from .worlds.artwork import pictures_of
from .worlds.rendered import Rendered

NOT_FOR_CLINICAL_USE = "A drawn phantom, not a patient: for demonstration only, never for clinical use."
NEEDS_ANOTHER_MODEL = "The embedded model knows no photographs; load a CLIP for them."


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture with what is known of it.

    image: (H, W) or (H, W, 3), uint8 or uint16, over the whole range of its dtype.
    prompts: what to ask the embedded model; the k-th belongs to label k + 1 where there are labels.
    labels: (H, W) int32, 0 for the background, or None.
    label_names: what each label is.
    boxes: (n, 4, 2) float corners (row, column) in napari's coordinates, pixel centres at whole numbers.
    note: where it comes from and what it is not for.
    """

    name: str
    image: NDArray[Any]
    prompts: tuple[str, ...]
    note: str
    labels: NDArray[np.int32] | None = None
    label_names: dict[int, str] = field(default_factory=dict)
    boxes: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 4, 2)))


def _labels(drawn: Rendered) -> NDArray[np.int32]:
    """The masks as one picture of labels; they overlap nowhere by more than half."""
    labels = np.zeros(drawn.truth.shape[1:], np.int32)
    for k, mask in enumerate(drawn.truth, start=1):
        labels[mask] = k
    return labels


def _corners(drawn: Rendered) -> NDArray[np.float64]:
    """Boxes as napari's rectangles, from the top left clockwise, half a pixel beyond the outer centres."""
    rectangles = [[(y0, x0), (y0, x1), (y1, x1), (y1, x0)] for x0, y0, x1, y1 in drawn.boxes]
    return np.array(rectangles, float).reshape(-1, 4, 2) - 0.5


def _sticker(name: str, **where: Any) -> stickers.Sticker:
    return stickers.Sticker(name, pictures_of(name)[0], **where)


def sticker_scene() -> Sample:
    """A dog, a sunflower and a kite in a meadow, 672 x 672, with a label for each."""
    scene = stickers.StickerScene(
        stickers=(
            _sticker("dog", centre=(-0.48, 0.42), half_extent=0.42, rotation=0.05),
            _sticker("sunflower", centre=(0.5, 0.48), half_extent=0.42, rotation=-0.06),
            _sticker("kite", centre=(0.46, -0.5), half_extent=0.36, rotation=0.12),
        ),
        background=stickers.Background("meadow", horizon=0.1, key=(7, 0)),
    )
    drawn = stickers.render(scene, size=672)
    return Sample(
        name="Sticker scene",
        image=drawn.image,
        prompts=tuple(f"a photo of {article(name)}" for name in scene.names),
        note="Artwork: Noto Emoji by Google, Apache-2.0.",
        labels=_labels(drawn),
        label_names=dict(enumerate(scene.names, start=1)),
        boxes=_corners(drawn),
    )


def typographic_attack() -> Sample:
    """An ox above a label that says "parrot", 672 x 672: the embedded model believes the label."""
    scene = stickers.attacked(3, 0)
    assert scene.label is not None
    return Sample(
        name="Typographic attack",
        image=stickers.render(scene, size=672).image,
        prompts=tuple(article(name) for name in (scene.names[0], scene.label.word)),
        note="Artwork: Noto Emoji by Google, Apache-2.0; Twemoji, CC-BY-4.0; Fluent Emoji, MIT.",
    )


def phantom_radiograph() -> Sample:
    """A chest phantom with one finding, 1024 x 1024 uint16, with its mask and its box."""
    scene = phantom.sample(11, 6, findings=["consolidation"])
    picture, masks = phantom.draw(scene, size=1024)
    drawn = Rendered(np.rint(picture * 65535).astype(np.uint16), masks, scene.names)
    return Sample(
        name="Phantom radiograph",
        image=drawn.image,
        prompts=("right lower lung consolidation",),
        note=NOT_FOR_CLINICAL_USE,
        labels=_labels(drawn),
        label_names=dict(enumerate(scene.names, start=1)),
        boxes=_corners(drawn),
    )


def astronaut() -> Sample:
    """A photograph of Eileen Collins, 512 x 512."""
    from skimage import data

    return Sample(
        name="Astronaut",
        image=data.astronaut(),
        prompts=("a photo of an astronaut", "a photo of a space shuttle"),
        note=f"NASA, public domain, from scikit-image. {NEEDS_ANOTHER_MODEL}",
    )


def cat() -> Sample:
    """A photograph of the cat Chelsea, 300 x 451."""
    from skimage import data

    return Sample(
        name="Cat",
        image=data.chelsea(),
        prompts=("a photo of a cat", "the eyes of a cat"),
        note=f"By Stefan van der Walt, CC0, from scikit-image. {NEEDS_ANOTHER_MODEL}",
    )


SAMPLES: dict[str, Callable[[], Sample]] = {
    "sticker_scene": sticker_scene,
    "typographic_attack": typographic_attack,
    "phantom_radiograph": phantom_radiograph,
    "astronaut": astronaut,
    "cat": cat,
}
