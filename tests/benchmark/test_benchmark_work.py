"""What a worker computes: the very figures of the metrics, on the very maps of explain()."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_probes import RELEVANCE, asked, probes
from toys import PROMPTS, SIZE

from napari_vlexplain import explain
from napari_vlexplain.benchmark.evaluate import evaluate
from napari_vlexplain.benchmark.floors import FLOORS
from napari_vlexplain.benchmark.games import base_image, image_game, softly_masked, word_game
from napari_vlexplain.benchmark.maps import Map, explain_case
from napari_vlexplain.benchmark.plan import MethodChoice, make_plan
from napari_vlexplain.benchmark.rows import FAILED
from napari_vlexplain.benchmark.work import compute, look_at_model, map_of_record
from napari_vlexplain.datasets.catalogue import open_dataset
from napari_vlexplain.datasets.dataset import Entry
from napari_vlexplain.datasets.reading import read_case
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.geometry import Geometry
from napari_vlexplain.metrics import localisation
from napari_vlexplain.metrics.catalogue import METRICS
from napari_vlexplain.metrics.overlap import energy_in_mask, pointing_game


def test_rows_are_the_metrics_of_what_explain_says() -> None:
    data = open_dataset("phantom-study", limit=1)
    plan = make_plan(data, methods=["relevance", "rollout"], metrics=["pointing_game", "energy", "cnr", "complexity"])
    case = read_case(data.entries[0])
    for task in plan.tasks(set()):
        rows, maps = compute(task)
        assert {row.metric for row in rows} == set(plan.metrics)
        scores, geometry = map_of_record(maps[0])
        if task.method.is_floor:
            continue
        (found,) = explain(case.image, list(case.prompts), method=task.method.name)
        expected = {
            "pointing_game": pointing_game(found.pixel_scores, case.masks[0]),
            "energy": energy_in_mask(found.pixel_scores, case.masks[0]),
            "cnr": localisation.cnr(found.pixel_scores, case.masks[0]),
        }
        told = {row.metric: row.value for row in rows}
        for name, value in expected.items():
            assert told[name] == pytest.approx(value, rel=1e-4), (task.method, name)
        np.testing.assert_allclose(scores, found.patch_scores, atol=2e-3 * np.abs(found.patch_scores).max())
        assert geometry == found.geometry
        assert "start_block" in rows[0].parameters and "torch" in rows[0].versions and rows[0].seconds > 0


def test_every_metric_of_the_catalogue_has_a_value_and_a_range() -> None:
    one = asked()
    maps = explain_case(one, RELEVANCE).maps
    truth = np.zeros(SIZE, bool)
    truth[:6, :8] = True
    names = [info.name for info in METRICS]
    for classes in ((), ("a hat", "a cat on the mat")):
        figures = evaluate(names, maps[0], truth, None, probes(one, classes, other="a far hat"))
        assert list(figures) == names
        for info in METRICS:
            figure = figures[info.name]
            if np.isnan(figure.value):
                assert figure.reason, info.name
                continue
            assert info.low is None or figure.value >= info.low - 1e-9, info.name
            assert info.high is None or figure.value <= info.high + 1e-9, info.name
        known = [info.name for info in METRICS if not np.isnan(figures[info.name].value)]
        assert set(names) - set(known) <= {"drop_relative", "drop_words_relative"}
        assert figures["insertion"].detail["score"] == ("softmax" if classes else "similarity")


def test_nan_comes_with_its_reason() -> None:
    one = asked()
    found = explain_case(one, RELEVANCE).maps[0]
    empty, full = np.zeros(SIZE, bool), np.ones(SIZE, bool)
    shared = probes(one)

    def reason(name: str, truth: np.ndarray | None, chosen: Map = found) -> str:
        (figure,) = evaluate([name], chosen, truth, None, shared).values()
        assert np.isnan(figure.value)
        return figure.reason

    assert reason("energy", None) == "no ground truth is known"
    assert reason("energy", empty) == "the ground truth is empty"
    assert reason("cnr", full) == "the ground truth fills the image"
    constant = replace(found, patch_scores=np.zeros_like(found.patch_scores))
    half = empty.copy()
    half[:6] = True
    assert reason("cnr", half, constant) == "the map is constant"
    assert reason("complexity", half, constant) == "the map is zero everywhere"
    assert "word scores" in reason("drop_words", half, replace(found, word_scores=np.zeros(0, np.float32)))
    assert "no other prompt" in reason("prompt_spearman", half)
    cropped = replace(found, geometry=Geometry((12, 30), SIZE, (1.0, 1.0), (0.0, -7.0), (3, 4), (4, 4)))
    aside = np.zeros((12, 30), bool)
    aside[:, :5] = True
    assert reason("energy", aside, cropped) == "the ground truth lies outside what the model sees"


def test_ignored_pixels_count_nowhere() -> None:
    one = asked()
    found = explain_case(one, RELEVANCE).maps[0]
    truth, ignored = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    truth[:6, :8], ignored[:, 4:] = True, True
    told = evaluate(["average_precision", "iou_mean"], found, truth, ignored, probes(one))
    seen = found.pixel_scores[:, :4]
    assert told["average_precision"].value == localisation.average_precision(seen, truth[:, :4])
    assert sum(told["iou_mean"].detail.values()) == 12 * 4


def test_games_meet_at_their_ends_and_do_not_depend_on_company() -> None:
    one = asked()
    inputs = one.inputs(PROMPTS[:1])
    similarity = one.model.similarity(one.model.encode_image(inputs.pixels), one.model.encode_text(inputs.texts))
    everything = np.ones((1, 3, 4), bool)
    for base in ("mean", "black", "rise_blur"):
        game = image_game(inputs, base)
        assert game(everything)[0] == pytest.approx(float(similarity[0, 0]), abs=1e-6)
        blank = one.model.similarity(
            one.model.encode_image(base_image(inputs, base)), one.model.encode_text(inputs.texts)
        )
        assert game(~everything)[0] == pytest.approx(float(blank[0, 0]), abs=1e-6)
    kept = np.random.default_rng(0).random((9, 3, 4)) < 0.5
    game = image_game(inputs, "mean")
    np.testing.assert_allclose(game(kept), [game(each[None])[0] for each in kept], atol=1e-6)
    as_pixels = kept.repeat(4, axis=1).repeat(4, axis=2)
    np.testing.assert_allclose(game(as_pixels), game(kept), atol=1e-6)
    words = word_game(inputs)
    count = len(inputs.explained.prompts[0].content)
    assert words(np.ones((1, count), bool))[0] == pytest.approx(float(similarity[0, 0]), abs=1e-6)
    assert words(np.zeros((1, count), bool))[0] != pytest.approx(float(similarity[0, 0]), abs=1e-3)


def test_rise_blur_is_the_published_one() -> None:
    spot = torch.zeros(1, 3, 31, 31)
    spot[..., 15, 15] = 1
    blurred = base_image(replace(asked().inputs(PROMPTS[:1]), pixels=spot), "rise_blur")[0, 0]
    published = np.load(Path(__file__).resolve().parents[1] / "goldens" / "rise_blur.npy")  # what RISE's code gives
    np.testing.assert_allclose(blurred[10:21, 10:21].numpy(), published, atol=1e-6)
    white = base_image(replace(asked().inputs(PROMPTS[:1]), pixels=torch.ones_like(spot)), "rise_blur")[0, 0]
    assert float(white[15, 15]) == pytest.approx(1, abs=1e-5)
    assert float(white[0, 15]) == pytest.approx(published[5:].sum(), abs=1e-5)  # black beyond the border


def test_soft_masks_by_hand() -> None:
    one = asked()
    inputs = one.inputs(PROMPTS[:1])
    before, after = softly_masked(inputs, np.zeros((3, 4)))
    blank = one.model.similarity(
        one.model.encode_image(torch.zeros_like(inputs.pixels)), one.model.encode_text(inputs.texts)
    )
    assert after == pytest.approx(float(blank[0, 0]), abs=1e-6)
    assert before != pytest.approx(after, abs=1e-4)


def test_shared_curves_are_one_and_the_same() -> None:
    one = asked()
    found = explain_case(one, RELEVANCE).maps[0]
    told = evaluate(["deletion", "morf", "lerf", "abpc", "insertion_ala", "deletion_ala", "id_ala"], found, None, None,
                    probes(one))  # fmt: skip
    assert told["deletion"].value == told["morf"].value
    assert told["abpc"].value == pytest.approx(told["lerf"].value - told["morf"].value)
    assert told["id_ala"].value == pytest.approx(told["insertion_ala"].value - told["deletion_ala"].value)
    assert told["insertion_ala"].detail["values"][-1] == pytest.approx(told["deletion_ala"].detail["values"][0])


def test_probes_repeat_and_the_randomised_model_is_told_from_the_real_one() -> None:
    names = ["sensitivity_n", "infidelity", "max_sensitivity", "road", "randomisation_spearman", "prompt_spearman"]
    found = explain_case(asked(), RELEVANCE).maps[0]
    told = [
        {n: f.value for n, f in evaluate(names, found, None, None, probes(asked(), other="two hats")).items()}
        for _ in range(2)
    ]
    assert told[0] == told[1]
    stages = evaluate(["randomisation_spearman"], found, None, None, probes(asked())).popitem()[1].detail["stages"]
    assert list(stages) == ["readout", "block 2", "block 1", "block 0", "embedding"]


@pytest.mark.parametrize("name", FLOORS)
def test_floors_belong_to_the_seed_and_the_image_alone(name: str) -> None:
    maps = [explain_case(asked(prompts, model), MethodChoice(name)).maps[0].patch_scores
            for prompts, model in ((PROMPTS, 0), (PROMPTS[:1], 0), (PROMPTS, 3))]  # fmt: skip
    assert all(np.array_equal(maps[0], other) for other in maps)
    assert maps[0].shape == (3, 4)
    if name == "floor:centre":
        assert np.array_equal(maps[0], maps[0][::-1, ::-1])
        # A Gaussian whose standard deviation is a quarter of each side, at the centres of 3 x 4 patches.
        y, x = (np.arange(3)[:, None] - 1) / 3, (np.arange(4)[None] - 1.5) / 4
        np.testing.assert_allclose(maps[0], np.exp(-0.5 * (y**2 + x**2) / 0.25**2), rtol=1e-5)
    if name == "floor:uniform":
        assert np.ptp(maps[0]) == 0


def test_failures_become_rows(tmp_path: Path) -> None:
    data = open_dataset("phantom-study", limit=1)
    gone = replace(data, entries=(Entry("x", tmp_path / "gone.jpg", ("a", "b"), data.entries[0].truths * 2),))
    (task,) = make_plan(gone, floors=False, metrics=["energy", "cnr"]).tasks(set())
    rows, maps = compute(task)
    assert len(rows) == 4 and not maps
    assert all(row.value is None and row.reason.startswith(f"{FAILED}There is no file") for row in rows)
    (wrong,) = make_plan(data, ["nowhere/nothing"], floors=False).tasks(set())
    assert all("nowhere" in row.reason for row in compute(wrong)[0])


def test_rows_of_another_precision_differ_slightly_and_say_so() -> None:
    data = open_dataset("phantom-study", limit=1)
    plain, half = (
        next(make_plan(data, floors=False, metrics=["energy"], device="cpu", dtype=dtype).tasks(set()))
        for dtype in ("auto", "bfloat16")
    )
    (full_row, *_), (full_map, *_) = compute(plain)
    (half_row, *_), (half_map, *_) = compute(half)
    assert (full_row.dtype, half_row.dtype) == ("float32", "bfloat16")
    assert full_row.key != half_row.key and plain.key != half.key and full_map["key"] != half_map["key"]
    assert full_row.value != half_row.value and half_row.value == pytest.approx(full_row.value, rel=0.05)
    (found,) = explain(read_case(half.entry).image, list(half.entry.prompts), device="cpu", dtype="bfloat16")
    scores, _ = map_of_record(half_map)
    assert np.corrcoef(scores.ravel(), found.patch_scores.ravel())[0, 1] > 0.9999
    with pytest.raises(VLExplainError, match="must be auto, float32"):
        make_plan(data, dtype="half")


def test_rows_of_another_size_are_of_its_finer_maps() -> None:
    data = open_dataset("phantom-study", limit=1)
    own, large = (
        next(make_plan(data, floors=False, metrics=["energy"], device="cpu", size=size).tasks(set()))
        for size in (None, 256)
    )
    (own_row, *_), (own_map, *_) = compute(own)
    (row, *_), (found, *_) = compute(large)
    assert (own_row.size, row.size) == (None, 256)
    assert own_row.key != row.key and own.key != large.key and own_map["key"] != found["key"]
    (expected,) = explain(read_case(large.entry).image, list(large.entry.prompts), device="cpu", size=256)
    np.testing.assert_allclose(map_of_record(found)[0], expected.patch_scores, rtol=1e-3)
    with pytest.raises(VLExplainError, match="choose a multiple of 16"):
        look_at_model("mini", (), "cpu", False, "float32", 250)


def test_looking_at_a_model_tells_what_does_not_fit() -> None:
    choices = tuple(map(MethodChoice.parse, ("relevance", "floor:edges")))
    with pytest.raises(VLExplainError, match="runs in that alone; choose float32"):
        look_at_model("mini-lattice", choices, "cpu", False, "bfloat16")
    facts = look_at_model("mini", choices, None, False)
    assert facts["unfit"] == {} and len(facts["weights_sha256"]) == 64


def test_a_worker_in_the_callers_process_leaves_its_threads_alone() -> None:
    task = next(
        iter(
            make_plan(open_dataset("phantom-study", limit=1), methods=["floor:uniform"], metrics=["energy"]).tasks(
                set()
            )
        )
    )
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        rows, _ = compute(task)
        assert not any(row.reason.startswith(FAILED) for row in rows) and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
