"""Explanations as a picture to keep or to send: image, heatmap, words, and what a reader must know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..drawing.colour import RIM, colour_of, table
from ..drawing.lettering import FAINT, INK, PAPER, one_line, words_strip, wrapped, write, write_lines
from ..drawing.overlay import as_uint8, draw_outline, overlay
from ..errors import VLExplainError
from ..scale import written
from .cautions import beside

if TYPE_CHECKING:
    from PIL import Image

    from .explanation import Explanation

Mask = NDArray[np.bool_]
_GAP = 16
_WORDS = 300
_WARNING = (166, 74, 0)


def figure(
    explanations: Explanation | Sequence[Explanation],
    ground_truth: Mask | Sequence[Mask | None] | None = None,
    image: Any = None,
    side: int = 400,
) -> Image.Image:
    """A row for each explanation: image, heatmap on it, words with their relevance and the score; RGB.

    Parameters
    ----------
    ground_truth : (H, W) bool, or one (or None) for each explanation; drawn as an outline.
    image : the source image, for explanations that were loaded from disk and hold none.
    side : pixels of an image's longer side.

    Raises
    ------
    VLExplainError : nothing to show, masks that do not fit, no image.
    """
    from PIL import Image, ImageDraw

    shown = _listed(explanations)
    truths = _truths(ground_truth, shown)
    rows = [(e, *panels(e, truth, image, side), _caption(e)) for e, truth in zip(shown, truths, strict=True)]
    wide = max(left.width for _, left, _, _ in rows)
    heights = [max(left.height, words.height) for _, left, _, words in rows]
    width = 2 * wide + _WORDS + 4 * _GAP
    notes = warnings_of(shown)
    footer = [line for note in notes for line in wrapped(note, 14, width - 2 * _GAP)]
    top = 42
    height = top + sum(heights) + _GAP * len(rows) + 34 + 20 * len(footer) + (_GAP if footer else 0)
    canvas = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    write(draw, (_GAP, 14), one_line(_name(shown[0]), 60), 15)
    y = top
    for (_, left, right, words), tall in zip(rows, heights, strict=True):
        canvas.paste(left, (_GAP, y))
        canvas.paste(right, (2 * _GAP + wide, y))
        canvas.paste(words, (3 * _GAP + 2 * wide, y))
        y += tall + _GAP
    _colour_bar(canvas, (2 * _GAP + wide, y - 4, wide))
    if any(truth is not None for truth in truths):
        draw.rectangle((_GAP, y - 1, _GAP + 16, y + 7), fill=colour_of("truth"), outline=RIM)
        write(draw, (_GAP + 22, y - 5), "ground truth", 13, FAINT)
    for number, line in enumerate(footer):
        write(draw, (_GAP, y + 34 + 20 * number), line, 14, _WARNING)
    return canvas


def comparison(
    rows: Sequence[Sequence[Explanation | None]],
    ground_truth: Sequence[Mask | None],
    notes: Sequence[Sequence[str]] | None = None,
    side: int = 230,
    titles: Sequence[str] | None = None,
) -> Image.Image:
    """A table of heatmaps: a row for each prompt, a column for each method, the image first; RGB.

    ``ground_truth`` has one mask for each row, drawn as an outline; ``notes`` one line under each heatmap; ``titles``
    one for each column, by default the methods. Where a row has None, the tile stays empty; one it must have.
    """
    from PIL import Image, ImageDraw

    known = [[e for e in row if e is not None] for row in rows]
    if not known or not all(known):
        raise VLExplainError("There is no explanation to draw; give at least one.")
    pairs = [
        [None if e is None else panels(e, truth, None, side) for e in row]
        for row, truth in zip(rows, ground_truth, strict=True)
    ]
    images = [next(pair[0] for pair in row if pair is not None) for row in pairs]
    wide, tall = (max(getattr(image, name) for image in images) for name in ("width", "height"))
    columns = len(rows[0]) + 1
    width = columns * wide + (columns - 1) * 8 + 2 * _GAP
    warnings = warnings_of([e for row in known for e in row])
    row_height = tall + 52
    bottom = 40 + row_height * len(rows)
    canvas = Image.new("RGB", (width, bottom + 28 + 24 * len(warnings)), PAPER)
    draw = ImageDraw.Draw(canvas)
    named = [e.request.method for e in known[0]] if titles is None else titles
    for column, title in enumerate(["image", *named]):
        write(draw, (_GAP + column * (wide + 8), 14), _fitting(title, 15, wide), 15)
    for number, (row, image, first) in enumerate(zip(pairs, images, known, strict=True)):
        y = 40 + number * row_height
        canvas.paste(image, (_GAP, y))
        write(draw, (_GAP, y + tall + 5), _fitting(first[0].prompt, 14, wide), 14)
        scores = {written(e.score) for e in first}
        said = f"{first[0].request.target.name} {scores.pop()}" if len(scores) == 1 else ""  # models differ
        write(draw, (_GAP, y + tall + 25), said, 13, FAINT)
        for column, pair in enumerate(row, start=1):
            x = _GAP + column * (wide + 8)
            if pair is not None:
                canvas.paste(pair[1], (x, y))
            if notes is not None:
                write(draw, (x, y + tall + 5), notes[number][column - 1], 13, FAINT)
    _colour_bar(canvas, (_GAP + wide + 8, bottom - 4, wide))
    for number, warning in enumerate(warnings):
        write(draw, (_GAP, bottom + 24 + 24 * number), warning, 14, _WARNING)
    return canvas


def panels(
    explanation: Explanation, truth: Mask | None, image: Any = None, side: int = 400
) -> tuple[Image.Image, Image.Image]:
    """The image and the heatmap on it, each with the outline of the ground truth, ``side`` pixels long."""
    from PIL import Image

    pixels = explanation.image if image is None else image
    if pixels is None:
        raise VLExplainError("This explanation was loaded without its image; pass image=... as well.")
    limits = explanation.request.image.contrast_limits
    shape = explanation.geometry.source
    base = as_uint8(pixels, limits)
    if base.shape[:2] != shape:
        raise VLExplainError(f"The image has shape {base.shape[:2]}, but the explanation is of one of {shape}.")
    factor = side / max(shape)
    size = max(1, round(shape[1] * factor)), max(1, round(shape[0] * factor))
    method = Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.BICUBIC
    small = Image.fromarray(base).resize(size, method)
    heat = np.asarray(Image.fromarray(explanation.heatmap).resize(size, Image.Resampling.BILINEAR))
    found = [np.asarray(small).copy(), overlay(np.asarray(small), heat)]
    if truth is not None:
        inside = np.asarray(Image.fromarray(truth.astype(np.uint8) * 255).resize(size, Image.Resampling.BILINEAR)) > 127
        for picture in found:
            draw_outline(picture, inside, "truth")
    return Image.fromarray(found[0]), Image.fromarray(found[1])


def warnings_of(explanations: Sequence[Explanation]) -> list[str]:
    """What must be told beside the maps, and what the models' makers want to be said, each once."""
    found = [text for e in explanations for text in e.warnings]
    found += [str(e.provenance.get("warning") or "") for e in explanations]
    return [one_line(text) for text in dict.fromkeys(found) if text]


