"""What is perturbed: questions with the answers that count, or pictures with their captions. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from numpy.typing import NDArray

from ..datasets.worlds import phantom, stickers
from ..datasets.worlds.questions import question
from ..models.questions.regions import Regions

Scene = stickers.StickerScene | phantom.PhantomScene

SEED = 20_260
"""Of fresh scenes by default: no training of an embedded model, no other benchmark drew them."""


@dataclass(frozen=True)
class QuestionCase:
    """A question and what each answer is worth.

    id : unique within its data set. group : questions about one image depend on each other; "" is on its own.
    labels : answer -> score in [0, 1]; others are worth 0.
    see : gives the image's pixels (H, W, 3), or its regions.
    """

    id: str
    question: str
    labels: dict[str, float]
    see: Callable[[], NDArray | Regions]
    group: str = ""


@dataclass(frozen=True)
class CaptionCase:
    """A picture (H, W, 3), drawn or read when it is needed, and a caption of it."""

    id: str
    caption: str
    see: Callable[[], NDArray]
    group: str = ""


def fresh_questions(count: int, seed: int = SEED) -> Iterator[QuestionCase]:
    """One question a scene; every fifth scene is a phantom, as in the model's training."""
    for name, scene, see in _scenes(count, seed):
        asked = question(scene)
        yield QuestionCase(name, asked.text, {asked.answer: 1.0}, see)


def fresh_captions(count: int, seed: int = SEED) -> Iterator[CaptionCase]:
    """One caption a scene, in the same mixture."""
    for name, scene, see in _scenes(count, seed):
        yield CaptionCase(name, scene.caption(), see)


def _scenes(count: int, seed: int) -> Iterator[tuple[str, Scene, Callable[[], NDArray]]]:
    for index in range(count):
        world: Any = phantom if index % 5 == 4 else stickers
        scene = world.sample(seed, index)
        yield f"scene-{seed}-{index:05d}", scene, partial(_draw, world, scene)


def _draw(world: Any, scene: Scene) -> NDArray:
    return world.render(scene).image
