"""A text tower like BERT: norms behind each sum, the first token read, padding hidden from all."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import toys

from napari_vlexplain.methods.catalogue import list_methods
from napari_vlexplain.methods.features import word_features
from napari_vlexplain.methods.inputs import Inputs
from napari_vlexplain.models.dual_encoder import DualEncoder
from napari_vlexplain.models.text.prompts import Prompt
from napari_vlexplain.models.towers import RowPool

FEW = {
    "relevance": {"text_start_block": 0},
    "grad_eclip": {"text_start_block": 0},
    "m2ib": {"steps": 2, "samples": 2},
    "rise": {"masks": 20, "word_masks": 5},
    "kernel_shap": {"samples": 20, "word_samples": 7},
    "exact_shapley": {"cells": 1},
    "lime": {"samples": 20, "segments": 4, "word_samples": 6},
    "smoothgrad": {"samples": 2},
    "integrated_gradients": {"steps": 4},
    "expected_gradients": {"samples": 3},
    "score_cam": {"channels": 2},
}


@dataclass(frozen=True)
class ClassFirst(toys.Words):
    """Reads the first token."""

    def __call__(self, text: str) -> Prompt:
        return replace(super().__call__(text), row=0)


def bert_like() -> DualEncoder:
    model = toys.transformer()
    blocks = tuple(replace(block, post_norm=True) for block in model.text.blocks)
    project = toys.linear(torch.Generator().manual_seed(2), 8, 16, bias=False)
    text = replace(model.text, blocks=blocks, pool=RowPool(None, project), causal=False, masks_padding=True)
    return replace(model, text=text, tokenizer=ClassFirst())


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    return toys.make_inputs(bert_like())


NAMES = [info.name for info in list_methods() if info.name not in ("lattice_adapter", "clip_surgery")]


@pytest.mark.parametrize("name", NAMES)
def test_longer_prompts_beside_it_do_not_show_in_a_prompts_words(inputs: Inputs, name: str) -> None:
    together = toys.run(name, inputs, **FEW.get(name, {}))
    for k in range(inputs.count):
        single = toys.alone(inputs, k)
        alone = toys.words_of(single, toys.run(name, single, **FEW.get(name, {})).text, 0)
        assert np.abs(alone).max() > 0
        found = toys.words_of(inputs, together.text, k)
        np.testing.assert_allclose(found, alone, atol=2e-3 * np.abs(alone).max())


@pytest.mark.parametrize("layer", [0, 2])
def test_features_lead_on_to_the_embedding(inputs: Inputs, layer: int) -> None:
    """Of such a block they are the stream itself; changing it changes what the block adds to, too."""
    tower, texts = inputs.model.text, inputs.explained
    found = word_features(inputs, texts, layer)
    expected = tower.tail(tower.embed(texts.ids), 0, texts.rows, texts.lengths)
    torch.testing.assert_close(found.embed(found.x), expected, rtol=1e-4, atol=1e-5)
    moved = found.x + 0.1 * torch.randn(found.x.shape, generator=torch.Generator().manual_seed(0))
    for k, length in enumerate(texts.lengths.tolist()):
        z = moved[k : k + 1, :length]
        for block in tower.blocks[layer:]:
            a, v = block.attention(z)
            y = block.norm1(z + block.out((a @ v).transpose(1, 2).flatten(2)))
            z = block.norm2(y + block.mlp(y))
        torch.testing.assert_close(found.embed(moved)[k], tower.pool.project(z[0, 0]), rtol=1e-4, atol=1e-5)
