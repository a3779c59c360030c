"""Shapes on grids of any spacing hold the pixels that they hold at 1 mm, and those that numpy's slices hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from napari.layers import Image, Labels, Shapes
from skimage.draw import polygon2mask

from napari_vlexplain.metrics.figures import measure
from napari_vlexplain.metrics.regions import Grid, nearest
from napari_vlexplain.widgets.correct.layers import comparison
from napari_vlexplain.widgets.correct.make import painted_shapes
from napari_vlexplain.widgets.viewer.layers import pixel_to_world
from napari_vlexplain.widgets.viewer.planes import region_of

SIZE = (60, 70)
SPACINGS = [0.1, 0.139, 0.2, 0.143, 0.1988, 1 / 3, 25.4 / 300, 1e-4, 70.0]
spacing = st.sampled_from(SPACINGS)
offset = st.floats(-500, 500, allow_nan=False).map(lambda value: round(value, 3))
edge = st.integers(-4, 74)


def placed(scale: tuple[float, float], translate: tuple[float, float]) -> dict[str, Any]:
    return {"scale": scale, "translate": translate, "units": ("mm", "mm")}


def masks_of(corners: Any, kind: str, **place: Any) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of a shape as *Correct* paints it, and as *Measure* sees it."""
    image, shapes = Image(np.zeros(SIZE, np.uint8), **place), Shapes([corners], shape_type=kind, **place)
    try:
        painted = painted_shapes(shapes, image, (0.0, 0.0))() > 0
    except ValueError:  # nothing of it lies inside
        painted = np.zeros(SIZE, bool)
    return painted, region_of(shapes, image, (0.0, 0.0)).on(Grid(SIZE, pixel_to_world(image)))[0]


@settings(max_examples=30, deadline=None)
@given(spacing, spacing, offset, offset, st.tuples(edge, edge, edge, edge), st.sampled_from([0.0, 0.5, 0.25]))
def test_a_rectangle_is_a_slice(row, column, down, right, box, shift):
    top, bottom = sorted(box[:2])
    left, end = sorted(box[2:])
    corners = np.array([(top, left), (top, end), (bottom, end), (bottom, left)], float) - shift
    expected = np.zeros(SIZE, bool)
    expected[max(top, 0) : max(bottom, 0), max(left, 0) : max(end, 0)] = True
    for found in masks_of(corners, "rectangle", **placed((row, column), (down, right))):
        np.testing.assert_array_equal(found, expected)


@settings(max_examples=25, deadline=None)
@given(spacing, spacing, offset, offset, st.lists(st.tuples(edge, edge), min_size=3, max_size=3, unique=True),
       st.sampled_from(["polygon", "ellipse"]))  # fmt: skip
def test_polygons_and_ellipses_hold_what_they_hold_at_one_millimetre(row, column, down, right, points, kind):
    if kind == "ellipse":
        (r0, c0), (r1, c1) = points[0], points[1]
        points = [(r0, c0), (r0, c1), (r1, c1), (r1, c0)]
    assume(kind == "ellipse" or np.linalg.matrix_rank(np.diff(np.array(points, float), axis=0)) == 2)  # else no area
    corners = np.array(points, float)
    plain = masks_of(corners, kind, **placed((1.0, 1.0), (0.0, 0.0)))
    for found, expected in zip(masks_of(corners, kind, **placed((row, column), (down, right))), plain, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("scale", [*SPACINGS, 0.07, 0.35])
@pytest.mark.parametrize("turn", [0, 30])
def test_shapes_drawn_in_the_world_alone_hold_the_same(scale, turn):
    """On a layer without a scale; napari keeps their corners in 32 bits."""
    image = Image(np.zeros(SIZE, np.uint8), rotate=turn, **placed((scale, 2 * scale), (-123.4 * scale, 17.3 * scale)))
    for top, left, bottom, right in np.random.default_rng(3).integers((0, 0, 31, 31), (30, 30, 60, 70), (10, 4)):
        corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
        world = np.array([image.data_to_world(corner) for corner in corners])
        shapes = Shapes([world], shape_type="polygon", units=("mm", "mm"))
        expected = np.zeros(SIZE, bool)
        expected[top:bottom, left:right] = True
        np.testing.assert_array_equal(painted_shapes(shapes, image, (0.0, 0.0))() > 0, expected)


@pytest.mark.parametrize("scale", SPACINGS)
def test_a_shape_agrees_with_its_own_pixels(scale):
    place = placed((scale, scale), (17 * scale, -3.3))
    rng, point = np.random.default_rng(1), (0.0, 0.0)
    for _ in range(5):
        corners = np.array([rng.integers(0, 60, 2), rng.integers(0, 60, 2), rng.integers(0, 60, 2)], float) + 0.31
        shapes = Shapes([corners], shape_type="polygon", **place)
        pixels = polygon2mask(SIZE, corners)  # no corner lies on a pixel's centre: every rule says the same
        layer = Labels(pixels.astype(np.uint8), **place)
        (found,) = comparison({"truth": shapes, "model": layer}, point)()
        assert (found.counts.fp, found.counts.fn) == (0, 0)
        region = region_of(shapes, layer, point).on(Grid(SIZE, pixel_to_world(layer)))[0]
        assert not pixels.any() or measure(pixels.astype(float), region).iou == 1


def test_half_a_pixel_is_half_a_pixel_at_any_spacing():
    """Masks on a grid twice as fine: every second pixel lies exactly between two."""
    for scale in SPACINGS:
        coarse, fine = Image(np.zeros((30, 35)), scale=(2 * scale,) * 2), Image(np.zeros(SIZE), scale=(scale,) * 2)
        rows, _ = nearest(Grid((30, 35), pixel_to_world(coarse)), Grid(SIZE, pixel_to_world(fine)))
        assert rows.tolist() == [(k + 1) // 2 if (k + 1) // 2 < 30 else -1 for k in range(60)]
