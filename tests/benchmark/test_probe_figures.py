"""Perturbation and confidence figures of the benchmark, computed again image by image from their definitions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from toy_probes import asked, probes
from toys import GRID, PROMPTS, SIZE

from napari_vlexplain.benchmark.evaluate import evaluate
from napari_vlexplain.benchmark.games import base_image, softly_masked
from napari_vlexplain.benchmark.maps import Asked, Map

CLASSES = ((), ("a hat", "two far hats"))
# Two patches of one score: the first comes first, either way.
SCORES = np.array([[0.3, -0.2, 0.9, 0.3], [0.0, 0.5, -0.7, 0.1], [0.8, 0.2, -0.1, 0.4]], np.float32)
UNEVEN = np.random.default_rng(2).normal(size=(3, 4)).astype(np.float32)
WORDS = np.array([0.1, 0.7, -0.3, 0.4, 0.2], np.float32)


class ByHand:
    """One image and prompt: its scores with other pixels or other ids."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.asked, self.classes = asked(), classes
        self.inputs = self.asked.inputs(PROMPTS[:1])
        self.x = self.inputs.pixels
        self.ids = list(self.inputs.texts.prompts[0].ids)

    def scores(self, x: torch.Tensor, ids: list[int] | None = None) -> list[float]:
        """Of images (n, 3, h, w)."""
        model = self.asked.model
        given = torch.tensor([self.ids if ids is None else ids])
        texts = [model.text.tail(model.text.embed(given), 0, torch.tensor([given.shape[1] - 1]))]
        texts += [model.encode_text(model.tokenize([name])) for name in self.classes]
        cosines = torch.stack([F.cosine_similarity(model.encode_image(x), text) for text in texts]).double().numpy()
        if not self.classes:
            return cosines[0].tolist()
        chances = np.exp(model.logit_scale * cosines)
        return (chances[0] / chances.sum(axis=0)).tolist()

    def curve(self, order: list[int], base: torch.Tensor, counts: list[int], insert: bool) -> list[float]:
        """``order`` are patches (12) or pixels (192), as they are moved."""
        images = []
        for count in counts:
            moved = np.zeros(len(order), bool)
            moved[order[:count]] = True
            if len(order) == SCORES.size:
                moved = np.kron(moved.reshape(GRID), np.ones((4, 4), bool))
            here = torch.from_numpy(moved.reshape(SIZE) == insert)
            images.append(torch.where(here, self.x, base))
        return self.scores(torch.cat(images))

    def figure(self, *names: str, scores: np.ndarray = SCORES) -> list:
        one: Asked = self.asked
        found = Map(scores, WORDS, one.pixels[1])
        told = evaluate(names, found, None, None, probes(one, self.classes))
        assert all(figure.detail["score"] == ("softmax" if self.classes else "similarity") for figure in told.values())
        return [told[name] for name in names]


def ranked(values: np.ndarray, ascending: bool = False) -> list[int]:
    flat = values.ravel().tolist()
    return sorted(range(len(flat)), key=lambda i: (flat[i] if ascending else -flat[i], i))


def trapezoid(values: list[float], counts: list[int]) -> float:
    pieces = [(b - a) * (v + w) / 2 for a, b, v, w in zip(counts, counts[1:], values, values[1:], strict=False)]
    return sum(pieces) / counts[-1]


def enlarged(scores: np.ndarray) -> np.ndarray:
    """At the model's pixels: linear between the centres of patches of four, constant beyond; down, then across."""
    down = np.stack([np.interp(np.arange(12), [1.5, 5.5, 9.5], column) for column in scores.T], axis=1)
    return np.stack([np.interp(np.arange(16), [1.5, 5.5, 9.5, 13.5], row) for row in down])


