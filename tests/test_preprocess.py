"""Our pixels are those of the libraries' own preprocessing, and any kind of image gets there."""

from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from napari_vlexplain import load_model
from napari_vlexplain.models import open_clip_clip
from napari_vlexplain.models.preprocess import Preprocess
from napari_vlexplain.models.torchvision_guard import guard_torchvision
from napari_vlexplain.models.zoo import RESOURCES

GRID, PATCH = (14, 14), (16, 16)
SHAPES = [(224, 224), (300, 451), (451, 300), (225, 226), (1000, 301), (100, 90), (300, 305)]


def picture(shape):
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (shape[0] // 12 + 2, shape[1] // 12 + 2, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize(shape[::-1], Image.Resampling.BICUBIC))


@pytest.mark.parametrize("shape", SHAPES)
def test_as_open_clip(shape):
    guard_torchvision()
    from open_clip.transform import image_transform

    theirs = image_transform(224, is_train=False, interpolation="bicubic", resize_mode="shortest")
    image = picture(shape)
    ours, _ = Preprocess((224, 224), half_up=True)(image, GRID, PATCH)
    torch.testing.assert_close(ours[0], theirs(Image.fromarray(image)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_as_transformers(shape):
    """Its torchvision backend rounds differently from Pillow: a level of 8 bits, here and there."""
    guard_torchvision()
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(RESOURCES / "models" / "mini")
    image = picture(shape)
    theirs = processor(images=Image.fromarray(image), return_tensors="pt")["pixel_values"]
    ours, _ = load_model("mini", device="cpu").pixels(image)
    level = 2 / 255  # one level of 8 bits, after normalisation with 0.5
    difference = (ours - theirs).abs()
    assert difference.max() <= 2.01 * level
    assert difference.mean() <= 0.25 * level


@pytest.mark.parametrize("fit", ["crop", "squash", "letterbox"])
@pytest.mark.parametrize("shape", SHAPES)
def test_floats_give_what_bytes_give(fit, shape):
    image = picture(shape)
    preprocess = Preprocess((224, 224), fit=fit)
    from_bytes, g1 = preprocess(image, GRID, PATCH)
    from_floats, g2 = preprocess(image.astype(np.float32) / 255, GRID, PATCH)
    assert g1 == g2
    # Pillow rounds and clips bytes after each of its two passes; that is all.
    levels = (from_bytes - from_floats).abs() * 255 * torch.tensor(preprocess.std)[:, None, None]
    assert levels.max() < 2
    assert levels.mean() < 0.5


def test_letterbox_pads_with_black():
    preprocess = Preprocess((224, 224), fit="letterbox", mean=(0.5,) * 3, std=(0.5,) * 3)
    pixels, geometry = preprocess(np.full((100, 400, 3), 255, np.uint8), GRID, PATCH)
    assert geometry.offset == (84.0, 0.0)
    assert (pixels[:, :, :84] == -1).all()
    assert (pixels[:, :, 140:] == -1).all()
    assert (pixels[:, :, 84:140] == 1).all()


def test_a_mark_keeps_its_place():
    """A bright square in the source lies in the model's input where the geometry says."""
    image = np.zeros((600, 400, 3), np.uint8)
    image[290:330, 100:140] = 255
    for fit in ("crop", "squash", "letterbox"):
        pixels, geometry = Preprocess((224, 224), fit=fit)(image, GRID, PATCH)
        rows, columns = np.nonzero(pixels[0, 0].numpy() > pixels[0, 0].numpy().max() / 2)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(geometry.boxes_to_model([[100, 290, 140, 330]])[0] - found).max() <= 1


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_an_open_clip_model_asks_for(mode, shape):
    """Its configuration, read by the library and by us: crop, letterbox, squash."""
    guard_torchvision()
    from open_clip.transform import PreprocessCfg, image_transform_v2

    config = PreprocessCfg(size=(224, 224), mode="RGB", resize_mode=mode, interpolation="bicubic")
    ours = open_clip_clip.preprocess(SimpleNamespace(visual=SimpleNamespace(preprocess_cfg=asdict(config))))
    image = picture(shape)
    theirs = image_transform_v2(config, is_train=False)(Image.fromarray(image))
    torch.testing.assert_close(ours(image, GRID, PATCH)[0][0], theirs, atol=1e-5, rtol=0)
