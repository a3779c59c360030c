"""The two worlds as data sets: as many cases as you like, with exact masks, from nothing."""

from __future__ import annotations

from ..errors import VLExplainError
from .dataset import DataSet, Drawn, Entry
from .info import DataSetInfo

DEFAULT_COUNT = 100
TITLES = {"stickers": "Sticker scenes", "phantom": "Chest phantoms (drawn, not for clinical use)"}


def open_world(name: str, count: int | None = None, seed: int = 0, size: int = 224) -> DataSet:
    """Scenes 0 to ``count`` - 1 of a world's seed. Raises VLExplainError for a negative count."""
    from .worlds import article, class_names, known_answer

    number = DEFAULT_COUNT if count is None else count
    if number < 0:
        raise VLExplainError(f"There cannot be {number} cases; ask for at least 0.")
    entries = []
    for index in range(number):
        prompt, category = known_answer.question(name, seed, index)
        drawn = Drawn(name, seed, index, size)
        entries.append(Entry(f"{name}-{seed}-{index:05d}", drawn, (prompt,), category=category))
    classes = tuple(f"a photo of {article(each)}" for each in class_names()) if name == "stickers" else ()
    facts = {"seed": str(seed), "size": str(size)}
    return DataSet(name, TITLES[name], tuple(entries), (), classes, facts)


DATASETS = (
    DataSetInfo(
        "stickers",
        "Sticker scenes",
        "exact masks",
        "drawn on the spot",
        open_world,
        drawn=True,
    ),
    DataSetInfo(
        "phantom",
        "Chest phantoms",
        "exact masks",
        "drawn on the spot; not for clinical use",
        open_world,
        drawn=True,
    ),
)