def _caption(explanation: Explanation) -> Image.Image:
    from PIL import Image, ImageDraw

    request = explanation.request
    strip = words_strip(explanation.word_scores(), _WORDS)
    lines = [
        (f"{request.target.name} {written(explanation.score)}", 16, INK),
        (f"{request.method} on {request.model}", 14, FAINT),
    ]
    neutral = beside(explanation.provenance, request.target.name)
    if neutral is not None:
        lines.insert(1, (f"neutral (“{one_line(neutral[0], 30)}”) {written(neutral[1])}", 14, FAINT))
    if explanation.degenerate:
        lines.append(("The map is the same everywhere: it says nothing about this image.", 14, _WARNING))
    height = sum(round(size * 1.4) * len(wrapped(text, size, _WORDS)) for text, size, _ in lines)
    caption = Image.new("RGB", (_WORDS, strip.height + 12 + height), PAPER)
    caption.paste(strip, (0, 0))
    draw, y = ImageDraw.Draw(caption), strip.height + 12
    for text, size, ink in lines:
        y = write_lines(draw, (0, y), text, _WORDS, size, ink)
    return caption


def _colour_bar(canvas: Image.Image, where: tuple[int, int, int]) -> None:
    from PIL import Image, ImageDraw

    x, y, width = where
    draw = ImageDraw.Draw(canvas)
    write(draw, (x, y - 1), "low", 13, FAINT)
    write(draw, (x + width, y - 1), "high", 13, FAINT, anchor="ra")
    bar = Image.fromarray(np.broadcast_to(table("ember"), (10, 256, 3)).copy()).resize((max(width - 76, 10), 10))
    canvas.paste(bar, (x + 36, y + 3))


def _fitting(text: str, size: int, width: int) -> str:
    lines = wrapped(text, size, width - size)
    return lines[0] if len(lines) == 1 else lines[0] + "…"


def _name(explanation: Explanation) -> str:
    return explanation.request.image.name.replace("\\", "/").rsplit("/", 1)[-1]


def _listed(explanations: Explanation | Sequence[Explanation]) -> list[Explanation]:
    found = list(explanations) if isinstance(explanations, Sequence) else [explanations]
    if not found:
        raise VLExplainError("There is no explanation to draw; give at least one.")
    return found


def _truths(given: Mask | Sequence[Mask | None] | None, shown: Sequence[Explanation]) -> list[Mask | None]:
    masks = [given] * len(shown) if given is None or isinstance(given, np.ndarray) else list(given)
    if len(masks) != len(shown):
        raise VLExplainError(f"There are {len(masks)} ground truths for {len(shown)} explanations; give one for each.")
    for mask, explanation in zip(masks, shown, strict=True):
        if mask is not None and mask.shape != explanation.geometry.source:
            raise VLExplainError(
                f"The ground truth has shape {mask.shape}, but the image is {explanation.geometry.source}."
            )
    return masks
