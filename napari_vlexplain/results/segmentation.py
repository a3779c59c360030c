"""An image's spectral segments: eigenvectors, regions and object, with what they were made from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..spectral.eigenvectors import Eigenvectors
from ..spectral.parameters import CutParameters
from ..spectral.segments import Cut, cut
from .request import SegmentRequest


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation:
    """Regions of an image as a vision tower's own features suggest them; no prompt, no training.

    Attributes
    ----------
    request : what was asked.
    eigenvectors : of the graph of patches.
    cut : regions and object, on source pixels and on the grid of patches.
    provenance : model and weights hash, features and block, versions, device, seconds.
    image : the source image as given; None after loading.

    Examples
    --------
    >>> from napari_vlexplain import segment
    >>> from napari_vlexplain.datasets.samples import sticker_scene
    >>> found = segment(sticker_scene().image)
    >>> finer = found.recut(clusters=6)  # without the model
    >>> found.regions.shape == finer.regions.shape, found.box.shape
    (True, (4,))
    """

    request: SegmentRequest
    eigenvectors: Eigenvectors
    cut: Cut
    provenance: dict[str, Any]
    image: NDArray | None = None

    @property
    def regions(self) -> NDArray[np.int32]:
        """(H, W) int32: 0 for the background and where the model does not look, others by size."""
        return self.cut.regions

    @property
    def object_mask(self) -> NDArray[np.bool_]:
        """(H, W) bool: the side of the first eigenvector that is taken for the object."""
        return self.cut.object_mask

    @property
    def box(self) -> NDArray[np.float64]:
        """(4,) the object's box, (x0, y0, x1, y1) in source pixels."""
        return self.cut.box

    @property
    def count(self) -> int:
        """Regions, the background included."""
        return int(self.cut.patch_regions.max()) + 1

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be told beside the segments, see :mod:`napari_vlexplain.results.cautions`."""
        return tuple(self.provenance.get("warnings", ()))

    @property
    def found_nothing(self) -> bool:
        """Are all patches alike, so that there is nothing to cut?"""
        return not self.eigenvectors.vectors.any()

    @cached_property
    def areas(self) -> tuple[int, ...]:
        """Pixels of each region that the model sees, background first."""
        seen = self.regions[self.eigenvectors.geometry.seen()]
        return tuple(int(n) for n in np.bincount(seen, minlength=self.count))

    def recut(self, seed: int | None = None, **changes: Any) -> Segmentation:
        """The same eigenvectors cut otherwise; the model is not run again.

        Parameters
        ----------
        changes : fields of :class:`napari_vlexplain.spectral.parameters.CutParameters`.

        Raises
        ------
        VLExplainError : an unknown name, a wrong type, a value out of range.
        """
        from ..parameters import fill

        known = dict(self.request.parameters)
        names = CutParameters.__dataclass_fields__
        chosen = fill(CutParameters, {**{name: known[name] for name in names}, **changes}, "segment")
        seed = self.request.seed if seed is None else seed
        request = replace(self.request, parameters=tuple(sorted({**known, **asdict(chosen)}.items())), seed=seed)
        return replace(self, request=request, cut=cut(self.eigenvectors, chosen, seed))

    def __repr__(self) -> str:
        return f"Segmentation({self.count} segments, {self.request.model})"

    def _repr_html_(self) -> str:
        from .html import segmentation_html

        return segmentation_html(self)

    def save(self, folder: str | Path) -> Path:
        """Write a folder of pictures, arrays and a manifest, see :mod:`napari_vlexplain.results.segment_bundle`."""
        from .segment_bundle import save

        return save(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Segmentation:
        """Read a folder that :meth:`save` wrote."""
        from .segment_bundle import load

        return load(Path(folder), cls)
