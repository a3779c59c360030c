"""Images of every usual kind become what a model takes, or are refused in one sentence."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.io import arrays as as_pictures
from napari_vlexplain.io.images import as_array, as_rgb, default_limits, read_image, read_shown

RNG = np.random.default_rng(3)
GREY = RNG.integers(0, 256, (7, 9), dtype=np.uint8)
RGB = RNG.integers(0, 256, (7, 9, 3), dtype=np.uint8)
RGBA = RNG.integers(0, 256, (7, 9, 4), dtype=np.uint8)


def png(path: Path, image: Image.Image, **options: Any) -> NDArray:
    image.save(path / "image.png", **options)
    return read_image(path / "image.png")


# Reading.


@pytest.mark.parametrize("pixels", [GREY, RGB, RGBA, GREY.astype(np.uint16) * 257], ids=["grey", "rgb", "rgba", "16"])
def test_png_comes_back_exactly(tmp_path: Path, pixels: NDArray) -> None:
    found = png(tmp_path, Image.fromarray(pixels))
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "gif", "tif", "tiff", "TIF"])
def test_every_lossless_format_is_read(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"image.{suffix}"
    image = Image.fromarray(GREY)
    image.save(file, format="TIFF" if suffix == "TIF" else None, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(as_rgb(read_image(str(file))), np.stack([GREY] * 3, axis=-1))


def test_jpeg_is_near(tmp_path: Path) -> None:
    smooth = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - smooth).max() <= 4


def test_palettes_become_colours(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 0]], dtype=np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    np.testing.assert_array_equal(png(tmp_path, image)[0], [[10, 20, 30], [40, 50, 60]])
    transparent = png(tmp_path, image, transparency=1)
    np.testing.assert_array_equal(transparent[..., 3], [[255, 0], [255, 255]])


@pytest.mark.parametrize(
    "mode", ["1", "LA", "CMYK", "RGB", "I;16", "PA", "La", "RGBa", "RGBX", "YCbCr", "HSV", "LAB", "F", "I"]
)
def test_a_pillow_image_of_any_mode_becomes_colours(mode: str) -> None:
    image = Image.fromarray(RGB).convert(
        "L" if mode in ("I;16", "La", "F", "I") else "RGBA" if mode == "RGBa" else "RGB"
    )
    image = image.convert("LA").convert("La") if mode == "La" else image.convert(mode)
    found = as_rgb(image)
    assert found.shape == (7, 9, 3)
    assert found.max() > 0


def test_a_black_and_white_png_is_0_and_255(tmp_path: Path) -> None:
    bits = GREY > 127
    np.testing.assert_array_equal(png(tmp_path, Image.fromarray(bits)), bits * np.uint8(255))


def test_a_colour_key_is_transparency(tmp_path: Path) -> None:
    pixels = np.array([[0, 200]], dtype=np.uint8)
    found = png(tmp_path, Image.fromarray(pixels), transparency=200)
    np.testing.assert_array_equal(found[..., 3], [[255, 0]])


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(RGB, -1))


def test_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((4, 5), value, dtype=np.uint8)) for value in (40, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    found = read_image(tmp_path / "a.gif")
    assert found.shape[:2] == (4, 5)
    assert found.max() == 40


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i2", "f4", "f8", ">u2"])
@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 3), (7, 9, 4), (1, 1)])
def test_tiff_keeps_its_dtype(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    pixels = (RNG.random(shape) * 100).astype(dtype)
    colours = "rgb" if len(shape) == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=colours, byteorder=">" if dtype[0] == ">" else "<")
    found = read_image(tmp_path / "a.tif")
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found, pixels)


def test_tiff_with_separate_planes_of_colour(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(RGB, -1, 0), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), RGB)


def test_tiff_where_zero_is_white_is_turned(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), 255 - GREY)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiffs_need_no_further_package(tmp_path: Path, compression: str) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), RGB)


def test_tiff_with_a_palette(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), [[[10, 20, 30], [40, 50, 60]]])


def test_a_stack_is_refused_and_a_single_plane_is_none(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 7, 9), dtype=np.uint8), photometric="minisblack")
    with pytest.raises(VLExplainError, match=r"a\.tif holds a stack of shape \(5, 7, 9\), but one image is needed"):
        read_image(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", GREY[None, None], imagej=True)
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif"), GREY)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg", "a"])
@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"II*\x00", b"\xff\xd8\xff"])
def test_what_is_no_image_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VLExplainError, match=f"{name} cannot be read as an image; PNG"):
        read_image(tmp_path / name)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    for name in ("a.png", "a.tif"):
        Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(VLExplainError, match="cannot be read as an image"):
            read_image(tmp_path / name)


def test_no_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VLExplainError, match="There is no file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(VLExplainError, match="is a folder, but one image is needed"):
        read_image(tmp_path)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_huge_images_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    Image.fromarray(GREY).save(tmp_path / name)
    monkeypatch.setattr(as_pictures, "LARGEST", 62)
    with pytest.raises(VLExplainError, match="is too large: images of up to"):
        read_image(tmp_path / name)


# Pixels.


def test_8_bit_colours_stay_as_they_are() -> None:
    found = as_rgb(RGB)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, RGB)
    np.testing.assert_array_equal(as_rgb(GREY), np.stack([GREY] * 3, axis=-1))
    np.testing.assert_array_equal(as_rgb(GREY[..., None]), np.stack([GREY] * 3, axis=-1))


def test_transparency_shows_black() -> None:
    found = as_rgb(RGBA)
    np.testing.assert_allclose(found, RGBA[..., :3] * (RGBA[..., 3:] / 255), atol=1)
    clear = np.dstack([RGB, np.zeros((7, 9), np.uint8)])
    assert as_rgb(clear).max() == 0
    np.testing.assert_array_equal(as_rgb(np.dstack([RGB, np.full((7, 9), 255, np.uint8)])), RGB)


def test_transparency_of_other_dtypes() -> None:
    for dtype, top in ((np.uint16, 65535), (np.float32, 1.0), (np.float64, 1.0)):
        image = np.zeros((1, 2, 4), dtype=dtype)
        image[..., 0] = [[0, top]]
        image[..., 3] = top / 4 if dtype is not np.uint16 else top // 4
        np.testing.assert_allclose(as_rgb(image)[0, :, 0], [0, 0.25], atol=1e-4)


def test_truth_values_are_black_and_white() -> None:
    np.testing.assert_array_equal(as_rgb(GREY > 127)[..., 0], np.where(GREY > 127, 255, 0))


def test_floats_between_0_and_1_are_taken_as_they_are() -> None:
    image = np.array([[0.25, 0.5]])
    np.testing.assert_allclose(as_rgb(image)[0, :, 0], [0.25, 0.5])


@pytest.mark.parametrize(
    "dtype", [np.uint16, np.int16, np.int32, np.uint32, np.int64, np.float16, np.float32, np.float64]
)
def test_other_ranges_are_stretched(dtype: type) -> None:
    image = np.array([[100, 200], [300, 500]], dtype=dtype)
    np.testing.assert_allclose(as_rgb(image)[..., 1], [[0, 0.25], [0.5, 1]], atol=1e-6)


def test_a_marker_that_outshines_a_picture_leaves_it_its_contrast() -> None:
    grey = np.linspace(500, 4500, 100 * 100).reshape(100, 100)
    for dtype in (np.uint16, np.int32, np.float32):
        picture = grey.astype(dtype)
        assert default_limits(picture) == (500, 4500), "without one, from the lowest to the highest"
        picture[:3, :3], picture[5, 5] = 60000, 0
        low, high = default_limits(picture) or (0, 0)
        assert (low, high) == pytest.approx((540 - 392 - 2, 4460 + 392 + 2), abs=4)
        rest = as_rgb(picture)[50:, :, 0]
        np.testing.assert_allclose(rest, (grey[50:] - low) / (high - low), atol=1e-3)


def test_default_limits_of_what_is_shown_as_it_is() -> None:
    assert default_limits(GREY) is default_limits(RGB) is default_limits(GREY > 3) is None
    assert default_limits(GREY / np.float32(255)) == (0, 1)
    assert default_limits(np.array([[0.2, 0.4]]), measured=True) == (0.2, 0.4)
    lone = np.zeros((50, 50), np.uint16)
    lone[3, 3] = 900
    assert default_limits(lone) == (0, 900), "nearly all is background"
    assert default_limits(lone + 7, (7, 7)) == (907, 908) and default_limits(lone[..., None]) == (0, 900)


@pytest.mark.parametrize(("dtype", "top"), [(np.uint16, 200), (np.int64, 255), (np.uint16, 4000), (np.int32, 65535)])
def test_colours_of_many_bits_are_shares_of_8_or_16(dtype: type, top: int) -> None:
    colours = np.array([[[0, top // 2, top], [top, 0, 0]]], dtype)
    np.testing.assert_allclose(as_rgb(colours), colours / (255 if top <= 255 else 65535), atol=1e-6)


def test_a_constant_of_the_largest_integers_is_black() -> None:
    assert as_rgb(np.full((2, 2), 2**53, np.uint64)).max() == 0


def test_small_differences_between_large_numbers_survive() -> None:
    for image in (np.array([[0, 1, 2]], np.int32) + 2**30, np.array([[0, 1, 2]], np.float64) + 1e12):
        np.testing.assert_allclose(as_rgb(image)[0, :, 0], [0, 0.5, 1], atol=1e-6)


def test_contrast_limits_decide() -> None:
    image = np.array([[0, 100, 150, 255]], dtype=np.uint8)
    found = as_rgb(image, (100, 200))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0, :, 0], [0, 0, 0.5, 1], atol=1e-6)
    np.testing.assert_allclose(as_rgb(image.astype(float) / 255, (0, 0.5))[0, :, 2], [0, 0.784, 1, 1], atol=1e-3)
    narrow = as_rgb(np.array([[1000, 1001]], np.uint16), (1000.0, 1000.00001))
    assert np.isfinite(narrow).all()


def test_a_constant_image_is_black_and_finite() -> None:
    assert as_rgb(np.full((3, 3), 4000, np.uint16)).max() == 0
    assert np.isfinite(as_rgb(np.full((3, 3), -5.0))).all()


def test_the_result_is_new_memory_in_c_order() -> None:
    for image in (GREY, RGB[::-1, ::2], np.asfortranarray(RGB), RGBA):
        assert as_rgb(image).flags.c_contiguous


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros(5), "The image has shape (5,), but it must be (rows, columns)"),
        (np.zeros((3, 7, 9)), "(rows, columns, 4) (channels go last)."),
        (np.zeros((7, 9, 2)), "has shape (7, 9, 2)"),
        (np.zeros((2, 7, 9, 3)), "has shape (2, 7, 9, 3)"),
        (np.zeros((0, 9)), "it holds no pixels"),
        (np.zeros((2, 2), complex), "pixels are complex128, but they must be integers or floats"),
        (np.array([["a", "b"]]), "must be integers or floats"),
        (np.full((2, 3), np.nan), "The image holds 6 NaN pixels; replace them"),
        (np.array([[[0.0, np.nan, np.nan], [0, 0, 0]]]), "holds 1 NaN pixels"),
        (np.array([[np.inf, 0]]), "holds 1 infinite pixels"),
        (np.array([[-1e308, 1e308]]), "give contrast_limits"),
        ([[1, 2], [3]], "The image is no array"),
        (None, "has shape ()"),
    ],
)
def test_what_is_no_picture_is_refused(image: Any, sentence: str) -> None:
    with pytest.raises(VLExplainError) as error:
        as_rgb(image)
    assert sentence in str(error.value)


@pytest.mark.parametrize("limits", [(1, 1), (2, 1), (np.nan, 1), (0, np.inf)])
def test_limits_in_the_wrong_order_are_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(VLExplainError, match="the first must be below the second"):
        as_rgb(GREY, limits)


def test_as_array_takes_lists_and_pictures() -> None:
    np.testing.assert_array_equal(as_array([[1, 2]]), [[1, 2]])
    np.testing.assert_array_equal(as_array(Image.fromarray(RGBA)), RGBA)


def test_as_array_takes_tensors_of_any_kind() -> None:
    plain = torch.arange(6.0).reshape(2, 3)
    graph = plain.clone().requires_grad_()
    for tensor in (graph, graph + 0, torch._neg_view(-plain), plain.bfloat16()):
        np.testing.assert_array_equal(as_array(tensor), plain)
    for tensor in (plain.to("meta"), plain.to_sparse()):
        with pytest.raises(VLExplainError, match="is no array"):
            as_array(tensor)


WIDE = np.finfo(np.float64).max


@pytest.mark.parametrize("dtype", [np.uint64, np.int64, np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("power", [8, 15, 24, 53, 62, 100, 1000])
@pytest.mark.parametrize("sign", [1, -1])
def test_constants_of_any_size_are_black(dtype: type, power: int, sign: int) -> None:
    """One step above a large number is that number again, and 0 is divided by 0."""
    whole = np.dtype(dtype).kind in "iu"
    largest = int(np.iinfo(dtype).max) if whole else int(np.finfo(dtype).max)
    if 2**power <= largest and (sign > 0 or np.dtype(dtype).kind != "u"):
        assert not as_rgb(np.full((2, 2), sign * 2**power, dtype)).any()
    assert np.ptp(as_rgb(np.full((2, 2), min(largest, int(WIDE)), dtype))) == 0  # nothing lies above the largest


@pytest.mark.parametrize(
    ("image", "limits"),
    [
        (np.array([2**63, 2**63 + 1, 2**63 + 2], np.uint64), (2**63, 2**63 + 2)),
        (np.array([2**64 - 3, 2**64 - 2, 2**64 - 1], np.uint64), (2**64 - 3, 2**64 - 1)),
        (np.array([2**63 + 1, 2**63 + 1000, 2**63 + 3000], np.uint64), (2.0**63, 2.0**63 + 4096)),
        (np.array([-(2**63), -(2**63) + 1, -(2**63) + 2], np.int64), (-(2**63), -(2**63) + 2)),
        (np.array([-(2**63), -1, 2**63 - 1], np.int64), None),
        (np.array([2**60, 2**60 + 1, 2**60 + 2], np.int64), (2**60, 2**60 + 2)),
        (np.array([0, 1, 2**64 - 1], np.uint64), (0.5, 1.5)),
        (np.array([-5, 1, 5], np.int64), (-3.0, 5.0)),
        (np.array([0, 0, 255], np.uint8), (-1e300, 1e300)),
        (np.array([-1, 0, 1], np.int64), (-WIDE, WIDE)),
        (np.array([-WIDE, 0, WIDE]), (-WIDE, WIDE)),
        (np.array([-WIDE, 0.5, WIDE]), (0.0, 1.0)),
        (np.array([-1, 5e-324, 1]), (0.0, 1e-323)),
        (np.array([0, 2.0**-149, 2.0**-148], np.float32) + np.float32(0), (0.0, 2.0**-148)),
        (np.array([-3e38, 0, 3e38], np.float32), None),
        (np.array([-6e4, 0, 6e4], np.float16), None),
        (np.array([1e300, 1.5e300, 2e300]), None),
        (np.array([2**64, 2**64 + 2**11, 2**64 + 2**12], np.longdouble), None),
    ],
)
def test_a_stretch_is_right_at_any_size(image: NDArray, limits: tuple[float, float] | None) -> None:
    """(x - low) / (high - low) in fractions, which neither round nor overflow."""
    exact = [Fraction(int(x)) if x == int(x) else Fraction(float(x)) for x in image.tolist()]
    low, high = map(Fraction, limits or (min(exact), max(exact)))
    expected = [float(min(max((x - low) / (high - low), Fraction(0)), Fraction(1))) for x in exact]
    np.testing.assert_allclose(as_rgb(image[None], limits)[0, :, 0], expected, atol=2.0**-24, rtol=0)


def test_limits_that_the_pixels_cannot_tell_apart_cut_between() -> None:
    image = np.array([[2.0**60, 2.0**60 + 2**10]])
    assert as_rgb(image, (2**60 + 1, 2**60 + 2))[0, :, 0].tolist() == [0, 1]


dtypes = st.sampled_from(
    [np.bool_, np.uint8, np.int8, np.uint16, np.int32, np.int64, np.uint64, np.float16, np.float32, np.float64]
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_anything_finite_becomes_colours_in_range(data: st.DataObject) -> None:
    dtype = data.draw(dtypes)
    shape = data.draw(array_shapes(min_dims=2, max_dims=2, max_side=5))
    channels = data.draw(st.sampled_from([(), (1,), (3,), (4,)]))
    reach = float(np.finfo(dtype).max) / 2 if np.dtype(dtype).kind == "f" else 0.0
    elements = st.floats(-reach, reach, width=8 * np.dtype(dtype).itemsize) if reach else None
    image = data.draw(arrays(dtype, shape + channels, elements=elements))
    before = image.copy()
    found = as_rgb(image)
    assert found.shape == (*shape, 3)
    assert found.dtype == (np.uint8 if np.dtype(dtype).itemsize == 1 and np.dtype(dtype).kind in "ub" else np.float32)
    assert np.isfinite(found).all() and found.min() >= 0
    assert found.max() <= (255 if found.dtype == np.uint8 else 1)
    np.testing.assert_array_equal(image, before)


def test_a_plane_of_a_stack_is_read_alone(tmp_path: Path) -> None:
    stack = np.arange(2 * 3 * 7 * 9, dtype=np.uint16).reshape(2, 3, 7, 9)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    np.testing.assert_array_equal(read_shown(tmp_path / "a.tif", None, (1, 2))[0], stack[1, 2])
    for wrong in ((), (1,), (1, 3), (1, -1), (0, 0, 0)):
        with pytest.raises(VLExplainError, match="give its plane, 2 numbers from 0"):
            read_shown(tmp_path / "a.tif", None, wrong)
    Image.fromarray(GREY).save(tmp_path / "b.png")
    with pytest.raises(VLExplainError, match="single image, but a plane is given"):
        read_shown(tmp_path / "b.png", None, (0,))
