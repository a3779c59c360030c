"""Sanity checks: they pass what explains, and name what does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import toys

from napari_vlexplain import explain
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.methods.catalogue import known_methods
from napari_vlexplain.methods.inputs import Inputs, Scores, no_words
from napari_vlexplain.methods.patches import per_patch
from napari_vlexplain.metrics.randomisation import randomised
from napari_vlexplain.metrics.similarity import spearman
from napari_vlexplain.models.dual_encoder import DualEncoder
from napari_vlexplain.results.explanation import Explanation
from napari_vlexplain.running.run import Run
from napari_vlexplain.tasks.check import UNRELATED, Sanity, check, completeness, examine, unrelated_to


@pytest.fixture(scope="module")
def model() -> DualEncoder:
    return toys.transformer()


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def explained(model: DualEncoder, method: str, prompt: str = "a cat on the mat", **options: object) -> Explanation:
    found = explain(picture(), prompt, model, method, **options)
    assert isinstance(found, Explanation)
    return found


def brightness(inputs: Inputs, parameters: object, run: Run) -> Scores:
    """No explanation at all: what is bright, whatever the weights and the prompt."""
    found = per_patch(inputs.pixels.mean(dim=1), inputs.model.image)
    return Scores(found.expand(inputs.count, -1, -1), no_words(inputs))


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> str:
    plain = known_methods()["attention_grad_cam"].parameters_form  # no parameters
    info = replace(
        known_methods()["saliency"], name="brightness", parameters_form=plain, entry=f"{__name__}:brightness"
    )
    monkeypatch.setitem(known_methods(), "brightness", info)
    return "brightness"


def test_a_map_of_brightness_fails_both_checks(model: DualEncoder, blind: str) -> None:
    found = examine(explained(model, blind), model)
    assert found.random_prompt == pytest.approx(1.0) and dict(found.randomised)["everything"] == pytest.approx(1.0)
    assert any("Unrelated prompts" in line for line in found.warnings)
    assert any("random weights" in line for line in found.warnings)


def test_an_honest_method_passes(model: DualEncoder) -> None:
    found = examine(explained(model, "integrated_gradients", steps=32), model)
    assert found.random_prompt is not None and found.random_prompt < 0.95
    assert [name for name, _ in found.randomised] == ["readout and last block", "everything"]
    assert found.completeness is not None and found.completeness < 0.01
    assert found.warnings == ()


def test_a_method_without_prompt_says_so(model: DualEncoder) -> None:
    found = examine(explained(model, "rollout"), model, randomise=False)
    assert found.random_prompt == 1.0 and found.randomised == () and found.completeness is None
    assert "does not look at the prompt" in found.warnings[0]


def test_a_model_that_hears_no_words_is_found_out(model: DualEncoder) -> None:
    same = replace(model.text, embed=lambda ids: torch.ones(*ids.shape, 16))
    deaf = replace(model, text=same)
    found = examine(explained(deaf, "saliency"), deaf, randomise=False)
    assert found.random_prompt == pytest.approx(1.0) and "Unrelated prompts" in found.warnings[0]


def test_everything_is_random_at_the_last_stage_and_the_readout_and_last_block_before(model: DualEncoder) -> None:
    one = explained(model, "saliency")
    names = {"readout and last block": {"readout", "block 2"},
             "everything": {"readout", "block 2", "block 1", "block 0", "embedding"}}  # fmt: skip
    for what, value in examine(one, model).randomised:
        other = model
        for stage in ("readout", "block 2", "block 1", "block 0", "embedding"):
            other = randomised(other, stage, 0) if stage in names[what] else other
        again = explained(other, "saliency")
        assert value == pytest.approx(spearman(one.patch_scores, again.patch_scores), abs=1e-6)


def test_completeness_is_a_share_of_the_change(model: DualEncoder) -> None:
    one = explained(model, "integrated_gradients", target="logit", steps=2)
    report = one.provenance["notes"]["completeness"]
    change = one.score - float(report["image_change"][0])  # of the baseline
    missed = one.patch_scores.sum() - (one.score - change)
    assert completeness(one) == pytest.approx(abs(missed) / abs(one.score - change), rel=1e-3)
    assert abs(one.score - change) > 1.5 or abs(one.score - change) < 0.7, "a share, not the amount"


def test_too_few_steps_are_told(model: DualEncoder) -> None:
    found = examine(explained(model, "integrated_gradients", steps=1), model, randomise=False)
    assert found.completeness is not None and found.completeness > 0.05
    assert any("more steps" in line for line in found.warnings)


@pytest.mark.parametrize("method", ["kernel_shap", "exact_shapley"])
def test_shapley_values_are_complete(model: DualEncoder, method: str) -> None:
    few = {"samples": 40} if method == "kernel_shap" else {"cells": 2}
    for one in explain(picture(), ["two dogs", "a cat"], model, method, **few):
        assert examine(one, model, randomise=False).completeness == pytest.approx(0, abs=1e-3)


def test_the_checks_belong_to_the_record(model: DualEncoder, tmp_path: object) -> None:
    one = explained(model, "saliency")
    found = check(one, model, randomise=False)
    record = found.provenance["sanity"]
    assert record["random_prompt"] is not None and record["unrelated"] == list(unrelated_to(one.prompt, model))
    assert "sanity" not in one.provenance and Sanity.from_dict(record).to_dict() == record
    again = Explanation.load(found.save(tmp_path / "one"))  # type: ignore[operator]
    assert again.provenance["sanity"] == record


def test_targets_that_compare_keep_their_context(model: DualEncoder) -> None:
    for target in ("margin", "softmax"):
        first, _ = explain(picture(), ["a cat", "two dogs"], model, "saliency", target)
        found = examine(first, model, ["two dogs far away"], randomise=True)
        assert found.random_prompt is not None
    from napari_vlexplain.tasks.check import explain_again

    (again,) = explain_again(first, model, ["a cat"], Run())
    np.testing.assert_allclose(again.patch_scores, first.patch_scores, rtol=1e-4, atol=1e-7)


def test_maps_that_depend_on_the_list_are_compared_one_by_one(model: DualEncoder) -> None:
    from napari_vlexplain.tasks.check import explain_again

    one = explained(model, "clip_surgery")
    again = explain_again(one, model, ["a cat on the mat", "two dogs"], Run())
    np.testing.assert_allclose(again[0].patch_scores, one.patch_scores, rtol=1e-4, atol=1e-7)
    assert again[1].provenance["notes"]["redundant"] == "empty"


def test_unrelated_prompts_share_no_telling_word(model: DualEncoder) -> None:
    assert unrelated_to("a cat", model) == UNRELATED[:3]
    assert unrelated_to("a photo of soup", model) == (UNRELATED[0], *UNRELATED[2:4])


def test_an_explanation_without_its_image_cannot_be_checked(model: DualEncoder) -> None:
    with pytest.raises(VLExplainError, match="without its image"):
        examine(replace(explained(model, "saliency"), image=None), model)


def test_figures_are_read_as_sentences() -> None:
    lines = Sanity(("a",), 0.5, (("everything", None),), 0.001, ("Careful.",)).lines()
    assert lines == [
        "Rank correlation with the maps of unrelated prompts: 0.50.",
        "With everything random: constant map.",
        "The attributions miss the score's change by 0.1 %.",
        "Careful.",
    ]


def test_a_map_is_checked_with_the_model_that_made_it(model: DualEncoder) -> None:
    other = replace(model, weights_hash=lambda: "of other weights")
    with pytest.raises(VLExplainError, match="not those that this map was computed with"):
        check(explained(model, "saliency"), other)
