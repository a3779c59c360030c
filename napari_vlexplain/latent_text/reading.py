"""How tokens are read. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from ..errors import VLExplainError

if TYPE_CHECKING:
    from .smoothing import Smoothing

Mode = Literal["local", "skip"]
NormAxis = Literal["embedding", "token"]


@dataclass(frozen=True)
class Reading:
    """Options of the readout.

    Attributes
    ----------
    mode : from the token's layer on, ``local`` lets each token attend to itself only (the method); ``skip`` leaves
        the attention out, projections included (another method).
    norm_axis : ``embedding`` compares by cosine, as the paper says; ``token`` divides each channel by its energy over
        the image's tokens, as the published notebooks do, so that a token's text depends on the others.
    centre : subtract from the scores of each joined list their mean over layers, tokens and texts.
    class_axis : the same for the classes of an edited image; ``token`` as published.
    smoothing : random smoothing, see :mod:`napari_vlexplain.latent_text.smoothing`.
    """

    mode: Mode = "local"
    norm_axis: NormAxis = "embedding"
    centre: bool = False
    smoothing: Smoothing | None = None
    class_axis: NormAxis = "embedding"

    def __post_init__(self) -> None:
        axes = get_args(NormAxis)
        for name, allowed in (("mode", get_args(Mode)), ("norm_axis", axes), ("class_axis", axes)):
            if getattr(self, name) not in allowed:
                raise VLExplainError(f"{name} is {getattr(self, name)!r}, but it must be {' or '.join(allowed)}.")

    def to_dict(self) -> dict[str, object]:
        """For records."""
        smoothing = None if self.smoothing is None else self.smoothing.to_dict()
        found: dict[str, object] = {
            "mode": self.mode,
            "norm_axis": self.norm_axis,
            "centre": self.centre,
            "smoothing": smoothing,
        }
        return found if self.class_axis == "embedding" else {**found, "class_axis": self.class_axis}
