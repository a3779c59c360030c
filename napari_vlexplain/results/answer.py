"""An answer to a question about an image, with what it was read off: boxes and words with their raw scores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..scale import is_constant, min_max
from .explanation import joined_words
from .request import QuestionRequest

Painting = Literal["max", "sum"]


@dataclass(frozen=True, eq=False, repr=False)
class Answer:
    """What a model answers, and what its answer rests on.

    Attributes
    ----------
    request : what was asked (for all questions at once).
    question, answer : the question, and the answer that is explained.
    probability : of that answer, softmax over all answers.
    logit : of that answer; the scalar that gradients are of.
    top : the most probable answers with their probabilities, best first; ``top[0]`` is the model's own.
    size : (H, W) of the source image.
    boxes : (N, 4) float64, (x0, y0, x1, y1) in source pixels; N may be 0.
    box_scores : (N,) float32, raw.
    box_labels : what a detector takes each box for; empty where nothing says.
    tokens, token_scores, words : the question's own tokens, their raw scores, and the number of each one's word.
    provenance : model and weights hash, versions, device, seconds.
    image : the source image as given; None after loading.

    Examples
    --------
    >>> from napari_vlexplain import ask
    >>> from napari_vlexplain.datasets.samples import sticker_scene
    >>> found = ask(sticker_scene().image, "is there a dog?")
    >>> found.answer, found.boxes.shape, found.box_scores.shape, len(found.top)
    ('yes', (36, 4), (36,), 5)
    """

    request: QuestionRequest
    question: str
    answer: str
    probability: float
    logit: float
    top: tuple[tuple[str, float], ...]
    size: tuple[int, int]
    boxes: NDArray[np.float64]
    box_scores: NDArray[np.float32]
    box_labels: tuple[str, ...]
    tokens: tuple[str, ...]
    token_scores: NDArray[np.float32]
    words: tuple[int, ...]
    provenance: dict[str, Any]
    image: NDArray | None = None

    @property
    def prompt(self) -> str:
        """The question: what the prompt is to an explanation."""
        return self.question

    @cached_property
    def pixel_scores(self) -> NDArray[np.float32]:
        """(H, W) float32: each pixel the highest raw score of the boxes that cover it; NaN where none does."""
        return paint(self.boxes, self.box_scores, self.size)

    @cached_property
    def heatmap(self) -> NDArray[np.float32]:
        """For display: :attr:`pixel_scores` scaled from minimum and maximum to [0, 1]; zeros if they are constant."""
        return shown(self.pixel_scores)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must be told beside the answer, see :mod:`napari_vlexplain.results.cautions`."""
        return tuple(self.provenance.get("warnings", ()))

    @property
    def degenerate(self) -> bool:
        """Do all boxes score the same, so that the map says nothing?"""
        return is_constant(self.box_scores)

    def painted(self, how: Painting = "max") -> NDArray[np.float32]:
        """Raw scores at source pixels, see :func:`paint`."""
        return paint(self.boxes, self.box_scores, self.size, how)

    def box_shares(self) -> NDArray[np.float32]:
        """(N,) box scores scaled from minimum and maximum to [0, 1]; zeros if they are constant."""
        return shown(self.box_scores)

    def word_scores(self) -> list[tuple[str, float]]:
        """Tokens joined to words, with the sum of their scores."""
        return joined_words(self.tokens, self.words, self.token_scores)

    def __repr__(self) -> str:
        return f"Answer({self.question!r}, {self.answer!r}, {self.request.method} on {self.request.model})"

    def _repr_html_(self) -> str:
        from .html import answer_html

        return answer_html(self)

    def save(self, folder: str | Path) -> Path:
        """Write a folder of pictures, arrays and a manifest, see :mod:`napari_vlexplain.results.answer_bundle`."""
        from .answer_bundle import save

        return save(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Answer:
        """Read a folder that :meth:`save` wrote."""
        from .answer_bundle import load

        return load(Path(folder), cls)


def paint(
    boxes: NDArray[np.float64], scores: NDArray[np.float32], size: tuple[int, int], how: Painting = "max"
) -> NDArray[np.float32]:
    """Box scores at pixels: the ``max`` (as published) or the ``sum`` over the boxes that hold the pixel's centre.

    boxes (N, 4) as (x0, y0, x1, y1), scores (N,), size (H, W); returns (H, W) float32, NaN where no box lies.
    """
    painted = np.full(size, np.nan, dtype=np.float32)
    for box, score in zip(boxes, np.asarray(scores, dtype=np.float32), strict=True):
        x0, y0, x1, y1 = (max(0, int(edge)) for edge in np.ceil(box - 0.5))
        window = painted[y0:y1, x0:x1]
        if how == "max":
            np.fmax(window, score, out=window)
        else:
            window[...] = np.where(np.isnan(window), score, window + score)
    return painted


def shown(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scaled to [0, 1], NaN kept; what is constant becomes zeros, and nothing stays nothing."""
    return scores if np.isnan(scores).all() else min_max(scores)
