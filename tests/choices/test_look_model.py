"""What a look is, in plain numpy: transparency, colours around 0, isolines, levels."""

from __future__ import annotations

import numpy as np
import pytest
import toys

from napari_vlexplain import explain
from napari_vlexplain.choices.look import (
    COLOUR_MAPS,
    DIVERGING,
    SEQUENTIAL,
    Look,
    alpha,
    colours,
    fade_weights,
    isolines,
    limits,
    parse_levels,
    zero_of,
)
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.layers.explanations import record_of


def grey(steps):
    return np.repeat(steps[:, None], 3, axis=1)


def test_the_ramp_rises_from_its_threshold_to_where_it_is_full():
    shown = alpha(Look(low=0.2, full=0.7, gamma=2.0), [0.0, 0.2, 0.45, 0.7, 1.0])
    np.testing.assert_allclose(shown, [0, 0, 0.25, 1, 1])


def test_constant_opacity_is_all_or_nothing():
    look = Look(low=0.5, constant=True)
    np.testing.assert_array_equal(alpha(look, [0.0, 0.49, 0.5, 1.0]), [0, 0, 1, 1])
    np.testing.assert_array_equal(alpha(Look(constant=True), [0.0, 0.5]), [1, 1])


def test_a_diverging_map_lets_the_image_through_around_zero():
    table = colours(Look(colormap=DIVERGING, full=1.0, gamma=1.0), grey)
    middle = len(table) // 2
    assert table[middle, 3] == 0 and table[0, 3] == table[-1, 3] == 1
    np.testing.assert_allclose(table[:, 3], table[::-1, 3])
    assert table[0, 2] > table[0, 0] and table[-1, 0] > table[-1, 2], "blue below, red above"


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_lightness_rises_along_every_sequential_map_for_every_kind_of_colour_vision(name):
    from napari.utils.colormaps import ensure_colormap

    table = ensure_colormap(name).map(np.linspace(0, 1, 64))[:, :3]
    # Linear RGB -> what people without red, green or blue cones see (Viénot 1999; Machado 2009, severity 1).
    kinds = {
        "all": np.eye(3),
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    }
    linear = np.where(table <= 0.04045, table / 12.92, ((table + 0.055) / 1.055) ** 2.4)
    for matrix in kinds.values():
        luminance = np.clip(linear @ np.asarray(matrix).T, 0, 1) @ (0.2126, 0.7152, 0.0722)
        assert (np.diff(luminance) > -2e-3).all() and luminance[-1] - luminance[0] > 0.5


@pytest.mark.parametrize(
    ("low", "high", "zero", "expected"),
    [(0, 1, None, (0, 1)), (0, 1, 0.25, (-0.5, 1)), (0, 1, -1.0, (-3, 1)), (0, 1, 2.0, (0, 4)), (2, 2, None, (2, 3))],
)
def test_limits_lie_evenly_around_zero(low, high, zero, expected):
    assert limits(low, high, zero) == expected


@pytest.mark.parametrize("wrong", [{"opacity": 0}, {"low": 1}, {"low": 0.6}, {"gamma": 0}, {"levels": (1.5,)}])
def test_a_look_out_of_range_is_refused(wrong):
    with pytest.raises(VLExplainError, match="no look"):
        Look(**wrong)


@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_a_look_survives_as_plain_values(name):
    import json

    look = Look(name, 0.4, 0.1, 0.9, 0.7, True, True, (0.25, 0.5))
    assert Look.from_dict(json.loads(json.dumps(look.to_dict()))) == look


@pytest.mark.parametrize("foreign", [None, 3, "x", {"low": "much"}, {"levels": [None]}, {"opacity": -1}, {"new": 1}])
def test_what_is_no_look_is_the_default_one(foreign):
    assert Look.from_dict(foreign) == Look()


def test_a_threshold_pushes_the_end_of_the_rise_ahead():
    look = Look(full=0.6).with_low(0.8)
    assert look.low == 0.8 and look.full == pytest.approx(0.81)
    assert Look().with_low(7).low == 0.99


@pytest.mark.parametrize(
    ("text", "expected"), [("", ()), ("0.5", (0.5,)), ("0.75, 0.5;0.5", (0.5, 0.75)), (" .25  .5 ", (0.25, 0.5))]
)
def test_levels_are_read(text, expected):
    assert parse_levels(text) == expected


@pytest.mark.parametrize(
    "text", ["half", "0", "1", "nan", "inf", "-0.1", "0.5 2", " ".join(f"0.{i}" for i in range(1, 10))]
)
def test_levels_out_of_range_are_refused(text):
    with pytest.raises(VLExplainError, match="between 0 and 1"):
        parse_levels(text)


@pytest.mark.parametrize("size", [200, 2000])
def test_isolines_of_a_cone_are_circles(size):
    rows, columns = np.mgrid[:size, :size]
    centre = (size - 1) / 2
    cone = 1 - np.hypot(rows - centre, columns - centre) / size
    lines = isolines(cone.astype(np.float32), (0.7, 0.9))
    assert [level for level, _ in lines] == [0.7, 0.9]
    for level, points in lines:
        radii = np.hypot(*(points - centre).T)
        np.testing.assert_allclose(radii, (1 - level) * size, atol=max(1, size / 768))
        assert len(points) < 200


def test_isolines_keep_out_of_what_the_model_did_not_see():
    heatmap = np.tile(np.linspace(0, 1, 50, dtype=np.float32), (50, 1))
    heatmap[:10] = np.nan
    ((_, points),) = isolines(heatmap, (0.5,))
    assert points[:, 0].min() >= 10
    assert isolines(np.full((8, 8), np.nan), (0.5,)) == [] == isolines(np.zeros((1, 9)), (0.5,))


def test_where_zero_lies_is_told_by_the_record():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    found = explain(image, "a dog", toys.transformer(), "grad_eclip")
    raw = found.pixel_scores
    zero = zero_of(record_of(found))
    assert zero is not None
    np.testing.assert_allclose(zero * (raw.max() - raw.min()) + raw.min(), 0, atol=1e-6)
    assert zero_of({}) is None and zero_of({"patch_scores": [[1.0]]}) is None


def test_fading_is_a_mixture():
    assert fade_weights(0.0) == (1, 0) and fade_weights(0.25) == (0.75, 0.25) and fade_weights(9) == (0, 1)
