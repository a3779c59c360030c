"""Patch-text similarity: every patch, and every word, taken alone into the shared space."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import VLExplainError
from ...models.pools import MeanPool
from ...running.run import Run
from ..inputs import Inputs, Scores, no_words, on_grid, patches
from .parameters import PatchSimilarity


@torch.no_grad()
def patch_similarity(inputs: Inputs, parameters: PatchSimilarity, run: Run) -> Scores:
    """The target of each patch's similarity with the prompt (K, gh, gw); of each word's cosine with the image (K, T).

    A patch is read by its own value: the last block's value path, the readout and the projection, without attention.
    Where the image's embedding is the mean of its projected patches, ``form="share"`` gives summands of the cosine.
    """
    model, tower = inputs.model, inputs.model.image
    run.step(0.0, "Similarity of the patches")
    tokens = tower.tokens(inputs.stream(max(0, tower.depth - 1)))[0]
    embedded = model.encode_text(inputs.texts)
    if parameters.form == "share":
        scores = _shares(inputs, tokens, embedded)
    else:
        scores = inputs.objective(model.similarity(tokens, embedded))
    run.step(0.6, "Similarity of the words")
    words = _words(inputs) if model.text.sites else no_words(inputs)
    return Scores(on_grid(scores.T, tower), words, {"form": parameters.form})


def _shares(inputs: Inputs, tokens: Tensor, embedded: Tensor) -> Tensor:
    """Tokens (T, P) -> (T, K) with ``sum_i share_i = cos(mean_i p_i, t)``."""
    tower = inputs.model.image
    exact = tower.depth == 0 and isinstance(tower.pool, MeanPool) and inputs.model.normalise
    if not exact or inputs.target.name != "similarity":
        raise VLExplainError(
            "form='share' needs a model whose image embedding is the mean of its projected patches (BioViL) and the "
            "target similarity; choose form='cosine'."
        )
    p = tokens[patches(tower, len(tokens))]
    return p @ F.normalize(embedded[: inputs.count], dim=-1).T / (len(p) * p.mean(dim=0).norm())


def _words(inputs: Inputs) -> Tensor:
    """(K, T)"""
    model, texts = inputs.model, inputs.explained
    tower = model.text
    z = tower.run(tower.embed(texts.ids), 0, max(0, tower.depth - 1), texts.lengths)
    return model.similarity(tower.tokens(z), inputs.embedding)[..., 0]
