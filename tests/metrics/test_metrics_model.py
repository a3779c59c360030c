"""Metrics that change the model: randomised copies and fine-tuned ones, the original untouched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import PROMPTS, SIZE, transformer

from napari_vlexplain import explain, load_model
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.metrics import randomisation as rand
from napari_vlexplain.metrics import roar
from napari_vlexplain.metrics.catalogue import GROUPS, METRICS, metric, metrics_of
from napari_vlexplain.models.copying import trainable
from napari_vlexplain.models.dual_encoder import DualEncoder
from napari_vlexplain.running.run import generator

IMAGE = np.random.default_rng(0).random((*SIZE, 3), dtype=np.float32)


def relevance(model) -> np.ndarray:
    return explain(IMAGE, PROMPTS[0], model=model, method="relevance", start_block=0).patch_scores


def outputs(model) -> tuple[torch.Tensor, torch.Tensor]:
    pixels, _ = model.pixels(IMAGE)
    texts = model.tokenize(PROMPTS)
    text = model.text.tail(model.text.embed(texts.ids), 0, texts.rows, texts.lengths)
    return model.encode_image(pixels), text


@pytest.mark.parametrize("how", ["normal", "permute"])
@pytest.mark.parametrize("side", ["image", "text"])
def test_each_stage_changes_its_tower_only_and_never_the_original(how, side) -> None:
    model = transformer()
    before = outputs(model)
    mine = 0 if side == "image" else 1
    last = before[mine]
    for _, other in rand.cascading(model, 0, how, side):
        after = outputs(other)
        assert not torch.allclose(after[mine], last)
        assert torch.equal(after[1 - mine], before[1 - mine])
        last = after[mine]
    assert all(torch.equal(a, b) for a, b in zip(outputs(model), before, strict=True))


def test_stages_run_from_the_output_to_the_input_and_repeat() -> None:
    model = transformer()
    names = ["readout", "block 2", "block 1", "block 0", "embedding"]
    assert [name for name, _ in rand.cascading(model)] == names == rand.stage_names(model)
    one, again, other = (
        list(outputs(rand.randomised(model, "block 1", seed))[0].flatten().tolist()) for seed in (1, 1, 2)
    )
    assert one == again != other
    with pytest.raises(VLExplainError, match="no stage"):
        rand.randomised(model, "block 9", 0)


def test_what_is_random_has_nothing_of_the_original_but_its_size() -> None:
    model = transformer(width=64)
    old = model.image.blocks[1].query.weight.flatten()
    for how in ("normal", "permute"):
        new = rand.randomised(model, "block 1", 0, how).image.blocks[1].query.weight.flatten()
        assert abs(float(torch.corrcoef(torch.stack([old, new]))[0, 1])) < 0.06
        torch.testing.assert_close(new.std(), old.std(), rtol=0.05, atol=0)
        assert how == "normal" or torch.equal(new.sort().values, old.sort().values)


def test_a_map_of_the_model_falls_and_an_edge_detector_stays() -> None:
    model = transformer()
    fixed = rand.compare(lambda m: IMAGE[..., 0], model, rand.cascading(model))
    assert all(stage.spearman == stage.pearson == stage.ssim == pytest.approx(1) for stage in fixed)
    fallen = rand.compare(relevance, model, rand.cascading(model))
    assert abs(fallen[-1].spearman) < 0.9
    assert rand.mean_similarity(fallen) < 0.95 < rand.mean_similarity(fixed)


def test_the_embedded_model_can_be_randomised() -> None:
    model = load_model("mini")
    image = np.zeros((64, 64, 3), np.uint8)
    image[20:40, 20:40] = 200
    before = explain(image, "a dog", model=model).patch_scores
    for stage in ("readout", "block 0", "embedding"):
        other = rand.randomised(model, stage, 0)
        assert not np.allclose(explain(image, "a dog", model=other).patch_scores, before)
        assert stage in other.info.name
    np.testing.assert_array_equal(explain(image, "a dog", model=model).patch_scores, before)


def test_trainable_copies_take_gradients_everywhere_and_leave_the_original() -> None:
    model = load_model("mini")
    (image, text), parameters = trainable((model.image, model.text))
    pixels, _ = model.pixels(np.zeros((8, 8, 3), np.uint8))
    texts = model.tokenize(["a dog"])
    with torch.enable_grad():
        v = image.tail(image.embed(pixels), 0, model.image_rows(1))
        t = text.tail(text.embed(texts.ids), 0, texts.rows, texts.lengths)
        torch.testing.assert_close(v, model.encode_image(pixels))
        gradients = torch.autograd.grad((v * t).sum(), parameters, allow_unused=True)
    assert all(g is not None for g in gradients)
    assert not model.image.blocks[0].query.weight.requires_grad


def pairs(model: DualEncoder, count: int = 24) -> roar.Pairs:
    """Images whose bright corner says which prompt is theirs."""
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.normal(0, 0.1, (count, 3, *SIZE)).astype(np.float32))
    for n in range(count):
        pixels[n, :, :4, :4] += torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(n))
    return roar.Pairs(pixels, model.tokenize([f"number {chr(97 + n)}" for n in range(count)]))


FAST = roar.FineTuning(epochs=3, batch=8, learning_rate=3e-3)


def test_fine_tuning_learns_and_leaves_the_original() -> None:
    model = transformer(width=8, depth=1)
    given, every = pairs(model, 8), torch.arange(8)
    before = given.loss(model, every).item()
    tuned = roar.fine_tune(model, given, every, roar.FineTuning(epochs=15, batch=8, learning_rate=3e-3))
    assert given.loss(tuned, every).item() < 0.7 * before
    assert given.loss(model, every).item() == before


def test_roar_without_degradation_is_zero_and_repeats() -> None:
    model = transformer(width=8, depth=1)
    clean = pairs(model)
    scores = list(np.random.default_rng(0).random((len(clean), 3, 4)))
    none = roar.roar_plus(model, clean, clean.without_patches(scores, model.image.patch, 0.0), FAST)
    assert none.score == 0
    degraded = clean.without_patches(scores, model.image.patch)
    some = [roar.roar_plus(model, clean, degraded, FAST) for _ in range(2)]
    assert some[0] == some[1]
    assert some[0].clean == none.clean and some[0].degraded != none.clean
    known = roar.roar_plus(model, clean, degraded, FAST, clean_loss=none.clean)
    assert known == some[0], "a clean loss that is known is not computed again, and changes nothing"


def test_roar_trains_on_degraded_pairs_and_validates_on_clean_ones_it_never_saw() -> None:
    """Noise in what must not be looked at changes no bit of the loss; noise in what must be, does."""
    model = transformer(width=8, depth=1)
    clean = pairs(model, 20)
    degraded = clean.without_patches(list(np.random.default_rng(0).random((20, 3, 4))), model.image.patch)
    shuffled = torch.randperm(20, generator=generator(FAST.seed, "roar+ split"))
    validated, trained = shuffled[:4], shuffled[4:]  # a fifth
    expected = roar.tuned_loss(model, degraded, clean, FAST)

    def noisy(given: roar.Pairs, rows: torch.Tensor) -> roar.Pairs:
        pixels = given.pixels.clone()
        pixels[rows] = torch.randn(len(rows), 3, *SIZE, generator=torch.Generator().manual_seed(1))
        return replace(given, pixels=pixels)

    assert roar.tuned_loss(model, noisy(degraded, validated), clean, FAST) == expected
    assert roar.tuned_loss(model, degraded, noisy(clean, trained), FAST) == expected
    assert roar.tuned_loss(model, noisy(degraded, trained), clean, FAST) != expected
    assert roar.tuned_loss(model, degraded, noisy(clean, validated), FAST) != expected


def test_the_contrastive_loss_by_hand() -> None:
    model = transformer(width=8, depth=1)
    given = pairs(model, 5)
    image, text = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (
        model.encode_image(given.pixels).numpy(), model.encode_text(given.texts).numpy()))  # fmt: skip
    logits = model.logit_scale * image @ text.T
    chances = [np.exp(logits) / np.exp(logits).sum(axis=axis, keepdims=True) for axis in (0, 1)]
    expected = -np.mean([np.log(np.diag(p)) for p in chances])
    assert given.loss(model, torch.arange(5)).item() == pytest.approx(expected, rel=1e-5)
    assert roar.Roar(clean=2.0, degraded=2.5).score == 25 and np.isnan(roar.Roar(0.0, 1.0).score)


def test_roar_on_words_of_mini() -> None:
    model = load_model("mini")
    pixels = torch.randn(10, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    clean = roar.Pairs(pixels, model.tokenize([f"a photo of {n} dogs" for n in range(10)]))
    words = [np.arange(len(p.content), dtype=float) for p in clean.texts.prompts]
    degraded = clean.without_words(words)
    lost = (degraded.texts.ids != clean.texts.ids).sum(dim=1)
    assert lost.tolist() == [round(len(one) / 2) for one in words]
    fast = roar.FineTuning(epochs=1, batch=8, learning_rate=1e-4, validation_share=0.2)
    assert np.isfinite(roar.roar_plus(model, clean, degraded, fast).score)


def test_degrading() -> None:
    pixels = torch.arange(3 * 4 * 4, dtype=torch.float32).reshape(3, 4, 4)
    found = roar.degrade_image(pixels, np.array([[4, 3], [2, 1]]), (2, 2), 0.5)
    assert torch.equal(found[:, 2:], pixels[:, 2:])
    assert torch.equal(found[:, :2], pixels.mean(dim=(1, 2))[:, None, None].expand(3, 2, 4))
    assert roar.degrade_text((9, 5, 6, 7, 8), (1, 2, 3), np.array([0.1, 0.9, 0.3]), 0, 1 / 3) == (9, 5, 0, 7, 8)


def test_roar_refuses_too_few_pairs() -> None:
    model = transformer(width=8, depth=1)
    few = pairs(model, 4)
    with pytest.raises(VLExplainError, match="two pairs"):
        roar.roar_plus(model, few, few)


def test_the_catalogue_is_consistent() -> None:
    names = [info.name for info in METRICS]
    assert len(set(names)) == len(names)
    assert all(info.source and info.summary and info.title for info in METRICS)
    assert metric("cnr").needs == {"truth"}
    assert [m.name for m in metrics_of(["cnr", "complexity", "cnr"])] == ["cnr", "complexity", "sparseness"]
    assert len(metrics_of(["all"])) == len(METRICS)
    assert "localisation" in GROUPS
    for wrong in (lambda: metric("iou"), lambda: metrics_of(["miou"])):
        with pytest.raises(VLExplainError, match="no metric"):
            wrong()
