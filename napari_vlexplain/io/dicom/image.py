"""DICOM images as arrays: rescaled, MONOCHROME1 turned over, with their windows; without the patient's data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import VLExplainError
from ..arrays import LARGEST, default_limits
from ..voi import Curve, Limits, Voi, Window, ends_of, is_bent
from .content import is_dicom
from .decoding import bits_stored, is_signed, stored_pixels, why
from .header import (
    Identity,
    burnt_in,
    frames_of,
    identity_of,
    is_colour,
    patient_data,
    quiet,
    read_header,
)
from .spacing import aspect_of, spacing_of
from .tables import palette_colours
from .values import Scale, has_table, is_hounsfield, looked_up, padding_of, scale_of, vois_of

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["Curve", "DicomImage", "Identity", "Voi", "Window", "is_dicom", "patient_data", "read_dicom_image"]


_TONE = 1 / 255


@dataclass(frozen=True, eq=False)
class DicomImage:
    """One image, or a stack of frames, and what its file says of it, nothing about the patient.

    pixels : (H, W) or (N, H, W), values after the modality LUT or rescale, bright is dense, in the smallest exact
        dtype; where the file asks for a curve, what the curve makes of them, see ``curve``; colours (H, W, 3) or
        (N, H, W, 3) uint8.
    windows : what the file would have its values seen through, the first unasked; none for colours.
    limits : (low, high) of the pixels that are black and white at first: the first window's that shows more than
        one even tone; else :func:`~napari_vlexplain.io.images.default_limits` without padding, all of 8 bits or of
        the fewer that are stored. None for colours.
    spacing : (row, column) in mm, None where unknown.
    frames : in the file, however many were read.
    padding : (lowest, highest) value that stands for "outside the image", or None.
    hounsfield : are the pixels Hounsfield units?
    warnings : sentences that a reader should know of.
    aspect : (height, width) of a pixel where its shape is known without its size, else None.
    otherwise : that and why the picture is not shown as its file asks, "" where it is; one of the warnings.
    curve : the VOI LUT or SIGMOID that the pixels went through, as contrast limits are straight: 0 is black, the upper
        limit white. None where pixels are values.
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
    aspect: tuple[float, float] | None = None
    curve: Voi | None = None
    otherwise: str = ""

    @property
    def views(self) -> tuple[Window, ...]:
        """The windows that the pixels can be seen through, as they are: the file's straight ones, or all of a curve."""
        if self.curve is not None and self.limits is not None:
            return (Window.of_limits(self.limits, name=self.curve.name),)
        return tuple(voi for voi in self.windows if isinstance(voi, Window) and not is_bent(voi))

    def presented(self) -> NDArray[np.float32]:
        """The pixels as brightness in [0, 1], as they are shown at first.

        Raises
        ------
        VLExplainError : colours.
        """
        if self.limits is None:
            raise VLExplainError("A picture in colours has no window; its pixels are already what is seen.")
        return Window.of_limits(self.limits, "LINEAR_EXACT").shown(self.pixels)

    def seen(self, voi: Voi) -> DicomImage:
        """Of values: the image through another of its windows or curves."""
        if isinstance(voi, Window) and not is_bent(voi):
            return replace(self, limits=voi.limits)
        drawn, top = voi.drawn(self.pixels)
        told = (
            *self.warnings,
            f"The file asks for a curve: pixels are what it makes of the values, up to {top:g} (white).",
        )
        return replace(self, pixels=drawn, limits=(0.0, top), padding=None, hounsfield=False, curve=voi, warnings=told)

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


def read_dicom_image(
    path: str | Path, frame: int | None = None, window: str | None = None, values: bool = False
) -> DicomImage:
    """Read a DICOM file.

    Parameters
    ----------
    path : with or without a suffix.
    frame : only this one is decoded, from 0; None reads all.
    window : the one of the file's to see it through, by its name, else by its number from 1; None takes the first
        that shows anything.
    values : keep the pixels values, whatever curve the file asks for, with the limits of pictures without a window.

    Raises
    ------
    VLExplainError : pydicom is missing, not DICOM, no image in it, cut off, a codec is missing, too large, no such
        frame, no such window.
    """
    file = Path(path).expanduser()
    header = read_header(file)
    try:
        with quiet():
            frames = _checked(file, header, frame)
            stored, told = stored_pixels(file, header, frame)
            image = _image(header, stored, frames, frame, told)
            return _first_seen(image, values) if window is None else image.seen(image.window(window, file.name))
    except VLExplainError:
        raise
    except MemoryError:
        raise VLExplainError(f"{file.name} does not fit into memory; read one frame of it.") from None
    except Exception as error:
        with quiet():
            raise VLExplainError(why(file, header, frame, error)) from None


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


