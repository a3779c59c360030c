"""Colours, overlays and figures: what a reader sees is what was computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from explanations import made
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_vlexplain.drawing.colour import diverging, ink_on, sequential, table
from napari_vlexplain.drawing.lettering import font_for, one_line, words_strip, wrapped
from napari_vlexplain.drawing.overlay import outline, overlay
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.io.files import slug, unique_slugs
from napari_vlexplain.results.figure import comparison, figure, panels


def luminance(colours: Any) -> Any:
    return np.asarray(colours, dtype=float) @ (0.2126, 0.7152, 0.0722)


def test_the_sequential_map_grows_lighter_all_the_way() -> None:
    assert (np.diff(luminance(table("ember"))) >= 0).all()
    assert luminance(table("ember"))[[0, -1]] == pytest.approx([6.6, 237], abs=5)


def test_the_diverging_map_is_palest_at_zero_and_darkens_to_both_ends() -> None:
    light = luminance(table("balance"))
    assert (np.diff(light[:128]) >= 0).all() and (np.diff(light[128:]) <= 0).all()
    red, _, blue = diverging(1.0, 1.0)
    assert red > blue
    red, _, blue = diverging(-1.0, 1.0)
    assert blue > red


def test_zero_is_pale_whatever_the_scale() -> None:
    for values in ([0.0, 5.0], [-1e-30, 0.0], [0.0, 0.0]):
        zero = diverging(values)[values.index(0.0)]
        assert zero.min() > 235
    assert diverging([]).shape == (0, 3)


def test_ends_and_nan() -> None:
    np.testing.assert_array_equal(sequential([0, 1]), table("ember")[[0, 255]])
    np.testing.assert_array_equal(sequential([5, 10, 99], 5, 10), table("ember")[[0, 255, 255]])
    np.testing.assert_array_equal(sequential([np.nan]), [[0, 0, 0]])
    np.testing.assert_array_equal(diverging([np.nan, 1.0])[0], [0, 0, 0])
    np.testing.assert_array_equal(sequential([0.5, 0.5], 0.5, 0.5), table("ember")[[0, 0]])


def test_ink_can_be_read_on_every_colour() -> None:
    def relative(colour: Any) -> float:
        share = np.asarray(colour, dtype=float) / 255
        return float(
            np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)
        )

    for colour in (*table("ember"), *table("balance")):
        light, dark = sorted([relative(colour), relative(ink_on(colour))], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4  # WCAG AA asks for 3 in large letters, 4.5 in small ones


def test_low_values_and_nan_leave_the_image_alone() -> None:
    image = np.full((2, 3, 3), 120, dtype=np.uint8)
    heatmap = np.array([[0, 0.02, np.nan], [0.3, 0.7, 1]], dtype=np.float32)
    found = overlay(image, heatmap)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[0], image[0])
    change = np.abs(found[1].astype(int) - 120).sum(axis=1)
    assert change[0] > 0 and change[1] > change[0]


def test_the_hottest_colour_is_nearly_pure() -> None:
    found = overlay(np.zeros((1, 1), np.uint8), np.ones((1, 1), np.float32), strength=1.0)
    np.testing.assert_array_equal(found[0, 0], table("ember")[255])


def test_colours_fade_to_grey_only_as_far_as_asked() -> None:
    image = np.array([[[200, 100, 0]]], dtype=np.uint8)
    cold = np.zeros((1, 1), np.float32)
    np.testing.assert_array_equal(overlay(image, cold, fade=0)[0, 0], [200, 100, 0])
    assert np.ptp(overlay(image, cold, fade=1)[0, 0]) == 0


def test_sizes_must_agree() -> None:
    with pytest.raises(VLExplainError, match=r"heatmap has shape \(2, 2\), but the image is \(3, 2\)"):
        overlay(np.zeros((3, 2)), np.zeros((2, 2), np.float32))


@settings(max_examples=50, deadline=None)
@given(arrays(np.bool_, (12, 15)), st.integers(1, 3))
def test_an_outline_lies_inside_and_closes(mask: Any, width: int) -> None:
    rim = outline(mask, width)
    assert not (rim & ~mask).any()
    core = mask & ~rim
    padded = np.pad(mask, 1)
    beside = ~padded[:-2, 1:-1] | ~padded[2:, 1:-1] | ~padded[1:-1, :-2] | ~padded[1:-1, 2:]
    assert not (core & beside).any()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A photo of a dog!", "a-photo-of-a-dog"),
        ("../../etc/passwd", "etc-passwd"),
        ("Größe  ÀÉ", "groe-ae"),
        ("легкое", "unnamed"),
        ("", "unnamed"),
        ("CON", "con-"),
        ("x" * 99, "x" * 60),
    ],
)
def test_slugs(text: str, expected: str) -> None:
    assert slug(text) == expected


def test_slugs_are_told_apart() -> None:
    assert unique_slugs(["a b", "a-b", "A B", "", "?"]) == ["a-b", "a-b-2", "a-b-3", "unnamed", "unnamed-2"]


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80), st.integers(20, 300))
def test_lines_fit_and_hold_every_letter(text: str, width: int) -> None:
    lines = wrapped(text, 14, width)
    font = font_for(text, 14)
    assert all(font.getlength(line) <= width or len(line) == 1 for line in lines)
    assert "".join(lines).replace(" ", "") == one_line(text, 2000).replace(" ", "")


def test_words_break_into_lines_and_show_their_colour() -> None:
    words = [("photo", 0.0), ("dog", 1.0), ("cat", -1.0)]
    wide, narrow = words_strip(words, 400), words_strip(words, 70)
    assert narrow.height > 2 * wide.height and narrow.width <= 70
    pixels = np.asarray(wide).reshape(-1, 3)
    for colour in diverging([0.0, 1.0, -1.0]):
        assert (pixels == colour).all(axis=1).sum() > 50
    assert words_strip([], 100).size == (1, 1)


def test_a_figure_has_a_row_for_each_explanation() -> None:
    one, two = made(), made(prompt="a dog")
    small, large = figure(one, side=200), figure([one, two], side=200)
    assert large.width == small.width
    assert large.height >= small.height + 100


def test_a_figure_shows_image_heatmap_ground_truth_and_warning() -> None:
    explanation = made()
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:30, 20:40] = True
    plain, outlined = (np.asarray(figure(explanation, truth, side=240)) for truth in (None, mask))
    assert plain.shape == outlined.shape
    changed = (plain != outlined).any(axis=2)
    assert 300 < changed.sum() < 6000  # two outlines and a line of text, no more
    warned = figure(made(provenance={"warning": "Not for clinical use."}), side=240)
    assert warned.height > plain.shape[0]


def test_panels_keep_the_aspect() -> None:
    left, right = panels(made(), None, side=90)
    assert left.size == right.size == (90, 60)
    assert np.abs(np.asarray(left).astype(int) - np.asarray(right)).max() > 20


def test_a_loaded_explanation_needs_its_image() -> None:
    explanation = made()
    loaded = made(image=None)
    with pytest.raises(VLExplainError, match="pass image="):
        figure(loaded)
    assert figure(loaded, image=explanation.image).tobytes() == figure(explanation).tobytes()
    with pytest.raises(VLExplainError, match="the explanation is of one of"):
        figure(loaded, image=np.zeros((5, 5)))


def test_figures_refuse_what_does_not_fit() -> None:
    with pytest.raises(VLExplainError, match="no explanation to draw"):
        figure([])
    with pytest.raises(VLExplainError, match="2 ground truths for 1 explanations"):
        figure(made(), [None, None])
    with pytest.raises(VLExplainError, match="ground truth has shape"):
        figure(made(), np.zeros((2, 2), dtype=bool))


def test_prompts_of_any_kind_can_be_drawn() -> None:
    for tokens in (("🐕", "\n", "\x00"), ("肺", "легкое", "ö"), ("a" * 300,), ()):
        scores = np.ones(len(tokens), dtype=np.float32)
        explanation = made(tokens=tokens, token_scores=scores, words=tuple(range(len(tokens))), prompt="".join(tokens))
        assert figure(explanation, side=100).width < 700
        assert comparison([[explanation]], [None], side=100).width < 400


def test_a_comparison_has_a_column_for_each_method() -> None:
    explanation = made(provenance={"warning": "Not for clinical use."})
    one = comparison([[explanation]], [None], side=100)
    three = comparison([[explanation] * 3] * 2, [None, np.ones((40, 60), bool)], [["a", "b", "c"]] * 2, side=100)
    assert three.width == one.width + 2 * 108
    assert three.height > 1.5 * one.height
