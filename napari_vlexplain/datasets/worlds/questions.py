"""What may be asked of a scene: the grammar of the questions that the embedded question model was trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...errors import VLExplainError
from .artwork import article, class_names, plural
from .findings import FINDINGS, SIDED
from .phantom import PhantomScene
from .randomness import Purpose, pick, stream
from .stickers import Sticker, StickerScene

_NUMBERS = ("zero", "one", "two", "three", "four")
_RELATIONS = (("to the left of", 0, -1), ("to the right of", 0, 1), ("above", 1, -1), ("below", 1, 1))


@dataclass(frozen=True)
class Question:
    """A question, its one right answer, and the objects or findings (their numbers) that decide it.

    ``about`` is empty where the answer is that something is absent.
    """

    text: str
    answer: str
    about: tuple[int, ...] = ()


def question(scene: StickerScene | PhantomScene, variant: int = 0) -> Question:
    """A question about a scene; each variant is another, and the same one is always the same.

    Of stickers: what, what is where, what lies beside what, how many, is there. Of phantoms: is there, which side,
    what is the finding.

    Raises
    ------
    VLExplainError : a scene of stickers that holds none.
    """
    rng = stream(scene.key, Purpose.QUESTION, variant)
    if isinstance(scene, PhantomScene):
        return _of_findings(scene, rng)
    if not scene.stickers:
        raise VLExplainError("A scene without objects has nothing to ask about; it needs at least one sticker.")
    while True:
        kinds = _kinds(scene)
        asked = kinds[int(rng.integers(len(kinds)))](scene, rng)
        if asked is not None:
            return asked


_Kind = Callable[[StickerScene, np.random.Generator], "Question | None"]


def _kinds(scene: StickerScene) -> list[_Kind]:
    """The kinds of question that fit, the more usual ones more often."""
    count, distinct = len(scene.stickers), len(set(scene.names))
    kinds: list[_Kind] = [_exists] * 2
    if distinct == count:
        kinds += [_in_quarter] * 3
        kinds += [_beside] * 5 if count > 1 else []
    if count == 1:
        kinds += [_what]
    return kinds + [_how_many] * (3 if distinct < count else 1)


def _exists(scene: StickerScene, rng: np.random.Generator) -> Question:
    if rng.random() < 0.5:
        name = pick(rng, scene.names)
        return Question(f"is there {article(name)}?", "yes", _all(scene, name))
    word = () if scene.label is None else (scene.label.word,)
    absent = tuple(name for name in class_names() if name not in (*scene.names, *word))
    return Question(f"is there {article(pick(rng, absent))}?", "no")


def _what(scene: StickerScene, rng: np.random.Generator) -> Question:
    return Question(pick(rng, ("what is in the picture?", "what is shown?")), scene.names[0], (0,))


def _how_many(scene: StickerScene, rng: np.random.Generator) -> Question:
    name = pick(rng, scene.names) if rng.random() < 0.8 else pick(rng, class_names())
    about = _all(scene, name)
    return Question(f"how many {plural(name)} are there?", _NUMBERS[len(about)], about)


def _in_quarter(scene: StickerScene, rng: np.random.Generator) -> Question | None:
    held: dict[str, list[int]] = {}
    for number, sticker in enumerate(scene.stickers):
        held.setdefault(_quarter(sticker), []).append(number)
    alone = tuple(quarter for quarter, numbers in held.items() if len(numbers) == 1)
    if not alone:
        return None
    quarter = pick(rng, alone)
    (number,) = held[quarter]
    return Question(f"what is in the {quarter}?", scene.names[number], (number,))


def _quarter(sticker: Sticker) -> str:
    x, y = sticker.centre
    return f"{'bottom' if y > 0 else 'top'} {'right' if x > 0 else 'left'}"


def _beside(scene: StickerScene, rng: np.random.Generator) -> Question | None:
    """What lies in a direction of an object, where exactly one other does: half the picture off, about level."""
    known = int(rng.integers(len(scene.stickers)))
    centre = scene.stickers[known].centre
    found: dict[str, int] = {}
    for relation, axis, sign in _RELATIONS:
        there = [
            number
            for number, other in enumerate(scene.stickers)
            if (other.centre[axis] - centre[axis]) * sign > 0.5 and abs(other.centre[1 - axis] - centre[1 - axis]) < 0.5
        ]
        if len(there) == 1:
            found[relation] = there[0]
    if not found:
        return None
    relation = pick(rng, tuple(found))
    other = found[relation]
    return Question(f"what is {relation} the {scene.names[known]}?", scene.names[other], (known, other))


def _of_findings(scene: PhantomScene, rng: np.random.Generator) -> Question:
    names = scene.names
    sided = tuple(name for name in names if name in SIDED)
    kind = rng.random()
    if kind < 0.35:
        asked = pick(rng, names) if names and rng.random() < 0.5 else pick(rng, FINDINGS)
        about = (names.index(asked),) if asked in names else ()
        return Question(f"is there {asked}?", "yes" if about else "no", about)
    if kind < 0.65 and sided:
        number = names.index(pick(rng, sided))
        return Question(f"which side is the {names[number]}?", str(scene.findings[number].side), (number,))
    if len(names) < 2:
        return Question("what is the finding?", names[0] if names else "none", (0,) if names else ())
    return Question(f"what is the finding besides {names[1]}?", names[0], (0,))


def _all(scene: StickerScene, name: str) -> tuple[int, ...]:
    return tuple(number for number, other in enumerate(scene.names) if other == name)
