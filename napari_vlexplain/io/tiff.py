"""TIFF files as the pictures that they mean, whichever library decodes them: colour spaces, palettes, alpha, turns.

tifffile decodes what needs no further package, Pillow's libtiff LZW, JPEG and fax. Samples are turned into colours
here (TIFF 6.0, 1992), so that compression changes nothing. No torch here.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC

from ..errors import VLExplainError
from .arrays import colours_of, plane_of, refuse_huge

_AS_PICTURES = {COMPRESSION.CCITTRLE, COMPRESSION.CCITTFAX3, COMPRESSION.CCITTFAX4, COMPRESSION.OJPEG,
                COMPRESSION.JPEG, COMPRESSION.WEBP, COMPRESSION.JPEG2000, 33003, 33005}  # fmt: skip
"""Codecs of whole pictures: what comes out has its colours already."""
_WHITE = np.array([0.9642, 1.0, 0.8249])
"""D50, as TIFF 6.0 and ICC profiles count."""
_TO_SRGB = np.array(
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
)
"""XYZ (D50) -> linear sRGB, adapted by Bradford (Lindbloom)."""


def read_tiff(file: Path, plane: tuple[int, ...]) -> NDArray:
    """One image of a TIFF file, upright: (H, W) or (H, W, 3 or 4), in its own dtype where it is grey or RGB.

    YCbCr, CIE L*a*b*, CMYK and palettes become RGB. Samples of less than 8 bits become 8 bits.

    Raises
    ------
    VLExplainError : too large, a stack without a plane, YCbCr of fewer colours than pixels that is not compressed.
    """
    with tifffile.TiffFile(file) as tiff:
        series = tiff.series[0]
        page: Any = series.keyframe
        refuse_huge(file, int(np.prod(series.shape, dtype=np.float64)) // max(page.samplesperpixel, 1))
        if page.compression in _AS_PICTURES:
            return _by_pillow(file, _number(plane, series, file.name), len(tiff.pages))
        subsampled = page.photometric == PHOTOMETRIC.YCBCR and tuple(page.subsampling or (1, 1)) != (1, 1)
        if subsampled:
            raise VLExplainError(
                f"{file.name} keeps colours (YCbCr) for fewer pixels than brightness, which is read from JPEG alone; "
                "save it as RGB."
            )
        try:
            samples, axes = series.asarray(), series.axes
            if "S" in axes:
                samples = np.moveaxis(samples, axes.index("S"), -1)
            samples = _squeezed(samples, "S" in axes)
            samples = plane_of(samples, plane, "S" in axes, file.name)
        except (ValueError, ImportError, RuntimeError):
            samples = _by_strips(series.pages[_number(plane, series, file.name)])
        samples = samples if samples.ndim == 3 else samples[..., None]
        page = _own_page(plane, series, file.name)
        return upright(_as_colours(samples, page), orientation_of_page(page))


def orientation_of_file(file: Path) -> int:
    """The tag Orientation of a TIFF's first page; 1 of a broken one."""
    try:
        with tifffile.TiffFile(file) as tiff:
            return orientation_of_page(tiff.pages[0])
    except Exception:
        return 1


def orientation_of_page(page: Any) -> int:
    """The tag Orientation of a page, 1 to 8; 1 where it says none, or nonsense."""
    tag = page.tags.get(274)
    found = tag.value if tag is not None else 1
    return int(found) if isinstance(found, int) and 1 <= found <= 8 else 1


def upright(pixels: NDArray, orientation: int) -> NDArray:
    """Pixels (H, W, ...) as they are stored, turned and mirrored as the tag Orientation (1 to 8) says."""
    turned = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    rows, columns = _MIRRORED[orientation]
    return np.ascontiguousarray(turned[:: -1 if rows else 1, :: -1 if columns else 1])


_MIRRORED = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}
"""Orientation -> are rows, are columns reversed, after rows became columns from 5 on?"""


def _squeezed(samples: NDArray, colours: bool) -> NDArray:
    lead = samples.ndim - (3 if colours else 2)
    return np.squeeze(samples, axis=tuple(axis for axis in range(lead) if samples.shape[axis] == 1))


def _number(plane: tuple[int, ...], series: Any, name: str) -> int:
    """The page of a plane of a series."""
    sizes = dict(zip(series.axes, series.shape, strict=True))
    lead = tuple(size for axis, size in zip(series.axes, series.shape, strict=True) if axis not in "YXS" and size > 1)
    plane_of(np.broadcast_to(np.uint8(0), (*lead, sizes["Y"], sizes["X"])), plane, False, name)
    return int(np.ravel_multi_index(plane, lead)) if plane else 0


def _own_page(plane: tuple[int, ...], series: Any, name: str) -> Any:
    """The page whose tags speak for a plane: its own, but of one stack over several pages the first."""
    if not plane or series.kind.lower() not in ("generic", "uniform"):
        return series.keyframe
    return series.pages[_number(plane, series, name)].aspage()


