"""Gradients along a path from a reference to the input: integrated and expected gradients."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...running.run import Run
from ..baselines import filled, image_baseline, plain
from ..forwards import has_words, image_gradients, image_values, word_gradients, word_values
from ..inputs import Inputs, Scores, grid, missed, no_words
from ..masking import whole_values
from ..patches import patch_size, per_patch
from .at_input import image_noise
from .parameters import ExpectedGradients, IntegratedGradients


def integrated_gradients(inputs: Inputs, parameters: IntegratedGradients, run: Run) -> Scores:
    """``(x - x') ∫ dF/dx(x' + t (x - x')) dt`` over t in [0, 1], by Gauss-Legendre; signed.

    The attributions of all pixels (of all words) add up to ``F(x) - F(x')``; by how much the quadrature misses it
    is in the notes, for each prompt.
    """
    nodes, weights = _quadrature(parameters.steps, inputs.pixels.device)
    at = nodes.view(-1, 1, 1, 1)
    pixels, base = inputs.pixels, image_baseline(inputs, parameters.baseline)

    def combine(g: Tensor, piece: slice) -> Tensor:
        return torch.einsum("s,ks...->k...", weights[piece], g)

    slopes = image_gradients(inputs, lambda p: torch.lerp(base, pixels, at[p]), len(at), combine, run.part(0.0, 0.8))
    image = (pixels - base) * slopes
    with torch.no_grad():
        change = whole_values(inputs) - image_values(inputs, base)[0]
    notes = {"completeness": missed(image, change, "image")}
    found = per_patch(image.sum(dim=1), inputs.model.image, parameters.patch)
    if not has_words(inputs):
        return Scores(found, no_words(inputs), notes)
    z = inputs.model.text.embed(inputs.explained.ids)
    empty = filled(inputs, inputs.explained, parameters.fill)
    slopes = word_gradients(inputs, lambda p: torch.lerp(empty, z, at[p]), len(at), combine, run.part(0.8, 1.0))
    words = (z - empty) * slopes
    with torch.no_grad():
        change = word_values(inputs, torch.stack([z, empty]))
    notes["completeness"] |= missed(words, change[0] - change[1], "text")
    return Scores(found, words.sum(dim=-1), notes)


def expected_gradients(inputs: Inputs, parameters: ExpectedGradients, run: Run) -> Scores:
    """``E_{x' ~ D, t ~ U(0, 1)} [(x - x') dF/dx(x' + t (x - x'))]``; signed.

    References of a prompt are single letters in the place of its words: the first ids of the usual vocabularies.
    """
    count, pixels = parameters.samples, inputs.pixels
    at = torch.rand(count, generator=inputs.generator("expected", "times"), device=pixels.device).view(-1, 1, 1, 1)

    def references(piece: slice) -> Tensor:
        return _image_references(inputs, piece, parameters.reference)

    def combine(g: Tensor, piece: slice) -> Tensor:
        return (g * (pixels - references(piece))).sum(dim=1) / count

    def images(piece: slice) -> Tensor:
        return torch.lerp(references(piece), pixels, at[piece])

    image = image_gradients(inputs, images, count, combine, run.part(0.0, 0.8))
    found = per_patch(image.sum(dim=1), inputs.model.image, parameters.patch)
    if not has_words(inputs):
        return Scores(found, no_words(inputs))
    z, other = inputs.model.text.embed(inputs.explained.ids), _word_references(inputs, count)

    def combine_words(g: Tensor, piece: slice) -> Tensor:
        return (g * (z - other[piece]).transpose(0, 1)).sum(dim=1) / count

    words = word_gradients(inputs, lambda p: torch.lerp(other[p], z, at[p]), count, combine_words, run.part(0.8, 1.0))
    return Scores(found, words.sum(dim=-1))


def _quadrature(steps: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss-Legendre on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    made = (torch.tensor(x / 2, dtype=torch.float32, device=device) for x in (nodes + 1, weights))
    return next(made), next(made)


def _image_references(inputs: Inputs, piece: slice, kind: str) -> Tensor:
    """References (s, 3, h, w); each depends on its number alone."""
    if kind == "noise":
        return image_noise(inputs, piece, "expected")
    device, tower = inputs.pixels.device, inputs.model.image
    sources = [inputs.generator("expected", kind, str(i)) for i in range(piece.start, piece.stop)]
    if kind == "colour":
        colours = torch.stack([torch.rand(3, generator=source, device=device) for source in sources])
        return plain(inputs, colours).expand(-1, -1, *inputs.pixels.shape[2:])
    return torch.stack([shuffled(inputs.pixels[0], grid(tower), patch_size(tower), source) for source in sources])


def shuffled(pixels: Tensor, grid: tuple[int, int], patch: tuple[int, int], source: torch.Generator) -> Tensor:
    """An image (3, h, w) with its patches in random order; what lies behind the last whole patch stays."""
    (gh, gw), (ph, pw) = grid, patch
    found = pixels.clone()
    patches = pixels[:, : gh * ph, : gw * pw].reshape(3, gh, ph, gw, pw).permute(1, 3, 0, 2, 4).flatten(0, 1)
    order = torch.randperm(gh * gw, generator=source, device=pixels.device)
    moved = patches[order].unflatten(0, grid).permute(2, 0, 3, 1, 4).reshape(3, gh * ph, gw * pw)
    found[:, : gh * ph, : gw * pw] = moved
    return found


def _word_references(inputs: Inputs, count: int) -> Tensor:
    """(count, K, T, D): the prompts with random letters for tokens; those of a prompt depend on it alone."""
    texts = inputs.explained
    ids = texts.ids.repeat(count, 1, 1)
    for k, prompt in enumerate(texts.prompts):
        source = inputs.generator("expected", "text", prompt.text)
        drawn = torch.randint(0, 256, (count, len(prompt.content)), generator=source, device=ids.device)
        ids[:, k, list(prompt.content)] = drawn
    return inputs.model.text.embed(ids.flatten(0, 1)).unflatten(0, (count, len(texts)))
