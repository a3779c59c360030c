"""Cases whose answer is known exactly: scenes of the two worlds with their masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...errors import VLExplainError
from ..cases import Case
from . import phantom, stickers
from .artwork import article
from .canvas import check_size
from .randomness import check_key
from .rendered import Rendered


def _sticker(seed: int, index: int) -> tuple[str, str, Drawing]:
    """Two or three different objects without a word; asked for is the first."""
    scene = stickers.sample(seed, index, count=(2, 3), distinct=True, word=False)
    return f"a photo of {article(scene.names[0])}", scene.names[0], lambda size: stickers.render(scene, size)


def _phantom(seed: int, index: int) -> tuple[str, str, Drawing]:
    """A single finding, asked for by the scene's caption."""
    scene = phantom.sample(seed, index, findings=1)
    return scene.caption(), scene.names[0], lambda size: phantom.render(scene, size)


def _pair(seed: int, index: int) -> tuple[str, str, Drawing]:
    """Two different findings; asked for is the first, so that a map which knows no prompt is right once in two."""
    scene = phantom.sample(seed, index, findings=2)
    return scene.findings[0].phrases[-1], scene.names[0], lambda size: phantom.render(scene, size)


Drawing = Callable[[int], Rendered]
_WORLDS: dict[str, Callable[[int, int], tuple[str, str, Drawing]]] = {
    "stickers": _sticker,
    "phantom": _phantom,
    "phantom pairs": _pair,
}
WORLDS = tuple(_WORLDS)


def cases(world: str, count: int, seed: int = 0, *, size: int = 224, start: int = 0) -> Iterator[Case]:
    """``count`` known-answer cases of one of the ``WORLDS``, drawn one by one from ``start`` on.

    Each has one prompt and one mask, the pixels more than half covered by what is asked for. A case depends
    on its seed and index alone. Raises VLExplainError for an unknown world, size, seed or count.
    """
    _check_world(world)
    check_key(seed, start)
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise VLExplainError(f"count must be a whole number of cases, not {count!r}.")
    return (_case(world, seed, index, check_size(size)) for index in range(start, start + count))


def question(world: str, seed: int, index: int) -> tuple[str, str]:
    """What a case asks, and the name of the object or finding it asks for, without drawing it."""
    _check_world(world)
    prompt, name, _ = _WORLDS[world](*check_key(seed, index))
    return prompt, name


def _case(world: str, seed: int, index: int, size: int) -> Case:
    prompt, _, draw = _WORLDS[world](seed, index)
    drawn = draw(size)
    return Case(f"{world}-{seed}-{index:05d}", drawn.image, (prompt,), drawn.truth[:1])


def _check_world(world: str) -> None:
    if world not in _WORLDS:
        raise VLExplainError(f"There is no world {world!r}; there are {', '.join(WORLDS)}.")
