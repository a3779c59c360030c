"""From what a user calls an image to a model's pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from ..geometry import Geometry
from ..io.images import as_rgb
from ..models.dual_encoder import DualEncoder
from ..results import cautions
from ..results.request import ImageIdentity
from ..tasks.explain import source_of, unlike_training
from .plan import Donor


@dataclass(frozen=True, eq=False)
class Picture:
    """One image, ready for a model: pixels (1, 3, h, w), their geometry, and whose they are.

    warnings : what must be told of it, see :mod:`napari_vlexplain.results.cautions`.
    """

    pixels: Tensor
    geometry: Geometry
    identity: ImageIdentity
    source: NDArray[Any]
    warnings: tuple[str, ...] = ()

    @property
    def record(self) -> dict[str, str]:
        """Which image it is, for provenance."""
        return {"name": self.identity.name, "sha256": self.identity.sha256}


def picture(
    model: DualEncoder,
    image: Any,
    contrast_limits: tuple[float, float] | None = None,
    name: str | None = None,
    plane: tuple[int, ...] = (),
) -> Picture:
    """A path, a Pillow image or an array, see :func:`napari_vlexplain.io.images.as_rgb`; of a stack, a plane of it."""
    of_file: list[str] = []
    source, called, limits = source_of(image, name, contrast_limits, plane, of_file)
    rgb = as_rgb(source, limits)
    pixels, geometry = model.pixels(rgb)
    told = (*of_file, *cautions.of_picture(rgb), *unlike_training(model, rgb, pixels))
    return Picture(pixels, geometry, ImageIdentity.of(source, called, limits, plane), source, told)


def donor_picture(model: DualEncoder, donor: Any) -> Picture | None:
    """The picture of a :class:`Donor`, or of anything that :func:`picture` takes; None for None."""
    if isinstance(donor, Donor):
        return picture(model, donor.image, donor.contrast_limits, donor.name, donor.plane)
    return None if donor is None else picture(model, donor)
