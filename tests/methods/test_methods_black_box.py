"""Black box methods: closed forms, brute force, captum as oracle, and sameness for any chunk."""

from __future__ import annotations

import itertools
import math

import captum.attr
import numpy as np
import pytest
import torch
import toys
from torch import Tensor

from napari_vlexplain.errors import Cancelled
from napari_vlexplain.methods.baselines import image_baseline
from napari_vlexplain.methods.black_box import parameters as black_box_parameters
from napari_vlexplain.methods.black_box import shapley
from napari_vlexplain.methods.black_box.exact_shapley import phrases
from napari_vlexplain.methods.black_box.kernel_shap import Regression
from napari_vlexplain.methods.black_box.lime import WeightedRidge
from napari_vlexplain.methods.black_box.occlusion import windows
from napari_vlexplain.methods.black_box.parameters import LIME, RISE
from napari_vlexplain.methods.black_box.regions import Regions, cells, mean_colours, superpixels
from napari_vlexplain.methods.black_box.rise import Enlarge
from napari_vlexplain.methods.black_box.rise import rise as rise_method
from napari_vlexplain.methods.black_box.word_subsets import WordSubsets, all_subsets
from napari_vlexplain.methods.inputs import Inputs
from napari_vlexplain.methods.masking import in_blocks, masked_values
from napari_vlexplain.models.dual_encoder import DualEncoder
from napari_vlexplain.models.text.prompts import Prompt
from napari_vlexplain.parameters import fill
from napari_vlexplain.running.run import Run

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:captum")

NAMES = [info.name for info in black_box_parameters.METHODS]
FEW = {
    "rise": {"masks": 150, "word_masks": 5},
    "kernel_shap": {"samples": 150, "word_samples": 7},
    "exact_shapley": {"cells": 2},
    "occlusion": {},
    "lime": {"samples": 150, "segments": 8, "word_samples": 6},
}


@pytest.fixture(scope="module")
def model() -> DualEncoder:
    return toys.transformer()


@pytest.fixture(scope="module")
def flat() -> Inputs:
    """On it the score is linear in the pixels and in the words."""
    return toys.make_inputs(toys.dot_product())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("target", ["similarity", "margin"])
def test_a_chunk_of_one_gives_what_a_chunk_of_64_gives(model: DualEncoder, name: str, target: str) -> None:
    inputs = toys.make_inputs(model, target=target)
    small, large = (toys.run(name, inputs, chunk=chunk, **FEW[name]) for chunk in (1, 64))
    torch.testing.assert_close(small.image, large.image, rtol=0, atol=1e-5)
    torch.testing.assert_close(small.text, large.text, rtol=0, atol=1e-5)
    assert not torch.allclose(small.image[0], small.image[1], rtol=1e-2)


@pytest.mark.parametrize("name", NAMES)
def test_many_prompts_get_the_maps_they_get_alone(model: DualEncoder, name: str) -> None:
    inputs = toys.make_inputs(model)
    together = toys.run(name, inputs, **FEW[name])
    for k in range(inputs.count):
        single = toys.alone(inputs, k)
        lonely = toys.run(name, single, **FEW[name])
        torch.testing.assert_close(together.image[k], lonely.image[0], rtol=0, atol=1e-5)
        np.testing.assert_allclose(
            toys.words_of(inputs, together.text, k), toys.words_of(single, lonely.text, 0), atol=1e-5
        )


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_forwards_give_nearly_the_same_map(model: DualEncoder, name: str) -> None:
    inputs = toys.make_inputs(model)
    full, half = (toys.run(name, inputs, precision=p, **FEW[name]) for p in ("float32", "bfloat16"))
    assert full.image.dtype == half.image.dtype == torch.float32
    assert not torch.equal(full.image, half.image)
    for k in range(inputs.count):
        pair = torch.stack([full.image[k].flatten(), half.image[k].flatten()])
        assert torch.corrcoef(pair)[0, 1] > 0.95


