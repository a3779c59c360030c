"""Maps, boxes and masks go to the model's input and back within half a pixel, for any aspect ratio."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.geometry import Fit, centre_crop, centred, squash
from napari_vlexplain.models.vision.resizing import AsItIs, Keeping, Shorter
from napari_vlexplain.scale import min_max

SIZE, GRID, PATCH = (224, 224), (14, 14), (16, 16)
FITS = {
    "crop": lambda source: centre_crop(source, SIZE, 224),
    "crop from 256": lambda source: centre_crop(source, SIZE, 256),
    "squash": lambda source: squash(source, SIZE),
    "letterbox": lambda source: centred(Keeping(*SIZE)(source), SIZE),
    "padded at a corner": lambda source: Fit(Shorter(150, 224)(source), (0, 0)),
    "not resized": lambda source: centred(AsItIs()(source), SIZE, half_up=True),
    "covered": lambda source: centred(Keeping(*SIZE, covers=True)(source), SIZE, half_up=True),
}
sides = st.tuples(st.integers(8, 900), st.integers(8, 900))


def geometry(kind, source):
    return FITS[kind](source).geometry(source, SIZE, GRID, PATCH)


@pytest.mark.parametrize("kind", FITS)
@settings(max_examples=40, deadline=None)
@given(source=sides, data=st.data())
def test_boxes_round_trip(kind, source, data):
    ys = sorted(data.draw(st.tuples(st.floats(0, source[0]), st.floats(0, source[0]))))
    xs = sorted(data.draw(st.tuples(st.floats(0, source[1]), st.floats(0, source[1]))))
    box = np.array([[xs[0], ys[0], xs[1], ys[1]]])
    g = geometry(kind, source)
    assert np.abs(g.boxes_to_source(g.boxes_to_model(box)) - box).max() < 0.5


@pytest.mark.parametrize("kind", FITS)
@settings(max_examples=25, deadline=None)
@given(source=sides)
def test_a_mask_lies_where_its_box_lies(kind, source):
    g = geometry(kind, source)
    height, width = source
    mask = np.zeros(source, bool)
    mask[height // 4 : height // 2 + 1, width // 3 : 2 * width // 3 + 1] = True
    x0, y0, x1, y1 = g.boxes_to_model([[width // 3, height // 4, 2 * width // 3 + 1, height // 2 + 1]])[0]
    rows, columns = np.nonzero(g.mask_to_model(mask))
    if not len(rows):  # cropped away, or thinner than a pixel of the model
        assert min(x1, 224) - max(x0, 0) < 1 or min(y1, 224) - max(y0, 0) < 1
        return
    expected = [max(x0, 0), max(y0, 0), min(x1, 224), min(y1, 224)]
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert np.abs(np.subtract(found, expected)).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("kind", FITS)
@pytest.mark.parametrize("source", [(224, 224), (300, 451), (1000, 333), (97, 640)])
def test_mask_round_trip_inside_what_the_model_sees(kind, source):
    """Where the model's input is at least as fine as the source, nearest sampling there and back is the identity."""
    g = geometry(kind, source)
    mask = np.random.default_rng(0).random(source) > 0.5
    mask = np.kron(mask[::20, ::20], np.ones((20, 20), bool))[: source[0], : source[1]]
    back = g.mask_to_source(g.mask_to_model(mask))
    seen = g.seen()
    wrong = (back != mask)[seen].mean()
    blur = max(1 / g.scale[0], 1 / g.scale[1], 1)
    assert wrong <= 0.05 * blur
    assert not back[~seen].any()


def test_scores_equal_torch_interpolation_on_the_models_own_pixels():
    scores = torch.randn(1, 1, *GRID)
    expected = F.interpolate(scores, size=SIZE, mode="bilinear", align_corners=False)[0, 0].numpy()
    found = geometry("squash", SIZE).scores_to_source(scores[0, 0].numpy())
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_outside_the_crop_is_nan_and_nothing_else_is():
    g = geometry("crop", (300, 500))
    full = g.scores_to_source(np.ones(GRID))
    assert full.shape == (300, 500)
    assert np.isnan(full).sum() == 300 * 500 - g.seen().sum()
    left = np.isnan(full[0]).nonzero()[0]
    assert 99 <= (left < 250).sum() <= 101  # a margin of (500 - 300) / 2
    assert not np.isnan(geometry("letterbox", (300, 500)).scores_to_source(np.ones(GRID))).any()
    assert not np.isnan(geometry("squash", (300, 500)).scores_to_source(np.ones(GRID))).any()


def test_pixels_behind_the_last_whole_patch_have_no_score():
    """SO400M/14 at 384: 27 patches of 14 reach to 378."""
    g = squash((384, 384), (384, 384)).geometry((384, 384), (384, 384), (27, 27), (14, 14))
    full = g.scores_to_source(np.ones((27, 27)))
    assert not np.isnan(full[:378, :378]).any()
    assert np.isnan(full[378:]).all()
    assert np.isnan(full[:, 378:]).all()


def test_nearest_gives_each_pixel_its_own_patch():
    scores = np.arange(196, dtype=np.float32).reshape(GRID)
    found = geometry("squash", SIZE).scores_to_source(scores, nearest=True)
    np.testing.assert_array_equal(found, np.kron(scores, np.ones(PATCH)))


def test_a_patch_keeps_its_place_through_a_crop():
    """One hot patch peaks at that patch's centre, as seen through the affine map."""
    source = (640, 420)
    g = geometry("crop", source)
    scores = np.zeros(GRID, np.float32)
    scores[3, 10] = 1
    y, x = np.unravel_index(np.nanargmax(g.scores_to_source(scores)), source)
    box = g.boxes_to_source([[10 * 16, 3 * 16, 11 * 16, 4 * 16]])[0]
    assert box[0] <= x + 0.5 <= box[2]
    assert box[1] <= y + 0.5 <= box[3]


def test_scaled_for_display():
    raw = np.array([[-3.0, np.nan], [1.0, 5.0]], np.float32)
    np.testing.assert_array_equal(min_max(raw), np.array([[0, np.nan], [0.5, 1]], np.float32))
    np.testing.assert_array_equal(min_max(np.full((2, 2), 7, np.float32)), np.zeros((2, 2), np.float32))
    np.testing.assert_array_equal(min_max(np.array([[np.nan, 4.0]], np.float32)), np.array([[np.nan, 0]], np.float32))


def test_wrong_shapes_are_named():
    g = geometry("crop", (300, 500))
    with pytest.raises(VLExplainError, match=r"\(7, 7\).*\(14, 14\)"):
        g.scores_to_source(np.ones((7, 7)))
    with pytest.raises(VLExplainError, match=r"\(300, 500\)"):
        g.mask_to_model(np.ones((10, 10)))
