"""Spurious correlation reduced: keep only the tokens that say what matters (INViTE, section 5.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...datasets.worlds import article, stickers
from ...models.dual_encoder import DualEncoder
from ...running.entrance import entrance
from ...running.run import Run, generator
from ..calibration import batches
from ..plan import EditPlan
from ..reading import Reading
from ..selection import covering
from ..smoothing import Smoothing, drift
from ..texts.banks import text_bank
from ..texts.templates import recommended
from ..texts.vocabularies import vocabulary
from .embedding import Editor
from .folders import celeba
from .report import Cell, Table
from .samples import Samples, from_files, some_of

HAIR_WORDS = (
    "hair", "gray hair", "gray", "not gray hair", "hairstyle", "curl hair", "straight hair", "hair texture",
    "shiny hair", "haircut",
)  # fmt: skip
"""What tokens to keep may say on faces, as published."""
SIGNS = {"meadow": "tulip", "night sky": "rocket"}
"""What the sign in each surrounding says. A plain background sways mini too little to mislead a head trained on it."""


@dataclass(frozen=True, eq=False)
class Biased:
    """Two classes, each with two surroundings; in training each class comes with one of them only.

    groups : names, in the order class 0 with surroundings 0, class 0 with 1, class 1 with 0, class 1 with 1.
    train : of groups 0 and 3. test : of all four.
    """

    groups: tuple[str, str, str, str]
    train: tuple[Samples, Samples]
    test: tuple[Samples, Samples, Samples, Samples]
    find: tuple[str, ...]
    vocabulary: tuple[str, ...]
    published: tuple[tuple[Cell, ...], ...] = ()


@dataclass(frozen=True)
class Head:
    """How the linear head is trained on embeddings as they are (not normalised)."""

    epochs: int
    rate: float
    batch: int = 256


STICKER_HEAD = Head(epochs=200, rate=1e-2)
CELEBA_HEAD = Head(epochs=1, rate=1e-3)
PUBLISHED = (
    ("no edit (published, CelebA)", 0.997, 0.159, 0.197, 0.997, 0.159, 0.5822),
    ("kept at the last layer (published, CelebA)", 0.972, 0.740, 0.580, 0.983, 0.580, 0.8166),
    ("kept, smoothed (published, CelebA)", 0.972, 0.748, 0.666, 0.978, 0.666, 0.8391),
)


def sticker_bias(seed: int, train: int, test: int, objects: tuple[str, str] = ("wolf", "fox")) -> Biased:
    """Wolves on meadows with a sign "tulip", foxes under night skies with a sign "rocket"; tested on all four pairs."""
    places = tuple(SIGNS)

    def scenes(which: int, where: int, start: int, count: int) -> Samples:
        drawn = [_scene(seed, start + index, objects[which], places[where]) for index in range(count)]
        return Samples(tuple(partial(_drawn, scene) for scene in drawn), (which,) * count)

    pairs = ((0, 0), (0, 1), (1, 0), (1, 1))
    names = [f"{objects[which]}, {places[where]}" for which, where in pairs]
    return Biased(
        groups=(names[0], names[1], names[2], names[3]),
        train=(scenes(0, 0, 0, train), scenes(1, 1, 100_000, train)),
        test=tuple(scenes(*pair, 200_000 + 10_000 * i, test) for i, pair in enumerate(pairs)),  # type: ignore[arg-type]
        find=tuple(article(name) for name in objects),
        vocabulary=("stickers",),
    )


def celeba_bias(folder: str | Path, seed: int, count: int | None) -> Biased:
    """Gray hair or not, when in training all gray-haired people are men and all others women.

    Of those two groups four fifths are trained on; ``count`` caps every group.
    """
    faces = celeba(folder)
    files = {
        (gray, male): some_of([f for f, v in faces if v["Gray_Hair"] == gray and v["Male"] == male], count, seed)
        for gray in (True, False)
        for male in (True, False)
    }
    together = {key: int(0.8 * len(files[key])) for key in ((True, True), (False, False))}
    rest = {key: found[together.get(key, 0) :] for key, found in files.items()}
    order = ((True, True), (True, False), (False, True), (False, False))

    def label(files: list[Path], gray: bool) -> Samples:
        return from_files(files, [0 if gray else 1] * len(files))

    return Biased(
        groups=("gray, men", "gray, women", "not gray, men", "not gray, women"),
        train=tuple(label(files[key][: together[key]], key[0]) for key in together),  # type: ignore[arg-type]
        test=tuple(label(rest[key], key[0]) for key in order),  # type: ignore[arg-type]
        find=HAIR_WORDS,
        vocabulary=("descriptors",),
        published=PUBLISHED,
    )


@entrance("The experiment")
def spurious(
    model: DualEncoder,
    data: Biased,
    head: Head = STICKER_HEAD,
    samples: int = 10,
    seed: int = 0,
    run: Run | None = None,
) -> Table:
    """Accuracy of a linear head in each group, the worst group, and the mean weighted by group size.

    The head is trained anew on the embeddings of every row; edits apply in training and testing.
    """
    run, depth, suits = run or Run(), model.image.depth, recommended(model.info)
    last = EditPlan(find=data.find, others=True, layers=(depth - 1, depth - 1))
    ahead = EditPlan(find=data.find, others=True, when="ahead")
    later = replace(ahead, layers=(depth // 4, depth - 1))
    bank = text_bank(model, covering(vocabulary(*data.vocabulary), [last]), suits["template"])
    images = [draw() for part in data.train for draw in part.draw[:32]]
    smoothing = Smoothing(drift(model, batches(model, images)), "all", samples)
    editor = Editor(model, bank, seed)
    plans: dict[str, tuple[EditPlan | None, Smoothing | None, bool]] = {
        "no edit": (None, None, False),
        "kept at the last layer": (last, None, False),
        "kept, smoothed": (last, smoothing, False),
        "read ahead, kept at every layer": (ahead, None, False),
        f"read ahead, kept from layer {depth // 4} on": (later, None, False),
        "read ahead, others removed": (replace(ahead, action="remove"), None, False),
        "random tokens kept": (later, None, True),
    }
    rows: list[tuple[Cell, ...]] = []
    for number, (name, (plan, smooth, at_random)) in enumerate(plans.items()):
        part = run.part(number / len(plans), (number + 1) / len(plans))
        part.step(0, name)
        embed = partial(editor.embed, plan=plan, reading=Reading(smoothing=smooth), at_random=at_random, run=part)
        trained = _train([embed(piece)[0] for piece in data.train], data.train, head, seed)
        shares = [_right(trained, embed(group)[0], group) for group in data.test]
        weights = [len(group) for group in data.test]
        mean = sum(share * n for share, n in zip(shares, weights, strict=True)) / sum(weights)
        rows.append((name, *shares, min(shares), mean))
    return Table(
        title=f"A head trained on {data.groups[0]!r} and {data.groups[3]!r} only, {model.info.name}",
        columns=("row", *data.groups, "worst group", "mean"),
        rows=(*rows, *(PUBLISHED if not data.published else data.published)),
        notes=(
            f"Tokens that say one of {', '.join(data.find[:4])}{' …' if len(data.find) > 4 else ''} are kept, all "
            "others but the class token are zeroed (or removed), in training and in testing. As published: zeroed at "
            "the last layer.",
            "Published groups, in order: men gray, men not gray, women gray, women not gray; trained on the first "
            "and last.",
            f"Random tokens: as many are zeroed, from layer {depth // 4} on.",
            *filter(None, (suits.get("note"),)),
        ),
        settings={"last": last.to_dict(), "ahead": ahead.to_dict(), "head": vars(head), "seed": seed},
    )


def _train(embeddings: Sequence[Tensor], parts: Sequence[Samples], head: Head, seed: int) -> tuple[Tensor, Tensor]:
    """Weight (2, P) and bias (2,) of the head, by Adam on the cross-entropy."""
    x = torch.cat(list(embeddings))
    y = torch.cat([part.target() for part in parts]).to(x.device)
    noise = generator(seed, "spurious", "head")
    bound = x.shape[1] ** -0.5
    weight = ((2 * torch.rand(2, x.shape[1], generator=noise) - 1) * bound).to(x.device).requires_grad_()
    bias = ((2 * torch.rand(2, generator=noise) - 1) * bound).to(x.device).requires_grad_()
    optimiser = torch.optim.Adam([weight, bias], lr=head.rate)
    with torch.enable_grad():
        for _ in range(head.epochs):
            order = torch.randperm(len(x), generator=noise).to(x.device)
            for some in order.split(head.batch):
                optimiser.zero_grad()
                F.cross_entropy(F.linear(x[some], weight, bias), y[some]).backward()
                optimiser.step()
    return weight.detach(), bias.detach()


def _right(trained: tuple[Tensor, Tensor], x: Tensor, group: Samples) -> float:
    return (F.linear(x, *trained).argmax(-1) == group.target().to(x.device)).float().mean().item()


def _scene(seed: int, index: int, name: str, texture: str) -> stickers.StickerScene:
    """A small sticker above a large sign, as in a typographic attack."""
    scene = stickers.sample(seed, index, names=[name], word=SIGNS[texture], texture=texture)
    assert scene.label is not None
    return replace(
        scene,
        stickers=(replace(scene.stickers[0], centre=(0.0, -0.35), half_extent=0.2),),
        label=replace(scene.label, centre=(0.0, 0.6), half_width=0.8),
    )


def _drawn(scene: stickers.StickerScene) -> NDArray[Any]:
    return stickers.render(scene).image
