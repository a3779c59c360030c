"""Do a token's texts depend on what is in the image, and where? (INViTE, sections 4.2 and 4.3.)

*Causal rank change*: black out the annotated object, and in other copies random cells of about the same area. The rank
that a token's first text falls to should grow more where the object went. *Saliency overlap*: what tokens that say
the object attend to, by rollout, should lie on the object.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...datasets.worlds import article, stickers
from ...models.dual_encoder import DualEncoder
from ...running.entrance import entrance
from ...running.run import Run
from ..interpreting import PLAIN
from ..retrieval import nearest
from ..tails import compare, latent_tokens
from ..texts.banks import TextBank, text_bank
from ..texts.templates import recommended
from ..texts.vocabularies import vocabulary
from .report import Cell, Table
from .samples import Samples

RANDOM_MASKS = 2
CELL = 50 / 224
"""Side of a cell of the random masks, as a share of the image's."""


@dataclass(frozen=True, eq=False)
class Annotated:
    """Images, what one object in each is called, and that object's exact mask (n, H, W) bool."""

    images: Samples
    names: tuple[str, ...]
    masks: NDArray[np.bool_]


def sticker_scenes(seed: int, count: int) -> Annotated:
    """Scenes of one to three different objects without a word; the first of each is the annotated one."""
    scenes = [stickers.sample(seed, index, count=(1, 2, 3), distinct=True, word=False) for index in range(count)]
    drawn = [stickers.render(scene) for scene in scenes]
    return Annotated(
        images=Samples(tuple(partial(np.asarray, each.image) for each in drawn), (0,) * count),
        names=tuple(article(scene.names[0]) for scene in scenes),
        masks=np.stack([each.truth[0] for each in drawn]),
    )


@entrance("The experiment")
def verification(model: DualEncoder, data: Annotated, seed: int = 0, run: Run | None = None) -> Table:
    """Rank change under object and random masks, and overlap of saliency with the object, for each layer.

    Ranks are among all texts of the vocabulary that suits the model, counted from 0, means over tokens and images.
    Overlaps are means over the tokens that say the object: the share of their rollout's energy on the object, and
    the IoU of its highest patches, as many as the object covers. Chance is the object's share of the image.
    """
    run, suits, depth = run or Run(), recommended(model.info), model.image.depth
    bank = text_bank(model, vocabulary(suits["vocabulary"]), suits["template"])
    layers = range(depth + 1)
    ranks = {"object": np.zeros(depth + 1), "random": np.zeros(depth + 1)}
    overlaps: list[list[tuple[float, float, float]]] = [[] for _ in layers]
    rng = np.random.default_rng(seed)
    for piece, pixels in data.images.batches(model):
        run.step(piece.start / len(data.images), "Masking and reading again")
        masks = torch.from_numpy(data.masks[piece]).to(pixels.device)
        u, rollouts = _read(model, pixels)
        first = nearest(u, bank, PLAIN).indices[..., 0]
        changed = _ranks(model, blackened(model, pixels, masks), bank, first)
        ranks["object"] += changed.sum(1).cpu().numpy()
        for _ in range(RANDOM_MASKS):
            cells = torch.from_numpy(np.stack([random_cells(rng, mask) for mask in data.masks[piece]])).to(
                pixels.device
            )
            again = _ranks(model, blackened(model, pixels, cells), bank, first)
            ranks["random"] += again.sum(1).cpu().numpy() / RANDOM_MASKS
        _overlap(model, data, piece, bank, first, rollouts, masks, overlaps)
    count = len(data.images)
    rows: list[tuple[Cell, ...]] = []
    for layer in layers:
        found = np.array(overlaps[layer]).mean(0).tolist() if overlaps[layer] else [None] * 3
        rows.append((str(layer), float(ranks["object"][layer] / count), float(ranks["random"][layer] / count),
                     *found, len(overlaps[layer])))  # fmt: skip
    mean = [float(ranks[kind].mean() / count) for kind in ("object", "random")]
    everything = [entry for layer in overlaps for entry in layer]
    rows.append(("all", *mean, *(np.array(everything).mean(0).tolist() if everything else [None] * 3), len(everything)))
    return Table(
        title=f"Verification on {count} scenes, {len(bank):,} texts, {model.info.name}",
        columns=(
            "layer",
            "rank change, object",
            "rank change, random",
            "energy on object",
            "IoU",
            "chance",
            "tokens that say it",
        ),
        rows=tuple(rows),
        notes=(
            "Rank change: mean rank that a token's first text has once the object, or random cells of about its "
            "area, are black.",
            *filter(None, (suits.get("note"),)),
        ),
        settings={"seed": seed, "random_masks": RANDOM_MASKS, "texts": len(bank)},
    )


