"""The numbers that a DICOM file stores for its pixels: decoded, and freed of the bits that are none of theirs.

Who decodes: pydicom itself for plain and RLE files, Pillow and pyjpegls for the rest, and GDCM last, for what these
do not know: JPEG Lossless, RGB in a JPEG without Adobe's marker, colours in JPEG 2000 of odd kinds. GDCM mends what is
broken without a word, so it gets nothing that is cut off; and files from strangers meet as little of it as need be.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import VLExplainError
from .header import numbers

if TYPE_CHECKING:
    from pydicom import Dataset

_STRAY = "Bits above those that are stored were set, as overlays of old do; they are left out of the values."
_BEGINS = (b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP")  # JPEG and JPEG-LS; JPEG 2000, bare and in a file
_ENDS = b"\xff\xd9"


def stored_pixels(file: Path, header: Dataset, frame: int | None) -> tuple[NDArray[Any], str]:
    """(H, W) or (N, H, W), of colours (..., 3): what is stored, signed as the header says; and a sentence, or "".

    Only the bits from HighBit down that BitsStored counts are pixel data (PS3.5, 8.1.1).

    Raises
    ------
    VLExplainError : no codec for the way of writing. Whatever a codec raises on damage: :func:`why` says it.
    """
    syntax = syntax_of(header)
    decoded = _decoded(file, header, frame, syntax)
    return _stored(decoded, header, plain=not syntax.is_encapsulated or syntax.name.startswith("RLE"))


def is_signed(header: Dataset) -> bool:
    """By PixelRepresentation."""
    return next(iter(numbers(header, "PixelRepresentation")), 0) == 1


def bits_stored(header: Dataset, dtype: np.dtype[Any]) -> int:
    """How many bits of a pixel's ``dtype`` count."""
    held = dtype.itemsize * 8
    said = int(next(iter(numbers(header, "BitsStored")), 0))
    return said if 0 < said <= held else held


def syntax_of(header: Dataset) -> Any:
    """The transfer syntax; of a file without meta information, as pydicom found it written."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    named = getattr(header, "file_meta", {}).get("TransferSyntaxUID")
    if named:
        return named
    implicit, little = header.original_encoding
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def why(file: Path, header: Dataset, frame: int | None, error: Exception) -> str:
    """One sentence on pixels that could not be decoded: damaged, or of a kind that no codec here knows."""
    from pydicom.pixels import get_decoder

    syntax = syntax_of(header)
    if "no pixel data" in str(error).lower():
        return f"{file.name} describes an image but holds no pixels; it may be cut off."
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        return f"{file.name} is damaged: it does not say how it is written."
    if not syntax.is_encapsulated:
        return f"{file.name} is damaged or cut off: its pixels are not what its header says."
    if decoder.missing_dependencies and _whole(file, header, frame):
        return f"{file.name}: no codec for {_called(syntax)} is installed that knows its variety; {_get(decoder)}."
    return f"{file.name} is damaged or cut off: its pixels cannot be decoded as {syntax.name}."


def _decoded(file: Path, header: Dataset, frame: int | None, syntax: Any) -> NDArray[Any]:
    from pydicom import dcmread
    from pydicom.pixels import get_decoder, pixel_array

    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise VLExplainError(f"{file.name}: no codec for {_called(syntax)} is known; export it uncompressed.") from None
    if not decoder.is_available:
        raise VLExplainError(f"{file.name}: no codec for {_called(syntax)} is installed; {_get(decoder)}.")
    options: dict[str, Any] = {"index": frame, "correct_unused_bits": False}  # which pydicom does for some only
    if syntax.is_deflated:
        return pixel_array(dcmread(file), **options)
    if not syntax.is_encapsulated:
        return pixel_array(file, transfer_syntax_uid=syntax, **options)
    failure: Exception = ValueError("cut off")
    for read in (str, lambda path: dcmread(path, force=True)):  # pydicom misses frames in files that it finds when read
        for plugin in _plugins(decoder):
            if plugin == "gdcm" and not _whole(file, header, frame):
                continue
            try:
                return pixel_array(read(file), transfer_syntax_uid=syntax, decoding_plugin=plugin, **options)
            except Exception as error:  # it may not know this variety
                failure = error
    raise failure


def _plugins(decoder: Any) -> list[str]:
    """Who may decode, in the order in which they are asked."""
    return sorted(decoder.available_plugins, key=lambda name: name == "gdcm")


def _whole(file: Path, header: Dataset, frame: int | None) -> bool:
    """Does every compressed frame that is asked for begin and end as one does? Another kind than JPEG cannot tell."""
    from pydicom import dcmread
    from pydicom.encaps import generate_frames

    count = int(next(iter(numbers(header, "NumberOfFrames")), 1)) or 1
    try:
        held = dcmread(file, force=True, specific_tags=["PixelData"]).PixelData
        frames = enumerate(generate_frames(held, number_of_frames=count))
        found = [data for number, data in frames if frame in (None, number)]
    except Exception:
        return False
    return bool(found) and all(one.startswith(_BEGINS) and one.rstrip(b"\0\xff").endswith(_ENDS) for one in found)


def _stored(decoded: NDArray[Any], header: Dataset, plain: bool) -> tuple[NDArray[Any], str]:
    """``plain``: the numbers lie in their container as the header has it, not where a codec put them."""
    if decoded.dtype.kind not in "ui":
        return decoded, ""
    held, bits, signed = decoded.dtype.itemsize * 8, bits_stored(header, decoded.dtype), is_signed(header)
    native = decoded.astype(decoded.dtype.newbyteorder("="), copy=False)
    pixels = native.view(f"{'i' if signed else 'u'}{decoded.dtype.itemsize}")
    if bits == held:
        return pixels, ""
    high = int(next(iter(numbers(header, "HighBit")), bits - 1))
    low = high - bits + 1 if plain and bits <= high < held else 0
    last = (1 << (bits - 1 if signed else bits)) - 1
    if low == 0 and pixels.size and pixels.max() <= last and pixels.min() >= (-last - 1 if signed else 0):
        return pixels, ""
    above = held - bits - low
    masked = (pixels << above) >> (above + low)  # of signed numbers the sign comes along
    rest = native.view(f"u{decoded.dtype.itemsize}") >> (low + bits)
    stray = rest != 0
    if signed:  # nothing, or the sign, belongs there
        stray &= rest != (1 << above) - 1
    return masked, _STRAY if stray.any() else ""


def _called(syntax: Any) -> str:
    """A name that the standard gives, else no more than a number."""
    if syntax.name != str(syntax):
        return f"{syntax.name} ({syntax})"
    return f"the syntax {syntax}" if re.fullmatch(r"[\d.]{1,64}", str(syntax)) else "a syntax without a proper name"


def _get(decoder: Any) -> str:
    """How to install what a decoder misses: GDCM where it can (BSD; pylibjpeg's libjpeg is GPL)."""
    missing = " ".join(decoder.missing_dependencies)
    named = re.search(r"pylibjpeg-\w+", missing)
    what = "python-gdcm" if named is None or "gdcm" in missing else f"pylibjpeg {named[0]}"
    return f"get one with: pip install {what}"
