"""Typographic attacks repaired by zeroing tokens that read as printed text (INViTE, section 5.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

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
from .attacks import Attacks
from .embedding import Editor
from .report import Table
from .saliency_masks import MAPS, OF_TEXT, THRESHOLDS, hidden, saliency_maps
from .samples import Samples

PUBLISHED = {
    "no repair": (0.998, 0.540),
    "latent text, as published": (0.992, 0.888),
    "latent text, smoothed": (0.992, 0.892),
    "random tokens": (0.994, 0.518),
    "raw attention": (0.982, 0.814),
    "attention x gradient": (0.954, 0.746),
    "rollout": (0.966, 0.522),
    "rollout x gradient": (0.982, 0.556),
}
"""Accuracy on clean and attacked images: ten ImageNet classes, OpenAI's ViT-B/32."""

AS_PUBLISHED = Reading(norm_axis="token", class_axis="token")
"""The notebooks divide each channel by its energy over the image's tokens, for texts and for classes."""
FIRST_LAYERS = (0, 3, 4, 5, 6)
READ = ((6, 9), (9, 12), (12, 12))


@dataclass
class Bench:
    """One model with one set of attacks, and what all rows share."""

    model: DualEncoder
    attacks: Attacks
    seed: int
    editor: Editor = field(init=False)
    weights: Tensor = field(init=False)

    def __post_init__(self) -> None:
        suits = recommended(self.model.info)
        words = covering(vocabulary(*self.attacks.vocabulary), [EditPlan(find=self.attacks.find)])
        self.editor = Editor(self.model, text_bank(self.model, words, suits["template"]), self.seed)
        self.weights = encode(self.model, self.attacks.classes, suits["class_template"])

    def plan(self, **options: Any) -> EditPlan:
        return EditPlan(find=self.attacks.find, **options)

    def sets(self) -> tuple[Samples, Samples]:
        return self.attacks.clean, self.attacks.attacked

    def hits(self, embedding: Tensor, labels: Sequence[int]) -> int:
        target = torch.tensor(labels, device=embedding.device)
        return int((cosines(embedding, self.weights).argmax(-1) == target).sum())

    def accuracy(self, plan: EditPlan | None, run: Run, **options: Any) -> tuple[float, float]:
        """On clean and on attacked images after an edit."""
        parts = run.part(0.0, 0.5), run.part(0.5, 1.0)
        clean, attacked = (
            self.hits(self.editor.embed(samples, plan, run=part, **options)[0], samples.labels) / len(samples)
            for samples, part in zip(self.sets(), parts, strict=True)
        )
        return clean, attacked


