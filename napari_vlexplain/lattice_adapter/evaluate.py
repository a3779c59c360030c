"""What a trained adapter is worth: mean IoU beside its floor, insertion, deletion, their difference (ALA, section 4).

``i_n`` keeps the n pixels of the highest score, ``d_n`` takes them away; at both ends they are the same images. The
probability is that of the true class, by the model's own gated forward on the changed image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import VLExplainError
from ..metrics.perturbation import Curve, even_counts, insertion_deletion, order
from ..metrics.statistics import Interval, intervals
from ..models.dual_encoder import DualEncoder
from ..models.lattice_adapter.network import LatticeNetwork
from ..models.lattice_adapter.trained import Lattice
from ..running.entrance import entrance
from ..running.run import Run, chunks
from .batches import Look
from .data import Item
from .source import Source, Truths
from .validation import RULES, best_threshold, binarised, ious, ladder, passes

FILLS = ("black", "mean")
STEPS = 100
_AT_ONCE = 32


@dataclass(frozen=True)
class Evaluation:
    """Figures with their intervals by name: ``accuracy``, ``iou``, ``floor``, ``insertion``, ``deletion``, ``id``.

    rule, threshold : how maps became masks. images, curves : how many had a mask, and how many were perturbed.
    """

    figures: dict[str, Interval]
    rule: str
    threshold: float
    images: int
    curves: int
    fill: str
    steps: int

    def to_dict(self) -> dict[str, Any]:
        found = {name: {"mean": i.mean, "low": i.low, "high": i.high, "n": i.n} for name, i in self.figures.items()}
        facts = ("rule", "threshold", "images", "curves", "fill", "steps")
        return {"figures": found, **{name: getattr(self, name) for name in facts}}


@entrance("Evaluating")
def evaluate(
    model: DualEncoder,
    items: Sequence[Item],
    *,
    rule: str = "minmax",
    tune: Sequence[Item] = (),
    curves: int | None = None,
    steps: int = STEPS,
    fill: str = "black",
    workers: int = 0,
    seed: int = 0,
    run: Run | None = None,
) -> Evaluation:
    """Measure a trained adapter.

    Parameters
    ----------
    items : images of known class; those with masks give IoU. ``tune``: the ones on which ``best`` finds its threshold.
    curves : how many of them are perturbed, drawn by the seed; None is all, 0 none.
    steps, fill : of the curves; what stands for a pixel that is not there.

    Raises
    ------
    VLExplainError : a model without an adapter, an unknown rule or fill, ``best`` without images to tune on.
    """
    run, network = run or Run(), _network(model)
    if rule not in RULES or fill not in FILLS:
        raise VLExplainError(f"The rule is one of {', '.join(RULES)} and the fill one of {', '.join(FILLS)}.")
    if not items:
        raise VLExplainError("There is no image to evaluate on.")
    look, options = _look(model), network.options
    threshold = 0.5
    if rule == "best":
        threshold = best_threshold(
            _ladders(network, Source(tune, look, options, model.device, workers), run.part(0.0, 0.2))
        )
    source = Source(items, look, options, model.device, workers)
    truths = Truths.of(items, look, run.part(0.2, 0.3))
    table = np.full((len(items), 6), np.nan)  # accuracy, iou, floor, insertion, deletion, id
    for start, labels, logits, maps in passes(network, source):
        run.step(0.3 + 0.2 * start / len(items), "Maps against masks")
        table[start : start + len(labels), 0] = (logits.argmax(dim=1) == labels).cpu().numpy()
        here, masks, ignored = truths.of_items(start, start + len(labels))
        if len(here):
            table[start + here, 1] = ious(binarised(maps[here], rule, threshold), masks, ignored)
            table[start + here, 2] = ious(np.ones_like(masks), masks, ignored)
    count = len(items) if curves is None else min(curves, len(items))
    chosen = np.random.default_rng(seed).permutation(len(items))[:count]
    for number, index in enumerate(sorted(chosen)):
        run.step(0.5 + 0.5 * number / count, "Insertion and deletion")
        pixels = look(items[index].read()[0])[0].to(model.device)
        inserted, deleted = insertion_and_deletion(model, pixels, items[index].label, steps, fill)
        table[index, 3:] = inserted.auc, deleted.auc, insertion_deletion(inserted.auc, deleted.auc)
    names = ("accuracy", "iou", "floor", "insertion", "deletion", "id")
    found = dict(zip(names, intervals(table, np.arange(len(items)), seed), strict=True))
    return Evaluation({k: v for k, v in found.items() if v.n}, rule, threshold, len(truths), count, fill, steps)


@torch.no_grad()
def insertion_and_deletion(
    model: DualEncoder, pixels: Tensor, label: int, steps: int = STEPS, fill: str = "black"
) -> tuple[Curve, Curve]:
    """Both curves of one image (1, 3, h, w) for the class ``label``, from one order of the pixels (stable)."""
    from ..models.lattice_adapter.adapter import resized

    network = _network(model)
    maps = resized(network.explain(pixels)[:, None].float(), (pixels.shape[2], pixels.shape[3]))
    ranked = order(maps.cpu().numpy())
    counts = even_counts(len(ranked), steps)
    moved = torch.zeros(len(ranked), dtype=torch.long)
    moved[torch.from_numpy(ranked.copy())] = torch.arange(len(ranked))
    first = moved.to(pixels.device).unflatten(0, tuple(pixels.shape[2:])) < torch.tensor(
        counts, device=pixels.device
    ).view(-1, 1, 1)  # (steps + 1, h, w): the n pixels of the highest score
    nothing = _filled(model, pixels, fill)
    fractions = np.asarray(counts) / len(ranked)
    found = [_probabilities(network, pixels, nothing, kept, label) for kept in (first, ~first[1:-1])]
    inserted, between = found
    deleted = np.concatenate([inserted[-1:], between, inserted[:1]])  # the ends are the same two images
    return Curve(fractions, inserted), Curve(fractions, deleted)


def _probabilities(
    network: LatticeNetwork, pixels: Tensor, nothing: Tensor, kept: Tensor, label: int
) -> NDArray[np.float64]:
    """Of the true class, for each mask of kept pixels (n, h, w)."""
    found = np.empty(len(kept))

    def work(piece: slice) -> None:
        images = torch.where(kept[piece, None], pixels, nothing)
        found[piece] = network(images).logits.float().softmax(dim=1)[:, label].double().cpu().numpy()

    chunks(len(kept), _AT_ONCE, work)
    return found


def _filled(model: DualEncoder, pixels: Tensor, fill: str) -> Tensor:
    """An image of nothing: black before normalisation, or the mean colour, which normalisation makes zero."""
    nothing = torch.zeros_like(pixels)
    if fill == "black":
        mean, std = (torch.tensor(v, device=pixels.device).view(3, 1, 1) for v in
                     (model.preprocess.mean, model.preprocess.std))  # fmt: skip
        nothing = nothing - mean / std
    return nothing


def _ladders(network: LatticeNetwork, source: Source, run: Run) -> NDArray[np.float64]:
    """IoU at every threshold (n, 100) of the items that have masks."""
    truths, found = Truths.of(source.items, source.look, run), []
    if not len(truths):
        raise VLExplainError("The rule best finds its threshold on validation images with masks, and there are none.")
    for start, labels, _, maps in passes(network, source):
        here, masks, ignored = truths.of_items(start, start + len(labels))
        found.append(ladder(maps[here], masks, ignored))
    return np.concatenate(found)


def _network(model: DualEncoder) -> LatticeNetwork:
    lattice = model.lattice
    if not isinstance(lattice, Lattice):
        raise VLExplainError(
            f"{model.info.name} has no adapter to evaluate; train one with `vlexplain train-adapter`, or take "
            "mini-lattice."
        )
    return lattice.network


def _look(model: DualEncoder) -> Look:
    assert model.image.grid is not None and model.image.patch is not None
    return Look(model.preprocess, model.image.grid, model.image.patch)
