"""The answer: raw scores of patches and words, with all that is needed to show, keep and reproduce them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import Geometry
from .patch_map import PatchMap
from .request import Request


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(PatchMap):
    """What one model sees in one image for one prompt.

    Attributes
    ----------
    request : what was asked (for all prompts at once).
    prompt : the prompt that this explains.
    patch_scores : (gh, gw) float32, raw and signed, never scaled.
    tokens : the prompt's own tokens, special ones stripped.
    token_scores : (len(tokens),) float32, raw.
    words : for each token the number of the word it belongs to.
    score : the target's scalar for the pair.
    geometry : leads from patches to source pixels.
    provenance : model and weights hash, versions, device, seconds, cosine, logit.
    image : the source image as given, for overlays; None after loading.

    Examples
    --------
    >>> from napari_vlexplain import explain
    >>> from napari_vlexplain.datasets.samples import sticker_scene
    >>> found = explain(sticker_scene().image, "a photo of a dog")
    >>> found.patch_scores.shape, found.heatmap.shape, found.degenerate
    ((14, 14), (672, 672), False)
    >>> [word for word, score in found.word_scores()]
    ['a', 'photo', 'of', 'a', 'dog']
    """

    request: Request
    prompt: str
    patch_scores: NDArray[np.float32]
    tokens: tuple[str, ...]
    token_scores: NDArray[np.float32]
    words: tuple[int, ...]
    score: float
    geometry: Geometry
    provenance: dict[str, Any]
    image: NDArray | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be told beside the map, a sentence each, see :mod:`napari_vlexplain.results.cautions`."""
        return tuple(self.provenance.get("warnings", ()))

    def word_scores(self) -> list[tuple[str, float]]:
        """Tokens joined to words, with the sum of their scores."""
        return joined_words(self.tokens, self.words, self.token_scores)

    def __repr__(self) -> str:
        return f"Explanation({self.prompt!r}, {self.request.method} on {self.request.model}, score {self.score:.4g})"

    def _repr_html_(self) -> str:
        from .html import explanation_html

        return explanation_html(self)

    def save(self, folder: str | Path, *, masks: dict[str, NDArray[np.bool_]] | None = None) -> Path:
        """Write a bundle, see :mod:`napari_vlexplain.results.bundle`. The folder must be new or hold a bundle."""
        from .bundle import save

        return save(self, Path(folder), masks or {})

    @classmethod
    def load(cls, folder: str | Path) -> Explanation:
        """Read a bundle that :meth:`save` wrote."""
        from .bundle import load

        return load(Path(folder), cls)


def joined_words(
    tokens: tuple[str, ...], words: tuple[int, ...], scores: NDArray[np.float32]
) -> list[tuple[str, float]]:
    """Tokens of the same word joined, with the sum of their scores."""
    found: list[tuple[str, float]] = []
    previous = None
    for token, word, score in zip(tokens, words, scores, strict=True):
        if word == previous:
            text, total = found[-1]
            found[-1] = (text + token, total + float(score))
        else:
            found.append((token, float(score)))
        previous = word
    return found