def tune(bench: Bench, run: Run) -> tuple[EditPlan, EditPlan, dict[str, tuple[str, float]]]:
    """The best first layer to edit, the best layers to read ahead, and each saliency map's best text and threshold.

    Best is the highest mean of clean and attacked accuracy; the first of equals.
    """
    depth = bench.model.image.depth
    firsts = sorted({min(first, depth - 1) for first in FIRST_LAYERS})
    reads = [(min(a * depth // 12, depth), b * depth // 12) for a, b in READ]
    plans = [bench.plan(layers=(first, depth - 1)) for first in firsts]
    ahead = [bench.plan(when="ahead", read=read) for read in dict.fromkeys(reads)]
    scores: dict[EditPlan, float] = {}
    tried = (*plans, *ahead)
    for number, plan in enumerate(tried):
        part = run.part(0.5 * number / len(tried), 0.5 * (number + 1) / len(tried))
        scores[plan] = sum(bench.accuracy(plan, part))
    return (
        max(plans, key=scores.__getitem__),
        max(ahead, key=scores.__getitem__),
        _best_masks(bench, run.part(0.5, 1.0)),
    )


def _best_masks(bench: Bench, run: Run) -> dict[str, tuple[str, float]]:
    """For each saliency map the text to ask for and the threshold with most hits."""
    best: dict[str, tuple[int, str, float]] = {}
    for number, text in enumerate(bench.attacks.saliency_texts):
        run.step(number / len(bench.attacks.saliency_texts), "Tuning the saliency maps")
        maps = MAPS if number == 0 else OF_TEXT
        tried = {name: tuple((text, threshold) for threshold in THRESHOLDS) for name in maps}
        both = [_hits(bench, samples, tried, run) for samples in bench.sets()]
        for name in maps:
            for i, threshold in enumerate(THRESHOLDS):
                found = sum(hits[name][i] for hits in both)
                if name not in best or found > best[name][0]:
                    best[name] = (found, text, threshold)
    return {name: (text, threshold) for name, (_, text, threshold) in best.items()}


@entrance("The experiment")
def typographic(
    model: DualEncoder, tuning: Attacks, scored: Attacks, samples: int = 50, seed: int = 0, run: Run | None = None
) -> Table:
    """Accuracy on clean and attacked images, unrepaired, repaired and by the rivals.

    Parameters
    ----------
    tuning : attacks on which layers and thresholds are chosen; they must share no image with ``scored``.
    samples : noise draws of the smoothing.
    """
    run = run or Run()
    sequential, ahead, chosen = tune(Bench(model, tuning, seed), run.part(0.0, 0.3))
    bench = Bench(model, scored, seed)
    smoothing = Smoothing(drift(model, batches(model, (draw() for draw in tuning.clean.draw))), samples=samples)
    published = bench.plan(protect_cls=False)
    rows = {
        "no repair": bench.accuracy(None, run.part(0.3, 0.35)),
        "latent text, as published": bench.accuracy(published, run.part(0.35, 0.45), reading=AS_PUBLISHED),
        "latent text, tuned": bench.accuracy(sequential, run.part(0.45, 0.55)),
        "latent text, smoothed": bench.accuracy(sequential, run.part(0.55, 0.75), reading=Reading(smoothing=smoothing)),
        "latent text, read ahead": bench.accuracy(ahead, run.part(0.75, 0.8)),
        "random tokens": bench.accuracy(ahead, run.part(0.8, 0.85), at_random=True),
    }
    masks = {name: (choice,) for name, choice in chosen.items()}
    found = [_hits(bench, samples, masks, run.part(0.85, 0.95)) for samples in bench.sets()]
    for name in MAPS:
        clean, attacked = (hits[name][0] / len(samples) for hits, samples in zip(found, bench.sets(), strict=True))
        rows[name] = (clean, attacked)
    if scored.plates is not None:
        run.step(0.95, "The true label patches")
        clean, attacked = (_with_truth(bench, samples) for samples in bench.sets())
        rows["true label patches zeroed"] = (clean, attacked)
    return Table(
        title=f"Typographic attacks, {len(scored.attacked)} images, {len(scored.classes)} classes, {model.info.name}",
        columns=("row", "clean", "attacked", "clean (published)", "attacked (published)"),
        rows=tuple((name, *values, *PUBLISHED.get(name, (None, None))) for name, values in rows.items()),
        notes=_notes(bench, sequential, ahead, chosen, len(tuning.attacked)),
        settings={
            "sequential": sequential.to_dict(),
            "ahead": ahead.to_dict(),
            "masks": {name: {"text": text, "threshold": value} for name, (text, value) in chosen.items()},
            "smoothing": smoothing.to_dict(),
            "seed": seed,
        },
    )


def _with_truth(bench: Bench, samples: Samples) -> float:
    """Accuracy when every token under the label is zeroed at every layer; on the clean twin the same places."""
    tower, right = bench.model.image, 0
    assert bench.attacks.plates is not None and tower.grid is not None
    for piece, pixels in samples.batches(bench.model):
        shares = torch.stack([torch.from_numpy(plate()) for plate in bench.attacks.plates[piece]])[:, None]
        under = F.adaptive_avg_pool2d(F.interpolate(shares, pixels.shape[-2:], mode="area"), tower.grid) > 0.5
        mask = F.pad(under.flatten(1), (tower.prefix_tokens, 0)).to(pixels.device)
        with torch.no_grad():
            z = tower.embed(pixels)
            for block in tower.blocks:
                z = block.fused(z.masked_fill(mask[..., None], 0.0))
            embedding = tower.pool(z, bench.model.image_rows(len(z)))
        right += bench.hits(embedding, samples.labels[piece])
    return right / len(samples)


def _hits(
    bench: Bench, samples: Samples, tried: Mapping[str, Sequence[tuple[str, float]]], run: Run
) -> dict[str, list[int]]:
    """How many images are right after hiding what a map marks, for each map's (text, threshold) pairs."""
    found = {name: [0] * len(choices) for name, choices in tried.items()}
    texts = {text: encode(bench.model, [text], "{}")[0] for choices in tried.values() for text, _ in choices}
    for piece, pixels in samples.batches(bench.model):
        run.step(0.0, "Hiding what saliency maps mark")
        maps = {text: saliency_maps(bench.model, pixels, unit) for text, unit in texts.items()}
        for name, choices in tried.items():
            for i, (text, threshold) in enumerate(choices):
                embedding = bench.model.encode_image(hidden(pixels, maps[text][name], threshold))
                found[name][i] += bench.hits(embedding, samples.labels[piece])
    return found


def _notes(
    bench: Bench, sequential: EditPlan, ahead: EditPlan, masks: dict[str, tuple[str, float]], tuned_on: int
) -> tuple[str, ...]:
    first = sequential.layers[0] if sequential.layers else 0
    read = ahead.read or (0, 0)
    chosen = ", ".join(f"{name} {value:g} ({text!r})" for name, (text, value) in masks.items())
    return (
        f"Tuned on {tuned_on} other images: edit from layer {first} on; read ahead layers {read[0]} to {read[1]}; "
        f"thresholds: {chosen}.",
        "As published: every layer from 0 on, class token included. Tuned: class token spared. Read ahead: the "
        "untouched image is read once, and the tokens found are zeroed at every layer.",
        "Random tokens: as many as read ahead zeroed, the same at every layer.",
        f"{len(bench.editor.bank):,} texts.",
        *filter(None, (recommended(bench.model.info).get("note"),)),
    )
