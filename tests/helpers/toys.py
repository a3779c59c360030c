"""Tiny models made by hand, on which every method takes milliseconds and some have closed forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_vlexplain.methods.inputs import Inputs, Scores
from napari_vlexplain.methods.targets import Target
from napari_vlexplain.models.blocks import MLP, Activation, Block, LayerNorm, Linear
from napari_vlexplain.models.dual_encoder import DualEncoder
from napari_vlexplain.models.text.prompts import Prompt
from napari_vlexplain.models.towers import MeanPool, RowPool, Tower
from napari_vlexplain.models.vision.preprocess import Preprocess
from napari_vlexplain.models.vision.resizing import Sides
from napari_vlexplain.models.zoo import ModelInfo
from napari_vlexplain.parameters import fill
from napari_vlexplain.running.run import Run

GRID, PATCH, SIZE = (3, 4), (4, 4), (12, 16)
VOCABULARY = 300  # more than the 256 letters that stand for references
START, END = VOCABULARY - 2, VOCABULARY - 1


@dataclass(frozen=True)
class Words:
    """One token a word: its number is a sum over its letters."""

    context: int = 16
    pad: int = END

    def __call__(self, text: str) -> Prompt:
        words = text.split()
        ids = (START, *(1 + sum(map(ord, word)) % (VOCABULARY - 4) for word in words), END)
        content = tuple(range(1, len(words) + 1))
        return Prompt(text, ids, len(ids) - 1, content, tuple(words), tuple(range(len(words))))

    def cut(self, prompt: Prompt) -> Prompt:
        return self(" ".join(prompt.text.split()[: self.context - 2]))


def linear(source: torch.Generator, out: int, into: int, bias: bool = True) -> Linear:
    weight = torch.randn(out, into, generator=source) / into**0.5
    return Linear(weight, 0.1 * torch.randn(out, generator=source) if bias else None)


def layer_norm(source: torch.Generator, width: int) -> LayerNorm:
    return LayerNorm(1 + 0.1 * torch.randn(width, generator=source), 0.1 * torch.randn(width, generator=source))


def block(source: torch.Generator, width: int, heads: int, activation: Activation) -> Block:
    return Block(
        layer_norm(source, width),
        *(linear(source, width, width) for _ in range(4)),
        layer_norm(source, width),
        MLP(linear(source, 2 * width, width), activation, linear(source, width, 2 * width)),
        heads,
    )


def patchify(pixels: Tensor) -> Tensor:
    """(B, 3, h, w) -> (B, patches, 3 ph pw)."""
    (gh, gw), (ph, pw) = GRID, PATCH
    whole = pixels[..., : gh * ph, : gw * pw].unflatten(-1, (gw, pw)).unflatten(-3, (gh, ph))
    return whole.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def transformer(
    seed: int = 0,
    *,
    width: int = 16,
    depth: int = 3,
    mean: bool = False,
    activation: Activation = torch.nn.functional.gelu,
    logit_scale: float = 10.0,
) -> DualEncoder:
    """A random CLIP: a patch embedding and a CLS token, or a mean over patches; a causal text tower."""
    source = torch.Generator().manual_seed(seed)
    patch = linear(source, width, 3 * PATCH[0] * PATCH[1])
    prefix = 0 if mean else 1
    first = torch.randn(1, prefix, width, generator=source)
    places = 0.3 * torch.randn(prefix + GRID[0] * GRID[1], width, generator=source)
    table = torch.randn(VOCABULARY, width, generator=source)
    text_places = 0.3 * torch.randn(Words.context, width, generator=source)

    def embed(pixels: Tensor) -> Tensor:
        return torch.cat([first.expand(len(pixels), -1, -1), patch(patchify(pixels))], dim=1) + places

    def blocks() -> tuple[Block, ...]:
        return tuple(block(source, width, 2, activation) for _ in range(depth))

    norm = layer_norm(source, width)
    project = linear(source, 8, width, bias=False)
    pool = MeanPool(norm, None, project, 0) if mean else RowPool(norm, project)
    text_pool = RowPool(layer_norm(source, width), linear(source, 8, width, bias=False))
    return dual_encoder(
        Tower(embed, blocks(), pool, prefix_tokens=prefix, grid=GRID, patch=PATCH),
        Tower(lambda ids: table[ids] + text_places[: ids.shape[1]], blocks(), text_pool, causal=True),
        logit_scale=logit_scale,
    )


def dot_product(seed: int = 0, width: int = 6) -> DualEncoder:
    """Embeddings are means of linearly embedded patches, or words; nothing else happens."""
    source = torch.Generator().manual_seed(seed)
    patch = linear(source, width, 3 * PATCH[0] * PATCH[1])
    table = torch.randn(VOCABULARY, width, generator=source)
    image = Tower(
        lambda pixels: patch(patchify(pixels)), (), MeanPool(None, None, lambda x: x, 0), grid=GRID, patch=PATCH
    )
    text = Tower(lambda ids: table[ids], (), _SumPool())
    return replace(dual_encoder(image, text), normalise=False)


class _SumPool:
    """The sum of a prompt's tokens: linear, and deaf to padding, which toys do not have."""

    single_row = False

    def __call__(self, z: Tensor, rows: Tensor) -> Tensor:
        kept = torch.arange(z.shape[1]) <= rows[:, None]
        return (z * kept[..., None]).sum(dim=1)

    def tokens(self, z: Tensor) -> Tensor:
        return z

    def start(self, length: int, rows: Tensor) -> Tensor:
        return torch.ones(len(rows), length)


def dual_encoder(image: Tower, text: Tower, logit_scale: float = 10.0) -> DualEncoder:
    return DualEncoder(
        info=ModelInfo("toy", "a toy", "BSD-3-Clause", 0, "made here", "tests"),
        image=image,
        text=text,
        preprocess=Preprocess(SIZE, Sides(*SIZE), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
        tokenizer=Words(),
        logit_scale=logit_scale,
        device=torch.device("cpu"),
        weights_hash=lambda: "0" * 64,
    )


PROMPTS = ("a cat on the mat", "two dogs", "the far away bridge")


def make_inputs(
    model: DualEncoder, prompts: Sequence[str] = PROMPTS, target: Target | str = "similarity", seed: int = 0
) -> Inputs:
    chosen = target if isinstance(target, Target) else Target(target)
    source = torch.Generator().manual_seed(7)
    pixels = torch.nn.functional.interpolate(torch.randn(1, 3, 3, 4, generator=source), SIZE, mode="bilinear")
    pixels += 0.3 * torch.randn(pixels.shape, generator=source)
    texts = model.tokenize([*prompts, *chosen.against])
    return Inputs(model, pixels, texts, len(prompts), chosen, seed, "case")


def run(method: str, inputs: Inputs, **parameters: Any) -> Scores:
    """Run a method of the catalogue."""
    from napari_vlexplain.methods.catalogue import method as named

    info = named(method)
    return info.scores(inputs, fill(info.parameters_form, parameters, info.name), Run())


def alone(inputs: Inputs, k: int) -> Inputs:
    """The inputs of prompt k only; the target's other prompts stay as contrasts."""
    others = tuple(p.text for i, p in enumerate(inputs.texts.prompts) if i != k)
    texts = inputs.model.tokenize([inputs.texts.prompts[k].text, *(others if inputs.target.against else ())])
    return replace(inputs, texts=texts, count=1)


def words_of(inputs: Inputs, scores: Tensor, k: int) -> np.ndarray:
    """A prompt's scores of its own tokens."""
    return scores[k, list(inputs.texts.prompts[k].content)].detach().numpy()