def _as_colours(samples: NDArray, page: Any) -> NDArray:
    """Samples (H, W, S) as grey (H, W), RGB or RGBA."""
    kind, bits = page.photometric, int(np.max(page.bitspersample))
    if kind == PHOTOMETRIC.PALETTE and page.colormap is not None:
        table = np.asarray(page.colormap)
        colours = (table // 256 if table.max(initial=0) > 255 else table).astype(np.uint8)
        return np.moveaxis(colours[:, np.minimum(samples[..., 0].astype(np.intp), table.shape[1] - 1)], 0, -1)
    grey = kind in (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK)
    if bits < 8 and samples.dtype.kind in "bu":
        samples = (samples.astype(np.uint16) * 255 // (2**bits - 1)).astype(np.uint8)
        bits = 8
    own = 1 if grey else 4 if kind == PHOTOMETRIC.SEPARATED else 3
    if samples.shape[2] < own:
        own = samples.shape[2]
    colours, more = samples[..., :own], samples[..., own:]
    if kind == PHOTOMETRIC.MINISWHITE and samples.dtype.kind == "u":
        colours = samples.dtype.type(2**bits - 1) - colours
    elif kind == PHOTOMETRIC.SEPARATED and own == 4:
        colours = _of_inks(colours)
    elif kind == PHOTOMETRIC.YCBCR and own == 3:
        colours = _of_ycbcr(colours, page)
    elif kind in (PHOTOMETRIC.CIELAB, PHOTOMETRIC.ICCLAB) and own == 3:
        colours = lab_as_rgb(colours, signed=kind == PHOTOMETRIC.CIELAB)
    found = _with_alpha(colours, more, page)
    return found[..., 0] if found.shape[2] == 1 else found


def _with_alpha(colours: NDArray, more: NDArray, page: Any) -> NDArray:
    """Colours (H, W, 1 or 3) with the first further sample that says that it is alpha."""
    said = [int(kind) for kind in page.extrasamples or ()]
    known = [number for number, kind in enumerate(said) if kind in (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)]
    if not known or known[0] >= more.shape[2] or more.dtype != colours.dtype:
        return colours
    alpha = more[..., known[0], None]
    if said[known[0]] == EXTRASAMPLE.ASSOCALPHA:  # colours were multiplied by it
        top = 1.0 if alpha.dtype.kind == "f" else float(np.iinfo(alpha.dtype).max)
        with np.errstate(divide="ignore", invalid="ignore"):
            straight = np.where(alpha > 0, np.minimum(colours * top / alpha, top), 0)
        colours = straight.astype(colours.dtype)
    return np.concatenate([np.broadcast_to(colours, (*colours.shape[:2], 3)), alpha], axis=2)


def _of_inks(inks: NDArray) -> NDArray:
    """Cyan, magenta, yellow, black -> red, green, blue, in the same dtype; no colour profile is looked at."""
    top = np.iinfo(inks.dtype).max if inks.dtype.kind in "ui" else 1
    left = top - inks.astype(np.float64)
    return np.rint(left[..., :3] * left[..., 3:] / top).astype(inks.dtype)


_OF_8_BITS = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)


def _of_ycbcr(samples: NDArray, page: Any) -> NDArray:
    """TIFF 6.0, section 21: luma coefficients and reference black and white are the file's, or Rec. 601's and full."""
    top = float(np.iinfo(samples.dtype).max) if samples.dtype.kind in "ui" else 1.0
    half = (top + 1) / 2
    red, green, blue = _numbers(page, 529, (0.299, 0.587, 0.114))
    usual = (0, top, half, top, half, top)
    ends = _numbers(page, 532, usual)
    if ends == _OF_8_BITS:  # which tifffile writes beside samples of any depth
        ends = usual
    full = np.array([top, half - 1, half - 1]) if top > 1 else np.array([1.0, 0.5, 0.5])
    black, white = np.array(ends[0::2]), np.array(ends[1::2])
    luma, towards_blue, towards_red = np.moveaxis((samples - black) * (full / (white - black)), -1, 0)
    r = luma + (2 - 2 * red) * towards_red
    b = luma + (2 - 2 * blue) * towards_blue
    g = (luma - red * r - blue * b) / green
    return np.clip(np.rint(np.stack([r, g, b], axis=-1)) if top > 1 else np.stack([r, g, b], -1), 0, top).astype(
        samples.dtype
    )


def _numbers(page: Any, tag: int, usual: tuple[float, ...]) -> tuple[float, ...]:
    """A tag of fractions or numbers, else what is usual."""
    found = page.tags.get(tag)
    try:
        flat = np.asarray(found.value, np.float64).ravel()
    except (AttributeError, TypeError, ValueError):
        return usual
    if flat.size == 2 * len(usual):
        flat = flat[0::2] / np.where(flat[1::2] == 0, np.nan, flat[1::2])
    good = flat.size == len(usual) and bool(np.isfinite(flat).all())
    if good and len(usual) == 6:
        good = bool((flat[1::2] > flat[0::2]).all())
    return tuple(flat.tolist()) if good and (len(usual) == 6 or flat[1] > 0) else usual


def _by_pillow(file: Path, number: int, pages: int) -> NDArray:
    from PIL import Image, ImageOps

    with Image.open(file) as image:
        if number and pages > 1:
            image.seek(number)
        return colours_of(ImageOps.exif_transpose(image))


def _by_strips(page: Any) -> NDArray:
    """Samples (H, W, S) of a page, its strips or tiles decoded by libtiff one by one, as bytes without a meaning."""
    separate = int(page.planarconfig) == 2 and page.samplesperpixel > 1
    together, planes = (1, page.samplesperpixel) if separate else (page.samplesperpixel, 1)
    height, width = page.imagelength, page.imagewidth
    rows, columns = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, height), width)
    bits = int(np.max(page.bitspersample))
    dtype = np.dtype(page.dtype if bits >= 8 else np.uint8)
    down, across = -(-height // rows), -(-width // columns)
    refuse_huge(Path(page.parent.filename), down * rows * across * columns)
    found = np.zeros((planes, down * rows, across * columns, together), dtype)
    handle = page.parent.filehandle
    places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    for index, (offset, count) in enumerate(places[: planes * down * across]):
        if not count:
            continue
        handle.seek(offset)
        plane, at = divmod(index, down * across)
        row, column = divmod(at, across)
        tall = rows if page.is_tiled else min(rows, height - row * rows)
        packed = _decoded(handle.read(count), page, tall, -(-columns * together * bits // 8))
        part = _unpacked(packed, page, columns, together, bits, dtype)
        found[plane, row * rows : row * rows + tall, column * columns : (column + 1) * columns] = part
    whole = found[:, :height, :width]
    return np.moveaxis(whole[..., 0], 0, -1) if separate else whole[0]


def _decoded(data: bytes, page: Any, rows: int, wide: int) -> NDArray[np.uint8]:
    """A strip or tile as bytes (rows, wide), by a TIFF file around it that says that it is 8-bit grey."""
    from PIL import Image

    entries = [(256, wide), (257, rows), (258, 8), (259, int(page.compression)), (262, 1), (266, int(page.fillorder)),
               (273, 8), (277, 1), (278, rows), (279, len(data))]  # fmt: skip
    body = data + b"\0" * (len(data) % 2)
    table = struct.pack("<H", len(entries))
    for tag, value in entries:
        short = tag in (258, 259, 262, 266, 277)
        table += struct.pack("<HHI", tag, 3 if short else 4, 1) + struct.pack("<I", value)
    made = b"II*\0" + struct.pack("<I", 8 + len(body)) + body + table + b"\0\0\0\0"
    with Image.open(io.BytesIO(made)) as image:
        return np.asarray(image).reshape(rows, wide)


def _unpacked(packed: NDArray[np.uint8], page: Any, columns: int, together: int, bits: int, dtype: np.dtype) -> NDArray:
    """Bytes (rows, wide) as samples (rows, columns, together), the predictor's differences added up."""
    rows = len(packed)
    if bits < 8:
        spread = np.unpackbits(packed, axis=1)[:, : columns * together * bits].reshape(rows, columns, together, bits)
        return np.packbits(spread, axis=-1)[..., 0] >> (8 - bits)
    order = np.dtype(dtype).newbyteorder(page.parent.byteorder)
    if int(page.predictor) == 3:
        planes = np.cumsum(packed.reshape(rows, -1, together), axis=1, dtype=np.uint8).reshape(rows, order.itemsize, -1)
        found = np.ascontiguousarray(np.moveaxis(planes, 1, 2)).view(order.newbyteorder(">"))
        return found.reshape(rows, columns, together).astype(dtype)
    found = packed.view(order).reshape(rows, columns, together).astype(dtype)
    return np.cumsum(found, axis=1, dtype=dtype) if int(page.predictor) == 2 else found


def lab_as_rgb(samples: NDArray, signed: bool) -> NDArray:
    """L*, a*, b* (H, W, 3) as a TIFF keeps them, 8 or 16 bits, -> sRGB (H, W, 3) uint8 or uint16.

    ``signed`` : are a* and b* two's complements (CIELab, photometric 8), or shifted by half of their range (ICCLab, 9)?
    """
    bits = 8 * samples.dtype.itemsize
    top, unit = 2.0**bits - 1, 2.0 ** (bits - 8)
    whole = samples.astype(np.int64) & (2**bits - 1)
    lightness = whole[..., :1] * (100 / top)
    half = 2 ** (bits - 1)
    chroma = (
        np.where(whole[..., 1:] >= half, whole[..., 1:] - 2**bits, whole[..., 1:]) if signed else whole[..., 1:] - half
    )
    return np.rint(srgb_of_lab(np.concatenate([lightness, chroma / unit], axis=-1)) * top).astype(f"u{bits // 8}")


def srgb_of_lab(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """L* in [0, 100], a*, b* (..., 3) -> sRGB in [0, 1] (..., 3), what lies outside clipped."""
    y = (lab[..., 0] + 16) / 116
    roots = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = np.where(roots > 6 / 29, roots**3, 3 * (6 / 29) ** 2 * (roots - 4 / 29)) * _WHITE
    linear = np.clip(xyz @ _TO_SRGB.T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
