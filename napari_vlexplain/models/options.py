"""How a run goes, which every door takes alike: :class:`RunOptions`. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING

from ..errors import VLExplainError
from ..running.run import Run

if TYPE_CHECKING:
    from .dual_encoder import DualEncoder


@dataclass(frozen=True)
class RunOptions:
    """On what a model runs and how it is asked; doors take the fields as keywords.

    Parameters
    ----------
    device : cpu, cuda, cuda:1, mps; by default the fastest there is.
    dtype : of the model's matrix products: float32 (auto), bfloat16 or float16; everything else is float32.
    size : of the model's input, size x size pixels (384), its positions interpolated; by default its own. A map has a
        score for each of the model's patches, so it is finer with more pixels.
    seed : of every random number, a whole number of at least 0.
    truncate : cut prompts that are longer than the model's context instead of refusing them.
    download : may weights be fetched that are not on this machine?

    Raises
    ------
    VLExplainError : a seed that is none.
    """

    device: str | None = None
    dtype: str = "auto"
    size: int | None = None
    seed: int = 0
    truncate: bool = False
    download: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, Integral) or self.seed < 0:
            raise VLExplainError(f"seed is {self.seed!r}, but it must be a whole number of at least 0.")
        object.__setattr__(self, "seed", int(self.seed))

    def opened(self, model: str | DualEncoder, run: Run | None = None) -> DualEncoder:
        """A model by name, see :func:`napari_vlexplain.load_model`, or a loaded one, as these options want it.

        Raises
        ------
        Cancelled, VLExplainError : as ``load_model``.
        """
        if isinstance(model, str):
            from . import load_model

            return load_model(model, self.device, self.download, run, self.dtype, self.size)
        from .precision import in_precision
        from .resolution import at_size

        return at_size(in_precision(model, self.dtype), self.size)
