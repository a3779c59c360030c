"""Sinks: found in a tower where one was planted, left out or filled in, and told where a map peaks in one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import toys
from scipy.ndimage import generic_filter

from napari_vlexplain.methods.catalogue import list_methods
from napari_vlexplain.methods.info import MethodInfo
from napari_vlexplain.methods.inputs import patches
from napari_vlexplain.methods.outliers import RATIO, Outliers
from napari_vlexplain.methods.sinks import interpolated, without
from napari_vlexplain.models.blocks import Linear
from napari_vlexplain.models.dual_encoder import DualEncoder
from napari_vlexplain.results import cautions
from napari_vlexplain.running.run import Run

PLANTED = (1, 2)


@pytest.fixture(scope="module")
def model() -> DualEncoder:
    return toys.transformer()


def planted(model: DualEncoder, longer: float, asked_for: float) -> DualEncoder:
    """The model, with one patch whose stream is ``longer`` from the start, and for whose key all others ask."""
    image = model.image
    assert image.grid is not None
    at = image.prefix_tokens + PLANTED[0] * image.grid[1] + PLANTED[1]

    def embed(pixels: torch.Tensor) -> torch.Tensor:
        z = image.embed(pixels).clone()
        z[:, at] *= longer
        return z

    z, blocks = embed(toys.make_inputs(model).pixels), []
    for block in image.blocks:
        key = block.key(block.attended(z))[0, at]
        blocks.append(replace(block, query=replace(block.query, bias=asked_for * key)))
        z = blocks[-1].fused(z)
    return replace(model, image=replace(image, embed=embed, blocks=tuple(blocks)))


@pytest.fixture(scope="module")
def with_a_sink(model: DualEncoder) -> DualEncoder:
    return planted(model, 20, 1)


def test_a_planted_sink_is_the_only_one(model: DualEncoder, with_a_sink: DualEncoder) -> None:
    assert toys.run("relevance", toys.make_inputs(model)).notes["sinks"]["patches"] == []
    notes = toys.run("relevance", toys.make_inputs(with_a_sink)).notes["sinks"]
    assert notes["patches"] == [list(PLANTED)] and notes["blocks"] == [0]


def test_neither_length_nor_attention_alone_makes_one(model: DualEncoder) -> None:
    """A long patch that nobody asks for, and one that all ask for but that has the length of the others."""
    there = PLANTED[0] * toys.GRID[1] + PLANTED[1]
    for longer, asked_for in ((20, -1), (1, 4)):
        inputs = toys.make_inputs(planted(model, longer, asked_for))
        z = inputs.before(1)
        a, _ = inputs.model.image.blocks[1].attention(z)
        at = patches(inputs.model.image, z.shape[1])
        norms, received = z[0, at].norm(dim=-1), a[0].mean(dim=(0, 1))[at]
        assert (norms[there] > RATIO * norms.median()) == (longer > 1)
        assert (received[there] > 2 * received.median()) == (longer == 1)
        assert inputs.sinks() == {}


def test_the_block_behind_which_it_stands_out_first(model: DualEncoder, with_a_sink: DualEncoder) -> None:
    """One that grows in the second block is found behind the second block, whichever block is looked at first."""
    image = model.image
    stays, grows = toys.make_inputs(model).before(1), toys.make_inputs(with_a_sink).before(2)
    for order in ((1, 2), (2, 1)):
        outliers = Outliers(with_a_sink.image)
        for block in order:
            outliers.look(block, stays if block == 1 else grows)
        assert outliers.complete and outliers.found() == {PLANTED: 1}
    assert not Outliers(image).complete and Outliers(image).found() == {}


def test_it_is_found_whatever_ran_before(with_a_sink: DualEncoder) -> None:
    """It comes from the pass that a method makes anyway, at whichever block it stops."""
    together = [toys.make_inputs(with_a_sink) for _ in range(4)]
    for inputs, block in zip(together, (0, 1, with_a_sink.image.depth, None), strict=True):
        if block is not None:
            inputs.stream(block)
    assert [inputs.sinks() for inputs in together] == [{PLANTED: 0}] * 4


@pytest.mark.parametrize(
    "info", [i for i in list_methods() if any(p.name == "sinks" for p in i.parameters)], ids=lambda i: i.name
)
@pytest.mark.parametrize("choice", ["keep", "interpolate"])
def test_looking_costs_no_pass(
    info: MethodInfo, choice: str, with_a_sink: DualEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many images are embedded, and as many blocks run, as without any choice; sinks are in the record anyway."""
    if not info.requires <= with_a_sink.capabilities:
        return
    count = {"embed": 0, "finished": 0}

    def embed(pixels: torch.Tensor) -> torch.Tensor:
        count["embed"] += len(pixels)
        return with_a_sink.image.embed(pixels)

    mlps = {id(block.mlp.second) for block in with_a_sink.image.blocks}  # type: ignore[attr-defined]
    called = Linear.__call__

    def finished(self: Linear, x: torch.Tensor) -> torch.Tensor:
        count["finished"] += id(self) in mlps
        return called(self, x)

    monkeypatch.setattr(Linear, "__call__", finished)
    model = replace(with_a_sink, image=replace(with_a_sink.image, embed=embed))
    form, run = info.parameters_form, Run()
    bare = info.function()(toys.make_inputs(model), form(), run)
    without = dict(count)
    count.update(embed=0, finished=0)
    found = info.scores(toys.make_inputs(model), replace(form(), sinks=choice), run)
    assert count == without
    assert found.notes["sinks"]["patches"] == [list(PLANTED)]
    elsewhere = torch.ones(toys.GRID, dtype=torch.bool)
    elsewhere[PLANTED] = choice == "keep"
    assert torch.equal(found.image[:, elsewhere], bare.image[:, elsewhere])


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


def test_signed_scores_become_nothing_and_a_map_of_sinks_alone_stays() -> None:
    maps, sinks = torch.linspace(-1, 1, 12).reshape(1, 3, 4), torch.zeros(3, 4, dtype=torch.bool)
    sinks[0, 0] = True
    assert without(maps, sinks, "remove")[0, 0, 0] == 0
    sinks[:] = True
    assert torch.equal(without(maps, sinks, "remove"), maps)
    assert torch.equal(without(maps, sinks, "interpolate"), maps)


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
