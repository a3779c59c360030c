"""A part of a resize equals that part of Pillow's whole resize."""

import numpy as np
import pytest
from PIL import Image

from napari_vlexplain.models.vision import resampling
from napari_vlexplain.models.vision.resampling import resized_part

FILTERS = ("NEAREST", "BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS")
# (source, to which size)
SIZES = [((1, 300), (20, 6000)), ((300, 1), (6000, 20)), ((3, 211), (31, 2179)), ((130, 7), (1671, 90)),
         ((24, 900), (24, 1203)), ((50, 61), (50, 61))]  # fmt: skip


def window(rng, size):
    first = int(rng.integers(0, size))
    return first, int(rng.integers(first, size)) + 1


@pytest.fixture(autouse=True)
def always(monkeypatch):
    """Also where the whole would be small."""
    monkeypatch.setattr(resampling, "MUCH", 0)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize(("source", "size"), SIZES)
def test_bytes_to_the_bit(name, source, size):
    rng, resample = np.random.default_rng(0), Image.Resampling[name]
    image = rng.integers(0, 256, (*source, 3), dtype=np.uint8)
    whole = np.asarray(Image.fromarray(image).resize(size[::-1], resample))
    for rows, columns in [
        ((0, size[0]), (0, size[1])),
        *((window(rng, size[0]), window(rng, size[1])) for _ in "1234"),
    ]:
        found = resized_part(image, size, resample, rows, columns)
        np.testing.assert_array_equal(found, whole[slice(*rows), slice(*columns)])


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize(("source", "size"), SIZES)
def test_floats_to_their_rounding(name, source, size):
    rng, resample = np.random.default_rng(1), Image.Resampling[name]
    image = rng.random((*source, 3)).astype(np.float32)
    planes = [Image.fromarray(image[..., c]).resize(size[::-1], resample) for c in range(3)]
    whole = np.stack([np.asarray(plane) for plane in planes], axis=-1)
    rows, columns = window(rng, size[0]), window(rng, size[1])
    found = resized_part(image, size, resample, rows, columns)
    # Two passes, each rounded to float32; weights add up to less than 2 in magnitude.
    np.testing.assert_allclose(found, whole[slice(*rows), slice(*columns)], atol=8 * np.finfo(np.float32).eps)


def test_reductions_are_left_to_pillow(monkeypatch):
    """In which order it makes its passes then depends on its version."""
    monkeypatch.setattr(resampling, "_taps", None)
    image = np.zeros((4000, 30, 3), np.uint8)
    assert resized_part(image, (2000, 15), Image.Resampling.BICUBIC, (990, 1005), (0, 15)).shape == (15, 15, 3)
