"""Entities replaced: tokens that say one thing overwritten by tokens that say another (INViTE, section 5.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from ...datasets.worlds import article, class_names, stickers
from ...models.dual_encoder import DualEncoder
from ...running.entrance import entrance
from ...running.run import Run
from ..calibration import batches
from ..plan import EditPlan
from ..reading import Reading
from ..retrieval import cosines
from ..selection import covering
from ..smoothing import Smoothing, drift
from ..texts.banks import encode, text_bank
from ..texts.templates import recommended
from ..texts.vocabularies import vocabulary
from .embedding import Editor
from .folders import uc_merced
from .report import Table
from .samples import Samples, from_files, some_of

VEHICLES = (
    "car", "automobile", "motor vehicle", "auto", "truck", "van", "SUV", "crossover", "sedan", "coupe",
    "convertible", "wagon", "motorcycle", "bike", "bus", "coach", "lorry", "trailer", "caravan", "camper",
    "motorhome", "RV", "vehicles",
)  # fmt: skip
"""What target tokens say, as published."""
AIRCRAFT = ("airplane", "aircraft", "jet", "plane", "airliner")
"""What donor tokens say."""
PLACES = ("meadow", "sea", "desert", "night sky", "room")


@dataclass(frozen=True, eq=False)
class Entities:
    """Images that show ``target`` and images that show ``donor``, both among the classes."""

    classes: tuple[str, ...]
    target: int
    donor: int
    images: Samples
    donor_images: Samples
    tuning_images: Samples
    find: tuple[str, ...]
    with_texts: tuple[str, ...]
    vocabulary: tuple[str, ...]


def sticker_entities(seed: int, count: int, target: str = "car", donor: str = "airplane") -> Entities:
    """A car in a landscape or a room; donors are airplanes in such places."""
    names = class_names()

    return Entities(
        classes=tuple(article(name) for name in names),
        target=names.index(target),
        donor=names.index(donor),
        images=drawn_scenes(seed, range(count), target),
        donor_images=drawn_scenes(seed, range(100_000, 100_016), donor),
        tuning_images=drawn_scenes(seed, range(200_000, 200_032), target),
        find=(article(target),),
        with_texts=(article(donor),),
        vocabulary=("stickers",),
    )


def drawn_scenes(seed: int, numbers: range, shown: str) -> Samples:
    """An object without a word, in landscapes and a room by turns."""
    drawn = [
        stickers.sample(seed, index, names=[shown], word=False, texture=PLACES[index % len(PLACES)])
        for index in numbers
    ]
    return Samples(tuple(partial(_drawn, scene) for scene in drawn), (class_names().index(shown),) * len(drawn))


def uc_merced_entities(folder: str | Path, seed: int, count: int | None) -> Entities:
    """Freeways whose vehicles become airplanes: does the prediction go from highway to airport?"""
    found = uc_merced(folder)
    said = {"freeway": "highway", "airplane": "airport"}
    classes = list(found)
    freeways = some_of(found["freeway"], count, seed)
    others = some_of([file for name, files in found.items() if name not in said for file in files], 64, seed)
    statistics = others or freeways
    target, donor = classes.index("freeway"), classes.index("airplane")
    return Entities(
        classes=tuple(said.get(name, name) for name in classes),
        target=target,
        donor=donor,
        images=from_files(freeways, [target] * len(freeways)),
        donor_images=from_files(found["airplane"][:16], [donor] * min(16, len(found["airplane"]))),
        tuning_images=from_files(statistics, [target] * len(statistics)),
        find=VEHICLES,
        with_texts=AIRCRAFT,
        vocabulary=("descriptors",),
    )


@entrance("The experiment")
def entities(
    model: DualEncoder,
    data: Entities,
    samples: int = 20,
    first: int | None = None,
    seed: int = 0,
    run: Run | None = None,
) -> Table:
    """How often an image of the target is taken for the donor, before and after its tokens are replaced.

    ``first`` is the first layer to edit; by default a quarter of the depth up, below which little can be read.
    """
    run, depth, suits = run or Run(), model.image.depth, recommended(model.info)
    start = depth // 4 if first is None else first
    swap = EditPlan(find=data.find, action="replace", with_texts=data.with_texts)
    sequential, ahead = replace(swap, layers=(start, depth - 1)), replace(swap, when="ahead")
    bank = text_bank(model, covering(vocabulary(*data.vocabulary), [swap]), suits["template"])
    weights = encode(model, data.classes, suits["class_template"])
    smoothing = Smoothing(drift(model, batches(model, (draw() for draw in data.tuning_images.draw))), samples=samples)
    embed = partial(Editor(model, bank, seed).embed, data.images)
    given = Editor(model, bank, seed).donors(data.donor_images, swap)
    found = {
        "no edit": embed(None, run=run.part(0, 0.1)),
        "replaced, layer by layer": embed(sequential, run=run.part(0.1, 0.35), given=given),
        "replaced, smoothed": embed(sequential, Reading(smoothing=smoothing), run=run.part(0.35, 0.6), given=given),
        "replaced, read ahead": embed(ahead, run=run.part(0.6, 0.8), given=given),
        "random tokens replaced": embed(ahead, at_random=True, run=run.part(0.8, 1.0), given=given),
    }
    rows = tuple((name, *_shares(embedding, weights, data), tokens) for name, (embedding, tokens) in found.items())
    target, donor = data.classes[data.target], data.classes[data.donor]
    return Table(
        title=f"{target!r} replaced by {donor!r}, {len(data.images)} images, {model.info.name}",
        columns=("row", "donor beats target", "donor, of all classes", "target, of all classes", "tokens an image"),
        rows=rows,
        notes=(
            "The paper claims that the prediction goes from highway to airport, and gives no figure.",
            f"Layer by layer from layer {start} on; a replaced token takes a random donor token of its layer. "
            "Read ahead: the tokens found in the untouched image are replaced at every layer. Random: as many as that.",
            *filter(None, (suits.get("note"),)),
        ),
        settings={"sequential": sequential.to_dict(), "ahead": ahead.to_dict(), "seed": seed, "texts": len(bank)},
    )


def _shares(embedding: Tensor, weights: Tensor, data: Entities) -> tuple[float, float, float]:
    scores = cosines(embedding, weights)
    best = scores.argmax(-1)
    beats = scores[:, data.donor] > scores[:, data.target]
    is_donor, is_target, ahead = (x.float().mean().item() for x in (best == data.donor, best == data.target, beats))
    return ahead, is_donor, is_target


def _drawn(scene: stickers.StickerScene) -> NDArray[Any]:
    return stickers.render(scene).image
