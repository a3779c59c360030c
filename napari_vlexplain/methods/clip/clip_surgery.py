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

BACKGROUND = (
    "aeroplane", "bag", "bed", "bedclothes", "bench", "bicycle", "bird", "boat", "book", "bottle", "building",
    "bus", "cabinet", "car", "cat", "ceiling", "chair", "cloth", "computer", "cow", "cup", "curtain", "dog",
    "door", "fence", "floor", "flower", "food", "grass", "ground", "horse", "keyboard", "light", "motorbike",
    "mountain", "mouse", "person", "plate", "platform", "plant", "road", "rock", "sheep", "shelves", "sidewalk",
    "sign", "sky", "snow", "sofa", "table", "track", "train", "tree", "truck", "monitor", "wall", "water",
    "window", "wood",
)  # fmt: skip
"""The 59 classes of PASCAL-Context (Mottaghi et al., CVPR 2014), which stand for what else a picture may show."""


@torch.no_grad()
def clip_surgery(inputs: Inputs, parameters: CLIPSurgery, run: Run) -> Scores:
    """``w_t cos(p_i, t) - mean_t' w_t' cos(p_i, t')`` of patch p_i, ``w = softmax_t(2 cos(cls, t))`` over its mean.

    The patch comes from a path that adds value-value attention only, ``softmax(V V^T / sqrt(d)) V`` of the upper
    blocks of the unchanged stream, no MLPs. With one prompt the empty prompt is taken away instead; or each prompt
    stands among a fixed list, so that its map does not depend on the others. Words have no such path and score 0.
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
    elif redundant == "background":
        others = model.encode_text(_background(inputs))
        found = torch.cat([
            less_the_mean(
                torch.cat([similarity[:, k : k + 1], compared(tokens, others)], dim=1),
                compared(whole, torch.cat([embedded[k : k + 1], others]))[0],
            )[:, :1]
            for k in range(len(embedded))
        ], dim=1)  # fmt: skip
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


def _background(inputs: Inputs) -> TextBatch:
    if inputs.model.prompts != "text":
        raise VLExplainError("This model reads no background prompts: give CLIP Surgery two prompts or more.")
    return inputs.model.tokenize([f"a photo of a {name}." for name in BACKGROUND], truncate=True)


def _empty_prompt(inputs: Inputs) -> TextBatch:
    model = inputs.model
    if model.prompts != "text":
        raise VLExplainError("This model has no empty prompt: give CLIP Surgery two prompts or more.")
    prompt = model.tokenizer("")
    device = model.device
    return TextBatch((prompt,), torch.tensor([prompt.ids], device=device), torch.tensor([prompt.row], device=device))