@pytest.mark.parametrize("name", NAMES)
def test_when_memory_runs_out_the_chunk_is_halved_and_nothing_counted_twice(
    model: DualEncoder, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = toys.make_inputs(model)
    expected = toys.run(name, inputs, **FEW[name])
    real = DualEncoder.encode_image

    def starved(self: DualEncoder, pixels: Tensor) -> Tensor:
        if len(pixels) > 5:
            raise torch.OutOfMemoryError
        return real(self, pixels)

    monkeypatch.setattr(DualEncoder, "encode_image", starved)
    found = toys.run(name, inputs, **FEW[name])
    torch.testing.assert_close(found.image, expected.image, rtol=0, atol=1e-5)


def test_cancelling_stops_between_chunks(model: DualEncoder) -> None:
    polls = iter([False, False, True])
    with pytest.raises(Cancelled):
        rise_method(toys.make_inputs(model), RISE(masks=500, chunk=10), Run(cancel=lambda: next(polls)))


# Closed forms


def weights_of(inputs: Inputs, baseline: Tensor) -> Tensor:
    """On the linear model: the score's share of each patch, (K, gh, gw), away from the baseline."""
    zero = torch.zeros_like(inputs.pixels)
    probe = torch.eye(zero.numel()).view(-1, *zero.shape[1:])
    slopes = (masked_values(inputs, probe) - masked_values(inputs, zero)).T.view(inputs.count, *zero.shape[1:])
    return toys.patchify(slopes * (inputs.pixels - baseline)).sum(dim=-1).unflatten(1, toys.GRID)


@pytest.mark.parametrize("baseline", ["mean", "black"])
def test_on_a_linear_model_shapley_and_occlusion_are_weight_times_difference(flat: Inputs, baseline: str) -> None:
    expected = weights_of(flat, image_baseline(flat, baseline))
    for name, few in (("occlusion", {}), ("kernel_shap", {"samples": 300})):
        found = toys.run(name, flat, baseline=baseline, **few).image
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_on_a_linear_model_exact_shapley_shares_a_cells_weight_among_its_patches(flat: Inputs) -> None:
    expected = weights_of(flat, torch.zeros(1))
    found = toys.run("exact_shapley", flat, cells=1).image
    torch.testing.assert_close(found, expected.mean(dim=(1, 2), keepdim=True).expand_as(found), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        toys.run("exact_shapley", flat, cells=2).image.sum(dim=(1, 2)), expected.sum(dim=(1, 2)), rtol=1e-3, atol=1e-4
    )


def test_on_a_linear_model_rise_is_the_weight_up_to_the_masks_blur(flat: Inputs) -> None:
    expected = weights_of(flat, torch.zeros(1)).flatten(1)
    found = toys.run("rise", flat, masks=4000, cells=12).image.flatten(1)
    for k in range(3):
        assert torch.corrcoef(torch.stack([found[k], expected[k]]))[0, 1] > 0.9


def test_on_a_linear_model_words_score_what_their_embedding_adds(flat: Inputs) -> None:
    image = flat.model.encode_image(flat.pixels)[0]
    nothing = flat.model.text.embed(torch.tensor([[0]]))[0, 0]
    for name in ("occlusion", "kernel_shap", "exact_shapley"):
        found = toys.run(name, flat, **FEW[name] | ({"word_samples": 256} if name == "kernel_shap" else {}))
        for k, prompt in enumerate(flat.texts.prompts):
            own = flat.model.text.embed(torch.tensor([prompt.ids]))[0][list(prompt.content)]
            np.testing.assert_allclose(
                toys.words_of(flat, found.text, k), (own - nothing) @ image, rtol=1e-3, atol=1e-4, err_msg=name
            )


# Brute force


def brute_shapley(value: dict[tuple[bool, ...], float], players: int) -> np.ndarray:
    """The mean marginal gain over all orders in which the players may come."""
    gains = np.zeros(players)
    for order in itertools.permutations(range(players)):
        present = [False] * players
        for player in order:
            before = value[tuple(present)]
            present[player] = True
            gains[player] += value[tuple(present)] - before
    return gains / math.factorial(players)


def test_exact_shapley_is_the_mean_over_all_orders(model: DualEncoder) -> None:
    inputs = toys.make_inputs(model, target="softmax")
    regions = cells(inputs, 2)
    keep = all_subsets(4, torch.device("cpu"))
    values = masked_values(inputs, regions.masks(keep)[:, None] * inputs.pixels)
    found = toys.run("exact_shapley", inputs, cells=2).image
    for k in range(inputs.count):
        table = {tuple(row.tolist()): float(v) for row, v in zip(keep, values[:, k], strict=True)}
        expected = regions.shared_out(torch.tensor(brute_shapley(table, 4))[None].float(), model.image)[0]
        torch.testing.assert_close(found[k], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["exact_shapley", "kernel_shap"])
def test_shapley_values_of_words_are_the_mean_over_all_orders(model: DualEncoder, name: str) -> None:
    inputs = toys.make_inputs(model)
    settings = fill(RISE, {}, "rise")
    subsets = WordSubsets.of(inputs, "first", settings)
    found = toys.run(name, inputs, **FEW[name] | ({"word_samples": 256} if name == "kernel_shap" else {}))
    for k, prompt in enumerate(inputs.texts.prompts):
        keep = all_subsets(len(prompt.content), torch.device("cpu"))
        table = {tuple(r.tolist()): float(v) for r, v in zip(keep, subsets.values(k, keep), strict=True)}
        np.testing.assert_allclose(
            toys.words_of(inputs, found.text, k), brute_shapley(table, len(prompt.content)), atol=1e-5
        )


def test_hidden_words_are_replaced_where_they_stand(model: DualEncoder) -> None:
    inputs = toys.make_inputs(model)
    subsets = WordSubsets.of(inputs, "pad", fill(RISE, {}, "rise"))
    found = subsets.values(0, torch.tensor([[True, False, True, True, True]]))
    ids = inputs.texts[:1].ids.clone()
    ids[0, 2] = model.tokenizer.pad
    embedded = model.text.tail(model.text.embed(ids), 0, inputs.texts.rows[:1])
    torch.testing.assert_close(found, model.similarity(embedded, model.encode_image(inputs.pixels))[0])


# The pieces


def test_kernel_shap_with_all_coalitions_is_exact() -> None:
    keep = all_subsets(5, torch.device("cpu"))
    values = torch.randn(32, generator=torch.Generator().manual_seed(0))
    z = keep.float()
    weighted = z * shapley.kernel_weights(keep)[:, None]
    found = shapley.solve(z.T @ weighted, weighted.T @ (values - values[0])[:, None], (values[-1] - values[0])[None])
    torch.testing.assert_close(found[0].float(), values @ shapley.coefficients(keep), rtol=1e-4, atol=1e-5)
    table = {tuple(row.tolist()): float(v) for row, v in zip(keep, values, strict=True)}
    np.testing.assert_allclose(found[0], brute_shapley(table, 5), atol=1e-5)


def test_coalitions_are_drawn_by_shapleys_kernel_and_paired() -> None:
    keep = shapley.draw(4000, 6, True, torch.Generator().manual_seed(0))
    assert torch.equal(keep[::2], ~keep[1::2])
    sizes = torch.bincount(keep.sum(dim=1), minlength=7)[1:6] / len(keep)
    torch.testing.assert_close(sizes.double(), shapley.kernel(6), atol=0.03, rtol=0)
    assert torch.allclose(keep.float().mean(dim=0), torch.tensor(0.5), atol=0.01)


@pytest.mark.parametrize("paired", [True, False])
def test_sampled_kernel_shap_is_plain_least_squares_on_what_was_drawn(model: DualEncoder, paired: bool) -> None:
    """Sizes are drawn by the kernel, so the regression has no weights; Σ φ = f(whole) - f(empty) is a constraint."""
    inputs = toys.make_inputs(model)
    drawn: list[tuple[Tensor, Tensor]] = []
    add = Regression.add

    def spy(self: Regression, keep: Tensor, values: Tensor) -> None:
        drawn.append((keep, values))
        add(self, keep, values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Regression, "add", spy)
        found = toys.run("kernel_shap", inputs, samples=100, word_samples=7, chunk=33, paired=paired)
    image, words = drawn[:4], drawn[4:]
    assert [len(keep) for keep, _ in image] == [33, 33, 33, 1]
    ends = masked_values(inputs, torch.cat([torch.zeros_like(inputs.pixels), inputs.pixels]))
    keep = torch.cat([keep for keep, _ in image])
    whole = masked_values(inputs, cells(inputs, None).masks(keep)[:, None] * inputs.pixels)
    for k in range(inputs.count):
        expected = constrained(keep, whole[:, k] - ends[0, k], float(ends[1, k] - ends[0, k]))
        np.testing.assert_allclose(found.image[k].flatten(), expected, atol=1e-4)
    subsets = WordSubsets.of(inputs, "first", fill(RISE, {}, "rise"))
    for k, (keep, _) in enumerate(words):
        count = keep.shape[1]
        if 2**count > 7:
            empty, full = subsets.values(k, torch.tensor([[False] * count, [True] * count]))
            expected = constrained(keep, subsets.values(k, keep) - empty, float(full - empty))
            np.testing.assert_allclose(toys.words_of(inputs, found.text, k), expected, atol=1e-4)


def constrained(keep: Tensor, values: Tensor, total: float) -> np.ndarray:
    """Least squares with a sum of ``total``: the last weight is what the others leave, the least change if free."""
    z, y = keep.double().numpy(), values.double().numpy()
    even = np.full(z.shape[1], total / z.shape[1])
    along = np.linalg.svd(np.ones((1, z.shape[1])))[2][1:].T  # directions that leave the sum as it is
    return even + along @ np.linalg.lstsq(z @ along, y - z @ even, rcond=1e-10)[0]


def test_lime_looks_at_the_whole_image_first(model: DualEncoder) -> None:
    seen: list[Tensor] = []
    add = WeightedRidge.add

    def spy(self: WeightedRidge, keep: Tensor, values: Tensor) -> None:
        seen.append(keep)
        add(self, keep, values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WeightedRidge, "add", spy)
        toys.run("lime", toys.make_inputs(model), samples=200, segments=8, word_samples=6)
    assert seen[0][0].all() and not seen[0][1:].all(dim=1).any()
    assert all(keep.all(dim=1).any() for keep in seen[-3:])


def test_captum_finds_the_same_shapley_values(model: DualEncoder) -> None:
    inputs = toys.make_inputs(model)
    regions = cells(inputs, 2)
    oracle = captum.attr.ShapleyValues(lambda x: masked_values(inputs, x))
    for k in range(inputs.count):
        expected = oracle.attribute(inputs.pixels, target=k, feature_mask=regions.labels[None, None])[0, 0]
        values = torch.stack([expected[regions.labels == i].mean() for i in range(4)])
        found = toys.run("exact_shapley", inputs, cells=2).image[k]
        torch.testing.assert_close(found, regions.shared_out(values[None], model.image)[0], rtol=1e-3, atol=1e-6)


def test_captum_occludes_the_same(model: DualEncoder) -> None:
    inputs = toys.make_inputs(model)
    oracle = captum.attr.Occlusion(lambda x: masked_values(inputs, x))
    found = toys.run("occlusion", inputs, window=2, stride=1).image
    for k in range(inputs.count):
        pixels = oracle.attribute(inputs.pixels, (3, 8, 8), strides=(3, 4, 4), target=k)[0, 0]
        torch.testing.assert_close(found[k], pixels[::4, ::4], rtol=1e-3, atol=1e-5)


def test_limes_regression_is_ridge_with_a_free_intercept() -> None:
    keep = torch.rand(60, 7, generator=torch.Generator().manual_seed(0)) < 0.5
    values = torch.randn(60, 2, generator=torch.Generator().manual_seed(1))
    fit = WeightedRidge(7, 2, LIME(), torch.device("cpu"))
    for piece in (slice(0, 13), slice(13, 60)):
        fit.add(keep[piece], values[piece])
    whole = np.ones(7)
    cosine = keep.numpy() @ whole / np.maximum(np.linalg.norm(keep.numpy(), axis=1), 1e-12) / np.linalg.norm(whole)
    weight = np.exp(-((1 - cosine) ** 2) / (2 * 0.25**2))
    # The same by least squares: seven more rows pull the weights, but not the intercept, to zero.
    rows = np.sqrt(weight)[:, None] * np.concatenate([np.ones((60, 1)), keep.numpy()], axis=1)
    pull = np.concatenate([np.zeros((7, 1)), np.eye(7)], axis=1)
    answers = np.concatenate([np.sqrt(weight)[:, None] * values.numpy(), np.zeros((7, 2))])
    expected = np.linalg.lstsq(np.concatenate([rows, pull]), answers, rcond=None)[0]
    np.testing.assert_allclose(fit.solve().numpy(), expected[1:].T, atol=1e-5)


def test_rise_masks_are_bilinear_enlargements_cropped_at_their_shift() -> None:
    enlarge = Enlarge(torch.Size((12, 16)), 3, torch.device("cpu"))
    coarse = torch.rand(2, 9, generator=torch.Generator().manual_seed(0)).round()
    shifts = torch.tensor([[0.0, 0.0], [3.0, 5.0]])
    found = enlarge(torch.cat([coarse, shifts], dim=1))
    large = torch.nn.functional.interpolate(coarse.view(2, 1, 3, 3), size=(16, 24), mode="bilinear")[:, 0]
    torch.testing.assert_close(found[0], large[0, :12, :16])
    torch.testing.assert_close(found[1], large[1, 3:15, 5:21])


def test_rise_as_published_is_its_formula(model: DualEncoder) -> None:
    inputs = toys.make_inputs(model)
    parameters = RISE(masks=70, cells=3, normalise="published")
    masks = []
    seen = Enlarge.__call__

    def spy(self: Enlarge, drawn: Tensor) -> Tensor:
        masks.append(seen(self, drawn))
        return masks[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Enlarge, "__call__", spy)
        found = rise_method(inputs, parameters, Run()).image
    m = torch.cat(masks)
    values = masked_values(inputs, m[:, None] * inputs.pixels)
    pixels = torch.einsum("nk,nhw->khw", values, m) / (70 * 0.5)
    torch.testing.assert_close(
        found, pixels.unflatten(1, (3, 4)).unflatten(3, (4, 4)).mean(dim=(2, 4)), atol=1e-5, rtol=1e-4
    )


def test_rise_of_few_words_is_the_expectation(model: DualEncoder) -> None:
    """``E[f | word kept] - E[f]``, each word kept with probability 0.3, over all subsets."""
    inputs = toys.make_inputs(model)
    exact = toys.run("rise", inputs, masks=1, probability=0.3).text
    subsets = WordSubsets.of(inputs, "first", RISE())
    for k, prompt in enumerate(inputs.texts.prompts):
        words = len(prompt.content)
        every = list(itertools.product([False, True], repeat=words))
        values = subsets.values(k, torch.tensor(every)).double().numpy()
        chance = np.array([0.3 ** sum(kept) * 0.7 ** (words - sum(kept)) for kept in every])
        expected = [(values * chance)[[kept[i] for kept in every]].sum() / 0.3 for i in range(words)]
        np.testing.assert_allclose(toys.words_of(inputs, exact, k), expected - values @ chance, atol=1e-5)


def test_blocks_are_the_same_wherever_a_chunk_begins() -> None:
    def block(number: int) -> Tensor:
        return torch.rand(64, 3, generator=torch.Generator().manual_seed(number))

    whole = in_blocks(slice(0, 200), block)
    for piece in (slice(0, 1), slice(63, 65), slice(64, 128), slice(150, 200)):
        assert torch.equal(in_blocks(piece, block), whole[piece])


def test_squares_hide_every_patch() -> None:
    for side, stride in ((1, 1), (2, 1), (2, 2), (3, 5), (9, 9)):
        assert windows((3, 4), side, stride).any(dim=0).all()
    assert len(windows((3, 4), 1, 1)) == 12
    assert windows((3, 4), 9, 1).all()


def test_regions_keep_totals_or_paint_means(model: DualEncoder) -> None:
    inputs = toys.make_inputs(model)
    regions = cells(inputs, 2)
    scores = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    torch.testing.assert_close(regions.shared_out(scores, model.image).sum(), torch.tensor(10.0))
    torch.testing.assert_close(regions.painted(scores, model.image)[0, 0], torch.tensor([1.0, 1.0, 2.0, 2.0]))
    own = cells(inputs, None)
    torch.testing.assert_close(own.painted(torch.arange(12.0)[None], model.image)[0].flatten(), torch.arange(12.0))


def test_superpixels_follow_the_picture_and_have_their_mean_colour(model: DualEncoder) -> None:
    inputs = toys.make_inputs(model)
    halves = torch.zeros(12, 16, 3)
    halves[:, 8:] = 1
    regions = superpixels(inputs, halves, 2, 1.0)
    assert regions.count == 2 and len(set(regions.labels[:, :8].flatten().tolist())) == 1
    plain = mean_colours(inputs.pixels, Regions(regions.labels, 2))
    torch.testing.assert_close(plain[0, :, 0, 0], inputs.pixels[0, :, :, :8].mean(dim=(1, 2)))


def test_long_prompts_are_cut_into_phrases() -> None:
    tokens = tuple(range(1, 9))
    prompt = Prompt("x", (0, *tokens, 9), 9, tokens, tuple("abcdefgh"), (0, 0, 1, 2, 3, 3, 4, 5))
    assert phrases(prompt, 8) == [[at] for at in tokens]
    assert phrases(prompt, 6) == [[1, 2], [3], [4], [5, 6], [7], [8]]
    assert phrases(prompt, 3) == [[1, 2, 3], [4, 5, 6], [7, 8]]
