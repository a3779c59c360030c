"""Text in pictures: fonts, line breaks, and words on the colour of their relevance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from .colour import diverging, ink_on

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
INK: Colour = (32, 34, 40)
FAINT: Colour = (112, 116, 126)
PAPER: Colour = (255, 255, 255)

# Pillow's own font knows Latin letters only; these are tried, in order, for everything else.
_WIDE_FONTS = ("DejaVuSans.ttf", "NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf")


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's font, the same on every machine; for letters that it lacks one of this machine's, if there is any."""
    return _font(size, all(ord(letter) < 0x180 for letter in text))


def one_line(text: str, longest: int = 200) -> str:
    """Without line breaks and control characters, cut with an ellipsis."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def wrapped(text: str, size: int, width: int) -> list[str]:
    """Lines of at most ``width`` pixels, broken between words, and inside a word that is longer than a line."""
    font, lines = font_for(text, size), [""]
    for word in one_line(text, 2000).split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
        while font.getlength(lines[-1]) > width and len(lines[-1]) > 1:
            fits = len(lines[-1])
            while fits > 1 and font.getlength(lines[-1][:fits]) > width:
                fits -= 1
            lines[-1:] = [lines[-1][:fits], lines[-1][fits:]]
    return lines


def words_strip(words: Sequence[tuple[str, float]], width: int, size: int = 17) -> Image.Image:
    """Words on the colour of their score, RGB, at most ``width`` wide, as many lines as it takes.

    Colours run from blue through pale (0) to red, up to the largest magnitude among the words.
    """
    from PIL import Image, ImageDraw

    placed, used, height = _placed(words, width, size)
    strip = Image.new("RGB", (max(used, 1), max(height, 1)), PAPER)
    draw = ImageDraw.Draw(strip)
    colours = diverging(np.array([score for _, score in words], dtype=np.float64))
    for (text, x, y, box_width), colour in zip(placed, colours, strict=True):
        fill: Colour = (int(colour[0]), int(colour[1]), int(colour[2]))
        box = (x, y, x + box_width - 1, y + _line(size) - 1)
        draw.rounded_rectangle(box, radius=size // 4, fill=fill, outline=_darker(fill))
        centre = (x + box_width / 2, y + _line(size) / 2)
        draw.text(centre, text, fill=ink_on(colour), font=font_for(text, size), anchor=_anchor(text, size, "mm"))
    return strip


def write(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int = 14, ink: Colour = INK, anchor: str = "la"
) -> None:
    """One line of text."""
    draw.text(at, text, fill=ink, font=font_for(text, size), anchor=_anchor(text, size, anchor))


def write_lines(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, width: int, size: int = 14, ink: Colour = INK
) -> int:
    """Wrapped text; returns the row below it."""
    x, y = at
    for line in wrapped(text, size, width):
        write(draw, (x, y), line, size, ink)
        y += round(size * 1.4)
    return y


def _placed(
    words: Sequence[tuple[str, float]], width: int, size: int
) -> tuple[list[tuple[str, int, int, int]], int, int]:
    """(text, x, y, width) of each word, and the width and height of them all."""
    gap, x, y, used = max(size // 4, 2), 0, 0, 0
    placed = []
    for word, _ in words:
        text = one_line(word, 60)
        wide = min(round(font_for(text, size).getlength(text)) + size * 3 // 4, width)
        if x and x + wide > width:
            x, y = 0, y + _line(size) + gap
        placed.append((text, x, y, wide))
        used, x = max(used, x + wide), x + wide + gap
    return placed, used, y + _line(size) if placed else 0


def _line(size: int) -> int:
    return round(size * 1.7)


def _darker(colour: Colour) -> Colour:
    red, green, blue = (round(channel * 0.86) for channel in colour)
    return red, green, blue


@lru_cache(maxsize=64)
def _font(size: int, latin: bool) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from PIL import ImageFont

    for name in () if latin else _WIDE_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def _anchor(text: str, size: int, anchor: str) -> str | None:
    """Bitmap fonts, which a Pillow without FreeType has, know no anchors."""
    return anchor if hasattr(font_for(text, size), "getmask2") and hasattr(font_for(text, size), "path") else None
