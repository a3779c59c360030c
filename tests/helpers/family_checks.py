"""What every family of models must show: parity, every fitting method, every refusal, batches that change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from napari_vlexplain import explain, list_methods
from napari_vlexplain.errors import VLExplainError

TOLERANCE = 84 * float(torch.finfo(torch.float32).eps)
"""A tower's rounding as a share of its largest number: about twenty products in a row, of up to 64 terms each, and
norms between them; another order of the terms moves each by a few units in the last place."""
PROMPTS = [
    "a cat",
    "a small dog",
    "the left lung",
    "no pleural effusion",
    "photo of a large cat",
    "dog",
    "lung",
    "a dog of",
]
CHEAP = {
    "masks": 8, "samples": 4, "word_masks": 4, "word_samples": 4, "steps": 3, "segments": 6, "window": 2, "stride": 2,
    "cells": 2, "words": 3, "channels": 3, "text_channels": 3,
}  # fmt: skip
"""Small values, as far as a method's parameter has such a name."""
NEVER_FLAT = ("relevance", "raw_attention", "rollout", "m2ib", "patch_similarity")
"""The others clamp at zero, and a random model may leave nothing."""


def picture(height: int = 70, width: int = 90) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    scale = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(found, expected.float(), atol=TOLERANCE * scale, rtol=0)


def cheap(info: Any) -> dict[str, Any]:
    return {p.name: CHEAP[p.name] for p in info.parameters if p.name in CHEAP and p.kind is int}


def every_method(
    model: Any, prompts: list[str], expected: set[str] = frozenset(), refused: set[str] = frozenset()
) -> None:
    """Runs what fits, and what does not is refused with the missing capability and what fits instead."""
    fitting = {info.name for info in list_methods() if info.requires <= model.capabilities}
    assert expected <= fitting, expected - fitting
    assert not refused & fitting, refused & fitting
    for info in list_methods():
        if info.name in fitting:
            for found in explain(picture(), prompts[:2], model, info.name, **cheap(info)):
                assert found.patch_scores.shape == model.image.grid, info.name
                assert np.isfinite(found.patch_scores).all() and np.isfinite(found.token_scores).all(), info.name
                assert np.ptp(found.patch_scores) > 0 or info.name not in NEVER_FLAT, info.name
                assert len(found.tokens) == len(found.token_scores)
            continue
        try:
            explain(picture(), prompts[0], model, info.name, **cheap(info))
        except VLExplainError as error:
            message = str(error)
        else:
            raise AssertionError(f"{info.name} was not refused")
        assert all(name in message for name in info.requires - model.capabilities), message
        assert all(name in message for name in fitting), message
        assert "\n" not in message


OWN = ("relevance", "raw_attention", "rollout", "attention_grad_cam", "m2ib", "patch_similarity")


def batches_change_nothing(model: Any, prompts: list[str], **parameters: dict[str, Any]) -> None:
    """A prompt's map and words are the same alone and among eight."""
    assert len(prompts) == 8
    for info in list_methods():
        if info.name not in OWN or not info.requires <= model.capabilities:
            continue
        given = {**cheap(info), **parameters.get(info.name, {})}
        together = explain(picture(), prompts, model, info.name, **given)
        # The yardstick is the largest score of the batch: heads cancel in Grad-CAM, and what is left may be rounding.
        scales = [max(float(np.abs(scores).max(initial=0)) for scores in of) for of in
                  ([e.patch_scores for e in together], [e.token_scores for e in together])]  # fmt: skip
        for k in (0, 3, 4):
            alone = explain(picture(), prompts[k], model, info.name, **given)
            both = ((alone.patch_scores, together[k].patch_scores), (alone.token_scores, together[k].token_scores))
            for (one, other), scale in zip(both, scales, strict=True):
                # M2IB goes prompt by prompt, because Adam would enlarge what a batch rounds otherwise.
                bound = 0.0 if info.name == "m2ib" else TOLERANCE * scale
                assert np.abs(one - other).max(initial=0) <= bound, (info.name, prompts[k])


def all_blocks(model: Any) -> dict[str, dict[str, Any]]:
    """Parameters with which every block takes part."""
    return {"relevance": {"start_block": 0, "text_start_block": 0}}
