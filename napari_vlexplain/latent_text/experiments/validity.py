"""Do patches, from which no prediction is read, know what the image shows? (INViTE's check of tokens beside CLS.)"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...datasets.worlds import article, class_names
from ...errors import VLExplainError
from ...models.dual_encoder import DualEncoder
from ...running.entrance import entrance
from ...running.run import Run
from ..interpreting import PLAIN
from ..retrieval import cosines
from ..tails import check_readable, latent_tokens
from ..texts.banks import encode
from ..texts.templates import recommended
from .entities import drawn_scenes
from .folders import uc_merced
from .report import Table
from .samples import Samples, from_files, some_of

PUBLISHED = {"the image's embedding": 0.995, "mean of its patches": 0.975}
"""Beach or forest, OpenAI's ViT-B/32."""


@dataclass(frozen=True, eq=False)
class Scenes:
    """Images of two of the classes, whose places in ``classes`` are ``pair``."""

    images: Samples
    classes: tuple[str, ...]
    pair: tuple[int, int]


def sticker_pairs(seed: int, count: int, names: tuple[str, str] = ("wolf", "fox")) -> Scenes:
    """Scenes of one object, in turn of each of two kinds."""
    known = class_names()
    first, second = (drawn_scenes(seed, range(at, count, 2), name) for at, name in enumerate(names))
    images = Samples((*first.draw, *second.draw), (*first.labels, *second.labels))
    return Scenes(images, tuple(map(article, known)), (known.index(names[0]), known.index(names[1])))


def uc_merced_pairs(folder: str | Path, seed: int, count: int | None) -> Scenes:
    """Beaches and forests of UC Merced, as published."""
    found = uc_merced(folder)
    classes, names = list(found), ("beach", "forest")
    if missing := [name for name in names if name not in found]:
        raise VLExplainError(f"{folder} holds no images of {' and '.join(missing)}: it needs Images/{missing[0]}.")
    places = [(file, classes.index(name)) for name in names for file in found[name]]
    chosen = some_of(places, count, seed)
    images = from_files([file for file, _ in chosen], [label for _, label in chosen])
    return Scenes(images, tuple(classes), (classes.index(names[0]), classes.index(names[1])))


@torch.no_grad()
@entrance("The experiment")
def validity(model: DualEncoder, data: Scenes, run: Run | None = None) -> Table:
    """Zero-shot accuracy of the image's embedding, and of the mean of its patches in the space of the texts.

    Patches are read after the last block, each through the readout of the image's embedding, and then averaged.

    Raises
    ------
    VLExplainError : a model whose tokens cannot be read.
    """
    tower, run, suits = check_readable(model), run or Run(), recommended(model.info)
    weights = encode(model, data.classes, suits["class_template"])
    found: dict[str, list[Tensor]] = {name: [] for name in PUBLISHED}
    for piece, pixels in data.images.batches(model):
        run.step(piece.start / len(data.images), "Reading patches")
        (tokens,) = latent_tokens(tower, tower.embed(pixels), [tower.depth], PLAIN)
        both = model.encode_image(pixels), tokens[:, tower.prefix_tokens :].mean(1)
        for name, embedding in zip(found, both, strict=True):
            found[name].append(embedding)
    target, pair = data.images.target(), torch.tensor(data.pair)
    rows = []
    for name, embeddings in found.items():
        scores = cosines(torch.cat(embeddings), weights).cpu()
        right = (pair[scores[:, pair].argmax(-1)] == target), (scores.argmax(-1) == target)
        rows.append((name, *(hits.float().mean().item() for hits in right), PUBLISHED[name]))
    first, second = (data.classes[at] for at in data.pair)
    return Table(
        title=f"{first!r} or {second!r}, {len(data.images)} images, {model.info.name}",
        columns=("read from", "of the two", f"of all {len(data.classes)} classes", "of the two (published)"),
        rows=tuple(rows),
        notes=("Published: beach or forest, photographs from above, OpenAI's ViT-B/32.",),
        settings={"classes": len(data.classes), "pair": list(data.pair)},
    )
