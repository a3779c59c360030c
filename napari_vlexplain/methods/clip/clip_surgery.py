"""CLIP Surgery (Li et al., 2023): a second path of value-value attention, and prompts less what they share.

A map depends on which other prompts were given, so they are recorded with it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import VLExplainError
from ...models.blocks import Block
from ...models.text.prompts import TextBatch
from ...models.towers import Tower
from ...running.run import Run
from ..features import layer_index
from ..inputs import Inputs, Scores, no_words, on_grid
from ..values import settled
from .parameters import CLIPSurgery


@torch.no_grad()
def clip_surgery(inputs: Inputs, parameters: CLIPSurgery, run: Run) -> Scores:
    """``w_t cos(p_i, t) - mean_t' w_t' cos(p_i, t')`` of patch p_i, ``w = softmax_t(2 cos(cls, t))`` over its mean.

    The patch comes from a path that adds value-value attention only, ``softmax(V V^T / sqrt(d)) V`` of the upper
    blocks of the unchanged stream, no MLPs. With one prompt the empty prompt is taken away instead. Words have no
    such path and score 0.
    """
    model, tower = inputs.model, inputs.model.image
    chosen = settled(parameters.start_block, parameters.as_published, max(0, tower.depth - 6), tower.depth // 2)
    start = layer_index(tower, chosen, "start_block")
    run.step(0.0, "CLIP Surgery")
    z = inputs.stream(start)
    tokens, embedded = tower.pool.tokens(value_path(tower, z, start))[0], model.encode_text(inputs.texts)
    whole = inputs.embedding
    if parameters.as_published:
        # Each channel is divided by its length over all tokens; the readout keeps its value in the unchanged stream.
        tokens = F.normalize(torch.cat([whole, tokens[1:]]), dim=0)
        whole = tokens[:1]

    def compared(tokens: Tensor, texts: Tensor) -> Tensor:
        """Tokens with prompts, (T, K)."""
        if parameters.as_published:
            return tokens @ F.normalize(texts, dim=-1).T
        return model.similarity(tokens, texts)

    similarity = compared(tokens, embedded)
    redundant = parameters.redundant
    if redundant == "auto":
        redundant = "list" if len(inputs.texts) > 1 else "empty"
    if redundant == "list":
        found = less_the_mean(similarity, compared(whole, embedded)[0])
    else:
        found = similarity - compared(tokens, model.encode_text(_empty_prompt(inputs)))
    scores = inputs.objective(found).T
    notes: dict[str, Any] = {"start_block": start, "redundant": redundant, "words": "not defined by this method"}
    notes["prompts"] = [prompt.text for prompt in inputs.texts.prompts]
    return Scores(on_grid(scores, tower), no_words(inputs), notes)


def value_path(tower: Tower, z: Tensor, start: int) -> Tensor:
    """The second path behind the last block (B, T, D), from the stream z before block ``start``."""
    path = z
    for block in tower.blocks[start:]:
        path = path + value_attention(block, z)
        z = block.fused(z, tower.mask(z))
    return path


def value_attention(block: Block, z: Tensor) -> Tensor:
    """What ``softmax(V V^T / sqrt(d)) V`` adds to the stream (B, T, D)."""
    v = block.value(block.attended(z)).unflatten(-1, (block.heads, -1)).transpose(1, 2)
    heads = F.scaled_dot_product_attention(v, v, v)
    added = block.out(heads.transpose(1, 2).flatten(2))
    return added if block.scale1 is None else added * block.scale1


def less_the_mean(similarity: Tensor, whole: Tensor) -> Tensor:
    """Similarities of tokens (T, K), weighed by those of the image (K,), less their mean over prompts: (T, K).

    Equal to the paper's sum over channels of features less their mean, without forming them.
    """
    share = (2 * whole).softmax(dim=-1)
    weighed = similarity * share / share.mean()
    return weighed - weighed.mean(dim=-1, keepdim=True)


def _empty_prompt(inputs: Inputs) -> TextBatch:
    model = inputs.model
    if model.prompts != "text":
        raise VLExplainError("This model has no empty prompt: give CLIP Surgery two prompts or more.")
    prompt = model.tokenizer("")
    device = model.device
    return TextBatch((prompt,), torch.tensor([prompt.ids], device=device), torch.tensor([prompt.row], device=device))