def blackened(model: DualEncoder, pixels: Tensor, masks: Tensor) -> Tensor:
    """Pixels (B, 3, h, w), normalised, with black where the masks (B, H, W) are true."""
    size = pixels.shape[-2:]
    at = F.interpolate(masks[:, None].float(), size, mode="nearest") > 0.5
    preprocess = model.preprocess
    black = -torch.tensor(preprocess.mean) / torch.tensor(preprocess.std)
    return torch.where(at, black.to(pixels)[:, None, None], pixels)


def random_cells(rng: np.random.Generator, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cells outside the object, each on with probability r / (1 - r), r the object's share of the image."""
    height, width = mask.shape
    side = max(1, round(CELL * height)), max(1, round(CELL * width))
    share = float(mask.mean())
    chance = min(1.0, share / max(1 - share, 1e-9))
    on = rng.random((-(-height // side[0]), -(-width // side[1]))) < chance
    return np.kron(on, np.ones(side, bool))[:height, :width].astype(bool) & ~mask


def _read(model: DualEncoder, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Every layer's tokens (L + 1, B, T, P), and the rollout (B, T, T) up to the input of each."""
    tower = model.image
    with torch.no_grad():
        z = tower.embed(pixels)
        u = latent_tokens(tower, z, range(tower.depth + 1), PLAIN)
        rollout = torch.eye(z.shape[1], device=z.device).expand(len(z), -1, -1)
        found = [rollout]
        for block in tower.blocks:
            z, a = block.explicit(z, tower.mask(z))
            rollout = (rollout + a.mean(1) @ rollout) / 2
            found.append(rollout)
    return u, found


def _ranks(model: DualEncoder, pixels: Tensor, bank: TextBank, first: Tensor) -> Tensor:
    """Mean rank over tokens (L + 1, B) of the texts ``first`` (L + 1, B, T) in other images of the same scenes."""
    tower = model.image
    with torch.no_grad():
        u = compare(latent_tokens(tower, tower.embed(pixels), range(tower.depth + 1), PLAIN), "embedding")
        own = (u * bank.rows(first.flatten().tolist()).unflatten(0, first.shape)).sum(-1, keepdim=True)
        # The text itself must not outrank itself by rounding.
        above = sum((u @ texts.T > own + 1e-6).sum(-1) for _, texts in bank.chunks())
    assert isinstance(above, Tensor)
    return above.float().mean(-1)


def _overlap(
    model: DualEncoder,
    data: Annotated,
    piece: slice,
    bank: TextBank,
    first: Tensor,
    rollouts: list[Tensor],
    masks: Tensor,
    into: list[list[tuple[float, float, float]]],
) -> None:
    tower = model.image
    assert tower.grid is not None
    size = (tower.grid[0] * 16, tower.grid[1] * 16)
    covered = F.adaptive_avg_pool2d(F.interpolate(masks[:, None].float(), size, mode="area"), tower.grid).flatten(1)
    said = bank.vocabulary.find(data.names[piece])
    for b, name in enumerate(data.names[piece]):
        if name not in said:
            continue
        share = float(covered[b].mean())
        top = max(1, round(share * covered.shape[1]))
        truth = covered[b] > 0.5
        for layer, rollout in enumerate(rollouts):
            for token in (first[layer, b, tower.prefix_tokens :] == said[name]).nonzero()[:, 0].tolist():
                row = rollout[b, tower.prefix_tokens + token, tower.prefix_tokens :]
                energy = float((row * covered[b]).sum() / row.sum())
                highest = torch.zeros_like(truth)
                highest[row.topk(top).indices] = True
                union = int((highest | truth).sum())
                into[layer].append((energy, int((highest & truth).sum()) / max(union, 1), share))
