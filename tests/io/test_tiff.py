"""TIFF files with known pixels: turned, in other colour spaces, packed in every way; one picture whatever packs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.io.images import orientation_of, read_image, read_shown

RNG = np.random.default_rng(5)
SMALL = RNG.integers(0, 256, (3, 5, 3), dtype=np.uint8)
RGB = np.asarray(Image.fromarray(SMALL).resize((50, 34), Image.Resampling.BICUBIC))
GREY = RGB[..., 0].copy()
PACKED = [None, "tiff_lzw", "packbits", "tiff_adobe_deflate"]
TURNED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}
"""Orientation -> how upright pixels are stored (TIFF 6.0, page 36)."""


def lzw(file: Path, pixels: np.ndarray, **how: Any) -> None:
    """What tifffile writes uncompressed, its strips packed by libtiff, all other tags kept."""
    tifffile.imwrite(file, pixels, metadata=None, **how)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages[0]
        order, tiles = tiff.byteorder, page.is_tiled
        packed = []
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            tiff.filehandle.seek(offset)
            raw = np.frombuffer(tiff.filehandle.read(count), np.uint8)
            packed.append(_packed(raw.reshape(-1, raw.size)))
        tags = {
            "packed": page.tags[259],
            "at": page.tags[324 if tiles else 273],
            "size": page.tags[325 if tiles else 279],
        }
        places = {name: tag.valueoffset for name, tag in tags.items()}
        sizes = {name: {3: 2, 4: 4, 16: 8}[int(tag.dtype)] for name, tag in tags.items()}
    data = bytearray(file.read_bytes())
    data[places["packed"] : places["packed"] + 2] = np.array([5], f"{order}u2").tobytes()
    for number, one in enumerate(packed):
        for name, value in (("at", len(data)), ("size", len(one))):
            at = places[name] + number * sizes[name]
            data[at : at + sizes[name]] = np.array([value], f"{order}u{sizes[name]}").tobytes()
        data += one + b"\0" * (len(one) % 2)
    file.write_bytes(data)


def _packed(raw: np.ndarray) -> bytes:
    import io

    stream = io.BytesIO()
    Image.fromarray(raw).save(stream, "TIFF", compression="tiff_lzw")
    stream.seek(0)
    with tifffile.TiffFile(stream) as tiff:
        (offset,), (count,) = tiff.pages[0].dataoffsets, tiff.pages[0].databytecounts
        assert int(tiff.pages[0].predictor) == 1
        return stream.getvalue()[offset : offset + count]


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("orientation", TURNED)
def test_a_turned_picture_is_shown_upright(tmp_path: Path, orientation: int, packed: str | None) -> None:
    for name, upright in (("colours", RGB), ("grey", GREY)):
        tags = Image.Exif()
        tags[274] = orientation
        file = tmp_path / f"{name}.tif"
        stored = np.ascontiguousarray(TURNED[orientation](upright))
        Image.fromarray(stored).save(file, compression=packed, exif=tags)
        np.testing.assert_array_equal(read_image(file), upright)
        assert orientation_of(file) == orientation
    tifffile.imwrite(file, stored.astype(np.uint16), extratags=[(274, "H", 1, orientation, True)])
    np.testing.assert_array_equal(read_image(file), upright)
    Image.fromarray(stored).save(tmp_path / "a.jpg", exif=tags)
    assert orientation_of(tmp_path / "a.jpg") == orientation and orientation_of(tmp_path / "none.png") == 1


@pytest.mark.parametrize("orientation", [0, 9, "x"])
def test_a_turn_that_is_none_turns_nothing(tmp_path: Path, orientation: Any) -> None:
    tag = (274, "H", 1, orientation, True) if orientation != "x" else (274, "s", 2, "x", True)
    tifffile.imwrite(tmp_path / "a.tif", GREY, extratags=[tag])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), GREY)


def test_planes_of_a_stack_are_turned_too(tmp_path: Path) -> None:
    stack = RNG.integers(0, 9, (3, 7, 4), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", extratags=[(274, "H", 1, 6, True)])
    np.testing.assert_array_equal(read_shown(tmp_path / "a.tif", plane=(2,))[0], np.rot90(stack[2], -1))


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "i2", "<f4", ">f8"])
@pytest.mark.parametrize("shape", [(34, 50), (34, 50, 3), (34, 50, 4)])
@pytest.mark.parametrize("tiled", [False, True])
def test_lzw_gives_the_numbers_that_were_written(
    tmp_path: Path, dtype: str, shape: tuple[int, ...], tiled: bool
) -> None:
    pixels = (RNG.random(shape) * 200).astype(dtype)
    kind: dict[str, Any] = {"photometric": "rgb" if len(shape) == 3 else "minisblack"}
    kind |= {"extrasamples": ["unassalpha"]} if shape[-1] == 4 else {}
    kind |= {"tile": (16, 32)} if tiled else {"rowsperstrip": 5}
    kind["byteorder"] = ">" if dtype[0] == ">" else "<"
    lzw(tmp_path / "a.tif", pixels, **kind)
    found = read_image(tmp_path / "a.tif")
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "1", "P", "LA"])
@pytest.mark.parametrize("packed", PACKED[1:])
def test_packing_changes_nothing(tmp_path: Path, mode: str, packed: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    image.save(tmp_path / "plain.tif")
    image.save(tmp_path / "packed.tif", compression=packed)
    plain, found = read_image(tmp_path / "plain.tif"), read_image(tmp_path / "packed.tif")
    assert plain.dtype == found.dtype == np.uint8
    np.testing.assert_array_equal(plain, found)
    wanted = image.convert("RGBA" if mode in ("RGBA", "LA") else "L" if mode in "L1" else "RGB")
    np.testing.assert_allclose(found, np.asarray(wanted), atol=1 if mode == "CMYK" else 0)


@pytest.mark.parametrize("predictor", [1, 2, 3])
def test_a_predictor_is_undone(tmp_path: Path, predictor: int) -> None:
    kinds = [RGB, GREY, GREY.astype(np.uint16) * 200] if predictor < 3 else [GREY / np.float32(3)]
    for pixels in kinds:
        Image.fromarray(pixels).save(tmp_path / "a.tif", compression="tiff_lzw", tiffinfo={317: predictor})
        with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
            assert int(tiff.pages[0].predictor) == predictor
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), pixels)


def test_colours_in_separate_planes_and_lzw(tmp_path: Path) -> None:
    for dtype in (np.uint8, np.uint16):
        pixels = RGB.astype(dtype) * (1 if dtype == np.uint8 else 256)
        lzw(tmp_path / "a.tif", np.moveaxis(pixels, -1, 0), photometric="rgb", planarconfig="separate", rowsperstrip=9)
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), pixels)


@pytest.mark.parametrize("write", [tifffile.imwrite, lzw])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_where_zero_is_white(tmp_path: Path, write: Any, dtype: type) -> None:
    pixels = GREY.astype(dtype)
    write(tmp_path / "a.tif", pixels, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), np.iinfo(dtype).max - pixels)


def test_a_fax_where_zero_is_white(tmp_path: Path) -> None:
    black = GREY > 100
    tifffile.imwrite(tmp_path / "a.tif", black, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), np.where(black, 0, 255))
    Image.fromarray(~black).save(tmp_path / "b.tif", compression="group4")
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif"), np.where(black, 0, 255))


@pytest.mark.parametrize("packed", PACKED)
def test_ycbcr_and_lab_are_colours(tmp_path: Path, packed: str | None) -> None:
    image = Image.fromarray(RGB)
    image.convert("YCbCr").save(tmp_path / "a.tif", compression=packed)
    np.testing.assert_allclose(read_image(tmp_path / "a.tif").astype(int), RGB, atol=3)
    profiles = (ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"))
    lab = ImageCms.profileToProfile(image, *profiles, outputMode="LAB")
    assert lab is not None
    lab.save(tmp_path / "b.tif", compression=packed)
    off = np.abs(read_image(tmp_path / "b.tif").astype(int) - RGB)
    assert off.mean() < 1.5 and off.max() <= 16, "8 bits of L*a*b* are coarse"


@pytest.mark.parametrize(
    ("lab", "rgb"),  # by CIE's formulae and Bradford, from D50 (Lindbloom's calculator)
    [((100, 0, 0), (255, 255, 255)), ((0, 0, 0), (0, 0, 0)), ((53.585, 0, 0), (128, 128, 128)),
     ((54.29, 80.81, 69.89), (255, 0, 0)), ((87.82, -79.29, 80.99), (0, 255, 0)),
     ((29.57, 68.3, -112.03), (0, 0, 255))],
)  # fmt: skip
@pytest.mark.parametrize("kind", [8, 9])
def test_lab_of_16_bits_in_closed_form(tmp_path: Path, lab: tuple[float, ...], rgb: tuple[int, ...], kind: int) -> None:
    shift = 0 if kind == 8 else 32768
    stored = [round(lab[0] / 100 * 65535), *(round(value * 256) + shift for value in lab[1:])]
    pixels = np.full((2, 3, 3), np.array(stored).astype(np.uint16), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=kind)
    np.testing.assert_allclose(read_image(tmp_path / "a.tif")[0, 0] / 257, rgb, atol=0.6)


def test_the_files_own_luma_and_reference_black(tmp_path: Path) -> None:
    """Rec. 709 in studio range, in the closed form of both."""
    wanted = RGB / 255
    kr, kg, kb = 0.2126, 0.7152, 0.0722
    luma = wanted @ (kr, kg, kb)
    blue, red = (wanted[..., 2] - luma) / (2 - 2 * kb), (wanted[..., 0] - luma) / (2 - 2 * kr)
    stored = np.stack([16 + 219 * luma, 128 + 224 * blue, 128 + 224 * red], axis=-1)
    ends = (16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1)
    tags = [(529, "2I", 3, (2126, 10000, 7152, 10000, 722, 10000), True), (532, "2I", 6, ends, True)]
    pixels = np.rint(stored).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="ycbcr", extratags=tags)
    np.testing.assert_allclose(read_image(tmp_path / "a.tif").astype(float), RGB, atol=3)


def test_few_colours_without_jpeg_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="ycbcr")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        at = tiff.pages[0].tags[530].valueoffset
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[at : at + 4] = np.array([2, 2], "<u2").tobytes()
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(VLExplainError, match=r"a\.tif keeps colours \(YCbCr\) for fewer pixels"):
        read_image(tmp_path / "a.tif")


def test_jpeg_inside(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[274] = 6
    Image.fromarray(np.rot90(RGB, 1)).save(tmp_path / "a.tif", compression="jpeg", quality=95, exif=tags)
    found = read_image(tmp_path / "a.tif")
    assert found.shape == RGB.shape and np.abs(found.astype(int) - RGB).mean() < 4


def test_alpha_by_what_the_file_calls_it(tmp_path: Path) -> None:
    more = np.full((*GREY.shape, 1), 128, np.uint8)
    half = np.concatenate([RGB // 2, more], axis=2)
    for write in (tifffile.imwrite, lzw):
        write(tmp_path / "a.tif", half, photometric="rgb", extrasamples=["unassalpha"])
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), half)
        write(tmp_path / "a.tif", half, photometric="rgb", extrasamples=["assocalpha"])
        np.testing.assert_allclose(read_image(tmp_path / "a.tif")[..., :3].astype(int), RGB, atol=2)
        write(tmp_path / "a.tif", half, photometric="rgb", extrasamples=["unspecified"])
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), half[..., :3])


def test_content_decides_and_not_the_name(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.png", GREY.astype(np.float32), extratags=[(274, "H", 1, 8, True)])
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(GREY, 1))
    Image.fromarray(RGB).save(tmp_path / "b.tif", format="PNG")
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif"), RGB)


def test_each_page_is_turned_by_its_own_tag(tmp_path: Path) -> None:
    file = tmp_path / "pages.tif"
    with tifffile.TiffWriter(file) as tiff:
        for turn in (1, 6, 3):
            tiff.write(RGB, photometric="rgb", metadata=None, extratags=[(274, "H", 1, turn, True)])
    for number, upright in enumerate((RGB, np.rot90(RGB, -1), np.rot90(RGB, 2))):
        np.testing.assert_array_equal(read_shown(file, plane=(number,))[0], upright)


def test_ycbcr_of_16_bits_whatever_white_its_writer_took(tmp_path: Path) -> None:
    red, green, blue = np.moveaxis(RGB / 255, -1, 0)  # Rec. 601, as TIFF 6.0 has it
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    samples = np.stack([luma, (blue - luma) / 1.772 + 0.5, (red - luma) / 1.402 + 0.5], -1)
    tifffile.imwrite(
        tmp_path / "a.tif", np.rint(samples * 65535).astype(np.uint16), photometric="ycbcr", subsampling=(1, 1)
    )
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.pages[0].tags[532].value[2] == 255  # of 8 bits
    np.testing.assert_allclose(read_image(tmp_path / "a.tif") / 257, RGB, atol=0.02)
