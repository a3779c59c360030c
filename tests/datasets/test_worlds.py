"""The synthetic worlds: the same scene every time, masks that are exact, and pictures that the model knows."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from napari_vlexplain.datasets.samples import SAMPLES
from napari_vlexplain.datasets.worlds import (
    FINDINGS,
    TEXTURES,
    article,
    bounding_box,
    cases,
    class_names,
    phantom,
    stickers,
)
from napari_vlexplain.datasets.worlds.artwork import cutout, glyphs, pictures_of
from napari_vlexplain.datasets.worlds.canvas import Pose, lay
from napari_vlexplain.datasets.worlds.randomness import smooth_noise
from napari_vlexplain.errors import VLExplainError

NAMES = class_names()


# The same scene every time


def test_a_scene_depends_on_seed_and_index_alone() -> None:
    forwards = [(stickers.sample(4, i), phantom.sample(4, i)) for i in range(12)]
    backwards = [(stickers.sample(4, i), phantom.sample(4, i)) for i in reversed(range(12))]
    assert forwards == backwards[::-1]
    assert len({scene for scene, _ in forwards}) == 12
    assert stickers.sample(5, 3) != stickers.sample(4, 3)
    for scene, chest in forwards[:4]:
        np.random.default_rng().random()
        np.testing.assert_array_equal(stickers.render(scene).image, stickers.render(scene).image)
        np.testing.assert_array_equal(phantom.render(chest).image, phantom.render(chest).image)


def test_cases_do_not_depend_on_where_the_batch_starts() -> None:
    for world in ("stickers", "phantom"):
        whole, tail = list(cases(world, 5, seed=9)), list(cases(world, 2, seed=9, start=3))
        assert [case.id for case in tail] == [f"{world}-9-00003", f"{world}-9-00004"]
        for a, b in zip(whole[3:], tail, strict=True):
            assert (a.id, a.prompts) == (b.id, b.prompts)
            np.testing.assert_array_equal(a.image, b.image)
            np.testing.assert_array_equal(a.masks, b.masks)


def test_drawing_touches_no_global_generator() -> None:
    before = np.random.get_state()[1].copy()
    stickers.render(stickers.sample(1, 1, texture="noise", word=True))
    phantom.render(phantom.sample(1, 1))
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_what_is_fixed_leaves_the_rest_alone() -> None:
    for i in range(10):
        bare, with_word = stickers.sample(6, i, word=False), stickers.sample(6, i, word="cat")
        assert with_word.without_label() == bare
        assert with_word.label is not None and with_word.label.word == "cat"
        at_sea = stickers.sample(6, i, word=False, texture="sea")
        assert at_sea.stickers == bare.stickers
        assert at_sea.background == replace(bare.background, texture="sea")


def test_the_same_scene_at_every_size() -> None:
    """A larger picture, averaged down, is the smaller one but for edges and grain."""
    for i, texture in enumerate(TEXTURES):
        scene = stickers.sample(8, i, word=True, texture=texture)
        small, large = stickers.render(scene), stickers.render(scene, size=448)
        averaged = large.image.reshape(224, 2, 224, 2, 3).mean((1, 3))
        assert np.median(np.abs(averaged - small.image)) <= 1
        np.testing.assert_allclose(large.masks.mean((1, 2)), small.masks.mean((1, 2)), atol=2e-3)
    chest = phantom.sample(8, 0, findings=["consolidation"])
    small, large = phantom.render(chest), phantom.render(chest, size=448)
    averaged = large.image.reshape(224, 2, 224, 2).mean((1, 3))
    assert np.abs(averaged - small.image).mean() < 8
    assert abs(large.masks.mean() - small.masks.mean()) < 1e-3


# What is sampled


def test_the_mix_of_scenes_is_the_one_the_model_was_trained_on() -> None:
    scenes = [stickers.sample(10, i) for i in range(1500)]
    counts = np.bincount([len(scene.stickers) for scene in scenes], minlength=5)[1:] / len(scenes)
    np.testing.assert_allclose(counts, [0.35, 0.35, 0.2, 0.1], atol=0.04)
    assert 0.31 < np.mean([scene.label is not None for scene in scenes]) < 0.39
    repeated = [len(set(s.names)) == 1 for s in scenes if len(s.names) > 1]
    assert 0.06 < np.mean(repeated) < 0.13
    for scene in scenes:
        for sticker in scene.stickers:
            assert 0.2 <= sticker.half_extent <= 0.9 and max(map(abs, sticker.centre)) <= 0.68
            assert sticker.picture in pictures_of(sticker.name)
    chests = [phantom.sample(10, i) for i in range(1500)]
    counts = np.bincount([len(chest.findings) for chest in chests]) / len(chests)
    np.testing.assert_allclose(counts, [0.12, 0.63, 0.25], atol=0.04)
    assert {name for chest in chests for name in chest.names} == set(FINDINGS)


def test_scenes_can_be_asked_for() -> None:
    for i in range(20):
        scene = stickers.sample(11, i, count=(2, 3), distinct=True, word=False)
        assert len(set(scene.names)) == len(scene.names) in (2, 3)
        assert scene.label is None
        tied = stickers.sample(11, i, names=["dolphin", "dolphin"], texture="sea")
        assert tied.names == ("dolphin", "dolphin") and tied.background.texture == "sea"
        attacked = stickers.attacked(11, i)
        assert attacked.label is not None and attacked.label.word != attacked.names[0]
        assert phantom.sample(11, i, findings=["edema", "nodule"]).names == ("edema", "nodule")
        assert len(phantom.sample(11, i, findings=3).findings) == 3


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: stickers.sample(-1, 0), "seed must be"),
        (lambda: stickers.sample(0, 1.5), "index must be"),
        (lambda: stickers.sample(0, 0, count=5), "1 to 4 objects"),
        (lambda: stickers.sample(0, 0, count=()), "1 to 4 objects"),
        (lambda: stickers.sample(0, 0, names=[]), "1 to 4 objects"),
        (lambda: stickers.sample(0, 0, count=1, names=["cat"]), "either count or names"),
        (lambda: stickers.sample(0, 0, names="cat"), "list of class names"),
        (lambda: stickers.sample(0, 0, names=["unheard of"]), "no sticker 'unheard of'"),
        (lambda: stickers.sample(0, 0, word="unheard of"), "no sticker 'unheard of'"),
        (lambda: stickers.sample(0, 0, word=3), "no sticker 3"),
        (lambda: stickers.sample(0, 0, count=1).without_sticker(1), "no sticker 1"),
        (lambda: stickers.sample(0, 0, count=1).without_sticker(0).caption(), "no caption"),
        (lambda: stickers.sample(0, 0, texture="lava"), "no background 'lava'"),
        (lambda: stickers.Background(colours=("mauve", "red")), "no colour 'mauve'"),
        (lambda: stickers.render(stickers.sample(0, 0), size=8), "size must be 16 to 4096"),
        (lambda: phantom.sample(0, 0, findings=10), "0 to 9 findings"),
        (lambda: phantom.sample(0, 0, findings="edema"), "list of names"),
        (lambda: phantom.sample(0, 0, findings=["cough"]), "no finding 'cough'"),
        (lambda: phantom.sample(0, 0, findings=["edema", "edema"]), "each finding once"),
        (lambda: phantom.Finding("edema", side="left"), "finding of edema"),
        (lambda: phantom.Finding("nodule", side="left", zone="middle"), "finding of nodule"),
        (lambda: cases("moons", 3), "no world 'moons'"),
        (lambda: cases("stickers", -1), "count must be"),
        (lambda: bounding_box(np.zeros((4, 4), bool)), "empty mask"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call: Any, says: str) -> None:
    with pytest.raises(VLExplainError, match=says):
        call()


# What is drawn


def test_images_and_masks_have_their_ranges() -> None:
    for i in range(6):
        drawn = stickers.render(stickers.sample(12, i, word=True), size=160)
        assert drawn.image.shape == (160, 160, 3) and drawn.image.dtype == np.uint8
        assert drawn.masks.shape == (len(drawn.names), 160, 160) and drawn.masks.dtype == np.float32
        assert drawn.label_mask is not None and drawn.label_mask.max() == pytest.approx(1)
        assert drawn.masks.min() >= 0 and drawn.masks.max() <= 1 + 1e-6
        assert (drawn.masks.sum(0) + drawn.label_mask).max() <= 1 + 1e-5
        chest = phantom.render(phantom.sample(12, i, findings=2), size=160)
        assert chest.image.shape == (160, 160) and chest.image.dtype == np.uint8
        assert chest.masks.shape == (2, 160, 160) and chest.masks.dtype == np.float32
        assert chest.masks.min() >= 0 and chest.masks.max() <= 1
        assert 40 < chest.image.mean() < 215 and chest.image.std() > 15


def test_taking_an_object_away_changes_its_mask_and_nothing_else() -> None:
    for i in range(25):
        scene = stickers.sample(13, i, distinct=True)
        drawn = stickers.render(scene)
        for k in range(len(scene.stickers)):
            bare = stickers.render(scene.without_sticker(k))
            changed = (drawn.image != bare.image).any(-1)
            assert not changed[drawn.masks[k] == 0].any()
            # A sticker may have the colour of what is behind it here and there, not as a whole.
            assert changed[drawn.truth[k]].mean() > 0.7
        if drawn.label_mask is not None:
            changed = (drawn.image != stickers.render(scene.without_label()).image).any(-1)
            assert not changed[drawn.label_mask == 0].any()


def test_taking_a_finding_away_changes_its_mask() -> None:
    """Findings are soft: the mask holds nearly all of the change."""
    for name in FINDINGS:
        scene = phantom.sample(14, 1, findings=[name])
        with_it, masks = phantom.draw(scene)
        without, _ = phantom.draw(replace(scene, findings=()))
        change = np.abs(with_it - without)
        nearby = masks[0] > 0.02
        if name == "pneumothorax":  # its fine pleural line runs along the mask, just outside
            nearby = binary_dilation(nearby, iterations=6)
        assert change.sum() > 0
        assert change[nearby].sum() > 0.97 * change.sum()


def test_a_side_is_the_patients_side() -> None:
    for name in sorted(phantom.SIDED):
        for side, half in (("left", np.s_[:, 112:]), ("right", np.s_[:, :112])):
            scene = phantom.sample(15, 2, findings=[name])
            scene = replace(scene, findings=(replace(scene.findings[0], side=side),))
            mask = phantom.render(scene).masks[0]
            assert mask[half].sum() > 0.97 * mask.sum()


def test_every_finding_has_a_mask_and_a_box() -> None:
    for i, name in enumerate(FINDINGS * 4):
        drawn = phantom.render(phantom.sample(16, i, findings=[name]))
        (mask,), ((x0, y0, x1, y1),) = drawn.truth, drawn.boxes
        assert mask.sum() >= 50
        assert mask[y0:y1, x0:x1].sum() == mask.sum()
        assert mask[y0].any() and mask[y1 - 1].any() and mask[:, x0].any() and mask[:, x1 - 1].any()


def test_a_cutout_that_fills_the_picture_is_the_picture() -> None:
    """At its own resolution, without a turn, bilinear drawing copies; flipped, it mirrors."""
    picture = cutout(pictures_of("cat")[0])
    for flipped, expected in ((False, picture), (True, picture[:, ::-1])):
        window, drawn = lay(picture, Pose((0.0, 0.0), 1.0, 1.0, flipped=flipped), 80)
        whole = np.zeros((80, 80, 4), np.float32)
        whole[window] = drawn
        np.testing.assert_allclose(whole, expected, atol=1e-6)


def test_a_turn_is_clockwise() -> None:
    """A bar that points up from the centre points right after a quarter turn."""
    bar = np.zeros((40, 40, 4), np.float32)
    bar[:20, 18:22] = 1
    window, drawn = lay(bar, Pose((0.0, 0.0), 0.8, 0.8, rotation=np.pi / 2), 100)
    whole = np.zeros((100, 100), np.float32)
    whole[window] = drawn[..., 3]
    rows, columns = np.nonzero(whole > 0.5)
    assert columns.min() >= 49 and columns.max() > 85
    assert abs(rows.mean() - 49.5) < 1


def test_noise_is_enlarged_as_torch_does() -> None:
    import torch

    class Lattice:
        values = np.random.default_rng(3).standard_normal((2, 9, 9)).astype(np.float32)

        def standard_normal(self, shape: tuple[int, ...], dtype: Any) -> NDArray[np.float32]:
            return self.values

    ours = smooth_noise(Lattice(), 9, 70, 1.0, channels=2)  # type: ignore[arg-type]
    theirs = torch.nn.functional.interpolate(torch.tensor(Lattice.values)[None], size=(70, 70), mode="bicubic")
    np.testing.assert_allclose(np.moveaxis(ours, -1, 0), theirs[0].numpy(), atol=1e-5)


# What is said


def test_names_and_articles() -> None:
    assert len(NAMES) == len(set(NAMES)) == 403
    assert [article(n) for n in ("dog", "owl", "bus", "scissors")] == ["a dog", "an owl", "a bus", "scissors"]
    for name in NAMES:
        assert all((cutout(picture)[..., 3] > 0.5).mean() > 0.1 for picture in pictures_of(name))
        assert glyphs(name).max() == 1


RELATION = re.compile(
    r"(?:an? \w+ of |there is )?(?:an? )?(.+?) (?:to the )?(left|right|above|below|under)(?: of)? (?:an? )?(.+)"
)


def test_captions_are_true_of_their_scenes() -> None:
    relations = 0
    for i in range(300):
        scene = stickers.sample(17, i)
        said = scene.caption()
        assert said == scene.caption() and said
        shown = [*scene.names, *([scene.label.word] if scene.label else [])]
        assert any(name in said for name in shown)
        if related := RELATION.fullmatch(said):
            axis, sign = {
                "left": (0, -1),
                "right": (0, 1),
                "above": (1, -1),
                "below": (1, 1),
                "under": (1, 1),
            }[related[2]]
            centre = {sticker.name: sticker.centre for sticker in scene.stickers}
            assert sign * (centre[related[1]][axis] - centre[related[3]][axis]) > 0
            relations += 1
        chest = phantom.sample(17, i)
        said = chest.caption()
        if chest.findings:
            assert any(phrase in said for finding in chest.findings for phrase in finding.phrases)
    assert relations > 10
    assert len({stickers.sample(17, 0).caption(variant) for variant in range(20)}) > 3


def test_the_ways_to_say_a_finding() -> None:
    assert phantom.Finding("opacity", "left", "lower").phrases == (
        "opacity",
        "left lung opacity",
        "opacity on the left",
        "left lower lung opacity",
        "opacity in the left lower lung",
        "left lower lobe opacity",
    )
    assert phantom.Finding("pneumothorax", "right").phrases[1:] == (
        "right pneumothorax",
        "pneumothorax on the right",
    )
    assert "enlarged heart" in phantom.Finding("cardiomegaly").phrases


# The embedded model knows these worlds


@pytest.fixture(scope="module")
def model() -> Any:
    from napari_vlexplain import load_model

    return load_model("mini", device="cpu")


def similarity(model: Any, images: list[NDArray[np.uint8]], prompts: list[str]) -> NDArray[np.float32]:
    """Cosines (images, prompts)."""
    import torch

    grey = [np.repeat(image[..., None], 3, -1) if image.ndim == 2 else image for image in images]
    pixels = torch.cat([model.pixels(image)[0] for image in grey])
    texts = model.encode_text(model.tokenize(prompts))
    return model.similarity(model.encode_image(pixels), texts).numpy()


def top_names(model: Any, scenes: list[stickers.StickerScene]) -> list[str]:
    scores = similarity(model, [stickers.render(s).image for s in scenes], [f"a photo of {article(n)}" for n in NAMES])
    return [NAMES[k] for k in scores.argmax(1)]


def test_the_model_names_single_objects(model: Any) -> None:
    scenes = [stickers.sample(19, i, count=1, word=False) for i in range(48)]
    right = [top == scene.names[0] for top, scene in zip(top_names(model, scenes), scenes, strict=True)]
    assert np.mean(right) >= 0.95


def test_the_model_falls_for_typographic_attacks(model: Any) -> None:
    scenes = [stickers.attacked(19, i) for i in range(48)]
    right = [top == scene.names[0] for top, scene in zip(top_names(model, scenes), scenes, strict=True)]
    assert 0.3 <= np.mean(right) <= 0.75
    clean = top_names(model, [scene.without_label() for scene in scenes])
    assert np.mean([top == scene.names[0] for top, scene in zip(clean, scenes, strict=True)]) >= 0.95


def test_the_model_tells_findings_and_sides(model: Any) -> None:
    scenes = [phantom.sample(19, i, findings=[name]) for i, name in enumerate(FINDINGS * 4)]
    images = [phantom.render(scene).image for scene in scenes]
    scores = similarity(model, images, [f"chest x-ray showing {name}" for name in FINDINGS])
    for k, name in enumerate(FINDINGS):
        shown = np.array([scene.names[0] == name for scene in scenes])
        auc = (scores[shown, k][:, None] > scores[~shown, k][None]).mean()
        assert auc >= 0.98, name
    for name in ("pleural effusion", "pneumothorax"):
        pairs = [(s.findings[0].side, im) for s, im in zip(scenes, images, strict=True) if s.names[0] == name]
        left, right = similarity(model, [im for _, im in pairs], [f"left {name}", f"right {name}"]).T
        assert [side == "left" for side, _ in pairs] == list(left > right)


def test_the_model_finds_all_of_the_sample_scene(model: Any) -> None:
    sample = SAMPLES["sticker_scene"]()
    scores = similarity(model, [sample.image], [f"a photo of {article(n)}" for n in NAMES])[0]
    assert {NAMES[k] for k in np.argsort(scores)[-3:]} == set(sample.label_names.values())
