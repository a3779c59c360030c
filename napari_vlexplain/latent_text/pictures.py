"""From what a user calls an image to a model's pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from ..geometry import Geometry
from ..io.source import ImageSource
from ..models.dual_encoder import DualEncoder
from ..results import cautions
from ..results.request import ImageIdentity
from ..tasks.explain import unlike_training
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


def picture(model: DualEncoder, image: ImageSource) -> Picture:
    """An image as a model takes it."""
    seen = image.load()
    pixels, geometry = model.pixels(seen.rgb)
    told = (*seen.told, *cautions.of_picture(seen.rgb), *unlike_training(model, seen.rgb, pixels))
    return Picture(pixels, geometry, ImageIdentity.of_loaded(seen), seen.pixels, told)


def donor_picture(model: DualEncoder, donor: Any) -> Picture | None:
    """The picture of a :class:`Donor`, or of anything that is an image; None for None."""
    if isinstance(donor, Donor):
        return picture(model, donor.seen)
    return None if donor is None else picture(model, ImageSource(donor))