def _image(header: Dataset, stored: NDArray[Any], frames: int, frame: int | None, stray: str) -> DicomImage:
    """As its values, before anybody looks at it: its limits are all that its bits can say."""
    spacing, note = spacing_of(header, frame or 0)
    aspect = aspect_of(header) if spacing is None else None
    told = [one for one in (note, stray) if one]
    if aspect is not None:
        told.append(f"Pixels are {aspect[0] / aspect[1]:.3g} times as high as wide; a model takes them as square.")
    if burnt_in(header):
        told.append("Letters are burnt into the pixels; they may name the patient.")
    if str(header.get("LossyImageCompression", "")).strip() == "01":
        told.append("The image was once compressed with loss.")
    identity = identity_of(header)
    if is_colour(header):
        colours = _colours(header, stored)
        return DicomImage(colours, (), None, spacing, frames, identity, warnings=tuple(told), aspect=aspect)
    pixels, scale = _values(header, stored, frame)
    padding = padding_of(header, scale, stored.dtype)
    windows = vois_of(header, scale, frame or 0)
    hounsfield, warnings = is_hounsfield(header), tuple(told)
    return DicomImage(pixels, windows, scale.span, spacing, frames, identity, padding, hounsfield, warnings, aspect)


def _first_seen(image: DicomImage, values: bool) -> DicomImage:
    """Through the file's first window or curve; not through one that shows nothing, and says so."""
    if image.limits is None:
        return image
    first = image.windows[0] if image.windows else None
    if first is None or (values and is_bent(first)):
        return replace(image, limits=_usual(image))
    ends = ends_of(image.pixels, image.padding)
    if ends is None or ends[0] == ends[1] or not _is_even(first, image, ends):
        return image.seen(first)
    offered = (voi for voi in image.windows[1:] if not (values and is_bent(voi)))
    second = next((voi for voi in offered if not _is_even(voi, image, ends)), None)
    told = (
        f"The file's window ({_said(first)}) would show all of the picture's values, {ends[0]:g} to {ends[1]:g}, as "
        "one even tone; "
        + (
            "the contrast of pictures without a window is shown in its place."
            if second is None
            else f"its next that shows them ({_said(second)}) is taken in its place."
        )
    )
    seen = replace(image, limits=_usual(image)) if second is None else image.seen(second)
    return replace(seen, warnings=(*seen.warnings, told), otherwise=told)


def _said(voi: Voi) -> str:
    return voi.text if isinstance(voi, Window) else "a table"


def _usual(image: DicomImage) -> Limits:
    """Where no window says it; of a stack by its middle."""
    pixels = image.pixels if image.pixels.ndim == 2 else image.pixels[len(image.pixels) // 2]
    return default_limits(pixels, image.padding, measured=True) or image.limits or (0.0, 255.0)


def _is_even(voi: Voi, image: DicomImage, ends: Limits) -> bool:
    """Does it show all values as one tone, of the 256 that screens and most models have?"""
    if isinstance(voi, Window):  # which never falls
        low, high = voi.shown(np.asarray(ends))
        return bool(high - low < _TONE)
    inside = image.pixels
    if image.padding is not None:
        inside = inside[(inside < image.padding[0]) | (inside > image.padding[1])]
    drawn, top = voi.drawn(inside)
    return bool(int(drawn.max()) - int(drawn.min()) < _TONE * top)


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
    bits = bits_stored(header, stored.dtype)
    if str(header.get("PhotometricInterpretation")).strip() == "PALETTE COLOR":
        stored = palette_colours(stored, header, is_signed(header))
        bits = 16 if stored.dtype.itemsize > 1 and stored.max(initial=0) > 255 else 8
    return np.asarray(stored if bits <= 8 else stored >> (bits - 8)).astype(np.uint8)
