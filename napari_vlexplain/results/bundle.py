"""An explanation as a folder that people and other programs can read.

::

    heatmap.tif        (H, W) float32 in [0, 1] at source pixels, NaN where the model did not look
    patch_scores.tif   (gh, gw) float32, the raw scores, exact
    overlay.png        the heatmap on the image
    masks/NAME.png     (H, W) 8-bit, 0 or 255
    manifest.json      everything else, with a schema version; written last

The folder appears whole or not at all: files go to a hidden sibling that is renamed when it is complete.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..drawing.overlay import overlay, under
from ..errors import VLExplainError
from ..io.files import replace_folder, unique_slugs
from ..io.images import LARGEST
from .manifest import EXPLANATION, HEATMAP, MASKS, OVERLAY, PATCH_SCORES, explanation_of, geometry_of, manifest_of
from .saved import MANIFEST, write_manifest

if TYPE_CHECKING:
    from .explanation import Explanation

Masks = dict[str, NDArray[np.bool_]]


def save(explanation: Explanation, folder: Path, masks: Masks | None = None) -> Path:
    """Write a bundle and return its folder.

    Parameters
    ----------
    folder : new, empty, or a bundle that is to be replaced.
    masks : name -> (H, W) bool at source pixels; any names.

    Raises
    ------
    VLExplainError : the folder holds something else, a mask has another size, or the disk refuses; then nothing
        is left behind and an old bundle stays as it was.
    """
    checked = _checked_masks(masks or {}, explanation.geometry.source)
    return EXPLANATION.save(folder, lambda fresh: _write(explanation, fresh, checked))


def save_scores(explanation: Explanation, folder: Path) -> None:
    """Write a bundle without its pictures, a few kilobytes that :func:`load` reads like any other; raises OSError.

    ``folder`` is replaced, whatever it holds.
    """

    def write(fresh: Path) -> None:
        _write_values(fresh / PATCH_SCORES, explanation.patch_scores)
        write_manifest(fresh, manifest_of(explanation, {"patch_scores": PATCH_SCORES, "masks": {}}))

    replace_folder(folder, write)


def load(folder: Path, make: type[Explanation]) -> Explanation:
    """Read a bundle; its ``image`` is None.

    Raises
    ------
    VLExplainError : no bundle, a damaged one, or one of another version.
    """
    place = Path(folder).expanduser()
    manifest = EXPLANATION.read(place)
    files = _files(manifest, place)
    try:
        grid = geometry_of(manifest["geometry"]).grid
    except (KeyError, TypeError, ValueError, IndexError):
        raise EXPLANATION.damaged(place, ValueError("geometry")) from None
    scores = _read_scores(_inside(place, files.get("patch_scores")), grid)
    return explanation_of(manifest, scores, place, make)


def load_masks(folder: Path | str) -> Masks:
    """The masks of a bundle by name, each (H, W) bool.

    Raises
    ------
    VLExplainError : as :func:`load`, or a mask that is missing, no image or of another size.
    """
    place = Path(folder).expanduser()
    manifest = EXPLANATION.read(place)
    try:
        shape = geometry_of(manifest["geometry"]).source
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise EXPLANATION.damaged(place, error) from None
    listed = _files(manifest, place).get("masks", {})
    if not isinstance(listed, dict):
        raise EXPLANATION.damaged(place, ValueError("masks"))
    return {str(name): _read_mask(_inside(place, file), shape) for name, file in listed.items()}


def is_bundle(folder: Path | str) -> bool:
    """Does this folder hold a saved explanation that can be read?"""
    return EXPLANATION.holds(folder)


def _write(explanation: Explanation, folder: Path, masks: Masks) -> None:
    heatmap = explanation.heatmap
    for name, values in ((HEATMAP, heatmap), (PATCH_SCORES, explanation.patch_scores)):
        _write_values(folder / name, values)
    image, limits = under(explanation.image, explanation.request.image.contrast_limits, heatmap.shape)
    _write_png(folder / OVERLAY, overlay(image, heatmap, contrast_limits=limits))
    names = {name: f"{MASKS}/{slug}.png" for name, slug in zip(masks, unique_slugs(list(masks)), strict=True)}
    if masks:
        (folder / MASKS).mkdir()
    for name, mask in masks.items():
        _write_png(folder / names[name], mask.astype(np.uint8) * np.uint8(255))
    files = {"heatmap": HEATMAP, "patch_scores": PATCH_SCORES, "overlay": OVERLAY, "masks": names}
    write_manifest(folder, manifest_of(explanation, files))


def _write_values(file: Path, values: NDArray[np.float32]) -> None:
    import tifffile

    pixels = np.ascontiguousarray(values, dtype=np.float32)
    tifffile.imwrite(file, pixels, compression="zlib", photometric="minisblack", metadata=None)


def _write_png(file: Path, pixels: NDArray[np.uint8]) -> None:
    from PIL import Image

    Image.fromarray(pixels).save(file, format="PNG")


def _checked_masks(masks: Masks, shape: tuple[int, int]) -> Masks:
    found = {}
    for name, mask in masks.items():
        values = np.asarray(mask)
        if values.shape != shape:
            raise VLExplainError(f"The mask {name!r} has shape {values.shape}, but the image is {shape}.")
        found[str(name)] = values.astype(bool)
    return found


def _files(manifest: dict[str, Any], folder: Path) -> dict[str, Any]:
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise EXPLANATION.damaged(folder, ValueError("files"))
    return files


def _inside(folder: Path, name: Any) -> Path:
    """The file that a manifest names, if it lies in the bundle, links followed."""
    if not isinstance(name, str) or not name or "\0" in name or "\\" in name or ":" in name:
        raise VLExplainError(f"{folder / MANIFEST} names {name!r}, which is no file of a saved explanation.")
    home = Path(os.path.realpath(folder))
    file = Path(os.path.realpath(home / name))
    if not file.is_relative_to(home):
        raise VLExplainError(f"{folder / MANIFEST} names {name!r}, which lies outside the folder; do not trust it.")
    if not file.is_file():
        raise VLExplainError(f"{folder} lacks {name}; it was not copied whole.")
    return file


def _read_scores(file: Path, grid: tuple[int, int]) -> NDArray[np.float32]:
    import tifffile

    try:
        with tifffile.TiffFile(file) as tiff:
            page = tiff.pages[0]
            if page.shape != grid or page.dtype != np.float32:
                raise VLExplainError(f"{file} is {page.dtype} {page.shape}, but float32 {grid} is needed.")
            return np.asarray(page.asarray(), dtype=np.float32)
    except VLExplainError:
        raise
    except Exception:
        raise VLExplainError(f"{file} cannot be read; copy the saved explanation again.") from None


def _read_mask(file: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    from PIL import Image

    try:
        with Image.open(file, formats=["PNG"]) as image:
            if (image.height, image.width) != shape or image.width * image.height > LARGEST:
                raise VLExplainError(f"{file} is {(image.height, image.width)}, but the image is {shape}.")
            return np.asarray(image.convert("L")) > 127
    except VLExplainError:
        raise
    except Exception:
        raise VLExplainError(f"{file} cannot be read as a mask; copy the saved explanation again.") from None


__all__ = ["is_bundle", "load", "load_masks", "save", "save_scores"]