@pytest.mark.parametrize("classes", CLASSES)
def test_patch_by_patch(classes: tuple[str, ...]) -> None:
    hand, counts = ByHand(classes), list(range(13))  # twenty steps over twelve patches take each
    gone, blur = torch.zeros_like(hand.x), base_image(hand.inputs, "rise_blur")
    morf = hand.curve(ranked(SCORES), gone, counts, insert=False)
    lerf = hand.curve(ranked(SCORES, ascending=True), gone, counts, insert=False)
    inserted = hand.curve(ranked(SCORES), blur, counts, insert=True)
    told = hand.figure("deletion", "morf", "lerf", "abpc", "insertion")
    areas = [trapezoid(values, counts) for values in (morf, lerf, inserted)]
    expected = [areas[0], areas[0], areas[1], areas[1] - areas[0], areas[2]]
    assert [figure.value for figure in told] == pytest.approx(expected, abs=1e-5)
    np.testing.assert_allclose(told[0].detail["values"], morf, atol=1e-5)
    for figure, values, low, high in ((told[0], morf, 12, 0), (told[4], inserted, 0, 12)):
        scaled = [(v - values[low]) / (values[high] - values[low]) for v in values]
        assert figure.detail["normalised_auc"] == pytest.approx(trapezoid(scaled, counts), abs=1e-3)


@pytest.mark.parametrize("classes", CLASSES)
def test_pixel_by_pixel_as_in_rise_and_ala(classes: tuple[str, ...]) -> None:
    hand, order = ByHand(classes), ranked(enlarged(UNEVEN))
    gone, black = torch.zeros_like(hand.x), torch.full_like(hand.x, (0 - 0.5) / 0.25)
    rows = list(range(0, 193, 16))
    rise = [
        hand.curve(order, base_image(hand.inputs, "rise_blur"), rows, insert=True),
        hand.curve(order, gone, rows, insert=False),
    ]
    hundredths = sorted({round(192 * n / 100) for n in range(101)})
    ala = [hand.curve(order, black, hundredths, insert) for insert in (True, False)]
    names = ("insertion_rise", "deletion_rise", "insertion_ala", "deletion_ala", "id_ala")
    told = [figure.value for figure in hand.figure(*names, scores=UNEVEN)]
    expected = [(sum(v) - (v[0] + v[-1]) / 2) / 12 for v in rise] + [trapezoid(v, hundredths) for v in ala]
    assert told[:4] == pytest.approx(expected, abs=1e-4)
    assert told[4] == pytest.approx(expected[2] - expected[3], abs=1e-4)


@pytest.mark.parametrize("classes", CLASSES)
def test_confidence_of_the_softly_masked_image_and_of_the_upper_half_of_the_words(classes: tuple[str, ...]) -> None:
    hand, up = ByHand(classes), enlarged(SCORES)
    mask = torch.from_numpy((up - up.min()) / (up.max() - up.min())).float()
    whole, masked = hand.scores(torch.cat([hand.x, hand.x * mask]))
    kept = [hand.ids[0], 0, hand.ids[2], 0, hand.ids[4], 0, hand.ids[6]]  # above the median 0.2: words 1 and 3
    (shortened,) = hand.scores(hand.x, kept)
    for after, names in (
        (masked, ("drop", "drop_relative", "increase", "gain")),
        (shortened, ("drop_words", "drop_words_relative", "increase_words", "gain_words")),
    ):
        lost = 100 * max(0.0, whole - after)
        relative = lost / whole if whole > 0 else np.nan
        expected = [lost, relative, 100.0 * (after > whole), 100 * max(0.0, after - whole) / (1 - whole)]
        found = [figure.value for figure in hand.figure(*names)]
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_soft_mask_stands_where_its_patches_do() -> None:
    """Pixels behind the last whole patch stretch nothing: they go with their neighbours."""
    one = asked(shape=(12, 16))
    inputs = one.inputs(PROMPTS[:1])
    wide = torch.cat([inputs.pixels, torch.zeros(1, 3, 12, 3)], dim=3)
    assert softly_masked(replace(inputs, pixels=wide), SCORES) == pytest.approx(softly_masked(inputs, SCORES), abs=1e-6)
