"""A segmentation as a folder that people and other programs can read.

::

    overlay.png         regions in colours on the image, the object's outline and box in white
    regions.png         (H, W) 8-bit, the number of each pixel's region, 0 for the background
    object.png          (H, W) 8-bit, 0 or 255
    eigenvectors.png    v_1 .. v_K side by side, blue below 0 and red above
    eigenvectors.tif    (K, gh, gw) float32, exact
    manifest.json       everything else, with a schema version; written last

The folder appears whole or not at all. Regions and object are cut again from the eigenvectors when it is read.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..segmentation import Segmentation, SegmentRequest
from ..spectral.eigenvectors import Eigenvectors
from .manifest import MANIFEST, geometry_of, write_manifest
from .replace import replace_folder
from .segment_pictures import eigenvectors_side_by_side, regions_on

FORMAT = "napari-vlexplain segments"
SCHEMA_VERSION = 1
FILES = {
    "overlay": "overlay.png",
    "regions": "regions.png",
    "object": "object.png",
    "pictures": "eigenvectors.png",
    "eigenvectors": "eigenvectors.tif",
}


def save(found: Segmentation, folder: Path) -> Path:
    """Write a segmentation and return its folder, which must be new, empty, or hold saved segments.

    Raises
    ------
    VLExplainError : the folder holds something else, or the disk refuses.
    """
    target = Path(os.path.realpath(Path(folder).expanduser()))
    try:
        _refuse_foreign(target)
        replace_folder(target, lambda fresh: _write(found, fresh))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise VLExplainError(f"The segments cannot be saved in {folder}: {reason}; choose another folder.") from None
    return target


def load(folder: Path) -> Segmentation:
    """Read a segmentation; its ``image`` is None.

    Raises
    ------
    VLExplainError : no saved segments, damaged ones, or ones of another version.
    """
    from ..segmenting import split_parameters
    from ..spectral.segments import cut

    place = Path(folder).expanduser()
    data = _read(place)
    try:
        request = SegmentRequest.from_dict(data["request"])
        geometry = geometry_of(data["geometry"])
        values = np.array([float(x) for x in data["eigenvalues"]], dtype=np.float32)
        vectors = _vectors(place / FILES["eigenvectors"], (len(values) - 1, *geometry.grid))
        found = Eigenvectors(vectors, values, geometry)
        pieces = cut(found, split_parameters(dict(request.parameters))[1], request.seed)
        return Segmentation(request, found, pieces, dict(data["provenance"]))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        what = error.args[0] if error.args else type(error).__name__
        raise VLExplainError(f"{place / MANIFEST} is damaged ({what}); save the segments again.") from None


def document(found: Segmentation) -> dict[str, Any]:
    """All of a segmentation but its pixels, as JSON takes it. Numbers come back exactly."""
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "key": found.request.key,
        "regions": [{"region": k, "pixels": area} for k, area in enumerate(found.areas)],
        "box": [float(edge) for edge in found.box],
        "object_pixels": int(found.object_mask.sum()),
        "eigenvalues": [float(x) for x in found.eigenvectors.values],
        "found_nothing": found.found_nothing,
        "geometry": asdict(found.eigenvectors.geometry),
        "request": found.request.to_dict(),
        "provenance": found.provenance,
        "files": FILES,
    }


def _write(found: Segmentation, folder: Path) -> None:
    import tifffile
    from PIL import Image

    vectors = np.ascontiguousarray(found.eigenvectors.vectors, dtype=np.float32)
    tifffile.imwrite(folder / FILES["eigenvectors"], vectors, compression="zlib", photometric="minisblack")
    image, limits = found.image, found.request.image.contrast_limits
    if image is None:  # loaded: the regions stand alone
        image, limits = np.full(found.regions.shape, 90, dtype=np.uint8), None
    pictures = {
        "overlay": regions_on(image, found.regions, found.object_mask, found.box, limits),
        "regions": found.regions.astype(np.uint8),
        "object": found.object_mask.astype(np.uint8) * np.uint8(255),
        "pictures": eigenvectors_side_by_side(found.eigenvectors),
    }
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(folder / FILES[name], format="PNG")
    write_manifest(folder, document(found))


def _vectors(file: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    import tifffile

    try:
        found = np.asarray(tifffile.imread(file))
    except Exception:
        raise VLExplainError(f"{file} cannot be read; copy the saved segments again.") from None
    found = found.reshape(1, *found.shape) if found.ndim == 2 else found  # a single page
    if found.shape != shape or found.dtype != np.float32 or shape[0] < 1 or not np.isfinite(found).all():
        raise VLExplainError(f"{file} is {found.dtype} {found.shape}, but finite float32 {shape} is needed.")
    return found


def _read(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise VLExplainError(f"{folder} holds no {MANIFEST}, so it is no saved segments.") from None
    except (OSError, ValueError, RecursionError):
        raise VLExplainError(f"{file} cannot be read as JSON; save the segments again.") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise VLExplainError(f"{file} is not the manifest of saved segments.")
    if data.get("schema_version") != SCHEMA_VERSION:
        raise VLExplainError(
            f"{folder} has schema version {data.get('schema_version')!r}, but this napari-vlexplain reads "
            f"{SCHEMA_VERSION}; update napari-vlexplain, or save the segments again."
        )
    return data


def _refuse_foreign(folder: Path) -> None:
    """Raise unless the folder can be replaced without losing anything that is not ours."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise VLExplainError(f"{folder} is a file; choose a folder.")
    held = sorted(item.name for item in folder.iterdir())
    if held and (MANIFEST not in held or not set(held) <= {*FILES.values(), MANIFEST}):
        raise VLExplainError(f"{folder} is not empty and holds no saved segments alone; choose a new folder.")
    if held:
        _read(folder)
