"""A segmentation as a folder that people and other programs can read.

::

    overlay.png         regions in colours on the image, the object's outline and box in the model's colour
    regions.png         (H, W) 8-bit, the number of each pixel's region, 0 for the background
    object.png          (H, W) 8-bit, 0 or 255
    eigenvectors.png    v_1 .. v_K side by side, blue below 0 and red above
    eigenvectors.tif    (K, gh, gw) float32, exact
    manifest.json       everything else, with a schema version; written last

The folder appears whole or not at all. Regions and object are cut again from the eigenvectors when it is read.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..spectral.eigenvectors import Eigenvectors
from ..spectral.parameters import split_parameters
from .manifest import geometry_of
from .request import SegmentRequest
from .saved import Saved, write_manifest
from .segment_pictures import eigenvectors_side_by_side, regions_on

if TYPE_CHECKING:
    from .segmentation import Segmentation

FILES = {
    "overlay": "overlay.png",
    "regions": "regions.png",
    "object": "object.png",
    "pictures": "eigenvectors.png",
    "eigenvectors": "eigenvectors.tif",
}
SEGMENTS = Saved("napari-vlexplain segments", 1, "segmentation", frozenset(FILES.values()))


def save(found: Segmentation, folder: Path) -> Path:
    """Write a segmentation and return its folder, which must be new, empty, or hold saved segments.

    Raises
    ------
    VLExplainError : the folder holds something else, or the disk refuses.
    """
    return SEGMENTS.save(folder, lambda fresh: _write(found, fresh))


def load(folder: Path, make: type[Segmentation]) -> Segmentation:
    """Read a segmentation; its ``image`` is None.

    Raises
    ------
    VLExplainError : no saved segments, damaged ones, or ones of another version.
    """
    from ..spectral.segments import cut

    place = Path(folder).expanduser()
    data = SEGMENTS.read(place)
    try:
        request = SegmentRequest.from_dict(data["request"])
        geometry = geometry_of(data["geometry"])
        values = np.array([float(x) for x in data["eigenvalues"]], dtype=np.float32)
        vectors = _vectors(place / FILES["eigenvectors"], (len(values) - 1, *geometry.grid))
        found = Eigenvectors(vectors, values, geometry)
        pieces = cut(found, split_parameters(dict(request.parameters))[1], request.seed)
        return make(request, found, pieces, dict(data["provenance"]))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise SEGMENTS.damaged(place, error) from None


def document(found: Segmentation) -> dict[str, Any]:
    """All of a segmentation but its pixels, as JSON takes it. Numbers come back exactly."""
    return {
        "format": SEGMENTS.format,
        "schema_version": SEGMENTS.version,
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
