"""Explanations, answers and segments as a notebook shows them: the picture, and words on the colour of their score."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..drawing.colour import diverging, ink_on
from ..drawing.overlay import as_source, overlay, under
from ..scale import written
from .cautions import beside
from .segment_pictures import regions_on

if TYPE_CHECKING:
    from .answer import Answer
    from .explanation import Explanation
    from .segmentation import Segmentation

LONGEST = 360
"""Pixels of a picture's longer side."""


def explanation_html(shown: Explanation) -> str:
    """The heatmap on its image, the words, the score, and what there is to be warned of."""
    asked = shown.request
    lines = [
        _words(shown.word_scores()),
        f"{asked.target.name} {shown.score:.4g}, {asked.method} on {_text(asked.model)}",
    ]
    neutral = beside(shown.provenance, asked.target.name)
    lines += [] if neutral is None else [f"neutral (“{_text(neutral[0])}”) {neutral[1]:.4g}"]
    lines += ["The map is the same everywhere: it says nothing."] if shown.degenerate else []
    return _figure(_heated(shown), lines, shown.provenance)


def answer_html(shown: Answer) -> str:
    """The relevance of the boxes on the image, the words of the question, and the answer with its probability."""
    asked = shown.request
    said = f"<b>{_text(shown.answer)}</b> {written(shown.probability)}, {asked.method} on {_text(asked.model)}"
    return _figure(_heated(shown), [_words(shown.word_scores()), said], shown.provenance)


def segmentation_html(shown: Segmentation) -> str:
    """The regions on their image, the object outlined."""
    image, limits = under(shown.image, shown.request.image.contrast_limits, shown.regions.shape)
    picture = regions_on(image, shown.regions, shown.object_mask, shown.box, limits)
    return _figure(picture, [f"{shown.count} segments, {_text(shown.request.model)}"], shown.provenance)


def _heated(shown: Explanation | Answer) -> NDArray[np.uint8]:
    image, limits = under(shown.image, shown.request.image.contrast_limits, shown.heatmap.shape)
    return overlay(image, shown.heatmap, contrast_limits=limits)


def _words(scores: list[tuple[str, float]]) -> str:
    """Blue below 0, red above, to the largest magnitude; the number is the tooltip."""
    colours = diverging(np.array([score for _, score in scores]))
    return " ".join(
        f'<span title="{score:.4g}" style="background:rgb{tuple(map(int, colour))};color:rgb{ink_on(colour)};'
        f'padding:0 .25em">{_text(word)}</span>'
        for (word, score), colour in zip(scores, colours, strict=True)
    )


def _figure(picture: NDArray[np.uint8], lines: list[str], provenance: dict[str, Any]) -> str:
    told = [*provenance.get("warnings", ()), provenance.get("warning")]
    lines = [*lines, *(f"<i>{_text(line)}</i>" for line in told if line)]
    said = "".join(f"<div>{line}</div>" for line in lines)
    image = f'<img alt="" src="{as_source(picture, LONGEST)}"/>'
    return f'<figure style="margin:0">{image}<figcaption>{said}</figcaption></figure>'


def _text(text: Any) -> str:
    """Prompts and saved folders may come from strangers."""
    return escape(str(text))
