"""Scores of patches as a map on the source's pixels."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..geometry import Geometry
from ..scale import is_constant, min_max


class PatchMap:
    """What can be said of whatever holds ``patch_scores`` (gh, gw), raw, and the ``geometry`` that places them."""

    patch_scores: NDArray[np.float32]
    geometry: Geometry

    @cached_property
    def pixel_scores(self) -> NDArray[np.float32]:
        """Raw scores at source pixels, (H, W) float32, bilinear; NaN outside the model's crop."""
        return self.geometry.scores_to_source(self.patch_scores)

    @cached_property
    def heatmap(self) -> NDArray[np.float32]:
        """For display: :attr:`pixel_scores` scaled from minimum and maximum to [0, 1]; zeros if they are constant."""
        return min_max(self.pixel_scores)

    @property
    def degenerate(self) -> bool:
        """Are all patch scores the same, so that the map says nothing?"""
        return is_constant(self.patch_scores)
