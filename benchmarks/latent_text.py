"""Latent texts of all layers beside the published way: the same texts, and how long each side takes.

    python benchmarks/latent_text.py [--texts 1000] [--runs 7] [--threads N] [--json FILE]

A CLIP with random weights in the shapes of ViT-B/32, one image. The published way runs the whole network once for each
layer, with a mask that lets every token attend to itself only from that layer on; it is written here on the library's
own modules and starts from pixels and text embeddings that are ready, as ours does. Both sides get the same threads and
take turns. Exit code 1 if the texts differ or a target is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import measured
import numpy as np
import random_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vlexplain import load_model
from napari_vlexplain.latent_text import Reading, interpret, text_bank, vocabulary
from napari_vlexplain.latent_text.retrieval import nearest
from napari_vlexplain.latent_text.tails import latent_tokens, layer_tokens
from napari_vlexplain.latent_text.texts import banks as text_banks
from napari_vlexplain.models.dual_encoder import DualEncoder

TARGET = 1.8
"""How many times as fast all layers must be."""
AGREEMENT = 1e-4
PLAIN = Reading()


class Published:
    """One run of the whole network per layer with attention masked to the diagonal."""

    def __init__(self, folder: Path, texts: Tensor) -> None:
        from transformers import CLIPModel

        self.model = CLIPModel.from_pretrained(folder, attn_implementation="sdpa").eval().requires_grad_(False)
        self.texts = texts

    @torch.no_grad()
    def layer(self, pixels: Tensor, layer: int) -> Tensor:
        """Unit tokens (T, P) of one layer."""
        vision = self.model.vision_model
        z = vision.pre_layrnorm(vision.embeddings(pixels))
        diagonal = torch.full((z.shape[1],) * 2, float("-inf")).fill_diagonal_(0)[None, None]
        for index, block in enumerate(vision.encoder.layers):
            z = block(z, attention_mask=diagonal if index >= layer else None)
            z = z[0] if isinstance(z, tuple) else z
        return F.normalize(self.model.visual_projection(vision.post_layernorm(z)), dim=-1)[0]

    def texts_of(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Index (L + 1, T) of every token's nearest text, and the tokens (L + 1, T, P)."""
        depth = len(self.model.vision_model.encoder.layers)
        tokens = [self.layer(pixels, layer) for layer in range(depth + 1)]
        return torch.stack([(u @ self.texts.T).argmax(-1) for u in tokens]), torch.stack(tokens)


def ours(model: DualEncoder, pixels: Tensor, bank: Any) -> tuple[Tensor, Tensor]:
    """The same from one pass."""
    with torch.no_grad():
        u = latent_tokens(model.image, model.image.embed(pixels), range(model.image.depth + 1), PLAIN)
    return nearest(u, bank, PLAIN).indices[:, 0, :, 0], F.normalize(u[:, 0], dim=-1)


def same_texts(mine: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor], texts: Tensor) -> tuple[float, float]:
    """The largest difference of tokens, and the largest by which a differing text scores lower: 0 but for ties."""
    apart = float((mine[1] - theirs[1]).abs().max())
    scores = theirs[1] @ texts.T
    lost = scores.gather(-1, theirs[0][..., None]) - scores.gather(-1, mine[0][..., None])
    return apart, float(lost.max())


def encodings(model: DualEncoder, image: np.ndarray, words: Any) -> list[int]:
    """Texts encoded while the first, second and third image are read."""
    counts: list[int] = []
    tower = type(model.text)
    tail = tower.tail

    def counted(self: Any, z: Tensor, *rest: Any) -> Tensor:
        if self.causal:
            counts[-1] += len(z)
        return tail(self, z, *rest)

    tower.tail = counted  # type: ignore[method-assign]
    try:
        for _ in range(3):
            counts.append(0)
            interpret(model, image, words, "a photo of {}", k=1)
            image = image[::-1].copy()
    finally:
        tower.tail = tail  # type: ignore[method-assign]
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as scratch:
        text_banks.folder = lambda: Path(scratch) / "banks"  # type: ignore[assignment]
        found = measure(Path(scratch), given.texts, given.runs)
    found["threads"] = given.threads
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    failed = report(found)
    return int(failed)


def measure(scratch: Path, texts: int, runs: int) -> dict[str, Any]:
    folder = random_clip.save(scratch / "b32", 32)
    model = load_model(str(folder), "cpu")
    depth = model.image.depth
    # Real words, for the tokenizer of the random model drops digits and would take numbered texts for one.
    words = vocabulary(list(vocabulary("objects", "words", "descriptors", "chest"))[:texts])
    texts = len(words)
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    counts = encodings(model, image, words)
    bank = text_bank(model, words, "a photo of {}")
    unit = bank.rows(range(texts))
    published, pixels = Published(folder, unit), model.pixels(image)[0]
    (our_seconds, _, mine), (their_seconds, _, theirs) = measured.seconds_in_turn(
        [lambda: ours(model, pixels, bank), lambda: published.texts_of(pixels)], "cpu", runs, patience=600
    )
    apart, lost = same_texts(mine, theirs, unit)
    streams = model.image.streams(model.image.embed(pixels), range(depth + 1))
    layers = {}
    for layer in (0, depth // 2, depth - 2, depth):
        (tail, _, _), (run, _, _) = measured.seconds_in_turn(
            [
                lambda layer=layer: nearest(layer_tokens(model.image, streams[layer], layer, PLAIN), bank, PLAIN),
                lambda layer=layer: (published.layer(pixels, layer) @ unit.T).argmax(-1),
            ],
            "cpu",
            runs,
        )
        layers[layer] = {"blocks_of_tail": depth - layer, "ours": tail, "published": run}
    return {
        "texts": texts,
        "ours": our_seconds,
        "published": their_seconds,
        "ratio": their_seconds / our_seconds,
        "largest_difference": apart,
        "score_lost_by_other_texts": lost,
        "texts_encoded": counts,
        "layers": layers,
    }


def report(found: dict[str, Any]) -> bool:
    """Print; whether something failed."""
    print(f"ViT-B/32, 13 layers x 50 tokens, {found['texts']:,} texts, {found['threads']} threads")
    seconds = f"published {found['published']:.3f} s, ours {found['ours']:.3f} s"
    print(f"all layers: {seconds}, {found['ratio']:.2f} times as fast")
    for layer, row in found["layers"].items():
        print(
            f"layer {layer:>2} alone: published {row['published'] * 1e3:6.1f} ms (12 blocks), "
            f"ours {row['ours'] * 1e3:6.1f} ms (a tail of {row['blocks_of_tail']})"
        )
    print(f"texts encoded for the first, second and third image: {found['texts_encoded']}")
    print(
        f"tokens differ by {found['largest_difference']:.1e}; texts differ by {found['score_lost_by_other_texts']:.1e}"
    )
    first, *later = found["texts_encoded"]
    rows = list(found["layers"].values())
    checks = {
        f"all layers at least {TARGET} times as fast": found["ratio"] >= TARGET,
        "the same tokens": found["largest_difference"] < AGREEMENT,
        "the same texts but for ties": found["score_lost_by_other_texts"] < AGREEMENT,
        "no text encoded from the second image on": first == found["texts"] and not any(later),
        "a layer costs its own tail": all(a["ours"] > b["ours"] for a, b in pairwise(rows)),
    }
    for what, holds in checks.items():
        print(f"{'ok  ' if holds else 'MISSED'} {what}")
    return not all(checks.values())


if __name__ == "__main__":
    sys.exit(main())
