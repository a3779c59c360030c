"""Sinks: found in a tower where one was planted, left out or filled in, and told where a map peaks in one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import toys
from scipy.ndimage import generic_filter

from napari_vlexplain.methods.catalogue import list_methods
from napari_vlexplain.methods.inputs import Scores
from napari_vlexplain.methods.sinks import handled, interpolated
from napari_vlexplain.models.dual_encoder import DualEncoder
from napari_vlexplain.results import cautions

PLANTED = (1, 2)


@pytest.fixture(scope="module")
def model() -> DualEncoder:
    return toys.transformer()


@pytest.fixture(scope="module")
def with_a_sink(model: DualEncoder) -> DualEncoder:
    """The toy, with one patch whose stream is twenty times as long from the first block on."""
    image = model.image
    assert image.grid is not None
    at = image.prefix_tokens + PLANTED[0] * image.grid[1] + PLANTED[1]

    def embed(pixels: torch.Tensor) -> torch.Tensor:
        z = image.embed(pixels).clone()
        z[:, at] *= 20
        return z

    return replace(model, image=replace(image, embed=embed))


def test_a_planted_sink_is_the_only_one(model: DualEncoder, with_a_sink: DualEncoder) -> None:
    assert toys.run("relevance", toys.make_inputs(model)).notes["sinks"]["patches"] == []
    assert toys.run("relevance", toys.make_inputs(with_a_sink)).notes["sinks"]["patches"] == [list(PLANTED)]


def test_it_is_found_whatever_ran_before(with_a_sink: DualEncoder) -> None:
    """The growth comes from the pass that a method makes anyway, at whichever block it stops."""
    together = [toys.make_inputs(with_a_sink) for _ in range(4)]
    for inputs, block in zip(together, (0, 1, with_a_sink.image.depth, None), strict=True):
        if block is not None:
            inputs.stream(block)
    assert all(torch.equal(inputs.growth, together[0].growth) for inputs in together)


def test_the_way_to_a_block_is_still_the_towers_own(model: DualEncoder) -> None:
    tower = model.image
    for block in range(tower.depth + 1):
        inputs = toys.make_inputs(model)
        z = tower.run(tower.embed(inputs.pixels), 0, block)
        assert torch.equal(inputs.stream(block), z)
        assert torch.equal(inputs.embedding, tower.tail(z, block, model.image_rows(1)))


def test_methods_that_read_tokens_have_the_choice() -> None:
    """And those that see only pixels and scores do not."""
    has = {info.name for info in list_methods() if any(p.name == "sinks" for p in info.parameters)}
    reading = {"attention", "residual_stream", "patch_tokens", "cls_readout"}
    assert {info.name for info in list_methods() if info.requires & reading} <= has
    assert not {"rise", "saliency", "occlusion", "kernel_shap", "lattice_adapter"} & has


@pytest.mark.parametrize(
    "method", ["attn_lrp", "partial_lrp", "transformer_attribution", "legrad", "grad_eclip", "dsmi_grad"]
)
def test_methods_of_one_pass_look_for_sinks_when_they_are_asked_to(method: str, with_a_sink: DualEncoder) -> None:
    inputs = toys.make_inputs(with_a_sink)
    kept, filled = (toys.run(method, inputs, sinks=choice) for choice in ("keep", "interpolate"))
    assert filled.notes["sinks"]["patches"] == [list(PLANTED)]
    elsewhere = torch.ones(kept.image.shape[1:], dtype=torch.bool)
    elsewhere[PLANTED] = False
    assert torch.equal(kept.image[:, elsewhere], filled.image[:, elsewhere])
    assert not torch.equal(kept.image, filled.image)


def test_removed_and_interpolated(with_a_sink: DualEncoder) -> None:
    kept = toys.run("relevance", toys.make_inputs(with_a_sink), sinks="keep").image
    removed = toys.run("relevance", toys.make_inputs(with_a_sink), sinks="remove").image
    filled = toys.run("relevance", toys.make_inputs(with_a_sink), sinks="interpolate").image
    elsewhere = torch.ones(kept.shape[1:], dtype=torch.bool)
    elsewhere[PLANTED] = False
    for changed in (removed, filled):
        assert torch.equal(changed[:, elsewhere], kept[:, elsewhere])
    torch.testing.assert_close(removed[:, *PLANTED], kept[:, elsewhere].amin(dim=1).clamp(min=0))
    np.testing.assert_allclose(filled[:, *PLANTED].numpy(), [_around(k, PLANTED) for k in kept.numpy()], rtol=1e-6)


def _around(scores: np.ndarray, at: tuple[int, int]) -> float:
    holed = scores.copy()
    holed[at] = np.nan
    return generic_filter(holed, np.nanmean, size=3, mode="constant", cval=np.nan)[at]


def test_a_ramp_comes_back_from_a_hole_and_many_holes_close_from_outside() -> None:
    ramp = torch.arange(25.0).reshape(1, 5, 5)
    holes = torch.zeros(5, 5, dtype=torch.bool)
    holes[2, 2] = True
    torch.testing.assert_close(interpolated(ramp, holes), ramp)
    holes[1:4, 1:4] = True
    torch.testing.assert_close(interpolated(ramp, holes)[0, 2, 2], ramp[0, 2, 2])
    holes[:] = True
    holes[0, 0] = False
    torch.testing.assert_close(interpolated(ramp + 7, holes), torch.full_like(ramp, 7.0))


def test_signed_scores_become_nothing_and_a_map_of_sinks_alone_stays(model: DualEncoder) -> None:
    inputs = toys.make_inputs(model)
    inputs.stream(0)
    growth = inputs.growth
    scores = Scores(torch.linspace(-1, 1, growth.numel()).reshape(1, *growth.shape), torch.zeros(1, 1))
    growth[0, 0] = 9
    assert handled(scores, inputs, "remove").image[0, 0, 0] == 0
    growth[:] = 9
    assert torch.equal(handled(scores, inputs, "remove").image, scores.image)
    assert torch.equal(handled(scores, inputs, "interpolate").image, scores.image)


def test_a_peak_in_a_sink_is_told_unless_it_was_handled() -> None:
    scores = np.zeros((3, 3))
    scores[PLANTED] = 1
    notes = {"sinks": {"patches": [[0, 0], list(PLANTED)], "choice": "keep"}}
    (told,) = cautions.of_sinks(notes, scores)
    assert "one of 2 patches" in told and "interpolate" in told
    scores[2, 2] = 2
    assert cautions.of_sinks(notes, scores) == []
    scores[2, 2] = 0
    assert cautions.of_sinks({"sinks": {**notes["sinks"], "choice": "remove"}}, scores) == []
    assert cautions.of_sinks({}, scores) == []


def test_a_shared_peak_is_told_by_name() -> None:
    maps = np.zeros((4, 2, 2))
    maps[[0, 1, 2], 1, 1] = 1
    maps[3, 0, 1] = 1
    told = cautions.of_peaks(maps, ("a cat", "a dog", "a cat", "a car"), False)
    assert "“a dog”" in told[0][0] and "softmax" in told[0][0] and "“a cat”" in told[1][0]
    assert told[3] == [] and cautions.of_peaks(maps[:1], ("a cat",), False) == [[]]
    assert "softmax" not in cautions.of_peaks(maps, ("a cat", "a dog", "a cat", "a car"), True)[0][0]
