"""What users call an image, and how it is to be seen: :class:`ImageSource`; once read, :class:`LoadedImage`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import VLExplainError
from .arrays import Limits, as_array, as_rgb, default_limits
from .images import read_shown

WINDOW = ("window",)
"""What doors do not take as a keyword, because occlusion has a parameter of that name: give them an ImageSource."""


@dataclass(frozen=True, eq=False)
class ImageSource:
    """An image, and how it is to be seen. Doors that take an image take its other fields as keywords, or all in one.

    Parameters
    ----------
    image : path, Pillow image or array, see :func:`napari_vlexplain.io.images.as_rgb`; or such a source, or a
        :class:`LoadedImage`.
    contrast_limits : (low, high) of the image's values that become black and white; by default a DICOM file's window,
        else those of :func:`napari_vlexplain.io.images.default_limits`.
    plane : of a file or an array that holds a stack, the index of the image along each leading axis.
    window : of a DICOM file's windows the one to see it through, by its name or its number from 1.
    name : what to call the image in records; by default its path.
    """

    image: Any
    contrast_limits: Limits | None = None
    plane: tuple[int, ...] = ()
    window: str | int | None = None
    name: str | None = None

    def load(self) -> LoadedImage:
        """The image, read.

        Raises
        ------
        VLExplainError : no such file, not an image, a plane or a window that it does not have.
        """
        if isinstance(self.image, ImageSource | LoadedImage):
            if (self.contrast_limits, self.plane, self.window, self.name) != (None, (), None, None):
                raise VLExplainError("The image says itself how it is seen; leave limits, plane, window and name out.")
            return self.image if isinstance(self.image, LoadedImage) else self.image.load()
        plane = tuple(int(at) for at in self.plane)
        told: list[str] = []
        if isinstance(self.image, str | Path):
            window = None if self.window is None else str(self.window)
            pixels, limits = read_shown(self.image, self.contrast_limits, plane, window, told)
            called = self.name or str(self.image)
        else:
            pixels, limits = self._plane_of(as_array(self.image), plane), self.contrast_limits
            called = self.name or getattr(self.image, "filename", "") or "image"
        return LoadedImage(pixels, called, default_limits(pixels) if limits is None else limits, plane, tuple(told))

    def _plane_of(self, pixels: NDArray, plane: tuple[int, ...]) -> NDArray:
        if self.window is not None:
            raise VLExplainError("An array names no windows, as a DICOM file does; give contrast limits instead.")
        if len(plane) > max(pixels.ndim - 2, 0):
            raise VLExplainError(f"The image has shape {pixels.shape}, which has no plane {plane}.")
        return pixels[plane]


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """An image that is read: its pixels, and all that decides how it is seen.

    Parameters
    ----------
    pixels : (H, W) or (H, W, 3 or 4), in their own dtype.
    name : what records call it.
    contrast_limits : (low, high) that become black and white; written into a request they show the same picture again.
    plane : where it lies in the stack that it came from.
    told : what must be said where it is not shown as its file asks, in sentences.
    """

    pixels: NDArray
    name: str
    contrast_limits: Limits | None
    plane: tuple[int, ...] = ()
    told: tuple[str, ...] = ()

    @cached_property
    def rgb(self) -> NDArray:
        """(H, W, 3) as models see it, see :func:`napari_vlexplain.io.images.as_rgb`."""
        return as_rgb(self.pixels, self.contrast_limits)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.pixels.shape[0], self.pixels.shape[1]
