"""What is paid for: how often a method runs the image, however many prompts are explained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import toys
from torch import Tensor

from napari_vlexplain import explain
from napari_vlexplain.methods.catalogue import list_methods
from napari_vlexplain.models.dual_encoder import DualEncoder

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
PARAMETERS = {
    "rise": {"masks": 20},
    "kernel_shap": {"samples": 20},
    "exact_shapley": {"cells": 2},
    "lime": {"samples": 20},
    "smoothgrad": {"samples": 3},
    "integrated_gradients": {"steps": 4},
    "expected_gradients": {"samples": 5},
    "score_cam": {"channels": 6},
    "m2ib": {"layer": 1},
}
PASSES = {
    "rise": 20 + 1,
    "kernel_shap": 20 + 2,  # the whole and the empty image
    "exact_shapley": 16 + 2,
    "occlusion": 12 + 1,
    "lime": 20 + 1,
    "smoothgrad": 3 + 1,
    "integrated_gradients": 4 + 2,  # both ends, for completeness
    "expected_gradients": 5 + 1,
    "score_cam": 6 + 2,  # the activations, which are the image's own, and the baseline
    "dsmi_grad": 2,  # the graphs look at the stream once more
    "dsmi_grad_attn": 2,
}


def counted(model: DualEncoder) -> tuple[DualEncoder, list[int]]:
    seen: list[int] = []

    def embed(pixels: Tensor) -> Tensor:
        seen.append(len(pixels))
        return model.image.embed(pixels)

    return replace(model, image=replace(model.image, embed=embed)), seen


FITTING = [info for info in list_methods() if info.requires <= toys.transformer().capabilities]


@pytest.mark.parametrize("info", FITTING, ids=lambda info: info.name)
def test_another_seed_gives_another_map_where_the_list_says_so_and_nowhere_else(info) -> None:
    one, other = (
        explain(PICTURE, "a cat on the mat", toys.transformer(), info.name, seed=seed, **PARAMETERS.get(info.name, {}))
        for seed in (0, 1)
    )
    assert np.array_equal(one.patch_scores, other.patch_scores) is not info.draws
    assert any("seed" in limit for limit in info.limits) is info.draws


@pytest.mark.parametrize("info", FITTING, ids=lambda info: info.name)
def test_the_image_is_run_as_often_as_need_be_and_once_for_all_prompts(info) -> None:
    for prompts in (["a cat on the mat"], ["a cat on the mat", "two dogs", "a far away bridge"]):
        model, seen = counted(toys.transformer())
        found = explain(PICTURE, prompts, model, info.name, **PARAMETERS.get(info.name, {}))
        assert sum(seen) == PASSES.get(info.name, 1)
        given = {
            **{each.name: each.default for each in info.parameters},
            **PARAMETERS.get(info.name, {}),
            "windows": 12,
        }
        assert sum(seen) == eval(info.forwards, given)  # what the lists of methods say
        with torch.no_grad():
            own = model.encode_image(model.pixels(PICTURE)[0])
            expected = model.similarity(own, model.encode_text(model.tokenize(prompts)))[0]
        np.testing.assert_allclose([one.score for one in found], expected, atol=1e-5)
