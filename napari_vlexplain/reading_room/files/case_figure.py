"""A record as one picture: the image as it was read, the heatmap, all outlines, words, figures, and what was said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...drawing.colour import RIM, colour_of, table
from ...drawing.lettering import FAINT, INK, PAPER, one_line, words_strip, wrapped, write, write_lines
from ...drawing.overlay import as_uint8, draw_outline, overlay
from ...results.figure import warnings_of
from ...scale import written
from ..agreement import PAIRS
from ..records import CaseRecord
from ..rows import masks_of, row_of, shape_of
from .mask_files import Masks, in_order

if TYPE_CHECKING:
    from PIL import Image

NOTICE = "Research tool, not for clinical decisions."
_GAP = 16
_TEXT = 430
_WARNING = (166, 74, 0)
_FIGURES = ("iou", "dice", "precision", "recall")


def case_figure(record: CaseRecord, row: dict[str, Any] | None = None, side: int = 460) -> Image.Image:
    """RGB. ``row``: the record's, where it is known already; ``side``: pixels of the image's longer side.

    Raises VLExplainError for masks or an explanation that do not fit the image.
    """
    from PIL import Image, ImageDraw

    row = row_of(record) if row is None else row
    panels = [Image.fromarray(panel) for panel in _panels(record, side)]
    words = _column(record, row)
    wide = panels[0].width
    width = (wide + _GAP) * len(panels) + _TEXT + 2 * _GAP
    notes = [NOTICE] + ([] if record.explanation is None else warnings_of([record.explanation]))
    lines = [line for note in notes for line in wrapped(note, 14, width - 2 * _GAP)]
    tall = max(panels[0].height + 34, words.height)
    canvas = Image.new("RGB", (width, 46 + tall + 20 * len(lines) + _GAP), PAPER)
    draw = ImageDraw.Draw(canvas)
    which = "" if record.frame is None else f"   frame {record.frame + 1}"
    write(draw, (_GAP, 14), one_line(f"{record.case}{which}   {record.category}", 90), 15)
    for number, panel in enumerate(panels):
        canvas.paste(panel, (_GAP + number * (wide + _GAP), 42))
    _legend(draw, in_order(masks_of(record)), (_GAP, 42 + panels[0].height + 8))
    if record.explanation is not None:
        _bar(canvas, (2 * _GAP + wide, 42 + panels[0].height + 12, wide))
    canvas.paste(words, (_GAP + len(panels) * (wide + _GAP), 42))
    for number, line in enumerate(lines):
        write(draw, (_GAP, 46 + tall + 20 * number), line, 14, _WARNING)
    return canvas


def _panels(record: CaseRecord, side: int) -> list[NDArray[np.uint8]]:
    from PIL import Image

    shape = shape_of(record)
    factor = side / max(shape)
    size = max(1, round(shape[1] * factor)), max(1, round(shape[0] * factor))
    step = max(1, int(0.25 / factor))  # of huge images a fraction is enough to shrink from
    limits = record.limits if record.limits is not None else _whole_range(record.image)
    method = Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.BICUBIC
    base = np.asarray(Image.fromarray(as_uint8(np.asarray(record.image)[::step, ::step], limits)).resize(size, method))
    found = [base.copy()]
    if record.explanation is not None:
        heat = Image.fromarray(record.explanation.heatmap).resize(size, Image.Resampling.BILINEAR)
        found.append(overlay(base, np.asarray(heat)))
    for role, mask in in_order(masks_of(record)).items():
        picture = Image.fromarray((mask != 0) * np.uint8(255))
        inside = np.asarray(picture.resize(size, Image.Resampling.BILINEAR)) > 127
        for panel in found:
            draw_outline(panel, inside, role)
    return found


def _whole_range(image: NDArray[Any]) -> tuple[float, float] | None:
    """Of the image, not of the part that it is shrunk from; None where pixels are shown as they are."""
    pixels = np.asarray(image)
    if pixels.dtype == np.uint8 or pixels.dtype == bool:
        return None
    low, high = float(np.nanmin(pixels)), float(np.nanmax(pixels))
    return (low, high) if low < high else None


def _column(record: CaseRecord, row: dict[str, Any]) -> Image.Image:
    """Words in colours, what was asked, the table of figures, and what the reader says."""
    from PIL import Image, ImageDraw

    explanation = record.explanation
    strip = None if explanation is None else words_strip(explanation.word_scores(), _TEXT)
    canvas = Image.new("RGB", (_TEXT, 1400), PAPER)
    draw = ImageDraw.Draw(canvas)
    y = write_lines(draw, (0, 0), one_line(record.prompt, 400), _TEXT, 16, INK) + 4
    if strip is not None and explanation is not None:
        canvas.paste(strip, (0, y))
        y += strip.height + 8
        request = explanation.request
        said = f"{request.target.name} {written(explanation.score)}   {request.method} on {one_line(request.model, 60)}"
        y = write_lines(draw, (0, y), said, _TEXT, 14, FAINT)
        if explanation.degenerate:
            y = write_lines(draw, (0, y), "The map is the same everywhere: it says nothing.", _TEXT, 14, _WARNING)
    if record.threshold is not None:
        y = write_lines(draw, (0, y), f"threshold {record.threshold:.3f}", _TEXT, 14, FAINT)
    y = _table(draw, row, y + 8)
    if row["notes"]:
        y = write_lines(draw, (0, y), one_line(row["notes"], 900), _TEXT, 14, _WARNING) + 4
    for line in _said(row):
        y = write_lines(draw, (0, y), line, _TEXT, 14, INK)
    return canvas.crop((0, 0, _TEXT, min(max(y, 1), canvas.height)))


def _table(draw: Any, row: dict[str, Any], y: int) -> int:
    shown = [pair for pair in PAIRS if row[f"{pair[0]}_{pair[1]}_difference_px"] is not None]
    if shown:
        for place, name in enumerate((*_FIGURES, "± area")):
            write(draw, (136 + 62 * place if place < 4 else _TEXT, y), name, 13, FAINT, "ra" if place == 4 else "ma")
        y += 20
    for first, second in shown:
        pair = f"{first}_{second}"
        write(draw, (0, y), f"{first} : {second}", 13, INK)
        for place, name in enumerate(_FIGURES):
            write(draw, (136 + 62 * place, y), _number(row[f"{pair}_{name}"]), 13, INK, "ma")
        write(draw, (_TEXT, y), _difference(row, pair), 13, INK, "ra")
        y += 19
    single = [(name, row[name]) for name in ("pointing", "energy", "cnr") if row[name] is not None]
    if single:
        write(draw, (0, y), "   ".join(f"{name} {value:.3f}" for name, value in single), 13, INK)
        y += 19
    return y + 6


def _difference(row: dict[str, Any], pair: str) -> str:
    area, pixels = row[f"{pair}_difference_mm2"], row[f"{pair}_difference_px"]
    if not pixels:
        return "0"
    return f"{area:+,.0f} mm2" if area is not None else f"{pixels:+,d} px"


def _said(row: dict[str, Any]) -> list[str]:
    parts = []
    if row["verdict"]:
        sure = f", confidence {row['confidence']} of 5" if row["confidence"] else ""
        parts.append(f"{one_line(row['reader'], 60) or 'reader'}: {row['verdict']}{sure}")
    if row["comment"]:
        parts.append(one_line(row["comment"], 600))
    return parts


def _legend(draw: Any, masks: Masks, at: tuple[int, int]) -> None:
    x, y = at
    for role in masks:
        draw.rectangle((x, y + 3, x + 16, y + 11), fill=colour_of(role), outline=RIM)
        write(draw, (x + 22, y - 1), one_line(role, 24), 13, INK)
        x += 34 + 8 * min(len(role), 24)


def _bar(canvas: Any, where: tuple[int, int, int]) -> None:
    """The colours of the heatmap from 0 to 1."""
    from PIL import Image, ImageDraw

    x, y, width = where
    draw = ImageDraw.Draw(canvas)
    write(draw, (x, y - 5), "0", 13, FAINT)
    write(draw, (x + width, y - 5), "1", 13, FAINT, anchor="ra")
    bar = Image.fromarray(np.broadcast_to(table("ember"), (10, 256, 3)).copy()).resize((max(width - 36, 10), 10))
    canvas.paste(bar, (x + 18, y - 2))


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"
