"""Any kind of image gets to the model's pixels, and lies there where the geometry says."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.models.vision.preprocess import Preprocess
from napari_vlexplain.models.vision.resizing import AsItIs, Keeping, Shorter, Sides

GRID, PATCH = (14, 14), (16, 16)
RULES = [Shorter(224), Sides(224, 224), Keeping(224, 224)]
SHAPES = [(224, 224), (300, 451), (451, 300), (225, 226), (1000, 301), (100, 90), (300, 305)]


def picture(shape):
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (shape[0] // 12 + 2, shape[1] // 12 + 2, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize(shape[::-1], Image.Resampling.BICUBIC))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shape", SHAPES)
def test_floats_give_what_bytes_give(rule, shape):
    image = picture(shape)
    preprocess = Preprocess((224, 224), rule)
    from_bytes, g1 = preprocess(image, GRID, PATCH)
    from_floats, g2 = preprocess(image.astype(np.float32) / 255, GRID, PATCH)
    assert g1 == g2
    # Pillow rounds and clips bytes after each of its two passes; that is all.
    levels = (from_bytes - from_floats).abs() * 255 * torch.tensor(preprocess.std)[:, None, None]
    assert levels.max() < 2
    assert levels.mean() < 0.5


def test_letterbox_pads_with_black():
    preprocess = Preprocess((224, 224), Keeping(224, 224), mean=(0.5,) * 3, std=(0.5,) * 3)
    pixels, geometry = preprocess(np.full((100, 400, 3), 255, np.uint8), GRID, PATCH)
    assert geometry.offset == (84.0, 0.0)
    assert (pixels[:, :, :84] == -1).all()
    assert (pixels[:, :, 140:] == -1).all()
    assert (pixels[:, :, 84:140] == 1).all()


def test_a_mark_keeps_its_place():
    """A bright square in the source lies in the model's input where the geometry says."""
    image = np.zeros((600, 400, 3), np.uint8)
    image[290:330, 100:140] = 255
    for rule in RULES:
        pixels, geometry = Preprocess((224, 224), rule)(image, GRID, PATCH)
        rows, columns = np.nonzero(pixels[0, 0].numpy() > pixels[0, 0].numpy().max() / 2)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(geometry.boxes_to_model([[100, 290, 140, 330]])[0] - found).max() <= 1


PLACES = {
    "crop": Preprocess((224, 224), Shorter(256)),
    "crop, odd margins": Preprocess((221, 224), Shorter(224), half_up=True),
    "crop of both sides": Preprocess((224, 224), Sides(256, 256)),
    "padded, odd margins": Preprocess((301, 301), Shorter(150), half_up=True),
    "crop larger than the picture": Preprocess((301, 301), Shorter(150)),
    "not resized": Preprocess((224, 224), AsItIs()),
    "cover": Preprocess((224, 160), Keeping(224, 160, covers=True), half_up=True),
    "inside, truncated": Preprocess((224, 160), Keeping(224, 160, truncated=True)),
    "corner": Preprocess((224, 224), Shorter(150, 224), place="corner"),
}


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("shape", [(120, 90), (403, 611), (640, 480)])
@pytest.mark.parametrize("as_floats", [False, True])
def test_one_hot_pictures_lie_where_the_geometry_says(name, shape, as_floats):
    """The centre of mass of a bright block, there and in the source."""
    preprocess = replace(PLACES[name], mean=(0.0,) * 3, std=(1.0,) * 3, resample=Image.Resampling.BILINEAR)
    height, width = shape
    rows, columns = slice(height // 2 - 9, height // 2 + 13), slice(width // 2 - 14, width // 2 + 5)
    image = np.zeros((*shape, 3), np.float32 if as_floats else np.uint8)
    image[rows, columns] = 1 if as_floats else 255
    pixels, geometry = preprocess(image, GRID, PATCH)
    assert geometry.model == tuple(pixels.shape[2:]) == preprocess.size
    mass = pixels[0, 1].double().numpy()
    found = [np.average(np.arange(n) + 0.5, weights=mass.sum(axis=1 - axis)) for axis, n in enumerate(mass.shape)]
    x0, y0, x1, y1 = geometry.boxes_to_model([[columns.start, rows.start, columns.stop, rows.stop]])[0]
    np.testing.assert_allclose(found, [(y0 + y1) / 2, (x0 + x1) / 2], atol=0.1)  # levels are rounded
    scale = geometry.scale[0] * geometry.scale[1]
    assert mass.sum() == pytest.approx(22 * 19 * scale, rel=0.02), "nothing of it was cut off"


def test_proportions_that_neither_crop_nor_padding_mends_are_refused():
    """A shorter side and no crop: square pictures only, as in the library, whose model then fails."""
    preprocess = Preprocess((32, 32), Shorter(32), place="exact")
    assert preprocess(picture((90, 90)), (4, 4), (8, 8))[0].shape == (1, 3, 32, 32)
    with pytest.raises(VLExplainError, match=r"40 x 90 pixels comes out .* with 32 x 72.*takes 32 x 32"):
        preprocess(picture((40, 90)), (4, 4), (8, 8))


@pytest.mark.parametrize("shape", [(1, 4000), (4000, 1), (20000, 3)])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_strip_costs_what_the_model_sees(shape, kind):
    """It would be 224 x 896,000 and more if it were enlarged as a whole: 600 MB of 8-bit pixels."""
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    image = image if kind is np.uint8 else image.astype(np.float32) / 255
    tracemalloc.start()
    pixels, geometry = Preprocess((224, 224), Shorter(224))(image, GRID, PATCH)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 2**20
    assert torch.isfinite(pixels).all()
    assert min(geometry.scale) == pytest.approx(224 / min(shape), rel=1e-3)
