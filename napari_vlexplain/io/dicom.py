"""DICOM images as arrays: rescaled, MONOCHROME1 turned over, with their windows; without the patient's data."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from .dicom_header import (
    Identity,
    burnt_in,
    frames_of,
    identity_of,
    is_colour,
    is_dicom,
    patient_data,
    quiet,
    read_header,
)
from .dicom_values import Scale, has_table, is_hounsfield, looked_up, padding_of, scale_of, spacing_of, vois_of
from .dicom_voi import Curve, Limits, Voi, Window, is_bent
from .images import LARGEST, default_limits

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["Curve", "DicomImage", "Identity", "Voi", "Window", "is_dicom", "patient_data", "read_dicom_image"]


@dataclass(frozen=True, eq=False)
class DicomImage:
    """One image, or a stack of frames, and what its file says of it, nothing about the patient.

    pixels : (H, W) or (N, H, W), values after the modality LUT or rescale, bright is dense, in the smallest exact
        dtype; colours (H, W, 3) or (N, H, W, 3) uint8.
    windows : what the file would have it seen through, the first by default; none for colours.
    limits : (low, high) of the values that are black and white at first: the first window's, else
        :func:`napari_vlexplain.io.images.default_limits` without padding, all of 8 bits. None for colours.
    spacing : (row, column) in mm, None where unknown.
    frames : in the file, however many were read.
    padding : (lowest, highest) value that stands for "outside the image", or None.
    hounsfield : are the values Hounsfield units?
    warnings : sentences that a reader should know of.
    """

    pixels: NDArray[Any] = field(repr=False)
    windows: tuple[Voi, ...]
    limits: Limits | None
    spacing: tuple[float, float] | None
    frames: int
    identity: Identity
    padding: Limits | None = None
    hounsfield: bool = False
    warnings: tuple[str, ...] = ()

    def presented(self, voi: Voi | None = None) -> NDArray[np.float32]:
        """The pixels as brightness in [0, 1] through a window or curve, bends included; by default the first.

        napari and ``contrast_limits`` know straight windows only; this is for those who want a model to see the very
        picture that a DICOM workstation shows.

        Raises
        ------
        VLExplainError : colours.
        """
        if self.limits is None:
            raise VLExplainError("A picture in colours has no window; its pixels are already what is seen.")
        chosen = voi or next(iter(self.windows), Window.of_limits(self.limits, "LINEAR_EXACT"))
        return chosen.shown(self.pixels)

    def window(self, asked: str, file: str = "The image") -> Voi:
        """One of ``windows`` by its name, else by its number from 1.

        Raises
        ------
        VLExplainError : there is none of that name or number.
        """
        wanted = asked.strip().casefold()
        for voi in self.windows:
            if voi.name and voi.name.casefold() == wanted:
                return voi
        if wanted.isdecimal() and 0 < int(wanted) <= len(self.windows):
            return self.windows[int(wanted) - 1]
        offered = ", ".join(f"{number} {voi.name}".strip() for number, voi in enumerate(self.windows, start=1))
        raise VLExplainError(f"{file} has no window {asked!r}; it has {offered or 'none: give contrast limits'}.")


def read_dicom_image(path: str | Path, frame: int | None = None) -> DicomImage:
    """Read a DICOM file.

    Parameters
    ----------
    path : with or without a suffix.
    frame : only this one is decoded, from 0; None reads all.

    Raises
    ------
    VLExplainError : pydicom is missing, not DICOM, no image in it, cut off, a codec is missing, too large, no such
        frame.
    """
    file = Path(path).expanduser()
    header = read_header(file)
    try:
        with quiet():
            frames = _checked(file, header, frame)
            stored = _decoded(file, header, frame)
            return _image(header, stored, frames, frame)
    except VLExplainError:
        raise
    except MemoryError:
        raise VLExplainError(f"{file.name} does not fit into memory; read one frame of it.") from None
    except Exception as error:
        raise VLExplainError(_why(file, header, error)) from None


def _checked(file: Path, header: Dataset, frame: int | None) -> int:
    """The number of frames; refuses sizes that cannot be, before anything is decoded."""
    frames = frames_of(header)
    rows, columns, samples = (int(header.get(name) or 0) for name in ("Rows", "Columns", "SamplesPerPixel"))
    if rows <= 0 or columns <= 0:
        raise VLExplainError(f"{file.name} says that it has {rows} rows and {columns} columns: it holds no pixels.")
    if samples not in (0, 1, 3):
        raise VLExplainError(f"{file.name} has {samples} numbers a pixel; images of 1 (grey) or 3 (colours) are read.")
    if frame is not None and not 0 <= frame < frames:
        raise VLExplainError(f"{file.name} has {frames} frame(s), from 0 to {frames - 1}; there is no frame {frame}.")
    if rows * columns * (frames if frame is None else 1) > LARGEST:
        hint = "; read one frame at a time" if frames > 1 and rows * columns <= LARGEST else ""
        size = f"{frames} x {rows} x {columns}" if frames > 1 else f"{rows} x {columns}"
        raise VLExplainError(
            f"{file.name} is too large ({size}): up to {LARGEST // 10**6} million pixels can be read{hint}."
        )
    return frames


def _decoded(file: Path, header: Dataset, frame: int | None) -> NDArray[Any]:
    from pydicom import dcmread
    from pydicom.pixels import get_decoder, pixel_array

    syntax = _syntax(header)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        kind = f"is compressed as {syntax.name}" if syntax.name != str(syntax) else "is written in an unknown way"
        raise VLExplainError(f"{file.name} {kind}, which cannot be read; export it uncompressed.") from None
    if not decoder.is_available:
        raise VLExplainError(
            f"{file.name} is compressed as {syntax.name}, and no codec for that is installed; "
            f"get one with: {_get(decoder)}"
        )
    if syntax.is_deflated:
        return pixel_array(dcmread(file), index=frame)
    *others, last = _plugins(decoder, header)
    for plugin in others:
        with suppress(Exception):  # it may not know this variety; the last one tells what is wrong
            return pixel_array(file, index=frame, transfer_syntax_uid=syntax, decoding_plugin=plugin)
    return pixel_array(file, index=frame, transfer_syntax_uid=syntax, decoding_plugin=last)


def _plugins(decoder: Any, header: Dataset) -> list[str]:
    """Who may decode. GDCM only what nobody else does: JPEG Lossless, and JPEG of 12 bits, which Pillow does not know;
    files from strangers do not reach more of it than need be."""
    from pydicom.uid import JPEGExtended12Bit

    found = [name for name in decoder.available_plugins if name != "gdcm"]
    syntax, bits = decoder.UID, int(header.get("BitsAllocated") or 8)
    deep = syntax == JPEGExtended12Bit and bits > 8
    if "gdcm" in decoder.available_plugins and (deep or not found):
        found.append("gdcm")
    return found or [""]


def _image(header: Dataset, stored: NDArray[Any], frames: int, frame: int | None) -> DicomImage:
    spacing, note = spacing_of(header, frame or 0)
    told = [note] if note else []
    if burnt_in(header):
        told.append("Letters are burnt into the pixels; they may name the patient.")
    if str(header.get("LossyImageCompression", "")).strip() == "01":
        told.append("The image was once compressed with loss.")
    identity = identity_of(header)
    if is_colour(header):
        return DicomImage(_colours(header, stored), (), None, spacing, frames, identity, warnings=tuple(told))
    pixels, scale = _values(header, stored, frame)
    padding = padding_of(header, scale)
    windows = vois_of(header, scale.total, frame or 0)
    if windows and is_bent(windows[0]):
        told.append("The file asks for a curve; at first a straight window stands in for it.")
    limits = windows[0].limits if windows else default_limits(pixels, padding, measured=True) or (0.0, 255.0)
    return DicomImage(pixels, windows, limits, spacing, frames, identity, padding, is_hounsfield(header), tuple(told))


def _values(header: Dataset, stored: NDArray[Any], frame: int | None) -> tuple[NDArray[Any], Scale]:
    if has_table(header):
        return looked_up(stored, header)
    if frame is not None or stored.ndim == 2:
        scale = scale_of(header, stored.dtype, frame or 0)
        return scale.values(stored), scale
    scales = [scale_of(header, stored.dtype, number) for number in range(len(stored))]
    if len(set(scales)) == 1:
        return scales[0].values(stored), scales[0]
    planes = [scale.values(plane) for scale, plane in zip(scales, stored, strict=True)]
    return np.stack([plane.astype(np.float32) for plane in planes]), scales[0]


def _colours(header: Dataset, stored: NDArray[Any]) -> NDArray[np.uint8]:
    bits = int(header.get("BitsStored") or 8)
    if str(header.get("PhotometricInterpretation")).strip() == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        stored = np.asarray(apply_color_lut(stored, header))[..., :3]
        bits = 16 if stored.dtype.itemsize > 1 and stored.max(initial=0) > 255 else 8
    return np.asarray(stored if bits <= 8 else stored >> (bits - 8)).astype(np.uint8)


def _syntax(header: Dataset) -> Any:
    """The transfer syntax; of a file without meta information, as pydicom found it written."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    named = getattr(header, "file_meta", {}).get("TransferSyntaxUID")
    if named:
        return named
    implicit, little = header.original_encoding
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _get(decoder: Any) -> str:
    """How to install what a decoder misses: GDCM where it can (BSD; pylibjpeg's libjpeg is GPL)."""
    missing = " ".join(decoder.missing_dependencies)
    named = re.search(r"pylibjpeg-\w+", missing)
    return "pip install python-gdcm" if named is None or "gdcm" in missing else f"pip install pylibjpeg {named[0]}"


def _why(file: Path, header: Dataset, error: Exception) -> str:
    """One sentence on pixels that could not be decoded."""
    from pydicom.pixels import get_decoder

    syntax = _syntax(header)
    if "no pixel data" in str(error).lower():
        return f"{file.name} describes an image but holds no pixels; it may be cut off."
    try:
        missing = get_decoder(syntax)
    except NotImplementedError:
        return f"{file.name} is damaged: it does not say how it is written."
    if not syntax.is_encapsulated:
        return f"{file.name} is damaged or cut off: its pixels are not what its header says."
    better = f" If others can open it, try: {_get(missing)}" if missing.missing_dependencies else ""
    return f"{file.name} is damaged or cut off: its pixels cannot be decoded as {syntax.name}.{better}"
